from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from slamfront.geometry.pose import Pose, rotation_angle
from slamfront.solve.essential import opencv_pose, poselib_pose
from tests.solve.worlds import MONO, points_in_view

SECOND_FROM_FIRST = Pose.exp([0.02, -0.08, 0.03, -0.5, 0.05, -0.1])
ZOOMED = replace(MONO, fx=1.3 * MONO.fx, fy=1.3 * MONO.fy)


def seen(wrong: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Return where two cameras of different lenses see the same points, a share of them matched wrongly."""
    rng = np.random.default_rng(0)
    points = points_in_view(300, rng)
    first = MONO.project(points) + rng.normal(0, 0.3, (len(points), 2))
    second = ZOOMED.project(SECOND_FROM_FIRST.apply(points)) + rng.normal(0, 0.3, (len(points), 2))
    swapped = rng.random(len(points)) < wrong
    second[swapped] = rng.uniform([0, 0], [640, 480], (int(swapped.sum()), 2))
    return first, second


@pytest.mark.parametrize("estimate", [poselib_pose, opencv_pose])
def test_the_motion_between_two_lenses_is_found_among_wrong_matches_the_same_every_time(estimate) -> None:
    matched = seen(wrong=0.4)
    found, again = (estimate(*matched, MONO, ZOOMED, 1.0) for _ in range(2))
    pose, inliers = found
    np.testing.assert_array_equal(pose.matrix(), again[0].matrix())
    # 0.3 px over a focal length of 450 px is 0.7 mrad a match; five points of the best sample alone tell OpenCV's
    assert rotation_angle(pose.rotation @ SECOND_FROM_FIRST.rotation.T) < 0.01
    direction = SECOND_FROM_FIRST.translation_m / np.linalg.norm(SECOND_FROM_FIRST.translation_m)
    assert np.linalg.norm(pose.translation_m) == pytest.approx(1.0)
    assert np.arccos(min(1.0, pose.translation_m @ direction)) < 0.1
    assert 100 < inliers <= 200


@pytest.mark.parametrize("estimate", [poselib_pose, opencv_pose])
def test_too_few_matches_and_matches_of_one_place_give_no_pose_and_no_crash(estimate) -> None:
    first, second = seen()
    assert estimate(first[:4], second[:4], MONO, MONO, 1.0) is None
    assert estimate(first[:0], second[:0], MONO, MONO, 1.0) is None
    found = estimate(np.repeat(first[:1], 20, axis=0), np.repeat(second[:1], 20, axis=0), MONO, MONO, 1.0)
    assert found is None or np.isfinite(found[0].matrix()).all()
