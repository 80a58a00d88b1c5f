"""Pairs of images, and what is known about where points of the first lie in the second."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, NamedTuple, Protocol, TypeVar

import numpy as np

from slamfront.geometry.camera import Camera
from slamfront.geometry.epipolar import (
    epipolar_lines,
    essential_matrix,
    fundamental_matrix,
    symmetric_epipolar_distance,
)
from slamfront.geometry.pose import Pose
from slamfront.geometry.shutter import Shutter
from slamfront.types import BoolArray, Features, Float32Array, FloatArray, Image

_GRID_PX = 8
# A surface that is nearer by this share hides what lies behind it; noise of a depth camera is well below
_HIDING = 0.9


class Warp(NamedTuple):
    """Where N points of the first image lie in the second.

    points_xy   (N,2) px; nan for those that are not seen there, or of which it is not known
    known       (N,) of which points it is known whether and where they are seen
    """

    points_xy: FloatArray
    known: BoolArray


class ImagePair(Protocol):
    """Two grey images uint8 (H,W), and what is known about where points of the first lie in the second."""

    @property
    def first(self) -> Image:
        """The first image."""
        ...

    @property
    def second(self) -> Image:
        """The second image."""
        ...

    @property
    def overlap(self) -> float | None:
        """The smaller of the shares of either image that is seen in the other; None where it is not known."""
        ...

    @property
    def shutters(self) -> tuple[Shutter, Shutter] | None:
        """How to undo the rolling shutters of both cameras; None where all rows are exposed at once."""
        ...

    def prepared(self, first: Features, second: Features) -> tuple[Features, Features]:
        """Return of the features of either image those that count, where the truth refers to: straightened."""
        ...

    def warp(self, points_xy: FloatArray) -> Warp:
        """Return where points (N,2) of the first image lie in the second."""
        ...


PairT = TypeVar("PairT", bound=ImagePair, covariant=True)


@dataclass(frozen=True, slots=True)
class PairReference(Generic[PairT]):
    """A pair of images that is loaded when it is wanted.

    group   what the pairs have in common that are reported together
    """

    name: str
    group: str
    load: Callable[[], PairT]


@dataclass(frozen=True, slots=True, eq=False)
class PosedPair:
    """Two grey images uint8 (H,W) of two pinhole cameras, the pose between them, and depth where it is known.

    surface         gives where points (N,2) of the first image lie in the second; None without depth
    overlap         see `ImagePair`; None without depth
    depth_m         median depth of the first image; None without depth
    shutters        how to undo the rolling shutters of both cameras; None where all rows are exposed at once
    """

    first: Image
    second: Image
    cameras: tuple[Camera, Camera]
    second_from_first: Pose
    surface: Callable[[FloatArray], Warp] | None = None
    overlap: float | None = None
    depth_m: float | None = None
    shutters: tuple[Shutter, Shutter] | None = None

    def prepared(self, first: Features, second: Features) -> tuple[Features, Features]:
        """Return the features where the middle row's instant would have them, by the true turning of the cameras."""
        if self.shutters is None:
            return first, second
        return _straightened(first, self.shutters[0]), _straightened(second, self.shutters[1])

    def warp(self, points_xy: FloatArray) -> Warp:
        """Return where points (N,2) of the first image lie in the second; nothing is known without depth."""
        if self.surface is None:
            return Warp(np.full((len(points_xy), 2), np.nan), np.zeros(len(points_xy), np.bool_))
        return self.surface(points_xy)

    def epipolar_distance_px(self, first_xy: FloatArray, second_xy: FloatArray) -> FloatArray:
        """Return for matched points (N,2) the larger of the distances to each other's epipolar line; nan at an epipole.

        Without a translation there are no lines, and the distance is that to where the rotation carries the point.
        """
        if not np.any(self.second_from_first.translation_m):
            carried = self.second_from_first.apply(self.cameras[0].unproject(first_xy))
            return np.asarray(np.linalg.norm(self.cameras[1].project(carried) - second_xy, axis=1))
        fundamental = fundamental_matrix(self.second_from_first, *self.cameras)
        return np.maximum(
            _distance_to_line(epipolar_lines(fundamental, first_xy), second_xy),
            _distance_to_line(epipolar_lines(fundamental.T, second_xy), first_xy),
        )

    def symmetric_epipolar(self, first_xy: FloatArray, second_xy: FloatArray) -> FloatArray:
        """Return for matched points (N,2) the squared symmetric epipolar distance at a focal length of 1; nan without a
        translation.
        """
        rays = self.cameras[0].normalized(first_xy), self.cameras[1].normalized(second_xy)
        return symmetric_epipolar_distance(essential_matrix(self.second_from_first), *rays)


