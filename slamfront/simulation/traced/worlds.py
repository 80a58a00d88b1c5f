"""What is rendered: pieces, lamps, open space for cameras."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from slamfront.simulation.traced.bodies import Piece
from slamfront.types import BoolArray, FloatArray


@dataclass(frozen=True, eq=False)
class TracedWorld:
    """A world to be rendered by path tracing; z points up.

    pieces          bodies and what they are made of; some glow
    low_m, high_m   (3,) the box in which cameras may be
    obstacles_m     (N,2,3) boxes, from and to, in which they may not be
    """

    pieces: tuple[Piece, ...]
    low_m: FloatArray
    high_m: FloatArray
    obstacles_m: FloatArray

    def free(self, position_m: FloatArray, margin_m: float = 0.12) -> bool:
        """Say whether a camera may be at a place (3,)."""
        inside: BoolArray = (position_m > self.obstacles_m[:, 0] - margin_m) & (
            position_m < self.obstacles_m[:, 1] + margin_m
        )
        return bool(
            (position_m > self.low_m).all() and (position_m < self.high_m).all() and not inside.all(axis=1).any()
        )

    def place(self, rng: np.random.Generator) -> FloatArray:
        """Return a free place (3,), at a height at which a camera is carried for the most part."""
        for _ in range(500):
            low, high = self.low_m.copy(), self.high_m.copy()
            if rng.random() < 0.8:
                low[2], high[2] = max(low[2], 0.9), min(high[2], 1.9)
            position = rng.uniform(low, high)
            if self.free(position):
                break
        return np.asarray(position)
