from __future__ import annotations

import numpy as np
import pytest

from slamfront.geometry.pose import Pose
from slamfront.solve.triangulate import parallax_rad, reprojection_error_px, triangulate
from tests.solve.worlds import CAMERA_FROM_WORLD, MONO, points_in_view

SECOND_FROM_FIRST = Pose.exp([0.02, 0.1, -0.05, -0.6, 0.05, 0.1])


def two_views(count: int, seed: int) -> tuple[np.ndarray, Pose, Pose]:
    """Return points (N,3) in the world and two cameras that see them."""
    in_first = points_in_view(count, np.random.default_rng(seed))
    return CAMERA_FROM_WORLD.inverse().apply(in_first), CAMERA_FROM_WORLD, SECOND_FROM_FIRST @ CAMERA_FROM_WORLD


def rays(camera_from_world: Pose, points: np.ndarray) -> np.ndarray:
    in_camera = camera_from_world.apply(points)
    return in_camera / in_camera[:, 2:]


def test_exact_rays_meet_in_the_point() -> None:
    points, first, second = two_views(100, 0)
    found = triangulate(first, second, rays(first, points), rays(second, points))
    np.testing.assert_allclose(found, points, atol=1e-9)


def test_noisy_rays_meet_near_the_point_as_parallax_allows() -> None:
    points, first, second = two_views(500, 1)
    rng = np.random.default_rng(1)
    noisy = [MONO.unproject(MONO.project(p.apply(points)) + rng.normal(0, 0.5, (500, 2))) for p in (first, second)]
    found = triangulate(first, second, *noisy)
    depth = first.apply(points)[:, 2]
    error = np.abs(first.apply(found)[:, 2] - depth)
    # The error of depth is z^2 / (f b) times that of a disparity, here 0.7 px by both views; obliqueness adds a little
    expected = depth**2 / (MONO.fx * np.linalg.norm(SECOND_FROM_FIRST.translation_m)) * 0.7
    assert 0.3 < np.median(error / expected) < 1.3


def test_parallel_rays_have_no_point_and_spoil_no_other() -> None:
    first, second = Pose.identity(), Pose(np.eye(3), np.array([-1.0, 0.0, 0.0]))
    ahead = np.array([[0.0, 0.0, 1.0], [0.1, 0.0, 1.0]])
    other = np.array([[0.0, 0.0, 1.0], [-0.1, 0.0, 1.0]])
    found = triangulate(first, second, ahead, other)
    assert not (np.linalg.norm(found[0]) < 1e6), "NaN or far away"
    np.testing.assert_allclose(found[1], [0.5, 0.0, 5.0], atol=1e-12)


def test_diverging_rays_meet_behind_the_camera() -> None:
    first, second = Pose.identity(), Pose(np.eye(3), np.array([-1.0, 0.0, 0.0]))
    found = triangulate(first, second, np.array([[-0.1, 0.0, 1.0]]), np.array([[0.1, 0.0, 1.0]]))
    assert found[0, 2] < 0


def test_no_rays_give_no_points() -> None:
    nothing = np.zeros((0, 3))
    assert triangulate(CAMERA_FROM_WORLD, SECOND_FROM_FIRST, nothing, nothing).shape == (0, 3)


@pytest.mark.parametrize("degrees", [0.01, 1.0, 60.0, 170.0])
def test_parallax_is_the_angle_between_the_lines_of_sight(degrees: float) -> None:
    half = np.deg2rad(degrees) / 2
    first, second = np.array([-np.sin(half), 0.0, -np.cos(half)]), np.array([np.sin(half), 0.0, -np.cos(half)])
    angles = parallax_rad(np.zeros((2, 3)), 3.0 * first, np.array([second, 7.0 * second]))
    np.testing.assert_allclose(angles, 2 * half, rtol=1e-9)


def test_parallax_from_one_place_is_nought() -> None:
    points, first, _ = two_views(10, 2)
    centre = first.inverse().translation_m
    np.testing.assert_allclose(parallax_rad(points, centre, centre), 0.0, atol=1e-12)


def test_reprojection_error_is_in_pixels_and_infinite_behind() -> None:
    points, first, _ = two_views(5, 3)
    pixels = MONO.project(first.apply(points)) + [3.0, 4.0]
    np.testing.assert_allclose(reprojection_error_px(first, points, pixels, MONO), 5.0, atol=1e-9)
    behind = first.inverse().apply(-first.apply(points))
    assert np.isinf(reprojection_error_px(first, behind, pixels, MONO)).all()