@dataclass(frozen=True, slots=True, eq=False)
class DepthView:
    """A view with measured depth.

    depth_m     (H,W) along z, 0 = unknown, in the image's own pixels
    shutter     between the image's pixels and those of the middle row's instant, in which points are given
    """

    depth_m: Float32Array
    camera: Camera
    shutter: Shutter

    def warp(self, points_xy: FloatArray, second: DepthView, second_from_first: Pose) -> Warp:
        """Return where points (N,2) lie in another view; they are known where the nearest pixel has a depth.

        They are not seen outside that view, nor where its depth shows something that is nearer by a tenth.
        """
        depth = self._at(points_xy)
        points = second_from_first.apply(self.camera.unproject(points_xy) * depth[:, None])
        warped = second.camera.project(points)
        inside = second.camera.contains(warped)
        inside[inside] = ~_hides(second._at(warped[inside]), points[inside, 2])
        return Warp(np.where((inside & (depth > 0))[:, None], warped, np.nan), depth > 0)

    def share_seen(self, second: DepthView, second_from_first: Pose) -> float:
        """Return the share of the pixels of known depth that another view sees too; 0 without any."""
        warp = self.warp(pixel_grid(self.camera.width, self.camera.height), second, second_from_first)
        return float(np.isfinite(warp.points_xy[warp.known, 0]).mean()) if warp.known.any() else 0.0

    def _at(self, points_xy: FloatArray) -> FloatArray:
        """Return the depth (N,) of the pixels nearest to points (N,2), 0 = unknown."""
        height, width = self.depth_m.shape
        columns, rows = np.rint(self.shutter.to_image(points_xy)).astype(int).T
        return self.depth_m[rows.clip(0, height - 1), columns.clip(0, width - 1)].astype(np.float64)


def depth_pair(images: tuple[Image, Image], views: tuple[DepthView, DepthView], second_from_first: Pose) -> PosedPair:
    """Return the pair of two views with measured depth."""
    first, second = views
    overlap = min(first.share_seen(second, second_from_first), second.share_seen(first, second_from_first.inverse()))
    known = first.depth_m[first.depth_m > 0]
    return PosedPair(
        *images,
        (first.camera, second.camera),
        second_from_first,
        surface=lambda points_xy: first.warp(points_xy, second, second_from_first),
        overlap=overlap,
        depth_m=float(np.median(known)) if len(known) else None,
        shutters=(first.shutter, second.shutter),
    )


def pixel_grid(width: int, height: int, step_px: int = _GRID_PX) -> FloatArray:
    """Return every `step_px`-th pixel (N,2) of an image of that size in both directions."""
    x, y = np.meshgrid(np.arange(0, width, step_px), np.arange(0, height, step_px))
    return np.column_stack([x.ravel(), y.ravel()]).astype(np.float64)


def evenly_spread(length: int, count: int) -> list[int]:
    """Return `count` rows out of `length`, the first and the last among them; all rows where these are fewer."""
    return [int(row) for row in np.unique(np.linspace(0, length - 1, min(count, length)).round())]


def _straightened(features: Features, shutter: Shutter) -> Features:
    return features.moved(slice(None), shutter.to_middle(features.keypoints_xy))


def _distance_to_line(lines: FloatArray, points_xy: FloatArray) -> FloatArray:
    return np.asarray(np.abs(np.sum(lines[:, :2] * points_xy, axis=1) + lines[:, 2]))


def _hides(surface_m: FloatArray, depth_m: FloatArray) -> BoolArray:
    return np.asarray((surface_m > 0) & (surface_m < _HIDING * depth_m))
