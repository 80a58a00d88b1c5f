"""Each keyframe's share of a factor graph, as a stream in which every key has its value before its first factor."""

from __future__ import annotations

import gtsam
import numpy as np

from slamfront.backend.factors import insert_landmarks, insert_poses, observation_factors
from slamfront.backend.residuals import determined
from slamfront.config import BackendConfig
from slamfront.types import Window


class FactorStream:
    """Turns the windows of successive keyframes into what each adds to one growing graph.

    A landmark comes when a window's observations decide it, with all of them; a landmark that has come already, with
    those of the keyframes that have not. What the map changes in its past (merged landmarks, dropped outliers) stays
    as it was delivered: the kernels of the factors are robust.
    """

    def __init__(self, config: BackendConfig) -> None:
        self._config = config
        self._keyframes: set[int] = set()
        self._landmarks: set[int] = set()

    def take(self, window: Window) -> tuple[gtsam.NonlinearFactorGraph, gtsam.Values]:
        """Return the factors and values of a window that were not delivered yet, mostly its newest keyframe's."""
        new_poses = _not_in(window.keyframe_ids, self._keyframes)
        decided, _ = determined(window, np.ones(len(window.keyframe_rows), bool))
        new_landmarks = decided & _not_in(window.landmark_ids, self._landmarks)
        known = decided & ~new_landmarks
        rows = window.landmark_rows
        used = new_landmarks[rows] | (known[rows] & new_poses[window.keyframe_rows])
        graph, values = gtsam.NonlinearFactorGraph(), gtsam.Values()
        insert_poses(values, window, np.flatnonzero(new_poses))
        insert_landmarks(values, window, new_landmarks)
        for factor in observation_factors(window, np.flatnonzero(used), self._config.huber_px):
            graph.add(factor)
        self._keyframes.update(window.keyframe_ids[new_poses].tolist())
        self._landmarks.update(window.landmark_ids[new_landmarks].tolist())
        return graph, values


def _not_in(ids: np.ndarray, known: set[int]) -> np.ndarray:
    return np.array([one not in known for one in ids.tolist()], bool)
