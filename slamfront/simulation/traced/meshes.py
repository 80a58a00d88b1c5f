"""Bodies as triangle meshes: boxes, bodies of revolution, cushions, tubes, sheets."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from slamfront.types import FloatArray, IntArray

# Neighbouring parts of a profile that differ by less than this are one smooth surface.
_CREASE_RAD = 0.7


@dataclass(frozen=True, eq=False)
class Mesh:
    """Triangles.

    vertices_m  (V,3) m
    normals     (V,3), of unit length
    uv_m        (V,2) m, places on the picture of the surface
    faces       (F,3) rows of vertices, counterclockwise seen from outside
    """

    vertices_m: FloatArray
    normals: FloatArray
    uv_m: FloatArray
    faces: IntArray

    def moved(self, position_m: ArrayLike, yaw_rad: float = 0.0) -> Mesh:
        """Return the mesh turned about the z axis through the origin, and then moved by (3,)."""
        cos, sin = np.cos(yaw_rad), np.sin(yaw_rad)
        return self.turned(np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]]), position_m)

    def turned(self, rotation: FloatArray, position_m: ArrayLike = (0, 0, 0)) -> Mesh:
        """Return the mesh rotated by (3,3) about the origin, and then moved by (3,)."""
        moved = self.vertices_m @ rotation.T + np.asarray(position_m, np.float64)
        return Mesh(moved, self.normals @ rotation.T, self.uv_m, self.faces)

    def shifted_uv(self, shift_m: ArrayLike) -> Mesh:
        """Return the mesh with another part (2,) of the picture on it."""
        return Mesh(self.vertices_m, self.normals, self.uv_m + np.asarray(shift_m, np.float64), self.faces)


def joined(meshes: Iterable[Mesh]) -> Mesh:
    """Return several meshes as one."""
    parts = list(meshes)
    starts = np.cumsum([0, *(len(part.vertices_m) for part in parts)])
    return Mesh(
        np.concatenate([part.vertices_m for part in parts]),
        np.concatenate([part.normals for part in parts]),
        np.concatenate([part.uv_m for part in parts]),
        np.concatenate([part.faces + start for part, start in zip(parts, starts)]),
    )


def quad(corner_m: ArrayLike, u_m: ArrayLike, v_m: ArrayLike, uv_m: ArrayLike = (0.0, 0.0)) -> Mesh:
    """Return a parallelogram with a corner and two sides (3,); its front is where u x v points."""
    corner, u, v = (np.asarray(vector, np.float64) for vector in (corner_m, u_m, v_m))
    normal = np.cross(u, v) / np.linalg.norm(np.cross(u, v))
    width, height = np.linalg.norm(u), np.linalg.norm(v)
    uv = np.array([[0, 0], [width, 0], [width, height], [0, height]]) + np.asarray(uv_m, np.float64)
    vertices = np.stack([corner, corner + u, corner + u + v, corner + v])
    return Mesh(vertices, np.tile(normal, (4, 1)), uv, np.array([[0, 1, 2], [0, 2, 3]]))


def box(size_m: ArrayLike, centre_m: ArrayLike = (0, 0, 0)) -> Mesh:
    """Return a box of a size (3,) about a centre (3,)."""
    half, centre = np.asarray(size_m, np.float64) / 2, np.asarray(centre_m, np.float64)
    sides = []
    for axis in range(3):
        for sign in (-1.0, 1.0):
            # The picture of an upright side stands upright: u is level, v rises.
            u, v = _unit((axis + 1) % 3), _unit((axis + 2) % 3)
            if axis == 1:
                u, v = v, u
            if np.dot(np.cross(u, v), _unit(axis)) * sign < 0:
                u = -u
            outward = sign * half * _unit(axis)
            sides.append(quad(centre + outward - half * (u + v), 2 * half * u, 2 * half * v))
    return joined(sides)


def lathe(profile_m: ArrayLike, segments: int = 40) -> Mesh:
    """Return the body that a profile (N,2) of radius and height describes about the z axis, from bottom to top.

    The profile is smooth where it turns by less than 40 degrees, and has an edge elsewhere.
    """
    profile = np.asarray(profile_m, np.float64)
    along = np.diff(profile, axis=0)
    lengths = np.linalg.norm(along, axis=1)
    profile_normals = np.column_stack([along[:, 1], -along[:, 0]]) / np.maximum(lengths, 1e-9)[:, None]
    angles = np.linspace(0, 2 * np.pi, segments + 1)
    round_about = np.column_stack([np.cos(angles), np.sin(angles)])
    bands, walked = [], 0.0
    for row, length in enumerate(lengths):
        ends = [_smoothed(profile_normals, row, step) for step in (-1, 1)]
        rings = [np.column_stack([profile[row + k, 0] * round_about, np.full(segments + 1, profile[row + k, 1])])
                 for k in (0, 1)]  # fmt: skip
        normals = [np.column_stack([end[0] * round_about, np.full(segments + 1, end[1])]) for end in ends]
        radius = max(profile[row : row + 2, 0].max(), 1e-3)
        uv = [np.column_stack([angles * radius, np.full(segments + 1, walked + k * length)]) for k in (0, 1)]
        bands.append(_grid(np.stack(rings), np.stack(normals), np.stack(uv)))
        walked += length
    return joined(bands)


def cylinder(radius_m: float, height_m: float, top_radius_m: float | None = None, segments: int = 24) -> Mesh:
    """Return an upright closed cylinder, or cone, that stands on the origin."""
    top = radius_m if top_radius_m is None else top_radius_m
    return lathe([(0, 0), (radius_m, 0), (top, height_m), (0, height_m)], segments)


def cushion(size_m: ArrayLike, roundness: float = 0.35, segments: int = 28) -> Mesh:
    """Return a superellipsoid of a size (3,) about the origin: roundness 1 is an ellipsoid, towards 0 a box."""
    half = np.asarray(size_m, np.float64) / 2
    latitude = np.linspace(-np.pi / 2, np.pi / 2, segments)[:, None]
    longitude = np.linspace(-np.pi, np.pi, 2 * segments)[None]
    ones = np.ones_like(latitude * longitude)
    level, height = _power(np.cos(latitude), roundness), _power(np.sin(latitude), roundness)
    grid = np.stack(
        [level * _power(np.cos(longitude), roundness), level * _power(np.sin(longitude), roundness), height * ones],
        axis=-1,
    )
    steep = 2 - roundness
    normal_level, normal_height = _power(np.cos(latitude), steep), _power(np.sin(latitude), steep)
    normals = np.stack(
        [normal_level * _power(np.cos(longitude), steep), normal_level * _power(np.sin(longitude), steep),
         normal_height * ones], axis=-1,
    ) / half  # fmt: skip
    normals /= np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-12)
    uv = np.stack(
        [longitude * ones / np.pi * (half[0] + half[1]), latitude * ones / np.pi * 2 * (half[2] + half.min())], axis=-1
    )
    return _grid(grid * half, normals, uv)


def tube(way_m: ArrayLike, radius_m: float, segments: int = 10) -> Mesh:
    """Return a tube along points (N,3): a cable, a bent leg, a handle."""
    way = np.asarray(way_m, np.float64)
    tangents = np.gradient(way, axis=0)
    tangents /= np.linalg.norm(tangents, axis=1, keepdims=True)
    side = _unit(int(np.abs(tangents[0]).argmin()))
    across = np.empty_like(way)
    for row, tangent in enumerate(tangents):  # the frame is carried along, so that the tube does not twist
        side = side - tangent * (side @ tangent)
        side /= np.linalg.norm(side)
        across[row] = side
    other = np.cross(tangents, across)
    angles = np.linspace(0, 2 * np.pi, segments + 1)
    normals = across[:, None] * np.cos(angles)[None, :, None] + other[:, None] * np.sin(angles)[None, :, None]
    walked = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(way, axis=0), axis=1))])
    uv = np.stack(np.broadcast_arrays(angles[None] * radius_m, walked[:, None]), axis=-1)
    return _grid(way[:, None] + radius_m * normals, normals, uv)


def sheet(points_m: ArrayLike, turned_over: bool = False) -> Mesh:
    """Return a smooth sheet through a grid of points (M,N,3): cloth, leaves, bent paper. It has two sides.

    Its front is where the way along N, crossed with the way along M, points.
    """
    points = np.asarray(points_m, np.float64)
    if turned_over:
        points = points[:, ::-1]
    down, right = np.gradient(points, axis=0), np.gradient(points, axis=1)
    normals = np.cross(right, down)
    normals /= np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-12)
    uv = np.stack([np.cumsum(np.linalg.norm(right, axis=-1), axis=1), np.cumsum(np.linalg.norm(down, axis=-1), axis=0)],
                  axis=-1)  # fmt: skip
    return _grid(points, normals, uv)


def _grid(points: FloatArray, normals: FloatArray, uv: FloatArray) -> Mesh:
    rows, columns = points.shape[:2]
    corner = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).ravel()
    first = np.stack([corner, corner + 1, corner + columns + 1], axis=1)
    second = np.stack([corner, corner + columns + 1, corner + columns], axis=1)
    return Mesh(points.reshape(-1, 3), normals.reshape(-1, 3), uv.reshape(-1, 2), np.concatenate([first, second]))


def _smoothed(normals: FloatArray, row: int, step: int) -> FloatArray:
    """Return the normal (2,) at one end of a part of a profile: the mean with its neighbour's where that is smooth."""
    own, beside = normals[row], row + step
    if not 0 <= beside < len(normals) or normals[beside] @ own < np.cos(_CREASE_RAD):
        return own
    mean = own + normals[beside]
    return np.asarray(mean / np.linalg.norm(mean))


def _power(values: FloatArray, exponent: float) -> FloatArray:
    return np.asarray(np.sign(values) * np.abs(values) ** exponent)


def _unit(axis: int) -> FloatArray:
    return np.eye(3)[axis]
