"""Aligning small image patches below the pixel.

A landmark keeps the image around it in its first keyframe. That patch, warped as the landmark's plane would appear in
a new view, is moved over the new image until they agree. All observations of a landmark then mean the same physical
point, which keypoints detected anew in each image do not.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from slamfront.geometry.camera import Camera
from slamfront.imaging import gradients, structure_tensors, textured
from slamfront.map import Landmarks
from slamfront.map.landmarks import PATCH_SIZE
from slamfront.types import BoolArray, Float32Array, FloatArray, Image

_HALF = PATCH_SIZE // 2
# Side of the aligned square; one pixel more on each side serves the gradients
_SIDE = 9
_STEPS = 6
_MAX_SHIFT_PX = 3.0
_AT_REST_PX = 0.01
_MIN_CORRELATION = 0.75
# cv2.remap takes at most this many rows
_MAX_ROWS = 32000


def cut_patches(image: Image, centres_xy: Float32Array | FloatArray) -> NDArray[np.uint8]:
    """Return the squares (N,21,21) of a grey image around pixels (N,2), interpolated, edges repeated."""
    offsets = np.arange(-_HALF, _HALF + 1, dtype=np.float32)
    x = np.asarray(centres_xy, np.float32)[:, 0, None] + np.tile(offsets, PATCH_SIZE)
    y = np.asarray(centres_xy, np.float32)[:, 1, None] + np.repeat(offsets, PATCH_SIZE)
    return _sample(image, x, y).reshape(-1, PATCH_SIZE, PATCH_SIZE)


def align_patches(
    image: Float32Array, patches: NDArray[np.uint8], patch_from_image: FloatArray, start_xy: FloatArray
) -> tuple[FloatArray, BoolArray]:
    """Return where patches (N,21,21) lie in a float32 grey image, (N,2), and which of them are trusted, (N,).

    patch_from_image (N,2,2) is the linear warp from offsets in the image to offsets in the patch; start_xy (N,2) where
    to begin. Inverse compositional alignment of a translation (Baker and Matthews 2004, section 3.2), after removing
    mean and contrast. A patch is trusted when it has texture in both directions, moved by at most 3 px, came to rest,
    and correlates.
    """
    if len(patches) == 0:
        return np.zeros((0, 2)), np.zeros(0, bool)
    template = _warp(patches, patch_from_image)
    slopes = gradients(template)
    inner = template[:, 1:-1, 1:-1].reshape(len(patches), -1)
    inner = inner - inner.mean(1, keepdims=True)
    contrast = np.sqrt(np.einsum("np,np->n", inner, inner)) + 1e-6
    tensors = structure_tensors(slopes)
    firm = textured(tensors)
    inverse = np.zeros_like(tensors)
    inverse[firm] = np.linalg.inv(tensors[firm] * slopes.shape[2])
    descent = inverse @ slopes
    offsets = np.arange(_SIDE, dtype=np.float32) - _SIDE // 2
    dx, dy = np.tile(offsets, _SIDE), np.repeat(offsets, _SIDE)
    position = start_xy.astype(np.float32)
    correlation, step = np.zeros(len(patches)), np.zeros((len(patches), 2), np.float32)
    moving = np.flatnonzero(firm)
    for _ in range(_STEPS):
        if len(moving) == 0:
            break
        values = _sample(image, position[moving, 0, None] + dx, position[moving, 1, None] + dy)
        values -= values.mean(1, keepdims=True)
        norm = np.sqrt(np.einsum("np,np->n", values, values)) + 1e-6
        correlation[moving] = np.einsum("np,np->n", values, inner[moving]) / (norm * contrast[moving])
        values *= (contrast[moving] / norm)[:, None]
        values -= inner[moving]
        step[moving] = np.clip((descent[moving] @ values[:, :, None])[:, :, 0], -1.0, 1.0)
        position[moving] -= step[moving]
        near = np.abs(position[moving] - start_xy[moving]).max(1) < _MAX_SHIFT_PX
        moving = moving[near & (np.abs(step[moving]).max(1) > _AT_REST_PX)]
    rest = np.abs(step).max(1) < 0.1
    near = np.abs(position - start_xy).max(1) < _MAX_SHIFT_PX
    return position.astype(np.float64), firm & rest & near & (correlation > _MIN_CORRELATION)


def landmark_warps(
    landmarks: Landmarks,
    rows: NDArray[np.int64],
    anchor_rotations: FloatArray,
    anchor_positions_m: FloatArray,
    camera_from_world_rotation: FloatArray,
    camera_from_world_translation_m: FloatArray,
    camera: Camera,
) -> tuple[FloatArray, BoolArray]:
    """Return the warps (M,2,2) from image offsets to offsets in landmarks' patches, and which of them are usable.

    anchor_rotations (M,3,3), anchor_positions_m (M,3): world_from_camera of each landmark's anchor keyframe. A landmark
    is taken as a small plane parallel to the image plane of its anchor. A warp that shrinks or magnifies more than
    twice is not usable.
    """
    positions = landmarks.positions_m[rows]
    in_anchor = np.einsum("nji,nj->ni", anchor_rotations, positions - anchor_positions_m)
    in_camera = positions @ camera_from_world_rotation.T + camera_from_world_translation_m
    camera_from_anchor = camera_from_world_rotation @ anchor_rotations
    z = np.maximum(in_camera[:, 2], 1e-6)
    # Moving by one pixel in the anchor moves the point by depth / f across its optical axis
    across = camera_from_anchor[:, :, :2] * (in_anchor[:, 2, None, None] / np.array([camera.fx, camera.fy]))
    slope = in_camera[:, :2] / z[:, None]
    image_from_patch = (across[:, :2] - slope[:, :, None] * across[:, 2:3]) / z[:, None, None]
    image_from_patch = image_from_patch * np.array([[camera.fx], [camera.fy]])
    determinant = np.linalg.det(image_from_patch)
    usable = (determinant > 0.25) & (determinant < 4.0) & (in_anchor[:, 2] > 0) & (in_camera[:, 2] > 0)
    image_from_patch[~usable] = np.eye(2)
    return np.linalg.inv(image_from_patch), usable


def _warp(patches: NDArray[np.uint8], patch_from_image: FloatArray) -> Float32Array:
    """Return the patches (N,S,S) as they appear in the image, S two larger than the aligned square."""
    side = _SIDE + 2
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
