"""Umeyama alignment: exact recovery, optimality, degenerate sets."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slamfront.geometry.align import align
from slamfront.geometry.pose import Pose, Sim3, rotation_exp

EXACT = 1e-9  # coordinates of some tens of metres in float64


def cloud(seed: int, count: int = 30) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 3)) * [8.0, 5.0, 2.0] + [40.0, -20.0, 3.0]


def similarity(seed: int, scale: float = 1.0) -> Sim3:
    return Sim3.from_pose(Pose.exp(np.random.default_rng(seed + 100).normal(size=6) * 2), scale)


@given(st.integers(0, 10_000), st.floats(0.01, 100.0))
def test_a_similarity_is_recovered_exactly(seed: int, scale: float) -> None:
    points, truth = cloud(seed), similarity(seed, scale)
    found = align(points, truth.apply(points), "sim3")
    assert found.note == ""
    assert found.target_from_source.scale == pytest.approx(scale, rel=EXACT)
    np.testing.assert_allclose(found.target_from_source.rotation, truth.rotation, atol=EXACT)


@given(st.integers(0, 10_000))
def test_a_rigid_motion_is_recovered_exactly(seed: int) -> None:
    points, truth = cloud(seed), similarity(seed)
    found = align(points, truth.apply(points), "se3").target_from_source
    assert found.scale == 1.0
    np.testing.assert_allclose(found.apply(points), truth.apply(points), atol=EXACT)


def test_with_noise_no_neighbouring_transform_is_better() -> None:
    rng = np.random.default_rng(1)
    points, truth = cloud(1), similarity(1, 3.0)
    target = truth.apply(points) + rng.normal(size=points.shape)
    best = align(points, target, "sim3").target_from_source
    cost = np.sum((best.apply(points) - target) ** 2)
    for _ in range(50):
        nudge = Sim3.from_pose(Pose.exp(rng.normal(size=6) * 1e-3), 1 + 1e-3 * rng.normal())
        assert np.sum(((best @ nudge).apply(points) - target) ** 2) > cost


def test_a_mirrored_set_still_gets_a_proper_rotation() -> None:
    points = cloud(2)
    found = align(points, points * [1, 1, -1], "sim3").target_from_source
    assert np.linalg.det(found.rotation) == pytest.approx(1.0)


def test_planar_points_determine_everything() -> None:
    points, truth = cloud(3) * [1, 1, 0], similarity(3, 2.0)
    found = align(points, truth.apply(points), "sim3")
    assert found.note == ""
    np.testing.assert_allclose(found.target_from_source.rotation, truth.rotation, atol=EXACT)


def test_no_alignment_leaves_the_points_alone() -> None:
    points = cloud(4)
    np.testing.assert_array_equal(align(points, points + 7, "none").target_from_source.apply(points), points)


@pytest.mark.parametrize("count", [2, 10])
def test_collinear_points_take_the_smallest_rotation_and_say_so(count: int) -> None:
    along = np.linspace(0, 50, count)[:, None]
    truth = Sim3(2.0, rotation_exp([0, 0, 0.5]), np.array([1.0, 2, 3]))
    points = along * np.array([1.0, 0, 0])
    found = align(points, truth.apply(points), "sim3")
    assert "on a line" in found.note
    assert found.target_from_source.scale == pytest.approx(2.0)
    # the line lies across the axis of the true rotation, so the true one is the smallest
    np.testing.assert_allclose(found.target_from_source.rotation, truth.rotation, atol=EXACT)


def test_a_line_that_is_turned_round_is_still_aligned() -> None:
    points = np.linspace(-1, 2, 5)[:, None] * np.array([0.6, 0.0, 0.8])
    found = align(points, -points, "se3").target_from_source
    np.testing.assert_allclose(found.apply(points), -points, atol=EXACT)
    assert np.linalg.det(found.rotation) == pytest.approx(1.0)


@pytest.mark.parametrize("kind", ["se3", "sim3"])
def test_one_point_or_a_standing_side_moves_the_mean_alone(kind: str) -> None:
    for source, target in (
        (np.ones((1, 3)), np.zeros((1, 3))),
        (np.full((5, 3), 1.3357), cloud(5, 5)),
        (cloud(5, 5), np.ones((5, 3))),
    ):
        found = align(source, target, kind)  # type: ignore[arg-type]
        assert "coincide" in found.note
        assert found.target_from_source.scale == 1.0
        np.testing.assert_array_equal(found.target_from_source.rotation, np.eye(3))
        np.testing.assert_allclose(found.target_from_source.apply(source).mean(axis=0), target.mean(axis=0), atol=EXACT)


def test_sets_that_do_not_correspond_are_refused() -> None:
    for source, target in ((np.zeros((0, 3)),) * 2, (np.zeros((3, 3)), np.zeros((4, 3))), (np.zeros((3, 2)),) * 2):
        with pytest.raises(ValueError, match="same number of points"):
            align(source, target)
