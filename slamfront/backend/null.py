"""The backend that changes nothing."""

from __future__ import annotations

import numpy as np

from slamfront.types import Correction, Window


class NullBackend:
    """A backend for odometry without adjustment, and for tests."""

    def solve(self, window: Window) -> Correction:
        """Return the window's free poses and its landmarks as they are, with no outliers and errors of 0."""
        free = ~window.fixed
        return Correction(
            window.keyframe_ids[free],
            window.rotations[free],
            window.positions_m[free],
            window.landmark_ids.copy(),
            window.landmarks_m.copy(),
            np.zeros((0, 2), np.int64),
            0.0,
            0.0,
        )
