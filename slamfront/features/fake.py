"""Extractors that find what they are told to: for tests, and for trying things out without a detector."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from slamfront.types import Features, Float32Array, Image


class Patches:
    """Describes given keypoints, or those of a fixed grid, by the image patch around them.

    A descriptor is the grey values of the square patch without their mean and of unit length, so that it stays the same
    under a change of brightness or contrast; it knows no rotation or scale. Where a patch is flat, or is not wholly
    inside the image, there is no keypoint.
    """

    def __init__(self, keypoints_xy: Float32Array | None = None, spacing_px: int = 16, patch_px: int = 9) -> None:
        """Describe `keypoints_xy` (N,2) px, rounded to whole pixels, or those of a grid; `patch_px` is odd."""
        self._keypoints_xy, self._spacing_px, self._radius = keypoints_xy, spacing_px, patch_px // 2

    def extract(self, image: Image) -> Features:
        """Return the features of a grey image (H,W): scores are the patches' standard deviations, scales are 1."""
        height, width = image.shape
        xy = self._grid(width, height) if self._keypoints_xy is None else self._keypoints_xy
        pixels, radius = np.rint(xy).astype(np.int64), self._radius
        inside = ((pixels >= radius) & (pixels < np.array([width, height]) - radius)).all(axis=1)
        xy, pixels = xy[inside], pixels[inside]
        offsets = np.arange(-radius, radius + 1)
        patches = image[pixels[:, 1, None, None] + offsets[:, None], pixels[:, 0, None, None] + offsets]
        contrast = patches.reshape(len(xy), offsets.size**2).astype(np.float32)
        contrast -= contrast.mean(axis=1, keepdims=True)
        norms = np.linalg.norm(contrast, axis=1)
        textured = norms > 1e-3
        norms, contrast = norms[textured], contrast[textured]
        scores = norms / np.float32(offsets.size)
        return Features(
            xy[textured].astype(np.float32),
            scores,
            contrast / norms[:, None],
            (width, height),
            np.ones(len(scores), np.float32),
        )

    def _grid(self, width: int, height: int) -> Float32Array:
        x, y = (np.arange(self._spacing_px // 2, side, self._spacing_px) for side in (width, height))
        return np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2).astype(np.float32)


class Scripted:
    """Answers image after image with the features it was given, whatever the image."""

    def __init__(self, features: Iterable[Features]) -> None:
        self._features = iter(features)

    def extract(self, image: Image) -> Features:
        """Return the next features; StopIteration when none are left."""
        return next(self._features)
