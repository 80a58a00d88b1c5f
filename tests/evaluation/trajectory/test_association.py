"""Pairs of poses that are near in time: nearest one to one, and interpolated."""

from __future__ import annotations

import numpy as np
import pytest

from slamfront.errors import EvaluationError
from slamfront.evaluation.trajectory.association import associate, select
from slamfront.geometry.pose import Pose, rotation_exp
from slamfront.types import Trajectory

MS = 1_000_000


def at(*times_ms: float) -> Trajectory:
    """Poses whose x is their time in milliseconds."""
    poses = [Pose(np.eye(3), np.array([time, 0.0, 0.0])) for time in times_ms]
    return Trajectory.from_poses([round(time * MS) for time in times_ms], poses)


def paired_ms(reference: Trajectory, estimate: Trajectory, limit_ms: float = 10) -> list[tuple[float, float]]:
    pairs = associate(reference, estimate, round(limit_ms * MS))
    assert not pairs.interpolated
    return list(zip(pairs.reference.positions_m[:, 0].tolist(), pairs.estimate.positions_m[:, 0].tolist()))


def test_each_pose_takes_the_nearest_within_the_limit() -> None:
    assert paired_ms(at(0, 10, 20, 30, 40, 50), at(4, 27, 61)) == [(0, 4), (30, 27)]


def test_the_limit_itself_still_counts_and_the_earlier_of_two_equally_near_is_taken() -> None:
    assert paired_ms(at(0, 20, 40), at(10)) == [(0, 10)]
    assert paired_ms(at(0, 20, 40), at(50)) == [(40, 50)]
    with pytest.raises(EvaluationError, match="within 10 ms"):
        paired_ms(at(0, 20, 40), at(50.000001))


def test_no_pose_is_paired_twice_and_the_nearer_one_keeps_it() -> None:
    assert paired_ms(at(0, 100, 200, 300, 400), at(96, 101, 102, 300)) == [(100, 101), (300, 300)]


def test_pairs_do_not_depend_on_which_trajectory_is_longer() -> None:
    dense, sparse = at(*range(0, 300, 10)), at(3, 99, 206)
    assert paired_ms(dense, sparse) == [(second, first) for first, second in paired_ms(sparse, dense)]


def test_times_are_compared_exactly_where_floats_of_seconds_would_not() -> None:
    start = 1_305_031_225_933_400_000
    reference = Trajectory.from_poses([start, start + 100], [Pose.identity(), Pose.exp([0, 0, 0, 1, 0, 0])])
    estimate = Trajectory.from_poses([start + 60], [Pose.identity()])
    assert associate(reference, estimate, 50).reference.positions_m[0, 0] == 1.0


def test_interpolation_gives_the_reference_at_the_estimates_times() -> None:
    turned = Pose(rotation_exp([0, 0, 1.0]), np.array([10.0, 0, 0]))
    reference = Trajectory.from_poses([0, 10 * MS], [Pose.identity(), turned])
    estimate = Trajectory.from_poses([0, 4 * MS, 10 * MS], [Pose.identity()] * 3)
    pairs = associate(reference, estimate, interpolate=True)
    assert pairs.interpolated
    assert pairs.reference.times_ns.tolist() == estimate.times_ns.tolist()
    np.testing.assert_allclose(pairs.reference.positions_m[:, 0], [0, 4, 10], atol=1e-9)
    np.testing.assert_allclose(pairs.reference.pose(1).rotation, rotation_exp([0, 0, 0.4]), atol=1e-9)


def test_interpolation_neither_extrapolates_nor_bridges_gaps() -> None:
    reference = at(0, 10, 20, 1000, 1010)
    estimate = at(-1, 5, 19, 500, 1005, 1011)
    kept = associate(reference, estimate, 10 * MS, interpolate=True)
    assert kept.estimate.positions_m[:, 0].tolist() == [5, 19, 1005]
    np.testing.assert_allclose(kept.reference.positions_m[:, 0], [5, 19, 1005], atol=1e-9)


def test_a_single_reference_pose_can_be_compared() -> None:
    assert len(associate(at(5), at(5, 6), interpolate=True)) == 1
    assert len(associate(at(5), at(5, 6))) == 1


@pytest.mark.parametrize("interpolate", [False, True])
def test_trajectories_of_different_times_are_refused_with_both_spans(interpolate: bool) -> None:
    with pytest.raises(EvaluationError, match=r"reference covers 0\.000000000 \.\. 0\.010000000 s, the estimate 5\."):
        associate(at(0, 10), at(5000, 5010), interpolate=interpolate)
    with pytest.raises(EvaluationError, match="the estimate nothing"):
        associate(at(0, 10), select(at(0), np.zeros(0, np.int64)), interpolate=interpolate)
    with pytest.raises(EvaluationError, match="reference covers nothing"):
        associate(select(at(0), np.zeros(0, np.int64)), at(0, 10), interpolate=interpolate)
