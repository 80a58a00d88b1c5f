"""A world of textured rectangles that stand or move, and the solids that rooms are furnished with.

World axes: x and y span the floor, z points up, metres. A rectangle is seen from one side only, so walls can be looked
through from behind and solids need no hidden faces.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from slamfront.geometry.pose import Array, frozen
from slamfront.simulation.paths import Path
from slamfront.types import Image

Paint = Callable[[float, float], Image]
"""Paints a surface of a width and a height in metres: a texture (H,W,3), RGB."""


@dataclass(frozen=True, slots=True, eq=False)
class Quad:
    """A textured rectangle.

    origin_m          (3,) the corner where the texture's top left pixel begins
    edge_u_m          (3,) along the texture's x, to the right of whoever sees the front
    edge_v_m          (3,) along the texture's y, perpendicular, downwards for whoever sees the front
    texture           uint8 (H,W,3) RGB; texel (i, j) covers [i, i+1] / W along u and [j, j+1] / H along v
    """

    origin_m: Array
    edge_u_m: Array
    edge_v_m: Array
    texture: Image

    def __post_init__(self) -> None:
        for name in ("origin_m", "edge_u_m", "edge_v_m"):
            object.__setattr__(self, name, frozen(getattr(self, name), (3,)))
        if abs(self.edge_u_m @ self.edge_v_m) > 1e-9 * (self.edge_u_m @ self.edge_u_m + self.edge_v_m @ self.edge_v_m):
            raise ValueError("the edges of a rectangle must be perpendicular")
        if self.texture.dtype != np.uint8 or self.texture.ndim != 3 or self.texture.shape[2] != 3:
            raise ValueError(f"a texture is uint8 (H,W,3), got {self.texture.dtype} {self.texture.shape}")

    def points(self, texels_xy: ArrayLike) -> Array:
        """Return the world points (N,3) of texture positions (N,2) counted in texels from the texture's corner."""
        xy = np.asarray(texels_xy, dtype=np.float64)
        height, width = self.texture.shape[:2]
        return self.origin_m + xy[:, :1] / width * self.edge_u_m + xy[:, 1:] / height * self.edge_v_m


@dataclass(frozen=True, slots=True, eq=False)
class Mover:
    """A rigid body that moves through the world by its own motion.

    quads   in the body's own frame
    path    seconds to world_from_body
    """

    quads: tuple[Quad, ...]
    path: Path


@dataclass(frozen=True, slots=True, eq=False)
class World:
    """All that a camera can see: what stands, the far backdrop, what moves, and the RGB where there is nothing.

    backdrop    the sky and the like, whose distance says nothing about how far away the camera sees
    """

    quads: tuple[Quad, ...]
    background: tuple[int, int, int] = (0, 0, 0)
    backdrop: tuple[Quad, ...] = ()
    movers: tuple[Mover, ...] = ()


def wall(left_xy: ArrayLike, right_xy: ArrayLike, bottom_m: float, top_m: float, paint: Paint) -> Quad:
    """Return an upright rectangle between two floor points (2,), named as its viewer sees them."""
    (x0, y0), (x1, y1) = np.asarray(left_xy, np.float64), np.asarray(right_xy, np.float64)
    texture = paint(float(np.hypot(x1 - x0, y1 - y0)), top_m - bottom_m)
    return _quad((x0, y0, top_m), (x1 - x0, y1 - y0, 0.0), (0.0, 0.0, bottom_m - top_m), texture)


def floor(minimum_xy: ArrayLike, maximum_xy: ArrayLike, z_m: float, paint: Paint) -> Quad:
    """Return a level rectangle seen from above."""
    (x0, y0), (x1, y1) = np.asarray(minimum_xy, np.float64), np.asarray(maximum_xy, np.float64)
    return _quad((x0, y1, z_m), (x1 - x0, 0.0, 0.0), (0.0, y0 - y1, 0.0), paint(x1 - x0, y1 - y0))


def ceiling(minimum_xy: ArrayLike, maximum_xy: ArrayLike, z_m: float, paint: Paint) -> Quad:
    """Return a level rectangle seen from below."""
    (x0, y0), (x1, y1) = np.asarray(minimum_xy, np.float64), np.asarray(maximum_xy, np.float64)
    return _quad((x0, y0, z_m), (x1 - x0, 0.0, 0.0), (0.0, y1 - y0, 0.0), paint(x1 - x0, y1 - y0))


def slab(origin_xy: ArrayLike, u_end_xy: ArrayLike, v_end_xy: ArrayLike, z_m: float, paint: Paint) -> Quad:
    """Return a level rectangle of any heading from its corner and the ends of its edges u and v, each (2,).

    It is seen from above where v is reached from u by a turn to the right, as seen from above, else from below.
    """
    origin = np.asarray(origin_xy, np.float64)
    edge_u, edge_v = np.asarray(u_end_xy, np.float64) - origin, np.asarray(v_end_xy, np.float64) - origin
    texture = paint(float(np.linalg.norm(edge_u)), float(np.linalg.norm(edge_v)))
    return _quad(np.append(origin, z_m), np.append(edge_u, 0.0), np.append(edge_v, 0.0), texture)


def box(
    centre_xy: ArrayLike, size_m: tuple[float, float, float], paint: Paint, bottom_m: float = 0.0, yaw_rad: float = 0.0
) -> list[Quad]:
    """Return the outer faces of a box of size (x, y, z), turned about the vertical; a raised one has an underside."""
    corners = _footprint(centre_xy, size_m[:2], yaw_rad)
    top = bottom_m + size_m[2]
    quads = [wall(corners[i], corners[(i + 1) % 4], bottom_m, top, paint) for i in range(4)]
    quads.append(slab(corners[3], corners[2], corners[0], top, paint))
    if bottom_m > 0:
        quads.append(slab(corners[0], corners[1], corners[3], bottom_m, paint))
    return quads


def table(centre_xy: ArrayLike, size_m: tuple[float, float, float], paint: Paint, yaw_rad: float = 0.0) -> list[Quad]:
    """Return a board on four legs; the size is (x, y, height of the top)."""
    x, y, height = size_m
    board, leg = 0.05, 0.06
    quads = box(centre_xy, (x, y, board), paint, height - board, yaw_rad)
    for foot in _footprint(centre_xy, (x - 2 * leg, y - 2 * leg), yaw_rad):
        quads += box(foot, (leg, leg, height - board), paint, 0.0, yaw_rad)[:4]
    return quads


def _quad(origin: ArrayLike, edge_u: ArrayLike, edge_v: ArrayLike, texture: Image) -> Quad:
    return Quad(np.asarray(origin), np.asarray(edge_u), np.asarray(edge_v), texture)


def _footprint(centre_xy: ArrayLike, size_xy: ArrayLike, yaw_rad: float) -> NDArray[np.float64]:
    """Return the corners (4,2) of a turned rectangle, anticlockwise from above."""
    half = np.asarray(size_xy, np.float64) / 2
    c, s = np.cos(yaw_rad), np.sin(yaw_rad)
    local = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half
    return local @ np.array([[c, s], [-s, c]]) + np.asarray(centre_xy, np.float64)
