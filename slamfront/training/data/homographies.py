"""Random homographies, and what of an image still lies inside after one."""

from __future__ import annotations

import cv2
import numpy as np

from slamfront.training.recipe import WarpConfig
from slamfront.types import BoolArray, FloatArray, Image

_FINEST = 4  # times finer than the target is what shrinks most


def random_homography(rng: np.random.Generator, size: tuple[int, int], config: WarpConfig) -> FloatArray:
    """Return a homography (3,3) that carries pixels (x, y, 1) of an image of a size (w, h) into one of the same size.

    Corners are moved first, each by itself, and the result is turned, scaled and shifted about the centre.
    """
    width, height = size
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float64) - 0.5
    moved = corners + rng.uniform(-1, 1, (4, 2)) * config.perspective * np.array(size)
    turn = np.deg2rad(rng.uniform(-1, 1) * config.rotation_deg)
    factor = np.exp(rng.uniform(-1, 1) * np.log(config.scale))
    rotation = factor * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    centre = np.array(size) / 2 - 0.5
    moved = (moved - centre) @ rotation.T + centre + rng.uniform(-1, 1, 2) * config.shift * np.array(size)
    return np.asarray(cv2.getPerspectiveTransform(corners.astype(np.float32), moved.astype(np.float32)), np.float64)


def warp(image: Image, target_from_source: FloatArray, size: tuple[int, int]) -> Image:
    """Return an image (H,W) carried by a homography to a size (w, h), mirrored where nothing was seen.

    Where it shrinks, each pixel is the mean over what falls into it, as in a camera, so that nothing is aliased.
    """
    finer = min(max(round(shrinkage(target_from_source, size)), 1), _FINEST)
    # Pixels' centres are whole numbers, in the finer image as well
    scaling = np.array([[finer, 0, (finer - 1) / 2], [0, finer, (finer - 1) / 2], [0, 0, 1]])
    carried = cv2.warpPerspective(
        image, scaling @ target_from_source, (size[0] * finer, size[1] * finer),
        flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT,
    )  # fmt: skip
    return np.asarray(carried if finer == 1 else cv2.resize(carried, size, interpolation=cv2.INTER_AREA))


def shrinkage(target_from_source: FloatArray, size: tuple[int, int]) -> float:
    """Return how many pixels of the source one of the target's (w, h) is wide, in the middle of the target."""
    middle = np.array(size) / 2 - 0.5
    steps = middle + np.array([[0, 0], [1, 0], [0, 1]])
    origin, right, down = carry(np.asarray(np.linalg.inv(target_from_source), np.float64), steps)
    return float(np.sqrt(abs(np.linalg.det(np.stack([right - origin, down - origin])))))


def warped_area(source_size: tuple[int, int], target_from_source: FloatArray, size: tuple[int, int]) -> BoolArray:
    """Return which pixels (h,w) of the target show something of an image of `source_size` (w, h)."""
    width, height = source_size
    seen = np.ones((height, width), np.uint8)
    return np.asarray(cv2.warpPerspective(seen, target_from_source, size, flags=cv2.INTER_NEAREST), np.bool_)


def carry(target_from_source: FloatArray, points_xy: FloatArray) -> FloatArray:
    """Return points (N,2) carried by a homography; those behind the camera lie far outside."""
    if not len(points_xy):
        return np.zeros((0, 2))
    homogeneous = points_xy @ target_from_source[:, :2].T + target_from_source[:, 2]
    w = homogeneous[:, 2:]
    return np.where(w > 1e-6, homogeneous[:, :2] / np.maximum(w, 1e-6), -1e6)
