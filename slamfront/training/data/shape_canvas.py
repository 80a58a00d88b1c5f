"""A canvas for synthetic shapes: antialiased painting at sub-pixel positions, and the corners that stay visible."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from slamfront.types import BoolArray, Float32Array, Image

Array = NDArray[np.float64]

_FINE = 4  # sub-pixels along a pixel, for textures


class Canvas:
    """A grey image that shapes are painted on, with a smooth background, and the corners of what was painted.

    A shape that would leave a corner with less contrast than `MIN_CONTRAST`, or cut through the neighbourhood of an
    earlier shape's corner, is not painted.
    """

    MIN_CONTRAST = 30.0

    def __init__(self, rng: np.random.Generator, size: tuple[int, int]) -> None:
        self.size = size
        self.image = _background(rng, size)
        self.painted = 0
        self._rng = rng
        self._corners = np.empty((0, 2))
        self._used = np.zeros((size[1], size[0]), np.float32)

    def paint(
        self, alpha: Float32Array, corners_xy: Array, shade: Float32Array | None = None, apart_px: int = 0
    ) -> bool:
        """Paint a shape where `alpha` (H,W) is above 0 and say whether that was possible.

        `shade` (H,W) is its brightness; without one, it gets an even one, with a slight gradient, that differs from
        what is behind it at each corner. `apart_px` keeps it that far away from earlier shapes.
        """
        if alpha.max() < 0.5 or (apart_px and self._touches(alpha, apart_px)):
            return False
        kept = self._uncovered(alpha)
        corners = corners_xy[in_image(corners_xy, self.size)]
        if kept is None:
            return False
        shade = self._contrasting_shade(alpha, corners) if shade is None else shade
        if shade is None:
            return False
        image = self.image + alpha * (shade - self.image)
        if len(corners) and _contrast(image, corners).min() < self.MIN_CONTRAST:
            return False
        self.image = image
        self._used = np.maximum(self._used, alpha)
        self._corners = np.concatenate([self._corners[kept], corners])
        self.painted += 1
        return True

    def finish(self) -> tuple[Image, Float32Array]:
        """Return the image as uint8 and the visible corners (N,2)."""
        image = np.clip(np.rint(self.image), 0, 255).astype(np.uint8)
        return image, self._corners.astype(np.float32)

    def _touches(self, alpha: Float32Array, distance_px: int) -> bool:
        around = cv2.dilate(self._used, np.ones((2 * distance_px + 1,) * 2, np.uint8))
        return bool((np.minimum(around, alpha) > 0).any())

    def _uncovered(self, alpha: Float32Array) -> BoolArray | None:
        """Return which corners a shape leaves visible, or nothing if its outline passes close to one."""
        if not len(self._corners):
            return np.ones(0, bool)
        columns, rows = np.rint(self._corners).astype(int).T
        window = np.ones((9, 9), np.uint8)
        highest, lowest = cv2.dilate(alpha, window)[rows, columns], cv2.erode(alpha, window)[rows, columns]
        free, covered = highest < 0.01, lowest > 0.99
        return free if (free | covered).all() else None

    def _contrasting_shade(self, alpha: Float32Array, corners_xy: Array) -> Float32Array | None:
        """Return a slightly uneven shade that differs from what is behind the corners, or nothing if none does."""
        if len(corners_xy):
            columns, rows = np.rint(corners_xy).astype(int).T
            behind = self.image[rows, columns]
        else:
            behind = self.image[alpha > 0.5]
        candidates = self._rng.uniform(8, 247, 16)
        clear = np.abs(candidates[:, None] - behind).min(axis=1) >= self.MIN_CONTRAST + 5
        if not clear.any():
            return None
        level = np.float32(candidates[clear][0])
        return level + _plane(self._rng, self.size, 10.0)


def coverage(outline_xy: Array, size: tuple[int, int]) -> Float32Array:
    """Return the exact share (H,W) of each pixel inside a simple polygon (N,2).

    The area left of a vertical line at c is the sum over the edges of the integral of max(c - x, 0) over y (Green's
    theorem); in a row of pixels x is even between two ends, so that the integral is known.
    """
    result = np.zeros((size[1], size[0]), np.float32)
    low = np.clip(np.floor(outline_xy.min(axis=0) + 0.5).astype(int), 0, size)
    high = np.clip(np.ceil(outline_xy.max(axis=0) + 0.5).astype(int), 0, size)
    width, height = high - low
    if width <= 0 or height <= 0:
        return result
    x, y = (outline_xy - low + 0.5).T[..., None]
    dx, dy = np.roll(x, -1, axis=0) - x, np.roll(y, -1, axis=0) - y
    rows = np.arange(height)
    # Where each edge (N,1) enters and leaves each row of pixels (R,).
    top, bottom = np.clip(y, rows, rows + 1), np.clip(y + dy, rows, rows + 1)
    slope = np.divide(dx, dy, out=np.zeros_like(dx), where=dy != 0)
    middle = x + ((top + bottom) / 2 - y) * slope
    half = np.maximum(np.abs((bottom - top) * slope) / 2, 1e-6).astype(np.float32)[..., None]
    columns = np.arange(width + 1, dtype=np.float32)
    beyond = columns - middle.astype(np.float32)[..., None]
    mean = np.maximum(beyond, 0) + np.maximum(half - np.abs(beyond), 0) ** 2 / (4 * half)
    left = np.einsum("er,erc->rc", (bottom - top).astype(np.float32), mean)
    result[low[1] : high[1], low[0] : high[0]] = np.clip(np.abs(np.diff(left, axis=1)), 0, 1)
    return result


def texture_layer(cells: Array, image_from_board: Array, size: tuple[int, int]) -> tuple[Float32Array, Float32Array]:
    """Return shade and coverage (H,W) of cells (R,C) of grey levels 1..255 under a homography.

    Cell (r, c) covers [c, c+1] x [r, r+1] of the board.
    """
    fine_from_image = np.array([[_FINE, 0, (_FINE - 1) / 2], [0, _FINE, (_FINE - 1) / 2], [0, 0, 1]])
    board_from_cells = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    fine_size = (size[0] * _FINE, size[1] * _FINE)
    fine = cv2.warpPerspective(
        np.rint(cells).astype(np.uint8), fine_from_image @ image_from_board @ board_from_cells, fine_size,
        flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=0,
    )  # fmt: skip
    _, inside = cv2.threshold(fine, 0, 255, cv2.THRESH_BINARY)
    alpha = cv2.resize(inside, size, interpolation=cv2.INTER_AREA) * np.float32(1 / 255)
    total = cv2.resize(fine, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    return total / np.maximum(alpha, np.float32(1 / 255)), alpha


def in_image(points_xy: Array, size: tuple[int, int]) -> BoolArray:
    """Return which points (N,2) lie between the centres of the outermost pixels of an image (width, height)."""
    return np.all((points_xy >= 0) & (points_xy <= np.array(size) - 1), axis=1)


def _contrast(image: Float32Array, corners_xy: Array) -> Float32Array:
    """Return the range of brightness within 3 px of each corner."""
    columns, rows = np.rint(corners_xy).astype(int).T
    window = np.ones((7, 7), np.uint8)
    spread: Float32Array = cv2.dilate(image, window)[rows, columns] - cv2.erode(image, window)[rows, columns]
    return spread


def _background(rng: np.random.Generator, size: tuple[int, int]) -> Float32Array:
    """Return an even background, or one with a gradient and smooth blobs of two sizes."""
    image = _plane(rng, size, rng.uniform(0, 50)) + np.float32(rng.uniform(15, 240))
    for cells in (3, 8):
        amplitude = rng.uniform(0, 60 / cells) * rng.integers(0, 2)
        coarse = amplitude * rng.standard_normal((cells, cells + 1), np.float32)
        image += cv2.resize(coarse.astype(np.float32), size, interpolation=cv2.INTER_CUBIC)
    return np.clip(image, 0, 255)


def _plane(rng: np.random.Generator, size: tuple[int, int], amplitude: float) -> Float32Array:
    """Return a brightness (H,W) that rises evenly by up to `amplitude` to each side."""
    slope_x, slope_y = rng.uniform(-amplitude, amplitude, 2).astype(np.float32) / 2
    x, y = _ramps(size)
    return slope_x * x + slope_y * y


@lru_cache(maxsize=4)
def _ramps(size: tuple[int, int]) -> tuple[Float32Array, Float32Array]:
    """Return what rises from -1 to 1 along the rows (1,W) and along the columns (H,1)."""
    return np.linspace(-1, 1, size[0], dtype=np.float32)[None], np.linspace(-1, 1, size[1], dtype=np.float32)[:, None]
