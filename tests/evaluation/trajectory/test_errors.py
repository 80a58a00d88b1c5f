"""ATE and RPE on trajectories whose errors are known."""

from __future__ import annotations

import numpy as np
import pytest

from slamfront.errors import EvaluationError
from slamfront.evaluation.trajectory.association import associate
from slamfront.evaluation.trajectory.errors import Statistics, absolute_error, relative_error
from slamfront.geometry.pose import Pose, rotation_angle
from slamfront.types import Trajectory

from .worlds import drifting, drive, moved

EXACT = 1e-7  # metres and degrees, on paths of some hundred metres


def test_statistics_are_those_of_a_known_set() -> None:
    found = Statistics.of(np.array([0.0, 3.0, 4.0, 1.0]))
    assert found.to_mapping() == {"rmse": np.sqrt(26 / 4), "mean": 2.0, "median": 2.0, "max": 4.0}


def test_se3_alignment_removes_another_world_but_not_another_scale() -> None:
    truth = drive()
    world = Pose.exp([0.4, 1.0, -2.0, 30, 20, 10])
    rigid = associate(truth, moved(truth, world))
    assert absolute_error(rigid, "se3").translation_m.max < EXACT
    assert absolute_error(rigid, "se3").rotation_deg.max < EXACT
    assert absolute_error(rigid, "none").translation_m.rmse > 10
    scaled = associate(truth, moved(truth, world, scale=0.25))
    assert absolute_error(scaled, "se3").translation_m.rmse > 10
    similar = absolute_error(scaled, "sim3")
    assert similar.translation_m.max < EXACT
    assert similar.alignment.target_from_source.scale == pytest.approx(4.0)


def test_unaligned_errors_are_the_offsets_themselves() -> None:
    truth = drive(50)
    shifted = Trajectory(truth.times_ns.copy(), truth.positions_m + [0.3, 0.0, 0.4], truth.quaternions_xyzw.copy())
    found = absolute_error(associate(truth, shifted), "none")
    np.testing.assert_allclose(found.errors_m, 0.5, atol=1e-12)
    np.testing.assert_allclose(found.errors_deg, 0.0, atol=1e-6)  # an angle near 0 is known to the root of rounding


def test_relative_error_is_that_of_each_motion() -> None:
    truth, estimate = drive(40), drifting(drive(40))
    found = relative_error(associate(truth, estimate), 3)
    expected_m, expected_rad = [], []
    for row in range(len(truth) - 3):
        true_motion = truth.pose(row).inverse() @ truth.pose(row + 3)
        error = true_motion.inverse() @ estimate.pose(row).inverse() @ estimate.pose(row + 3)
        expected_m.append(np.linalg.norm(error.translation_m))
        expected_rad.append(rotation_angle(error.rotation))
    assert found is not None
    assert found.steps == len(expected_m)
    assert found.translation_m.rmse == pytest.approx(np.sqrt(np.mean(np.square(expected_m))))
    assert found.rotation_deg.max == pytest.approx(np.degrees(max(expected_rad)))


def test_steps_of_seconds_span_missing_frames() -> None:
    truth = drive(100)
    keep = np.delete(np.arange(100), np.s_[40:50])
    holey = Trajectory(truth.times_ns[keep], truth.positions_m[keep], truth.quaternions_xyzw[keep])
    found = relative_error(associate(truth, holey), 1.0, "seconds")
    assert found is not None
    # of the 73 poses that have another within a tenth of a second of their target, 10 are missing, and the hole
    # swallows the targets of 4 to 6 more
    assert 57 <= found.steps <= 59
    assert found.translation_m.max < EXACT


def test_steps_of_metres_follow_the_reference_path_and_do_not_overlap_unless_asked() -> None:
    positions = np.stack([np.arange(11.0), np.zeros(11), np.zeros(11)], axis=1)
    rows = np.arange(11)
    truth = Trajectory(rows * 100_000_000, positions, np.tile([0, 0, 0, 1.0], (11, 1)))
    estimate = Trajectory(rows * 100_000_000, positions * 1.1, np.tile([0, 0, 0, 1.0], (11, 1)))
    pairs = associate(truth, estimate)
    consecutive = relative_error(pairs, 2.0, "metres", all_pairs=False)
    every = relative_error(pairs, 2.0, "metres")
    assert consecutive is not None
    assert every is not None
    assert (consecutive.steps, every.steps) == (5, 9)
    assert every.translation_m.mean == pytest.approx(0.2)
    corrected = relative_error(pairs, 2.0, "metres", scale=1 / 1.1)
    assert corrected is not None
    assert corrected.translation_m.max < 1e-12


def test_a_step_that_does_not_fit_gives_nothing_and_an_impossible_one_is_refused() -> None:
    pairs = associate(drive(10), drive(10))
    assert relative_error(pairs, 10) is None
    assert relative_error(pairs, 60.0, "seconds") is None
    assert relative_error(pairs, 60.0, "metres", all_pairs=False) is None
    for delta, unit in ((0, "frames"), (1.5, "frames"), (-1.0, "metres"), (float("nan"), "seconds")):
        with pytest.raises(EvaluationError, match="not possible"):
            relative_error(pairs, delta, unit)  # type: ignore[arg-type]
