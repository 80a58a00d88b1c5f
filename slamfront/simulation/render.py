"""Exact images of a `World`: analytic visibility and depth, filtered textures, antialiased silhouettes.

For a rectangle, inverse depth and (texture position times inverse depth) are linear in the pixel, so one 3x3 matrix per
rectangle answers visibility, depth and texture position of every pixel without approximation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from slamfront.geometry.camera import Camera
from slamfront.geometry.pose import Array, Pose
from slamfront.simulation.atlas import LEVELS, Atlas
from slamfront.simulation.raster import Raster, bounds_px, raster_of
from slamfront.simulation.world import World
from slamfront.types import Float32Array

NEAR_M = 0.05
_CENTRE = np.zeros((1, 2))
_EDGE_BATCH = 16384  # OpenCV's remap takes fewer than 32767 rows
# Poses of a rolling shutter that tell where in the image a rectangle may lie, and what it strays from their mean motion
_SHUTTER_POSES = 5
_SHUTTER_MARGIN_PX = 3
# Four samples that share no row or column, so that edges of every slope are filtered.
_ROTATED_GRID = np.array([[1, -3], [3, 1], [-1, 3], [-3, -1]]) / 8
# Eight rooks on a chess board of sub-pixels: no two share a row or a column, so edges of every slope get eight steps.
_SUBPIXELS = (np.array([[0, 5], [1, 2], [2, 7], [3, 4], [4, 0], [5, 3], [6, 6], [7, 1]]) + 0.5) / 8 - 0.5


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """What a camera sees.

    image     float32 (H,W,3) RGB or (H,W) grey, 0..255, not rounded
    depth_m   float32 (H,W) along z at pixel centres, 0 where there is nothing
    quad_ids  int32 (H,W) row of the rectangle seen at the pixel centre, -1 = none
    """

    image: Float32Array
    depth_m: Float32Array
    quad_ids: NDArray[np.int32]


class Renderer:
    """Renders one world from any pose.

    `grey` takes one channel: a third of the memory, and faster.
    """

    def __init__(self, world: World, *, grey: bool = False) -> None:
        self.world = world
        moving = [quad for mover in world.movers for quad in mover.quads]
        quads = [*world.quads, *world.backdrop, *moving]
        self._first_moving = len(quads) - len(moving)
        textures = [_grey(quad.texture) if grey else quad.texture for quad in quads]
        background = np.array([[world.background]], np.uint8)
        self._background = (_grey(background) if grey else background)[0, 0].astype(np.float32)
        self._atlas = Atlas(textures)
        # Corner, edge along u and edge along v of every rectangle; those of movers in the bodies' own frames
        parts = [[quad.origin_m, quad.edge_u_m, quad.edge_v_m] for quad in quads]
        self._parts = np.array(parts, np.float64).reshape(-1, 3, 3)
        self._sizes = np.array([texture.shape[1::-1] for texture in textures], np.float64).reshape(-1, 2)

    def render(
        self,
        world_from_camera: Pose | Sequence[Pose],
        camera: Camera,
        *,
        draft: bool = False,
        times_s: float | Sequence[float] = 0.0,
    ) -> View:
        """Return what a camera sees, whatever its lens.

        world_from_camera   one pose, or for a rolling shutter a pose for each row
        times_s             when movers are seen: one time, or one for each row

        A draft takes one texture sample a pixel and leaves silhouettes jagged: half the time, for long runs. Raises
        ValueError when there is neither one pose nor one for each row.
        """
        poses = [world_from_camera] if isinstance(world_from_camera, Pose) else list(world_from_camera)
        times = np.broadcast_to(np.asarray(times_s, np.float64), len(poses))
        if len(poses) not in (1, camera.height):
            raise ValueError(f"{len(poses)} poses for {camera.height} rows")
        raster = raster_of(camera)
        # One with no pixels where nothing is seen, so that there is a rectangle to look up
        boxes = self._boxes(poses, times, camera) or [(0, 0, 0, 0, 0)]
        shown = np.array([box[0] for box in boxes], np.intp)
        planes = self._planes(poses, times, shown, camera)
        picture = _Picture(self._atlas, self._background, planes, self._sizes[shown], shown, raster)
        ids, inverse_depth = picture.cast([box[1:] for box in boxes], (camera.height, camera.width))
        image = picture.shade_all(ids, _CENTRE if draft else _ROTATED_GRID)
        if not draft:
            picture.smooth_silhouettes(image, ids)
        depth = np.zeros_like(inverse_depth)
        np.divide(1.0, inverse_depth, out=depth, where=ids >= 0)
        quad_ids = np.full(ids.shape, -1, np.int32)
        quad_ids[ids >= 0] = shown[ids[ids >= 0]]
        return View(image, depth, quad_ids)

    def _placed(self, time_s: float) -> Array:
        """Return corner, edge u and edge v (Q,3,3) of every rectangle in the world at a time."""
        if not self.world.movers:
            return self._parts
        placed, row = self._parts.copy(), self._first_moving
        for mover in self.world.movers:
            pose, rows = mover.path(time_s), slice(row, row + len(mover.quads))
            placed[rows] = self._parts[rows] @ pose.rotation.T
            placed[rows, 0] += pose.translation_m
            row = rows.stop
        return placed

    def _planes(self, poses: Sequence[Pose], times_s: Array, shown: NDArray[np.intp], camera: Camera) -> Array:
        """Return matrices (P,V,3,3), for each pose and each of the rectangles `shown`, that map an ideal pixel
        (x, y, 1) to (u w, v w, w): texels u, v and inverse depth w = 1/z.

        With plane normal n = eu x ev and corner o in the camera frame, a ray r meets it at z = (n o) / (n r), and
        u = (z r - o) eu / |eu|^2 (Hartley and Zisserman 2004, Sec. 8.1.1: a plane's image is a homography).
        Rectangles seen from behind get zeros, for which no pixel has w > 0.
        """
        parts = np.stack([self._placed(time)[shown] for time in times_s])
        turns = np.stack([pose.rotation for pose in poses])
        parts[:, :, 0] -= np.stack([pose.translation_m for pose in poses])[:, None]
        origins, u, v = np.moveaxis(parts @ turns[:, None], 2, 0)
        normals = np.cross(u, v)
        offsets = np.einsum("pqi,pqi->pq", normals, origins)
        front = (offsets > 1e-9)[..., None]
        w = np.where(front, normals / np.where(front, offsets[..., None], 1.0), 0.0)
        rows = []
        for edge, size in ((u, self._sizes[shown, 0]), (v, self._sizes[shown, 1])):
            scaled = edge * (size / np.einsum("pqi,pqi->pq", edge, edge))[..., None]
            along = np.einsum("pqi,pqi->pq", origins, scaled)[..., None]
            rows.append(np.where(front, scaled - along * w, 0.0))
        return np.asarray(np.stack([*rows, w], axis=2) @ np.linalg.inv(camera.matrix))

    def _boxes(self, poses: Sequence[Pose], times_s: Array, camera: Camera) -> list[tuple[int, int, int, int, int]]:
        """Return (row, x0, y0, x1, y1) of the rectangles that may be seen: pixel ranges, ends exclusive.

        While the rows of a rolling shutter are exposed, images move nearly evenly: some of its poses bound all.
        """
        some = np.unique(np.linspace(0, len(poses) - 1, _SHUTTER_POSES).astype(int))
        every = np.stack([self._bounds(poses[at], float(times_s[at]), camera) for at in some])
        margin, size = (0 if len(some) == 1 else _SHUTTER_MARGIN_PX), (camera.width, camera.height)
        with np.errstate(invalid="ignore"):
            least = (np.floor(np.fmin.reduce(every[:, :, 0])) - margin).clip(0, size)
            most = (np.ceil(np.fmax.reduce(every[:, :, 1])) + 1 + margin).clip(0, size)
            rows = np.flatnonzero((least < most).all(axis=1))
        return [
            (row, int(x0), int(y0), int(x1), int(y1))
            for row, (x0, y0), (x1, y1) in zip(rows.tolist(), least[rows], most[rows])
        ]

    def _bounds(self, pose: Pose, time_s: float, camera: Camera) -> Array:
        """Return least and greatest pixel (Q,2,2) of all rectangles; NaN for those that are not in front."""
        o, u, v = np.moveaxis(self._placed(time_s), 1, 0)
        corners = pose.inverse().apply(np.stack([o, o + u, o + u + v, o + v], axis=1))
        nearest, farthest = corners[:, :, 2].min(axis=1), corners[:, :, 2].max(axis=1)
        bounds = np.full((len(corners), 2, 2), np.nan)
        whole = nearest > NEAR_M
        bounds[whole] = bounds_px(corners[whole], camera)
        for row in np.flatnonzero(~whole & (farthest > NEAR_M)):
            bounds[row] = bounds_px(_clip_near(corners[row])[None], camera)[0]
        return bounds


@dataclass(frozen=True, slots=True, eq=False)
class _Picture:
    """One image in the making: its rectangles, told by their rows among those that are shown.

    planes  (P,V,3,3) of the V rectangles, for one pose or for one a row; sizes (V,2), texels
    shown   (V,) rows of the rectangles in the atlas
    """

    atlas: Atlas
    background: Float32Array
    planes: Array
    sizes: Array
    shown: NDArray[np.intp]
    raster: Raster

    def cast(
        self, boxes: Sequence[tuple[int, int, int, int]], shape: tuple[int, int]
    ) -> tuple[NDArray[np.int32], Float32Array]:
        """Return the nearest rectangle (H,W), -1 = none, and its inverse depth (H,W) at every pixel centre."""
        ids = np.full(shape, -1, np.int32)
        nearest = np.zeros(ids.shape, np.float32)
        planes = self.planes.astype(np.float32)
        for quad, (x0, y0, x1, y1) in enumerate(boxes):
            x, y = self.raster.box(x0, y0, x1, y1)
            some = planes[y0:y1, quad] if len(planes) > 1 else planes[:, quad]
            # Rows of the image run along the first axis: (h or 1, 1) for each element of the matrix
            a, b, w = (some[:, row, :1] * x + (some[:, row, 1:2] * y + some[:, row, 2:]) for row in range(3))
            best = nearest[y0:y1, x0:x1]
            seen = w > best
            seen &= _inside(a, b, w, self.sizes[quad])
            np.copyto(best, w, where=seen)
            np.copyto(ids[y0:y1, x0:x1], np.int32(quad), where=seen)
        return ids, nearest

    def shade_all(self, ids: NDArray[np.int32], subpixels: Array) -> Float32Array:
        """Return the filtered colours of all pixels, whose rectangles are `ids` (H,W)."""
        grid: NDArray[np.intp] = np.indices(ids.shape)
        x, y = np.broadcast_to(self.raster.x, ids.shape), np.broadcast_to(self.raster.y, ids.shape)
        return self._shade(ids, grid[0], grid[1], x, y, subpixels)

    def smooth_silhouettes(self, image: Float32Array, ids: NDArray[np.int32]) -> None:
        """Replace pixels where two rectangles meet by the mean of eight sub-pixels, each with its own visibility."""
        padded = np.pad(ids, 1, mode="edge")
        height, width = ids.shape
        shifts = [padded[j : j + height, i : i + width] for j in range(3) for i in range(3)]
        edges = np.zeros(ids.shape, bool)
        for shifted in shifts:
            edges |= shifted != ids
        rows, columns = np.nonzero(edges)
        neighbours = np.stack([shifted[edges] for shifted in shifts])
        for start in range(0, len(rows), _EDGE_BATCH):
            some = slice(start, start + _EDGE_BATCH)
            x, y = self.raster.ideal(rows[some], columns[some], _SUBPIXELS)
            nearest = self._nearest(x, y, rows[some], neighbours[:, some])
            row, column = (np.broadcast_to(at[some, None], x.shape) for at in (rows, columns))
            image[rows[some], columns[some]] = self._shade(nearest, row, column, x, y, _CENTRE).mean(axis=1)

    def _shade(
        self,
        ids: NDArray[np.int32],
        rows: NDArray[np.intp],
        columns: NDArray[np.intp],
        x: Float32Array,
        y: Float32Array,
        subpixels: Array,
    ) -> Float32Array:
        """Return the filtered colours of rectangles `ids` (M,N) at ideal positions `x`, `y` (M,N) in pixels (M,N).

        A pixel is the mean of samples on a rotated grid, each blended from the two mipmap levels around the part of the
        footprint that it stands for (Heckbert, "Survey of texture mapping", 1986).
        """
        known = np.maximum(ids, 0)
        table = self.planes.reshape(-1, 9).T.astype(np.float32)
        index = known if len(self.planes) == 1 else rows * self.planes.shape[1] + known
        ax, ay, a1, bx, by, b1, wx, wy, w1 = (column[index] for column in table)
        w = wx * x + wy * y + w1
        z = np.reciprocal(np.where(ids >= 0, w, np.float32(1.0)))
        u, v = (ax * x + ay * y + a1) * z, (bx * x + by * y + b1) * z
        ux, uy, vx, vy = (ax - u * wx) * z, (ay - u * wy) * z, (bx - v * wx) * z, (by - v * wy) * z
        if self.raster.derivative is not None:
            xx, xy, yx, yy = (values[rows, columns] for values in self.raster.derivative)
            ux, uy, vx, vy = ux * xx + uy * yx, ux * xy + uy * yy, vx * xx + vy * yx, vx * xy + vy * yy
        major, minor = _footprint(ux, uy, vx, vy)
        if len(subpixels) > 1:
            major, minor = major / 4, minor / 2
        level = np.log2(np.clip(np.maximum(major, minor), 1.0, 2.0 ** (LEVELS - 1)))
        offsets = [(ux * dx + uy * dy, vx * dx + vy * dy) for dx, dy in subpixels.astype(np.float32)]
        image = self.atlas.sample(self.shown[known], level, [(u + du, v + dv) for du, dv in offsets])
        image[ids < 0] = self.background
        return image

    def _nearest(
        self, x: Float32Array, y: Float32Array, rows: NDArray[np.intp], rivals: NDArray[np.int32]
    ) -> NDArray[np.int32]:
        """Return which of the rectangles `rivals` (N,E) is seen at each ideal position `x`, `y` (E,S) of the image's
        rows (E,); -1 = none.
        """
        best = np.zeros(x.shape, np.float32)
        nearest = np.full(x.shape, -1, np.int32)
        planes = self.planes.astype(np.float32)
        for quad in np.unique(rivals[rivals >= 0]):
            some = np.flatnonzero((rivals == quad).any(axis=0))
            matrices = planes[rows[some] if len(planes) > 1 else 0, quad]
            a, b, w = (
                matrices[..., row, :1] * x[some] + matrices[..., row, 1:2] * y[some] + matrices[..., row, 2:]
                for row in range(3)
            )
            seen = _inside(a, b, w, self.sizes[quad]) & (w > best[some])
            best[some] = np.where(seen, w, best[some])
            nearest[some] = np.where(seen, quad, nearest[some])
        return nearest


def _inside(a: Float32Array, b: Float32Array, w: Float32Array, size: Array) -> NDArray[np.bool_]:
    """Return where texels (a, b) / w lie on a rectangle, and a thousandth of a texel about it, which closes cracks."""
    slack = np.float32(1e-3)
    inside = a >= -slack * w
    inside &= b >= -slack * w
    inside &= a <= (np.float32(size[0]) + slack) * w
    inside &= b <= (np.float32(size[1]) + slack) * w
    return inside


def _footprint(
    ux: NDArray[Any], uy: NDArray[Any], vx: NDArray[Any], vy: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the longer and the shorter axis of a pixel's footprint: the singular values of [[ux, uy], [vx, vy]]."""
    half = (ux * ux + uy * uy + vx * vx + vy * vy) / 2
    determinant = ux * vy - uy * vx
    root = np.sqrt(np.maximum(half * half - determinant * determinant, 0))
    major = np.sqrt(half + root)
    return major, np.abs(determinant) / np.maximum(major, np.float32(1e-12))


def _clip_near(polygon: Array) -> Array:
    """Return the polygon (N,3) cut off at the near plane (Sutherland and Hodgman 1974)."""
    kept = []
    for start, end in zip(polygon, np.roll(polygon, -1, axis=0)):
        if start[2] >= NEAR_M:
            kept.append(start)
        if (start[2] >= NEAR_M) != (end[2] >= NEAR_M):
            kept.append(start + (end - start) * (NEAR_M - start[2]) / (end[2] - start[2]))
    return np.array(kept)


def _grey(colours: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return cv2.cvtColor(colours, cv2.COLOR_RGB2GRAY)
