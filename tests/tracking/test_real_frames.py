"""The first frames of real sequences; whole ones are measured outside the tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from slamfront.config import SourceConfig
from slamfront.evaluation.trajectory import evaluate
from slamfront.sources.guess import open_source
from slamfront.types import Sensor, State, Trajectory
from tests.tracking.worlds import Clip, Run, run_on


def opened(folder: Path, sensor: Sensor, start: int, end: int) -> Clip:
    """Read part of a sequence, without the prefetching thread."""
    if not folder.is_dir():
        pytest.skip(f"{folder.name} is not among the real sequences")
    source = open_source(str(folder), SourceConfig(start=start, end=end, prefetch=0), sensor)
    return Clip(source.camera, sensor, tuple(source), source.reference or Trajectory.from_poses([], []))


def trajectory(run: Run) -> Trajectory:
    """Return the poses of the tracked frames as the map has them now."""
    times = [run.clip.frames[row].time_ns for row in run.tracked]
    return Trajectory.from_poses(times, [run.pose(row) for row in run.tracked])


def test_a_handheld_depth_camera_is_tracked(data: Path) -> None:
    """fr1/rpy turns by up to 5 degrees a frame, which a rolling shutter bends: 2 cm over the whole run."""
    run = run_on(opened(data / "tum" / "rgbd_dataset_freiburg1_rpy", "rgbd", 100, 130))
    assert run.states == [State.TRACKING] * 30
    assert evaluate(run.clip.truth, trajectory(run)).se3.translation_m.rmse < 0.03


def test_a_stereo_car_is_tracked(data: Path) -> None:
    """Frames whose truth agrees with the images; 9 m are driven, and 0.1 m is about 1 %."""
    run = run_on(opened(data / "kitti" / "sequences" / "00", "stereo", 60, 72))
    assert run.states == [State.TRACKING] * 12
    assert evaluate(run.clip.truth, trajectory(run)).se3.translation_m.rmse < 0.1


def test_a_single_camera_on_a_car_initialises_soon(data: Path) -> None:
    run = run_on(opened(data / "kitti" / "sequences" / "00", "mono", 60, 72))
    assert run.tracked and run.tracked[0] < 10
    assert run.tracked == list(range(run.tracked[0], 12))


def test_a_drone_that_stands_still_does_not_wander(data: Path) -> None:
    run = run_on(opened(data / "euroc" / "V1_01_easy", "stereo", 0, 20))
    assert run.states == [State.TRACKING] * 20
    positions = np.array([run.pose(row).translation_m for row in run.tracked])
    assert np.linalg.norm(positions - positions[0], axis=1).max() < 0.002


def test_a_single_camera_that_stands_still_does_not_invent_a_motion(data: Path) -> None:
    run = run_on(opened(data / "euroc" / "V1_01_easy", "mono", 0, 10))
    assert run.states == [State.INITIALIZING] * 10
    assert all("parallax" in answer.reason for answer in run.answers[1:])
