"""Epipolar geometry against projections of known points."""

from __future__ import annotations

import numpy as np
import pytest

from slamfront.geometry.camera import Camera
from slamfront.geometry.epipolar import (
    epipolar_lines,
    essential_matrix,
    fundamental_matrix,
    symmetric_epipolar_distance,
)
from slamfront.geometry.pose import Pose, rotation_exp

FIRST = Camera("pinhole", 640, 480, 525.0, 520.0, 319.5, 239.5)
SECOND = Camera("pinhole", 752, 480, 458.0, 457.0, 367.0, 248.0)
SECOND_FROM_FIRST = Pose.exp([0.05, -0.1, 0.02, -0.4, 0.1, 0.2])


@pytest.fixture
def views() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points (N,3) in the first camera, and their pixels in both."""
    rng = np.random.default_rng(7)
    pixels = rng.uniform((0, 0), (640, 480), (200, 2))
    points = FIRST.unproject(pixels) * rng.uniform(2.0, 20.0, (200, 1))
    return points, pixels, SECOND.project(SECOND_FROM_FIRST.apply(points))


def test_rays_of_one_point_satisfy_the_essential_matrix(views: tuple[np.ndarray, ...]) -> None:
    _, first_xy, second_xy = views
    e = essential_matrix(SECOND_FROM_FIRST)
    residual = np.einsum("ni,ij,nj->n", SECOND.unproject(second_xy), e, FIRST.unproject(first_xy))
    np.testing.assert_allclose(residual, 0.0, atol=1e-12)
    # Two equal singular values and a zero (Hartley and Zisserman 2004, result 9.17).
    np.testing.assert_allclose(
        np.linalg.svd(e)[1], np.linalg.norm(SECOND_FROM_FIRST.translation_m) * np.array([1, 1, 0]), atol=1e-12
    )


def test_points_lie_on_their_epipolar_lines_in_both_images(views: tuple[np.ndarray, ...]) -> None:
    _, first_xy, second_xy = views
    f = fundamental_matrix(SECOND_FROM_FIRST, FIRST, SECOND)
    for matrix, source, target in ((f, first_xy, second_xy), (f.T, second_xy, first_xy)):
        lines = epipolar_lines(matrix, source)
        np.testing.assert_allclose((lines[:, :2] * target).sum(1) + lines[:, 2], 0.0, atol=1e-8)
        moved = target + 3.0 * lines[:, :2]
        np.testing.assert_allclose((lines[:, :2] * moved).sum(1) + lines[:, 2], 3.0, atol=1e-8)


def test_the_epipole_has_no_finite_line() -> None:
    forward = Pose(np.eye(3), [0.0, 0.0, -1.0])
    f = fundamental_matrix(forward, FIRST, FIRST)
    centre = FIRST.project(forward.inverse().translation_m[None])
    # Driving ahead, the focus of expansion is the principal point, and lines fan out of it.
    assert not np.isfinite(epipolar_lines(f, centre)).any()
    lines = epipolar_lines(f, centre + [[30.0, 0.0], [0.0, -7.0]])
    np.testing.assert_allclose(lines @ [*centre[0], 1.0], 0.0, atol=1e-9)


def test_turning_in_place_has_no_essential_matrix_and_no_lines() -> None:
    turn = Pose.exp([0.1, -0.3, 0.2, 0.0, 0.0, 0.0])
    assert not essential_matrix(turn).any()
    assert np.isnan(epipolar_lines(fundamental_matrix(turn, FIRST, SECOND), [[10.0, 20.0]])).all()


def test_the_symmetric_epipolar_distance_is_that_to_both_lines() -> None:
    rng = np.random.default_rng(3)
    moved = Pose(rotation_exp([0.02, -0.1, 0.05]), np.array([0.4, 0.1, -0.2]))
    points = rng.uniform([-1, -1, 2], [1, 1, 4], (20, 3))
    seen = moved.apply(points)
    first, second = points[:, :2] / points[:, 2:], seen[:, :2] / seen[:, 2:]
    essential = essential_matrix(moved)
    # Of exact points nothing but rounding is left
    assert symmetric_epipolar_distance(essential, first, second).max() < 1e-20
    second = second + rng.normal(0, 0.01, second.shape)
    to_second = np.sum(epipolar_lines(essential, first) * np.column_stack([second, np.ones(20)]), axis=1)
    to_first = np.sum(epipolar_lines(essential.T, second) * np.column_stack([first, np.ones(20)]), axis=1)
    np.testing.assert_allclose(
        symmetric_epipolar_distance(essential, first, second), to_second**2 + to_first**2, rtol=1e-9
    )
