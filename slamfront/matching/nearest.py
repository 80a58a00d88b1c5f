"""Mutual nearest neighbours in descriptor space."""

from __future__ import annotations

import cv2
import numpy as np

from slamfront.errors import ConfigError
from slamfront.types import Features, Float32Array, Matches


class Nearest:
    """Mutual nearest neighbours with Lowe's ratio test."""

    def __init__(self, ratio: float = 0.85) -> None:
        self._ratio = ratio

    def match(self, first: Features, second: Features) -> Matches:
        """Return the pairs that are each other's nearest and pass the ratio test in the direction first to second.

        Raises ConfigError when the two were not described alike.
        """
        if first.descriptors.shape[1:] != second.descriptors.shape[1:] or first.binary != second.binary:
            raise ConfigError("features of two kinds cannot be matched: use one extractor for both")
        if len(first) == 0 or len(second) == 0:
            return Matches.empty()
        forward, best, runner_up = _nearest_two(first, second)
        backward, _, _ = _nearest_two(second, first)
        rows = np.flatnonzero((backward[forward] == np.arange(len(first))) & (best < self._ratio * runner_up))
        worst = 256.0 if first.binary else 2.0
        return Matches(
            np.column_stack([rows, forward[rows]]).astype(np.int64), (1.0 - best[rows] / worst).astype(np.float32)
        )


def _nearest_two(queries: Features, others: Features) -> tuple[np.ndarray, Float32Array, Float32Array]:
    """Return for each query the row of its nearest other, that distance, and the second smallest distance."""
    if queries.binary:
        found = cv2.BFMatcher(cv2.NORM_HAMMING).knnMatch(queries.descriptors, others.descriptors, k=2)
        rows = np.array([pair[0].trainIdx for pair in found], np.int64)
        best = np.array([pair[0].distance for pair in found], np.float32)
        runner_up = np.array([pair[-1].distance if len(pair) > 1 else np.inf for pair in found], np.float32)
        return rows, best, runner_up
    similarity = queries.descriptors @ others.descriptors.T
    rows = similarity.argmax(1)
    best = similarity[np.arange(len(rows)), rows]
    similarity[np.arange(len(rows)), rows] = -np.inf
    second = similarity.max(1) if similarity.shape[1] > 1 else np.full(len(rows), -np.inf, np.float32)
    return rows, _distance(best), _distance(second)


def _distance(cosine: Float32Array) -> Float32Array:
    return np.sqrt(np.maximum(2.0 - 2.0 * cosine, 0.0)).astype(np.float32)
