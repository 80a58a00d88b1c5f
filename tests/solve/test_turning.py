from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from slamfront.config import InitializerConfig
from slamfront.geometry.camera import Camera
from slamfront.geometry.pose import Pose
from slamfront.geometry.shutter import Shutter
from slamfront.solve.turning import motion_to_noise
from slamfront.solve.two_view import TwoView, relative_pose
from tests.solve.test_two_view import SECOND_FROM_FIRST, matches
from tests.solve.worlds import MONO, points_in_view

TURN = Pose.exp([0.02, -0.08, 0.03, 0.0, 0.0, 0.0])
ENOUGH = 4.0


def found(first_xy: np.ndarray, second_xy: np.ndarray, camera: Camera = MONO) -> float:
    """Return the measure under the motion that explains the matches best, right or wrong."""
    geometry = relative_pose(first_xy, second_xy, camera, config=InitializerConfig())
    motion = geometry.second_from_first if isinstance(geometry, TwoView) else Pose(TURN.rotation, np.eye(3)[0])
    return motion_to_noise(first_xy, second_xy, motion, camera, config=InitializerConfig())


def test_motion_with_parallax_stands_out() -> None:
    first, second = matches(points_in_view(300, np.random.default_rng(0)), SECOND_FROM_FIRST)
    assert found(first, second) > ENOUGH


def test_motion_stands_out_among_wrong_matches() -> None:
    first, second = matches(points_in_view(300, np.random.default_rng(0)), SECOND_FROM_FIRST, wrong=0.25)
    assert found(first, second) > ENOUGH


@pytest.mark.parametrize("noise_px", [0.0, 0.3, 2.0])
def test_turning_alone_does_not_whatever_the_noise(noise_px: float) -> None:
    first, second = matches(points_in_view(300, np.random.default_rng(0)), TURN, noise_px)
    assert found(first, second) < ENOUGH


def test_turning_within_a_view_of_a_rolling_shutter_is_not_taken_for_motion() -> None:
    """Half of the rows' displacement is what a hand changes within a frame: 8 degrees a second, 3 px at the edges."""
    camera = replace(MONO, readout_s=0.026)
    first, second = matches(points_in_view(300, np.random.default_rng(0)), TURN, 0.1)
    second = Shutter(camera, np.array([0.1, -0.15, 0.05])).to_image(second)
    assert found(first, second, camera) < ENOUGH
    assert found(first, second, MONO) > found(first, second, camera)
