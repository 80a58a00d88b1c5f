"""What is done to images everywhere."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from slamfront.types import BoolArray, Float32Array, Image

# Least mean squared gradient along the direction in which it is least, (grey levels / px)^2
_MIN_TEXTURE = 4.0


def grey(image: Image) -> Image:
    """Return an image, RGB (H,W,3) or grey (H,W) uint8, as a grey one (H,W) by the luma of ITU-R BT.601."""
    return image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)


def painted_over(image: Image, mask: BoolArray) -> Image:
    """Return a grey image (H,W) that shows its mean grey wherever a mask (H,W) is False, in which nothing is found."""
    mean = cv2.mean(image, mask.view(np.uint8))[0]
    return np.where(mask, image, np.uint8(round(mean)))


def well_inside(mask: BoolArray, size_px: int) -> BoolArray:
    """Return where squares of an odd size lie wholly where a mask (H,W) is True; beyond the image nothing is asked."""
    return np.asarray(cv2.erode(mask.view(np.uint8), np.ones((size_px, size_px), np.uint8)) > 0)


def at_pixels(mask: BoolArray, pixels_xy: NDArray[Any]) -> BoolArray:
    """Return the values of a mask (H,W) at the pixels nearest to places (N,2), those outside at the nearest edge."""
    height, width = mask.shape
    column = np.clip(np.rint(pixels_xy[:, 0]), 0, width - 1).astype(np.int64)
    row = np.clip(np.rint(pixels_xy[:, 1]), 0, height - 1).astype(np.int64)
    return np.asarray(mask[row, column])


def gradients(squares: Float32Array) -> Float32Array:
    """Return the central differences (N,2,P) of grey squares (N,S,S) inside a border of one pixel, P = (S-2)^2, each
    square's with their means removed.
    """
    x = (squares[:, 1:-1, 2:] - squares[:, 1:-1, :-2]) * 0.5
    y = (squares[:, 2:, 1:-1] - squares[:, :-2, 1:-1]) * 0.5
    both = np.stack([x, y], 1).reshape(len(squares), 2, x.shape[1] * x.shape[2])
    return both - both.mean(2, keepdims=True)


def structure_tensors(slopes: Float32Array) -> Float32Array:
    """Return the mean products (N,2,2) of gradients (N,2,P)."""
    return np.asarray(np.einsum("nip,njp->nij", slopes, slopes) / slopes.shape[2])


def textured(tensors: NDArray[np.float32]) -> BoolArray:
    """Return which structure tensors (N,2,2) tell of texture in both directions, so that a square does not slide along
    an edge: the smaller eigenvalue counts (Shi and Tomasi, "Good features to track", CVPR 1994).
    """
    half_trace = (tensors[:, 0, 0] + tensors[:, 1, 1]) / 2
    apart = np.hypot((tensors[:, 0, 0] - tensors[:, 1, 1]) / 2, tensors[:, 0, 1])
    return np.asarray(half_trace - apart > _MIN_TEXTURE)
