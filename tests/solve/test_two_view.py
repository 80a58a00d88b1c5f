from __future__ import annotations

import numpy as np
import pytest

from slamfront.config import InitializerConfig
from slamfront.geometry.pose import Pose, rotation_angle
from slamfront.solve.two_view import TwoView, relative_pose
from slamfront.types import FloatArray
from tests.solve.worlds import MONO, points_in_view

# Rays that are parallel to the last digit meet at infinity, of which numpy warns
EXACT = 0.0

# To the right and a little forward, turning by 5 degrees
SECOND_FROM_FIRST = Pose.exp([0.02, -0.08, 0.03, -0.5, 0.05, -0.1])


def matches(
    points: FloatArray, second_from_first: Pose, noise_px: float = 0.3, wrong: float = 0.0, seed: int = 0
) -> tuple[FloatArray, FloatArray]:
    """Return where two cameras see points (N,3) of the first one's frame, a share of them matched wrongly."""
    rng = np.random.default_rng(seed)
    first = MONO.project(points) + rng.normal(0, noise_px, (len(points), 2))
    second = MONO.project(second_from_first.apply(points)) + rng.normal(0, noise_px, (len(points), 2))
    swapped = rng.random(len(points)) < wrong
    second[swapped] = rng.uniform([0, 0], [640, 480], (int(swapped.sum()), 2))
    return first, second


def plane(count: int, seed: int) -> FloatArray:
    """Return points (N,3) on a wall that is turned by 30 degrees, 4 m away."""
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(-1.8, 1.8, count), rng.uniform(-1.5, 1.5, count)
    return np.column_stack([x, y, 4.0 + np.tan(np.deg2rad(30)) * x])


def assert_motion(found: TwoView | str, truth: Pose, turn_rad: float, direction_rad: float) -> None:
    assert isinstance(found, TwoView), found
    assert rotation_angle(found.second_from_first.rotation @ truth.rotation.T) < turn_rad
    direction = truth.translation_m / np.linalg.norm(truth.translation_m)
    assert np.linalg.norm(found.second_from_first.translation_m) == pytest.approx(1.0)
    assert np.arccos(min(1.0, found.second_from_first.translation_m @ direction)) < direction_rad


def test_motion_in_a_general_scene_is_found() -> None:
    points = points_in_view(300, np.random.default_rng(0))
    found = relative_pose(*matches(points, SECOND_FROM_FIRST), MONO, config=InitializerConfig())
    # 0.3 px over a focal length of 450 px is 0.7 mrad a match; the direction is ten times as soft as the turn
    assert_motion(found, SECOND_FROM_FIRST, 2e-3, 0.02)
    assert isinstance(found, TwoView)
    assert found.inliers.mean() > 0.9
    scale = np.linalg.norm(SECOND_FROM_FIRST.translation_m)
    error = np.abs(scale * found.points - points)[found.inliers, 2] / points[found.inliers, 2]
    assert np.median(error) < 0.02, "0.4 px of some 30 px of disparity"


def test_wrong_matches_are_told_from_right_ones() -> None:
    points = points_in_view(300, np.random.default_rng(1))
    first, second = matches(points, SECOND_FROM_FIRST, wrong=0.3)
    found = relative_pose(first, second, MONO, config=InitializerConfig())
    assert_motion(found, SECOND_FROM_FIRST, 3e-3, 0.03)
    assert isinstance(found, TwoView)
    true = np.linalg.norm(MONO.project(SECOND_FROM_FIRST.apply(points)) - second, axis=1) < 2.0
    assert found.inliers[true].mean() > 0.9
    # An epipolar band 3 px wide holds at most a hundredth of the image
    assert found.inliers[~true].mean() < 0.05


@pytest.mark.parametrize("seed", range(3))
def test_motion_before_a_plane_is_found_or_called_ambiguous_never_wrong(seed: int) -> None:
    found = relative_pose(*matches(plane(300, seed), SECOND_FROM_FIRST, seed=seed), MONO, config=InitializerConfig())
    if isinstance(found, str):
        assert "equally well" in found
    else:
        assert_motion(found, SECOND_FROM_FIRST, 0.02, 0.1)


def test_motion_before_a_plane_is_found_when_the_homography_has_one_answer_in_front() -> None:
    """Moving along the plane's normal leaves one decomposition (Malis and Vargas 2007, section 3.3)."""
    wall = plane(300, 7)
    normal = np.array([-np.sin(np.deg2rad(30)), 0.0, np.cos(np.deg2rad(30))])
    towards = Pose(np.eye(3), -1.2 * normal)
    seen = MONO.contains(MONO.project(towards.apply(wall)))
    found = relative_pose(*matches(wall[seen], towards, noise_px=0.2), MONO, config=InitializerConfig())
    assert_motion(found, towards, 0.02, 0.1)


@pytest.mark.parametrize("noise_px", [EXACT, 0.3])
@pytest.mark.parametrize("points", ["general", "plane"])
def test_pure_rotation_is_refused(noise_px: float, points: str) -> None:
    scene = points_in_view(300, np.random.default_rng(3)) if points == "general" else plane(300, 3)
    turn = Pose.exp([0.02, -0.1, 0.03, 0.0, 0.0, 0.0])
    found = relative_pose(*matches(scene, turn, noise_px), MONO, config=InitializerConfig())
    assert isinstance(found, str)
    assert "parallax" in found


@pytest.mark.parametrize("noise_px", [EXACT, 0.3])
def test_a_camera_that_stood_still_is_refused(noise_px: float) -> None:
    scene = points_in_view(300, np.random.default_rng(4))
    found = relative_pose(*matches(scene, Pose.identity(), noise_px), MONO, config=InitializerConfig())
    assert isinstance(found, str)
    assert "parallax" in found


def test_low_parallax_is_refused_and_said() -> None:
    points = points_in_view(300, np.random.default_rng(5), near_m=20.0, far_m=40.0)
    found = relative_pose(
        *matches(points, Pose(np.eye(3), np.array([-0.1, 0.0, 0.0]))), MONO, config=InitializerConfig()
    )
    assert isinstance(found, str)
    assert "parallax" in found


@pytest.mark.parametrize("count", [0, 1, 4, 20])
def test_too_few_matches_are_refused_and_counted(count: int) -> None:
    points = points_in_view(count, np.random.default_rng(6))
    found = relative_pose(*matches(points, SECOND_FROM_FIRST), MONO, config=InitializerConfig())
    assert isinstance(found, str)
    assert f"{count} matches" in found


def test_random_matches_are_refused() -> None:
    rng = np.random.default_rng(7)
    found = relative_pose(
        rng.uniform(0, 480, (200, 2)), rng.uniform(0, 480, (200, 2)), MONO, config=InitializerConfig()
    )
    assert isinstance(found, str)


def test_the_answer_is_repeatable() -> None:
    first, second = matches(points_in_view(200, np.random.default_rng(8)), SECOND_FROM_FIRST, 0.5, wrong=0.2)
    one, two = (relative_pose(first, second, MONO, seed=3, config=InitializerConfig()) for _ in range(2))
    assert isinstance(one, TwoView) and isinstance(two, TwoView)
    np.testing.assert_array_equal(one.points, two.points)
