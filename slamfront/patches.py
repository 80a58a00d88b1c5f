"""Aligning small image patches below the pixel.

The image around a keypoint, warped as it should appear in another view, is moved over that view until they agree. Both
then mean the same physical point, which keypoints detected anew in each image do not: they lie a pixel or so apart.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from slamfront.config import AlignmentConfig
from slamfront.imaging import gradients, structure_tensors, textured
from slamfront.types import BoolArray, Float32Array, FloatArray, Image

PATCH_SIZE = 21
_HALF = PATCH_SIZE // 2
_AT_REST_PX = 0.01
# Matches about one that tell how the image changes there, the rounds in which those that disagree lose weight, by how
# much a match may disagree, and what a change of the image must be worth, px
_NEIGHBOURS, _ROUNDS, _DISAGREEMENT_PX, _RIDGE_PX = 16, 4, 3.0, 1.0
# Keypoints of a match may lie farther from each other than landmarks from where they are expected
_MATCHES = AlignmentConfig(side_px=13, steps=10, max_shift_px=5.0)
# The second time they tell better how the image changes
_MATCH_ROUNDS = 2
# cv2.remap takes at most this many rows
_MAX_ROWS = 32000


def cut_patches(image: Image, centres_xy: Float32Array | FloatArray) -> NDArray[np.uint8]:
    """Return the squares (N,21,21) of a grey image around pixels (N,2), interpolated, edges repeated."""
    offsets = np.arange(-_HALF, _HALF + 1, dtype=np.float32)
    x = np.asarray(centres_xy, np.float32)[:, 0, None] + np.tile(offsets, PATCH_SIZE)
    y = np.asarray(centres_xy, np.float32)[:, 1, None] + np.repeat(offsets, PATCH_SIZE)
    return _sample(image, x, y).reshape(-1, PATCH_SIZE, PATCH_SIZE)


def align_matches(
    first: Image, second: Image, first_xy: FloatArray, second_xy: FloatArray
) -> tuple[FloatArray, BoolArray]:
    """Return matched pixels (N,2) of the second of two grey images (H,W), moved to where it shows what the first shows
    at its own, and which of them are trusted, (N,).

    How the image changes about a match is told by the matches around it. Where it cannot be aligned a pixel stays, and
    is not trusted: there is no texture in both directions, or the match is wrong.
    """
    patches, image = cut_patches(first, first_xy), second.astype(np.float32)
    aligned, trusted = second_xy, np.zeros(len(second_xy), bool)
    for _ in range(_MATCH_ROUNDS):
        first_from_second, usable = inverses(warps_of_matches(first_xy, aligned), _MATCHES.max_magnification)
        xy, _, trusted = align_patches(image, patches, first_from_second, second_xy, config=_MATCHES)
        trusted &= usable
        aligned = np.where(trusted[:, None], xy, second_xy)
    return aligned, trusted


def warps_of_matches(first_xy: FloatArray, second_xy: FloatArray) -> FloatArray:
    """Return for matched pixels (N,2) of two images the linear warp (N,2,2) from offsets in the first to the second.

    The affine map of the 16 matches nearest to each in the first image, by least squares with the weights of Geman and
    McClure, so that wrong ones among them have little say; where they tell nothing the identity.
    """
    count = min(_NEIGHBOURS, len(first_xy))
    if count == 0:
        return np.zeros((0, 2, 2))
    _, near = cKDTree(first_xy).query(first_xy, k=count)
    near = near.reshape(-1, count)
    offsets = np.concatenate([first_xy[near] - first_xy[:, None], np.ones((*near.shape, 1))], axis=2)
    # Of the shift of each match beside that of the one in the middle: no change is the identity
    shifts = (second_xy - first_xy)[near] - (second_xy - first_xy)[:, None]
    weights = np.ones(near.shape)
    change, ridge = np.zeros((len(near), 3, 2)), np.diag([_RIDGE_PX**2, _RIDGE_PX**2, 1e-6])
    for _ in range(_ROUNDS):
        weighted = (offsets * weights[:, :, None]).transpose(0, 2, 1)
        change = np.linalg.solve(weighted @ offsets + ridge, weighted @ shifts)
        error = np.linalg.norm(offsets @ change - shifts, axis=2)
        weights = (1 + (error / _DISAGREEMENT_PX) ** 2) ** -2
    return np.asarray(np.eye(2) + change[:, :2].transpose(0, 2, 1))


def inverses(warps: FloatArray, max_magnification: float) -> tuple[FloatArray, BoolArray]:
    """Return the inverses of linear warps (N,2,2), the identity for those not usable, and which are usable, (N,).

    One that turns a patch over, or shrinks or magnifies it more than `max_magnification`, is not.
    """
    area = np.linalg.det(warps)
    usable = (area > max_magnification**-2) & (area < max_magnification**2)
    return np.asarray(np.linalg.inv(np.where(usable[:, None, None], warps, np.eye(2))), np.float64), usable


def align_patches(
    image: Float32Array,
    patches: NDArray[np.uint8],
    patch_from_image: FloatArray,
    start_xy: FloatArray,
    *,
    config: AlignmentConfig,
) -> tuple[FloatArray, FloatArray, BoolArray]:
    """Return where patches (N,21,21) lie in a float32 grey image, (N,2), the standard deviation of each coordinate,
    (N,) px, and which of them are trusted, (N,).

    patch_from_image (N,2,2) is the linear warp from offsets in the image to offsets in the patch; start_xy (N,2) where
    to begin. Inverse compositional alignment of a
    translation (Baker and Matthews 2004, section 3.2), after removing mean and contrast. A patch is trusted when it has
    texture in both directions, moved by at most `max_shift_px`, came to rest, and correlates.

    The deviation is that of least squares, the variance of the residuals times the inverse of the gradients' products,
    averaged over directions. Blur, noise and a wrong warp raise it. Residuals of neighbouring pixels are alike, so that
    those of `correlated_pixels` count as one.
    """
    if len(patches) == 0:
        return np.zeros((0, 2)), np.zeros(0), np.zeros(0, bool)
    side, max_shift_px = config.side_px, config.max_shift_px
    template = _warp(patches, patch_from_image, side + 2)  # the border serves the gradients
    slopes = gradients(template)
    inner = template[:, 1:-1, 1:-1].reshape(len(patches), -1)
    inner = inner - inner.mean(1, keepdims=True)
    contrast = np.sqrt(np.einsum("np,np->n", inner, inner)) + 1e-6
    tensors = structure_tensors(slopes)
    firm = textured(tensors)
    inverse = np.zeros_like(tensors)
    inverse[firm] = np.linalg.inv(tensors[firm] * slopes.shape[2])
    descent = inverse @ slopes
    offsets = np.arange(side, dtype=np.float32) - side // 2
    dx, dy = np.tile(offsets, side), np.repeat(offsets, side)
    position = start_xy.astype(np.float32)
    correlation, step = np.zeros(len(patches)), np.zeros((len(patches), 2), np.float32)
    squares = np.zeros(len(patches))
    moving = np.flatnonzero(firm)
    for _ in range(config.steps):
        if len(moving) == 0:
            break
        values = _sample(image, position[moving, 0, None] + dx, position[moving, 1, None] + dy)
        values -= values.mean(1, keepdims=True)
        norm = np.sqrt(np.einsum("np,np->n", values, values)) + 1e-6
        correlation[moving] = np.einsum("np,np->n", values, inner[moving]) / (norm * contrast[moving])
        values *= (contrast[moving] / norm)[:, None]
        values -= inner[moving]
        squares[moving] = np.einsum("np,np->n", values, values)
        step[moving] = np.clip((descent[moving] @ values[:, :, None])[:, :, 0], -1.0, 1.0)
        position[moving] -= step[moving]
        near = np.abs(position[moving] - start_xy[moving]).max(1) < max_shift_px
        moving = moving[near & (np.abs(step[moving]).max(1) > _AT_REST_PX)]
    rest = np.abs(step).max(1) < 0.1
    near = np.abs(position - start_xy).max(1) < max_shift_px
    variances = config.correlated_pixels * squares / (side * side - 4) * np.trace(inverse, axis1=1, axis2=2) / 2
    return position.astype(np.float64), np.sqrt(variances), firm & rest & near & (correlation > config.min_correlation)


def _warp(patches: NDArray[np.uint8], patch_from_image: FloatArray, side: int) -> Float32Array:
    """Return the patches (N,S,S) as they appear in the image, of a side S."""
    offsets = np.arange(side, dtype=np.float64) - side // 2
    grid = np.stack([np.tile(offsets, side), np.repeat(offsets, side)])
    xy = (patch_from_image @ grid + _HALF).astype(np.float32)
    # Outside its square a patch repeats its edge, it does not run into the next one
    np.clip(xy, 0, PATCH_SIZE - 1, out=xy)
    warped = np.empty((len(patches), side * side), np.float32)
    chunk = _MAX_ROWS // PATCH_SIZE
    for start in range(0, len(patches), chunk):
        part = slice(start, min(start + chunk, len(patches)))
        count = part.stop - part.start
        strip = patches[part].reshape(-1, PATCH_SIZE).astype(np.float32)
        down = np.arange(count, dtype=np.float32)[:, None] * PATCH_SIZE
        warped[part] = _sample(strip, xy[part, 0], xy[part, 1] + down)
    return warped.reshape(-1, side, side)


def _sample(image: NDArray[Any], x: Float32Array, y: Float32Array) -> NDArray[Any]:
    if len(x) == 0:
        return np.zeros(x.shape, image.dtype)
    parts = [
        cv2.remap(image, x[i : i + _MAX_ROWS], y[i : i + _MAX_ROWS], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        for i in range(0, len(x), _MAX_ROWS)
    ]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
