from __future__ import annotations

import numpy as np

from slamfront.backend import NullBackend
from tests.backend.worlds import make_world


def test_the_null_backend_changes_nothing() -> None:
    problem = make_world("mono").problem
    correction = NullBackend().solve(problem)
    assert correction.keyframe_ids.tolist() == [2, 3, 4, 5]
    assert np.array_equal(correction.positions_m, problem.positions_m[2:])
    assert np.array_equal(correction.landmarks_m, problem.landmarks_m)
    assert correction.outliers.shape == (0, 2)
