"""Each keyframe's share of a factor graph, as a stream in which every key has its value before its first factor."""

from __future__ import annotations

import gtsam
import numpy as np

from slamfront.backend.factors import insert_landmarks, insert_poses, observation_factors
from slamfront.backend.residuals import determined
from slamfront.config import BackendConfig
from slamfront.types import BundleAdjustmentProblem


class FactorStream:
    """Turns the problems of successive keyframes into what each adds to one growing graph.

    A landmark comes when a problem's observations decide it, with all of them; a landmark that has come already, with
    those of the keyframes that have not. What the map changes in its past (merged landmarks, dropped outliers) stays
    as it was delivered: the kernels of the factors are robust.
    """

    def __init__(self, config: BackendConfig) -> None:
        self._config = config
        self._keyframes: set[int] = set()
        self._landmarks: set[int] = set()

    def take(self, problem: BundleAdjustmentProblem) -> tuple[gtsam.NonlinearFactorGraph, gtsam.Values]:
        """Return the factors and values of a problem that were not delivered yet, mostly its newest keyframe's."""
        new_poses = _not_in(problem.keyframe_ids, self._keyframes)
        decided, _ = determined(problem, np.ones(len(problem.keyframe_rows), bool))
        new_landmarks = decided & _not_in(problem.landmark_ids, self._landmarks)
        known = decided & ~new_landmarks
        rows = problem.landmark_rows
        used = new_landmarks[rows] | (known[rows] & new_poses[problem.keyframe_rows])
        graph, values = gtsam.NonlinearFactorGraph(), gtsam.Values()
        insert_poses(values, problem, np.flatnonzero(new_poses))
        insert_landmarks(values, problem, new_landmarks)
        for factor in observation_factors(problem, np.flatnonzero(used), self._config.huber_px):
            graph.add(factor)
        self._keyframes.update(problem.keyframe_ids[new_poses].tolist())
        self._landmarks.update(problem.landmark_ids[new_landmarks].tolist())
        return graph, values


def _not_in(ids: np.ndarray, known: set[int]) -> np.ndarray:
    return np.array([one not in known for one in ids.tolist()], bool)
