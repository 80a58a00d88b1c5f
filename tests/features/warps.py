"""Images with a known homography between them, and how well features and matches follow it."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from slamfront.types import Features, Image, Matches

Array = NDArray[np.float64]

TILTED = np.array([[1.02, -0.17, 34.0], [0.16, 1.05, -22.0], [1e-4, -8e-5, 1.0]])
"""About 10 degrees of rotation, 5 % of scale, and some perspective."""


def textured(width: int = 320, height: int = 240, seed: int = 0) -> Image:
    """Return blocks and discs of many sizes and greys, slightly blurred as by a lens."""
    rng = np.random.default_rng(seed)
    image = np.full((height, width), 128, np.uint8)
    for _ in range(width * height // 250):
        x, y = int(rng.integers(0, width)), int(rng.integers(0, height))
        side, grey = int(rng.integers(4, 30)), int(rng.integers(0, 256))
        if rng.random() < 0.5:
            cv2.rectangle(image, (x, y), (x + side, y + int(rng.integers(4, 30))), grey, -1)
        else:
            cv2.circle(image, (x, y), side // 2, grey, -1)
    return cv2.GaussianBlur(image, (0, 0), 0.7)


def warped(image: Image, homography: Array) -> Image:
    """Return the image seen through the homography, with the same size."""
    return cv2.warpPerspective(image, homography, (image.shape[1], image.shape[0]), flags=cv2.INTER_AREA)


def transferred(xy: NDArray[np.float32], homography: Array) -> Array:
    """Return points (N,2) of the first image in the second."""
    rays = np.column_stack([xy, np.ones(len(xy))]) @ homography.T
    return rays[:, :2] / rays[:, 2:]


def precision(first: Features, second: Features, matches: Matches, homography: Array, error_px: float) -> float:
    """Return the share of matches that follow the homography within an error."""
    expected = transferred(first.keypoints_xy[matches.indices[:, 0]], homography)
    found = second.keypoints_xy[matches.indices[:, 1]]
    return float((np.linalg.norm(found - expected, axis=1) <= error_px).mean())


def recall(first: Features, second: Features, matches: Matches, homography: Array, error_px: float) -> float:
    """Return the share of the first image's keypoints with a counterpart in the second that were matched right."""
    expected = transferred(first.keypoints_xy, homography)
    distances = np.linalg.norm(expected[:, None] - second.keypoints_xy[None], axis=2)
    possible = distances.min(axis=1) <= error_px
    right = distances[matches.indices[:, 0], matches.indices[:, 1]] <= error_px
    return float(right.sum() / possible.sum())


def assert_well_formed(features: Features, image: Image) -> None:
    """Check the shapes, types and ranges that `Features` promises."""
    count = len(features)
    assert features.image_size == (image.shape[1], image.shape[0])
    assert features.keypoints_xy.shape == (count, 2) and features.keypoints_xy.dtype == np.float32
    assert features.scores.shape == features.scales.shape == (count,)
    assert features.scores.dtype == features.scales.dtype == np.float32
    assert len(features.descriptors) == count
    assert (features.keypoints_xy >= 0).all() and (features.keypoints_xy < features.image_size).all()
    assert (features.scales >= 1).all()
    if not features.binary:
        assert features.descriptors.dtype == np.float32
        # float32 rounding of a sum of a few hundred squares
        np.testing.assert_allclose(np.linalg.norm(features.descriptors, axis=1), 1.0, atol=1e-4)
