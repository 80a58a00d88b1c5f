"""Poses from landmarks whose depth is not known well."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from slamfront.config import PoseConfig
from slamfront.geometry.pose import Pose
from slamfront.solve.pnp import PixelObservations, refine_pose
from tests.solve.worlds import CAMERA_FROM_WORLD, MONO, observed, points_in_view, pose_error


def shifted(shift_m: float) -> tuple[Pose, PixelObservations]:
    """Return camera_from_world of a camera that turned and moved aside, and what it saw.

    Of 300 landmarks 270 are taken to lie 4 m away, which may be 2 to 9 m, and say that it may be any depth.
    """
    rng = np.random.default_rng(10)
    true, known = points_in_view(300, rng), np.arange(300) < 30
    truth = Pose.exp([0.0, 0.005, 0.0, shift_m, 0.0, 0.0])
    pixels, nothing = MONO.project(truth.apply(true)) + rng.normal(0, 0.5, (300, 2)), np.full(300, np.nan)
    guessed = true * np.where(known, 1.0, 4.0 / true[:, 2])[:, None]
    return truth, PixelObservations(guessed, pixels, nothing, np.full(300, 0.5), 1.0, guessed * ~known[:, None])


@pytest.mark.parametrize("shift_m", [0.05, 0.1, 0.3])
def test_landmarks_of_unknown_depth_help_to_tell_a_turn_and_do_not_hold_the_camera(shift_m: float) -> None:
    truth, seen = shifted(shift_m)
    taken_as_exact = refine_pose(Pose.identity(), replace(seen, spreads_m=None), MONO, config=PoseConfig())
    honest = refine_pose(Pose.identity(), seen, MONO, config=PoseConfig())
    assert taken_as_exact is not None and honest is not None
    # Half a pixel on the 30 known ones is 5 mm / sqrt(30) at 5 m, some four times as much where it trades with a turn
    assert pose_error(honest.camera_from_world, truth)[1] < 0.004
    assert pose_error(honest.camera_from_world, truth)[1] < 0.6 * pose_error(taken_as_exact.camera_from_world, truth)[1]
    assert honest.inliers.mean() > 0.9


def test_a_motion_too_small_to_tell_from_none_is_told_no_worse_than_by_exact_landmarks() -> None:
    """Two centimetres, half a percent of the depth: a camera at rest is about as likely."""
    truth, seen = shifted(0.02)
    found = refine_pose(Pose.identity(), seen, MONO, config=PoseConfig())
    assert found is not None and pose_error(found.camera_from_world, truth)[1] < 0.01


def test_spreads_of_nought_change_nothing() -> None:
    rng = np.random.default_rng(10)
    seen = observed(points_in_view(50, rng), CAMERA_FROM_WORLD, MONO, 0.5, rng)
    none = PixelObservations(seen.landmarks_m, seen.pixels_xy, seen.right_x, seen.sigmas_px)
    nought = PixelObservations(none.landmarks_m, none.pixels_xy, none.right_x, none.sigmas_px, 1.0, np.zeros((50, 3)))
    first, second = (
        refine_pose(CAMERA_FROM_WORLD, observations, MONO, config=PoseConfig()) for observations in (none, nought)
    )
    assert first is not None and second is not None
    np.testing.assert_allclose(first.camera_from_world.matrix(), second.camera_from_world.matrix(), atol=1e-12)
    np.testing.assert_allclose(first.covariance, second.covariance, atol=1e-12)
