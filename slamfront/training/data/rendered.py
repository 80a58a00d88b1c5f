"""Pairs of views of rendered worlds with exact depth and pose: parallax and occlusion, which no homography has."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import cv2
import numpy as np

from slamfront.geometry.camera import Camera
from slamfront.geometry.pose import Pose
from slamfront.types import BoolArray, Float32Array, FloatArray, Image, IntArray

FAR_OUTSIDE_PX = -1e6
"""Both coordinates of points that lie behind a camera or on nothing."""
# Inverse depth is linear in the pixel on a plane, so that interpolation is exact; this leaves room for its rounding.
_SAME_SURFACE = 0.01
_NEIGHBOURS = np.ones((3, 3), np.uint8)
_GRID_PX = 4


@dataclass(frozen=True, eq=False)
class RenderedPair:
    """Two views of one world.

    images              uint8 (2,H,W)
    inverse_depths      float32 (2,H,W), 1/m along z at pixel centres; 0 where there is nothing
    cameras             pinhole
    tolerance           inverse depths are of one surface when they differ by no more than this share; twice that at
                        edges. Rendered depth is exact but for its rounding; a sensor's needs several times as much
    """

    images: Image
    inverse_depths: Float32Array
    cameras: tuple[Camera, Camera]
    second_from_first: Pose
    tolerance: float = _SAME_SURFACE

    @property
    def depths_m(self) -> Float32Array:
        """Depth (2,H,W) along z at pixel centres, 0 where there is nothing."""
        w = self.inverse_depths
        return np.divide(1, w, out=np.zeros_like(w), where=w > 0)

    def warp(self, points_xy: FloatArray) -> tuple[FloatArray, BoolArray]:
        """Return where points (N,2) of the first image lie in the second (N,2), and which are seen in both (N,).

        Between pixels the first depth is interpolated; at its jumps the point belongs to the nearer surface, as a
        corner in front of a wall does. Points behind the second camera or on nothing lie at `FAR_OUTSIDE_PX`.
        """
        first, second = self._surfaces
        inside = self.cameras[0].contains(points_xy)
        inverse_depth = first.at(points_xy)
        real = inverse_depth > 0
        depth = np.divide(1, inverse_depth, out=np.ones(len(points_xy)), where=real)
        moved = self.second_from_first.apply(self.cameras[0].unproject(points_xy) * depth[:, None])
        projected = self.cameras[1].project(moved)
        real &= np.isfinite(projected).all(axis=1)
        warped = np.where(real[:, None], projected, FAR_OUTSIDE_PX)
        seen = real & inside & self.cameras[1].contains(warped)
        seen[seen] = second.shows(warped[seen], 1 / moved[seen, 2])
        return warped, seen

    def magnification(self, points_xy: FloatArray) -> FloatArray:
        """Return by which factors the surroundings of points (N,2) grow in the second image: (N,2), the larger first.

        These are the singular values of the warp's derivative; they mean nothing for points that are not seen in both,
        and little at the edge of a surface.
        """
        beside = [self.warp(points_xy + step)[0] - self.warp(points_xy - step)[0] for step in np.eye(2) / 4]
        return np.asarray(np.linalg.svd(2 * np.stack(beside, axis=-1), compute_uv=False))

    def correspondence(self) -> tuple[Float32Array, BoolArray]:
        """Return for each pixel of the first image its place in the second (H,W,2), and whether both see it (H,W)."""
        height, width = self.images.shape[1:]
        rows, columns = np.mgrid[:height, :width]
        warped, seen = self.warp(np.stack([columns, rows], axis=-1).reshape(-1, 2).astype(np.float64))
        return warped.reshape(height, width, 2).astype(np.float32), seen.reshape(height, width)

    def overlap(self, most: float = np.inf) -> float:
        """Return the share of the first image that the second sees too, grown or shrunk by no more than `most`."""
        height, width = self.images.shape[1:]
        rows, columns = np.mgrid[0:height:_GRID_PX, 0:width:_GRID_PX].reshape(2, -1).astype(np.float64)
        points = np.column_stack([columns, rows])
        _, seen = self.warp(points)
        factors = self.magnification(points[seen])
        seen[seen] = (factors[:, 0] < most) & (factors[:, 1] > 1 / most)
        return float(seen.mean())

    def reversed(self) -> RenderedPair:
        """Return the pair with its views exchanged."""
        cameras = (self.cameras[1], self.cameras[0])
        back = self.second_from_first.inverse()
        return RenderedPair(self.images[::-1], self.inverse_depths[::-1], cameras, back, self.tolerance)

    def cropped(self, corners_xy: tuple[tuple[int, int], tuple[int, int]], size: tuple[int, int]) -> RenderedPair:
        """Return a piece of a size (width, height) of each view, given the top left pixel of each."""
        width, height = size
        for x, y in corners_xy:
            if not (0 <= x <= self.cameras[0].width - width and 0 <= y <= self.cameras[0].height - height):
                raise ValueError(f"a piece of {width}x{height} px at {x}, {y} does not lie inside the image")
        parts = [(view, slice(y, y + height), slice(x, x + width)) for view, (x, y) in enumerate(corners_xy)]
        first, second = (
            replace(camera, width=width, height=height, cx=camera.cx - x, cy=camera.cy - y)
            for camera, (x, y) in zip(self.cameras, corners_xy)
        )
        images = np.stack([self.images[part] for part in parts])
        inverse_depths = np.stack([self.inverse_depths[part] for part in parts])
        return RenderedPair(images, inverse_depths, (first, second), self.second_from_first, self.tolerance)

    @cached_property
    def _surfaces(self) -> tuple[_Surface, _Surface]:
        first, second = (_Surface(inverse_depth, self.tolerance) for inverse_depth in self.inverse_depths)
        return first, second


class _Surface:
    """Inverse depth (H,W) that can be asked for between pixels."""

    def __init__(self, inverse_depth: Float32Array, tolerance: float) -> None:
        self._tolerance = tolerance
        self._even = np.ascontiguousarray(inverse_depth)
        self._nearest = cv2.dilate(self._even, _NEIGHBOURS)
        across, down = _jumps(self._even, tolerance), _jumps(self._even.T, tolerance).T
        self._torn = across[1:] | across[:-1] | down[:, 1:] | down[:, :-1]

    def at(self, points_xy: FloatArray) -> FloatArray:
        """Return the inverse depth (N,) at points (N,2): that of the nearer surface where there are two."""
        value, torn = self._interpolated(points_xy)
        return np.where(torn, self._corners(points_xy)[2].max(axis=0), value)

    def shows(self, points_xy: FloatArray, inverse_depth: FloatArray) -> BoolArray:
        """Return whether points (N,2) of an inverse depth (N,) lie on the surface, or on the nearer side of a jump."""
        value, torn = self._interpolated(points_xy)
        on_surface = ~torn & (np.abs(value - inverse_depth) <= self._tolerance * inverse_depth)
        columns, rows = np.rint(points_xy).astype(int).T
        on_edge = np.abs(self._nearest[rows, columns] - inverse_depth) <= 2 * self._tolerance * inverse_depth
        return np.asarray(on_surface | on_edge)

    def _interpolated(self, points_xy: FloatArray) -> tuple[FloatArray, BoolArray]:
        """Return the inverse depth (N,) between the four pixels about each point, and whether a jump lies there."""
        left_top, fractions, corners = self._corners(points_xy)
        fx, fy = fractions.T
        value = (corners[0] * (1 - fx) + corners[1] * fx) * (1 - fy) + (corners[2] * (1 - fx) + corners[3] * fx) * fy
        # Whole pixels have a depth of their own.
        between = ((fractions > 0) & (fractions < 1)).any(axis=1)
        return value, between & self._torn[left_top[:, 1], left_top[:, 0]]

    def _corners(self, points_xy: FloatArray) -> tuple[IntArray, FloatArray, FloatArray]:
        """Return the pixel (N,2) left above each point, the way from it (N,2), and four inverse depths (4,N)."""
        height, width = self._even.shape
        points = points_xy.clip(0, (width - 1, height - 1))
        left_top = np.floor(points).astype(np.int64).clip(0, (width - 2, height - 2))
        left, top = left_top.T
        corners = np.stack([self._even[top + dy, left + dx] for dy in (0, 1) for dx in (0, 1)])
        return left_top, points - left_top, corners.astype(np.float64)


def _jumps(inverse_depth: Float32Array, tolerance: float) -> BoolArray:
    """Return between which neighbours of a row (H,W-1) one surface ends: where the slope is that of neither side."""
    slope = np.diff(inverse_depth, axis=1)
    change = np.abs(np.diff(slope, axis=1))
    limit = tolerance * np.maximum(inverse_depth[:, 1:], inverse_depth[:, :-1])
    left, right = np.pad(change, ((0, 0), (1, 0)), mode="edge"), np.pad(change, ((0, 0), (0, 1)), mode="edge")
    return np.asarray((left > limit) & (right > limit))
