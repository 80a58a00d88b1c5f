"""The odometry frame, in which nothing jumps."""

from __future__ import annotations

import numpy as np
import pytest

from slamfront.geometry.pose import Pose, Sim3
from slamfront.tracking.odometry import Odometry

HERE = Pose.exp(np.array([0.1, -0.3, 0.2, 1.0, 2.0, 0.5]))


def test_odometry_and_map_agree_until_the_map_is_corrected() -> None:
    np.testing.assert_array_equal(Odometry().place(HERE).matrix(), HERE.matrix())


@pytest.mark.parametrize("scale", [1.0, 1.7])
def test_a_correction_of_the_map_moves_nothing_in_odometry(scale: float) -> None:
    odometry, moved = Odometry(), Sim3.from_pose(Pose.exp(np.array([0.0, 0.4, 0.1, 3.0, -1.0, 0.2])), scale)
    new = odometry.moved(moved, HERE)
    np.testing.assert_allclose(new.matrix(), moved.apply_to_pose(HERE).matrix(), atol=1e-12)
    np.testing.assert_allclose(odometry.place(new).matrix(), HERE.matrix(), atol=1e-12)


def test_in_another_map_odometry_goes_on_from_where_it_was() -> None:
    odometry, step = Odometry(), Pose(np.eye(3), np.array([0.0, 0.0, 0.1]))
    odometry.observe(HERE)
    odometry.observe(None)
    odometry.stand_still(Pose.identity())
    np.testing.assert_allclose(odometry.place(Pose.identity()).matrix(), HERE.matrix(), atol=1e-12)
    np.testing.assert_allclose(odometry.place(step).matrix(), (HERE @ step).matrix(), atol=1e-12)
