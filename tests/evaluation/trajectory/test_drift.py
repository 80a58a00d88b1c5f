"""KITTI drift against a plain rendering of its definition."""

from __future__ import annotations

import numpy as np
import pytest

from slamfront.evaluation.trajectory.association import associate
from slamfront.evaluation.trajectory.drift import KITTI_LENGTHS_M, drift
from slamfront.geometry.pose import Pose, rotation_angle
from slamfront.types import Trajectory

from .worlds import drifting, drive, moved


def by_definition(
    truth: Trajectory, estimate: Trajectory, lengths_m: tuple[float, ...], step: int
) -> tuple[float, float]:
    """Mean translation and rotation error per metre, pose by pose."""
    distances = [0.0]
    for row in range(1, len(truth)):
        distances.append(distances[-1] + np.linalg.norm(truth.positions_m[row] - truth.positions_m[row - 1]))
    errors = []
    for first in range(0, len(truth), step):
        for length in lengths_m:
            last = next((r for r in range(first, len(truth)) if distances[r] > distances[first] + length), None)
            if last is None:
                continue
            true_motion = truth.pose(first).inverse() @ truth.pose(last)
            error = (estimate.pose(first).inverse() @ estimate.pose(last)).inverse() @ true_motion
            errors.append([np.linalg.norm(error.translation_m) / length, rotation_angle(error.rotation) / length])
    translation, rotation = np.mean(errors, axis=0)
    return float(translation), float(rotation)


def test_drift_of_a_long_path_is_that_of_the_development_kit() -> None:
    truth = drive(900)
    estimate = drifting(truth)
    found = drift(associate(truth, estimate))
    translation, rotation = by_definition(truth, estimate, KITTI_LENGTHS_M, step=10)
    assert found is not None
    assert found.step_frames == 10
    assert found.translation_percent == pytest.approx(100 * translation, rel=1e-9)
    assert found.rotation_deg_per_100m == pytest.approx(100 * np.degrees(rotation), rel=1e-9)
    assert [one.length_m for one in found.lengths] == list(KITTI_LENGTHS_M)
    assert found.segments == sum(one.segments for one in found.lengths)
    assert "KITTI's lengths" in found.note


@pytest.mark.parametrize(("count", "longest_m"), [(150, 80), (85, 80), (38, 30)])
def test_a_short_path_gets_shorter_segments_from_every_pose_and_says_so(count: int, longest_m: int) -> None:
    truth = drive(count)
    estimate = drifting(truth)
    found = drift(associate(truth, estimate))
    lengths = tuple(float(length) for length in range(10, longest_m + 1, 10))
    translation, _ = by_definition(truth, estimate, lengths, step=1)
    assert found is not None
    assert found.step_frames == 1
    assert found.translation_percent == pytest.approx(100 * translation, rel=1e-9)
    assert f"segments of 10..{longest_m} m (the path of" in found.note


def test_a_wrong_scale_is_drift_and_the_scale_that_is_given_removes_it() -> None:
    truth = drive(300)
    pairs = associate(truth, moved(truth, Pose.exp([1, 2, 3, 4, 5, 6]), scale=0.9))
    straight = drift(pairs)
    corrected = drift(pairs, scale=1 / 0.9)
    assert straight is not None
    assert corrected is not None
    assert 8 < straight.translation_percent < 10.5  # 10 % of chords, which turns make shorter than the path
    assert corrected.translation_percent < 1e-9


def test_asked_lengths_are_taken_and_a_path_without_a_segment_has_no_drift() -> None:
    truth = drive(30)
    pairs = associate(truth, drifting(truth))
    found = drift(pairs, (5.0, 500.0))
    assert found is not None
    assert [one.length_m for one in found.lengths] == [5.0]
    assert "5 m (as asked for)" in found.note
    assert drift(pairs, (500.0,)) is None
    assert drift(associate(drive(5), drive(5))) is None
