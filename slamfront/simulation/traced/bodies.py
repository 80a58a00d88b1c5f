"""Pieces of a world, and furniture: groups of pieces that stand on a footprint."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from slamfront.simulation.traced.meshes import Mesh
from slamfront.simulation.traced.surfaces import Surface


@dataclass(frozen=True, eq=False)
class Piece:
    """A body of one surface."""

    mesh: Mesh
    surface: Surface


@dataclass(frozen=True)
class Top:
    """A level place (x, y from and to, height z), m, on which small things may stand."""

    low_xy_m: tuple[float, float]
    high_xy_m: tuple[float, float]
    z_m: float


@dataclass(frozen=True, eq=False)
class Furniture:
    """Pieces that stand on z = 0 about the origin and face -y; size_m: (3,) of their box; where things may stand."""

    pieces: tuple[Piece, ...]
    size_m: tuple[float, float, float]
    tops: tuple[Top, ...] = ()

    def placed(self, position_m: ArrayLike, yaw_rad: float) -> tuple[Piece, ...]:
        """Return the pieces turned about z, and then moved by (3,)."""
        return tuple(Piece(piece.mesh.moved(position_m, yaw_rad), piece.surface) for piece in self.pieces)


class Assembly:
    """Collects the pieces of one piece of furniture."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self.pieces: list[Piece] = []

    def cover(self, mesh: Mesh, surface: Surface) -> None:
        """Add a body under any part of a surface that repeats: wood, cloth, paint."""
        self.pieces.append(Piece(mesh.shifted_uv(self._rng.uniform(0, 1, 2)), surface))

    def show(self, mesh: Mesh, surface: Surface) -> None:
        """Add a body with its picture where it belongs: a poster, a screen, the backs of books."""
        self.pieces.append(Piece(mesh, surface))

    def done(self, size_m: tuple[float, float, float], tops: Iterable[Top] = ()) -> Furniture:
        """Return the furniture, of a size (3,)."""
        return Furniture(tuple(self.pieces), size_m, tuple(tops))
