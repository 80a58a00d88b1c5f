"""Mutual nearest neighbours in descriptor space."""

from __future__ import annotations

import numpy as np

from slamfront.descriptors import distance_table
from slamfront.errors import ConfigError
from slamfront.types import Features, Float32Array, IntArray, Matches


class Nearest:
    """Mutual nearest neighbours with Lowe's ratio test (Lowe, IJCV 2004, section 7.1)."""

    def __init__(self, ratio: float = 0.85) -> None:
        self._ratio = ratio

    def match(self, first: Features, second: Features) -> Matches:
        """Return the pairs that are each other's nearest and pass the ratio test in the direction first to second.

        The ratio is that of Hamming distances for bits and of Euclidean distances for floats. Scores fall from 1 for
        equal descriptors to 0 for opposite ones. Raises ConfigError when the two were not described alike.
        """
        if first.descriptors.shape[1:] != second.descriptors.shape[1:] or first.binary != second.binary:
            raise ConfigError("features of two kinds cannot be matched: use one extractor for both")
        if len(first) == 0 or len(second) == 0:
            return Matches.empty()
        # The table's distance of floats is half the squared Euclidean one
        ratio = self._ratio if first.binary else self._ratio**2
        table = distance_table(first.descriptors, second.descriptors)
        backward = table.argmin(axis=0)
        forward, best, runner_up = _nearest_two(table)
        rows = np.flatnonzero((backward[forward] == np.arange(len(first))) & (best < ratio * runner_up))
        return Matches(np.column_stack([rows, forward[rows]]).astype(np.int64), 1.0 - best[rows] / 2.0)


def _nearest_two(table: Float32Array) -> tuple[IntArray, Float32Array, Float32Array]:
    """Return each row's column of the smallest distance, that distance and the second smallest; spoils the table."""
    rows = np.arange(len(table))
    nearest = table.argmin(axis=1)
    best = table[rows, nearest]
    table[rows, nearest] = np.inf
    # Rounding can bring the distance of equal floats below zero
    return nearest, np.maximum(best, 0.0), np.maximum(table.min(axis=1), 0.0)
