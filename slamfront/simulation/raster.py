"""Where the rays of an image's pixels lie, for lenses with and without distortion."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from slamfront.geometry.camera import Camera
from slamfront.geometry.pose import Array
from slamfront.types import Float32Array

# Steps along an edge of a rectangle: between two, a lens bends it by less than the margin
_STEPS = 24
_MARGIN_PX = 2.0


@dataclass(frozen=True, slots=True, eq=False)
class Raster:
    """The pixels of a camera, by where they would lie in the ideal pinhole camera of the same K.

    x, y        float32 ideal pixel positions: (1,W) and (H,1) for a pinhole camera, else (H,W)
    derivative  float32 (4,H,W): of x by column and by row, of y by column and by row; None for a pinhole camera
    """

    x: Float32Array
    y: Float32Array
    derivative: Float32Array | None

    def box(self, x0: int, y0: int, x1: int, y1: int) -> tuple[Float32Array, Float32Array]:
        """Return x and y of a range of pixels, ends exclusive, in shapes that broadcast to (y1 - y0, x1 - x0)."""
        if self.derivative is None:
            return self.x[:, x0:x1], self.y[y0:y1]
        return self.x[y0:y1, x0:x1], self.y[y0:y1, x0:x1]

    def ideal(
        self, rows: NDArray[np.intp], columns: NDArray[np.intp], offsets_xy: Array
    ) -> tuple[Float32Array, Float32Array]:
        """Return the ideal positions (N,S) of pixels (N,), each with offsets (S,2) of a part of a pixel."""
        dx, dy = offsets_xy.T.astype(np.float32)
        if self.derivative is None:
            return (columns[:, None] + dx).astype(np.float32), (rows[:, None] + dy).astype(np.float32)
        xx, xy, yx, yy = (values[rows, columns][:, None] for values in self.derivative)
        x, y = (values[rows, columns][:, None] for values in (self.x, self.y))
        return x + xx * dx + xy * dy, y + yx * dx + yy * dy


@lru_cache(maxsize=8)
def raster_of(camera: Camera) -> Raster:
    """Return the raster of a camera."""
    columns, rows = np.arange(camera.width, dtype=np.float32), np.arange(camera.height, dtype=np.float32)
    if camera.model == "pinhole":
        return Raster(columns[None], rows[:, None], None)
    # A pixel more on each side, for central differences
    grid = np.stack(np.meshgrid(np.arange(-1, camera.width + 1), np.arange(-1, camera.height + 1)), axis=-1)
    ideal = camera.undistort(grid.reshape(-1, 2).astype(np.float64)).reshape(grid.shape)
    by_column = (ideal[1:-1, 2:] - ideal[1:-1, :-2]) / 2
    by_row = (ideal[2:, 1:-1] - ideal[:-2, 1:-1]) / 2
    derivative = np.stack([by_column[..., 0], by_row[..., 0], by_column[..., 1], by_row[..., 1]])
    x, y = np.moveaxis(ideal[1:-1, 1:-1], 2, 0).astype(np.float32)
    return Raster(x, y, derivative.astype(np.float32))


def bounds_px(polygons_m: Array, camera: Camera) -> Array:
    """Return least and greatest pixel (N,2,2) of the images of polygons (N,K,3), which lie in front of the camera.

    A lens with distortion bends edges, but maps the inside of an outline to the inside of its image.
    """
    outlines = polygons_m
    if camera.model != "pinhole":
        share = np.arange(_STEPS)[:, None] / _STEPS
        along = np.roll(polygons_m, -1, axis=1) - polygons_m
        outlines = (polygons_m[:, :, None] + share * along[:, :, None]).reshape(len(polygons_m), -1, 3)
    pixels = camera.project(outlines.reshape(-1, 3)).reshape(*outlines.shape[:2], 2)
    margin = 0.0 if camera.model == "pinhole" else _MARGIN_PX
    return np.stack([pixels.min(axis=1) - margin, pixels.max(axis=1) + margin], axis=1)
