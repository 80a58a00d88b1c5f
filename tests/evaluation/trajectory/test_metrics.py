"""The one call: ranges, tracked share, notes, table, JSON."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from slamfront.errors import EvaluationError
from slamfront.evaluation.trajectory import FrameTimes, evaluate, metrics_table
from slamfront.evaluation.trajectory.association import select
from slamfront.geometry.pose import Pose
from slamfront.trajectories import parse_seconds, read_tum
from slamfront.types import Trajectory

from .worlds import FRAME_NS, START_NS, drifting, drive, moved


def test_both_alignments_are_always_given_and_the_chosen_one_counts() -> None:
    truth = drive(300)
    metrics = evaluate(truth, moved(truth, Pose.exp([0, 1, 0, 2, 0, 0]), scale=0.5), alignment="sim3")
    assert metrics.ate is metrics.sim3
    assert metrics.sim3.translation_m.rmse < 1e-6
    assert metrics.se3.translation_m.rmse > 1
    assert metrics.drift is not None
    assert metrics.drift.translation_percent < 1e-6  # the scale of the alignment that counts
    assert {step.unit for step in metrics.rpe} == {"frames", "seconds"}
    assert all(step.translation_m.max < 1e-6 for step in metrics.rpe)


def test_the_share_of_tracked_frames_needs_the_frames_of_the_source() -> None:
    truth = drive(100)
    estimate = select(drifting(truth), np.arange(20, 95))
    assert evaluate(truth, estimate).tracked_percent is None
    assert evaluate(truth, estimate, frame_times_ns=truth.times_ns).tracked_percent == pytest.approx(75.0)
    scored = evaluate(truth, estimate, frame_times_ns=truth.times_ns, frame_range=(0, 40))
    assert (scored.frames, scored.estimated, scored.tracked_percent) == (40, 20, 50.0)


def test_a_range_of_frames_is_scored_and_aligned_by_itself() -> None:
    truth = drive(100)
    poses = [truth.pose(row) if row < 50 else Pose.exp([0.2, 0, 0, 5, 0, 0]) @ truth.pose(row) for row in range(100)]
    broken = Trajectory.from_poses(truth.times_ns, poses)
    assert evaluate(truth, broken).ate.translation_m.rmse > 0.5
    by_frames = evaluate(truth, broken, frame_range=(50, 100))
    by_times = evaluate(truth, broken, time_range_ns=(START_NS + 50 * FRAME_NS, START_NS + 99 * FRAME_NS))
    assert len(by_frames.pairs) == len(by_times.pairs) == 50
    assert by_frames.ate.translation_m.max < 1e-6
    assert by_times.ate.translation_m.max < 1e-6
    with pytest.raises(EvaluationError, match=r"frames 200\.\.299 hold nothing: there are 100 frames"):
        evaluate(truth, broken, frame_range=(200, 300))


def test_interpolation_is_said_and_removes_the_error_of_unequal_times() -> None:
    turning = [Pose.exp([0.0, 0.02 * row, 0.0, 0.0, 0.0, 0.01 * row]) for row in range(400)]
    dense = Trajectory.from_poses(START_NS + FRAME_NS * np.arange(400), turning)
    estimate = select(dense, np.arange(1, 390, 7))
    reference = select(dense, np.arange(0, 400, 2))
    nearest = evaluate(reference, estimate, max_difference_ns=FRAME_NS)
    interpolated = evaluate(reference, estimate, max_difference_ns=FRAME_NS, interpolate=True)
    assert "nearest pose in time" in metrics_table(nearest)
    assert "interpolated to the estimate's times" in metrics_table(interpolated)
    assert nearest.rpe[0].rotation_deg.rmse > 1.0  # every other pose is a frame late: 0.02 rad
    assert interpolated.rpe[0].rotation_deg.rmse < 1e-5  # the turn is steady, so the shortest arc is the truth


def test_a_camera_that_stands_still_is_scored_with_a_note() -> None:
    still = Trajectory.from_poses(START_NS + FRAME_NS * np.arange(20), [Pose.exp([0.1, 0.2, 0.3, 1.3357, 2, 3])] * 20)
    noise = np.random.default_rng(0).normal(size=(20, 3)) * 1e-3
    wandering = Trajectory(still.times_ns.copy(), noise, still.quaternions_xyzw.copy())
    metrics = evaluate(still, wandering)
    assert metrics.ate.translation_m.rmse == pytest.approx(np.sqrt(np.mean(np.sum((noise - noise.mean(0)) ** 2, 1))))
    assert metrics.drift is None
    table = metrics_table(metrics)
    assert "coincide" in table
    assert "drift      none" in table


def test_the_table_names_every_figure_and_the_mapping_is_json() -> None:
    truth = drive(150)
    metrics = evaluate(truth, drifting(truth), frame_times_ns=truth.times_ns)
    table = metrics_table(metrics)
    for label in (
        "ATE se3, m *",
        "ATE sim3, m",
        "RPE 1 frame, deg",
        "RPE 1 second, m",
        "drift",
        "100.0 % of 150",
        "scale",
    ):
        assert label in table
    assert max(map(len, table.splitlines())) <= 120
    mapping = json.loads(json.dumps(metrics.to_mapping(), allow_nan=False))
    assert mapping["ate"]["se3"]["translation_m"]["rmse"] == metrics.se3.translation_m.rmse
    assert mapping["drift"]["segments"] == metrics.drift.segments if metrics.drift else False


def test_one_common_pose_is_still_an_answer() -> None:
    truth = drive(10)
    metrics = evaluate(truth, select(drifting(truth), np.array([4])))
    assert metrics.ate.translation_m.max == pytest.approx(0.0, abs=1e-12)
    assert metrics.rpe == ()
    assert "compared   1 of 1" in metrics_table(metrics)


def test_frame_times_are_summarised_by_percentiles() -> None:
    times = FrameTimes.of(np.arange(1.0, 102.0))
    assert times is not None
    assert (times.p50_ms, times.p95_ms, times.max_ms, times.mean_ms) == (51.0, 96.0, 101.0, 51.0)
    assert times.fps == pytest.approx(1000 / 51)
    assert FrameTimes.of([]) is None


def test_the_first_frames_of_fr1_rpy_lie_outside_its_truth(data: Path) -> None:
    folder = data / "tum" / "rgbd_dataset_freiburg1_rpy"
    if not folder.is_dir():
        pytest.skip("fr1/rpy is not there")
    truth = read_tum(folder / "groundtruth.txt")
    lines = (folder / "rgb.txt").read_text().splitlines()
    frames = np.array([parse_seconds(line.split()[0]) for line in lines if not line.startswith("#")])
    standing = Trajectory.from_poses(frames, [Pose.identity()] * len(frames))
    metrics = evaluate(truth, standing, frame_times_ns=frames, interpolate=True)
    assert metrics.tracked_percent == 100.0
    assert 240 <= len(metrics.pairs) <= len(frames)
