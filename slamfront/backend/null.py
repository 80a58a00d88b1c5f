"""The backend that changes nothing."""

from __future__ import annotations

import numpy as np

from slamfront.types import BundleAdjustmentProblem, Correction


class NullBackend:
    """A backend for odometry without adjustment, and for tests."""

    def solve(self, problem: BundleAdjustmentProblem, /) -> Correction:
        """Return the problem's free poses and its landmarks as they are, with no outliers and errors of 0."""
        free = ~problem.fixed
        return Correction(
            problem.keyframe_ids[free],
            problem.rotations[free],
            problem.positions_m[free],
            problem.landmark_ids.copy(),
            problem.landmarks_m.copy(),
            np.zeros((0, 2), np.int64),
            0.0,
            0.0,
        )
