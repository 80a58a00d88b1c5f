"""Exact images of a `World`: analytic visibility and depth, filtered textures, antialiased silhouettes.

For a rectangle, inverse depth and (texture position times inverse depth) are linear in the pixel, so one 3x3 matrix per
rectangle answers visibility, depth and texture position of every pixel without approximation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from slamfront.errors import CalibrationError
from slamfront.geometry.camera import Camera
from slamfront.geometry.pose import Array, Pose
from slamfront.simulation.atlas import LEVELS, Atlas
from slamfront.simulation.world import World
from slamfront.types import Float32Array

NEAR_M = 0.05
_CENTRE = np.zeros((1, 2))
_EDGE_BATCH = 16384  # OpenCV's remap takes fewer than 32767 rows
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
        textures = [_grey(quad.texture) if grey else quad.texture for quad in world.quads]
        background = np.array([[world.background]], np.uint8)
        self._background = (_grey(background) if grey else background)[0, 0].astype(np.float32)
        self._atlas = Atlas(textures)
        self._origins = np.array([quad.origin_m for quad in world.quads]).reshape(-1, 3)
        self._edges_u = np.array([quad.edge_u_m for quad in world.quads]).reshape(-1, 3)
        self._edges_v = np.array([quad.edge_v_m for quad in world.quads]).reshape(-1, 3)
        self._sizes = np.array([texture.shape[1::-1] for texture in textures], np.float64).reshape(-1, 2)

    def render(self, world_from_camera: Pose, camera: Camera, *, draft: bool = False) -> View:
        """Return what a pinhole camera sees; CalibrationError for a camera with distortion.

        A draft takes one texture sample a pixel and leaves silhouettes jagged: half the time, for long runs.
        """
        if camera.model != "pinhole":
            raise CalibrationError(f"the simulation renders pinhole cameras, not '{camera.model}'")
        planes = self._planes(world_from_camera, camera)
        boxes = self._boxes(world_from_camera, camera)
        ids, inverse_depth = _cast(planes, self._sizes, boxes, camera)
        grid = np.indices(ids.shape).astype(np.float32)
        image = self._shade(planes, ids, grid[1], grid[0], _CENTRE if draft else _ROTATED_GRID)
        if not draft:
            self._smooth_silhouettes(image, planes, ids)
        depth = np.zeros_like(inverse_depth)
        np.divide(1.0, inverse_depth, out=depth, where=ids >= 0)
        return View(image, depth, ids)

    def _planes(self, world_from_camera: Pose, camera: Camera) -> Array:
        """Return matrices (Q,3,3) that map a pixel (x, y, 1) to (u w, v w, w): texels u, v and inverse depth w = 1/z.

        With plane normal n = eu x ev and corner o in the camera frame, a ray r meets it at z = (n o) / (n r), and
        u = (z r - o) eu / |eu|^2 (Hartley and Zisserman 2004, Sec. 8.1.1: a plane's image is a homography).
        Rectangles seen from behind get zeros, for which no pixel has w > 0.
        """
        turn = world_from_camera.rotation
        origins = (self._origins - world_from_camera.translation_m) @ turn
        u = self._edges_u @ turn
        v = self._edges_v @ turn
        normals = np.cross(u, v)
        offsets = np.einsum("qi,qi->q", normals, origins)
        front = offsets > 1e-9
        w = np.where(front[:, None], normals / np.where(front, offsets, 1.0)[:, None], 0.0)
        rows = []
        for edge, size in ((u, self._sizes[:, 0]), (v, self._sizes[:, 1])):
            scaled = edge * (size / np.einsum("qi,qi->q", edge, edge))[:, None]
            rows.append(np.where(front[:, None], scaled - np.einsum("qi,qi->q", origins, scaled)[:, None] * w, 0.0))
        return np.stack([*rows, w], axis=1) @ np.linalg.inv(camera.matrix)

    def _boxes(self, world_from_camera: Pose, camera: Camera) -> list[tuple[int, int, int, int, int]]:
        """Return (row, x0, y0, x1, y1) of the rectangles that may be seen: pixel ranges, ends exclusive."""
        camera_from_world = world_from_camera.inverse()
        found = []
        o, u, v = self._origins, self._edges_u, self._edges_v
        corners = camera_from_world.apply(np.stack([o, o + u, o + u + v, o + v], axis=1))
        nearest, farthest = corners[:, :, 2].min(axis=1), corners[:, :, 2].max(axis=1)
        focal, centre = np.array([camera.fx, camera.fy]), np.array([camera.cx, camera.cy])
        for row in np.flatnonzero(farthest > NEAR_M):
            polygon = corners[row] if nearest[row] > NEAR_M else _clip_near(corners[row])
            pixels = polygon[:, :2] / polygon[:, 2:] * focal + centre
            x0, y0 = np.floor(pixels.min(axis=0)).clip(0, (camera.width, camera.height))
            x1, y1 = (np.ceil(pixels.max(axis=0)) + 1).clip(0, (camera.width, camera.height))
            if x0 < x1 and y0 < y1:
                found.append((int(row), int(x0), int(y0), int(x1), int(y1)))
        return found

    def _shade(
        self, planes: Array, ids: NDArray[np.int32], x: Float32Array, y: Float32Array, subpixels: Array
    ) -> Float32Array:
        """Return the filtered colours of rectangles `ids` (M,N) at pixels `x`, `y` (M,N).

        A pixel is the mean of samples on a rotated grid, each blended from the two mipmap levels around the part of the
        footprint that it stands for (Heckbert, "Survey of texture mapping", 1986).
        """
        known = np.maximum(ids, 0)
        table = planes.reshape(-1, 9).T.astype(np.float32)
        ax, ay, a1, bx, by, b1, wx, wy, w1 = (column[known] for column in table)
        w = wx * x + wy * y + w1
        z = np.reciprocal(np.where(ids >= 0, w, np.float32(1.0)))
        u, v = (ax * x + ay * y + a1) * z, (bx * x + by * y + b1) * z
        ux, uy, vx, vy = (ax - u * wx) * z, (ay - u * wy) * z, (bx - v * wx) * z, (by - v * wy) * z
        major, minor = _footprint(ux, uy, vx, vy)
        if len(subpixels) > 1:
            major, minor = major / 4, minor / 2
        level = np.log2(np.clip(np.maximum(major, minor), 1.0, 2.0 ** (LEVELS - 1)))
        offsets = [(ux * dx + uy * dy, vx * dx + vy * dy) for dx, dy in subpixels.astype(np.float32)]
        image = self._atlas.sample(known, level, [(u + du, v + dv) for du, dv in offsets])
        image[ids < 0] = self._background
        return image

    def _smooth_silhouettes(self, image: Float32Array, planes: Array, ids: NDArray[np.int32]) -> None:
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
            x = (columns[some, None] + _SUBPIXELS[:, 0]).astype(np.float32)
            y = (rows[some, None] + _SUBPIXELS[:, 1]).astype(np.float32)
            nearest = self._nearest(planes, x, y, neighbours[:, some])
            image[rows[some], columns[some]] = self._shade(planes, nearest, x, y, _CENTRE).mean(axis=1)

    def _nearest(self, planes: Array, x: Float32Array, y: Float32Array, rivals: NDArray[np.int32]) -> NDArray[np.int32]:
        """Return which of the rectangles `rivals` (N,E) is seen at each of the pixels `x`, `y` (E,S); -1 = none."""
        best = np.zeros(x.shape, np.float32)
        nearest = np.full(x.shape, -1, np.int32)
        for quad in np.unique(rivals[rivals >= 0]):
            some = np.flatnonzero((rivals == quad).any(axis=0))
            a, b, w = (row[0] * x[some] + row[1] * y[some] + row[2] for row in planes[quad].astype(np.float32))
            seen = _inside(a, b, w, self._sizes[quad]) & (w > best[some])
            best[some] = np.where(seen, w, best[some])
            nearest[some] = np.where(seen, quad, nearest[some])
        return nearest


def _cast(
    planes: Array, sizes: Array, boxes: list[tuple[int, int, int, int, int]], camera: Camera
) -> tuple[NDArray[np.int32], Float32Array]:
    """Return the nearest rectangle's row (H,W), -1 = none, and its inverse depth (H,W) at every pixel centre."""
    ids = np.full((camera.height, camera.width), -1, np.int32)
    nearest = np.zeros(ids.shape, np.float32)
    x, y = np.arange(camera.width, dtype=np.float32), np.arange(camera.height, dtype=np.float32)[:, None]
    for quad, x0, y0, x1, y1 in boxes:
        a, b, w = (row[0] * x[x0:x1] + (row[1] * y[y0:y1] + row[2]) for row in planes[quad].astype(np.float32))
        best = nearest[y0:y1, x0:x1]
        seen = w > best
        seen &= _inside(a, b, w, sizes[quad])
        np.copyto(best, w, where=seen)
        np.copyto(ids[y0:y1, x0:x1], np.int32(quad), where=seen)
    return ids, nearest


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
