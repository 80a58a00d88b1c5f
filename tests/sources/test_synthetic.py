from __future__ import annotations

import numpy as np
import pytest

from slamfront.config import SourceConfig
from slamfront.errors import SourceError
from slamfront.protocols import Source
from slamfront.sources.guess import open_source
from slamfront.sources.synthetic import SyntheticSource, truth_of
from slamfront.types import Sensor

NAME = "low-texture?frames=4&width=160&noise=1"


@pytest.mark.parametrize(("sensor", "baseline_m"), [("mono", None), ("stereo", 0.12), ("rgbd", 0.08)])
def test_frames_carry_what_the_sensor_gives(sensor: Sensor, baseline_m: float | None) -> None:
    source = SyntheticSource(NAME, sensor)
    assert isinstance(source, Source)
    assert (source.name, source.sensor, source.live, source.length) == ("low-texture", sensor, False, 4)
    assert source.camera.baseline_m == baseline_m
    frames = list(source)
    assert [frame.id for frame in frames] == [0, 1, 2, 3]
    for frame in frames:
        frame.check()
        assert frame.camera == source.camera
        assert (frame.right is not None) == (sensor == "stereo")
        assert (frame.depth_m is not None) == (sensor == "rgbd")


def test_reference_holds_the_pose_of_every_frame() -> None:
    source = SyntheticSource(NAME)
    times = [frame.time_ns for frame in source]
    np.testing.assert_array_equal(source.reference.times_ns, times)
    assert len(source.reference) == 4
    assert np.linalg.norm(np.diff(source.reference.positions_m, axis=0), axis=1).min() > 0


def test_frames_are_the_same_each_time_they_are_read() -> None:
    source = SyntheticSource(NAME)
    for first, second in zip(source, source):
        np.testing.assert_array_equal(first.image, second.image)
        np.testing.assert_array_equal(first.depth_m, second.depth_m)


def test_unknown_scene_is_refused() -> None:
    with pytest.raises(SourceError, match="unknown"):
        SyntheticSource("moon")


@pytest.mark.parametrize(("sensor", "baseline_m"), [("mono", None), ("stereo", 0.12), ("rgbd", 0.08)])
def test_fisheye_reaches_the_front_end_as_an_ideal_pinhole(sensor: Sensor, baseline_m: float | None) -> None:
    source = open_source(f"synthetic:{NAME}&lens=kb4&fov=120", SourceConfig(prefetch=0), sensor)
    frame = next(iter(source))
    frame.check()
    assert (source.camera.model, source.camera.baseline_m) == ("pinhole", pytest.approx(baseline_m))
    assert frame.camera == source.camera
    if frame.depth_m is not None:  # what is seen lies where its depth says, in a room of 6 m x 5 m x 2.7 m
        pixels = np.argwhere(frame.depth_m > 0)[::50, ::-1]
        points = source.camera.unproject(pixels) * frame.depth_m[pixels[:, 1], pixels[:, 0], None]
        assert source.reference is not None
        world = source.reference.pose(0).apply(points)
        assert np.abs(world[:, :2]).max() < 3.05
        assert -0.05 < world[:, 2].min() < world[:, 2].max() < 2.75


def test_missing_frames_leave_gaps_in_ids_and_have_no_true_pose() -> None:
    source = SyntheticSource("low-texture?frames=30&width=64&drop_frames=0.4", "mono")
    frames = list(source)
    assert source.length == len(frames) == len(source.reference) < 27
    assert [frame.id for frame in frames] != list(range(len(frames)))
    np.testing.assert_array_equal(source.reference.times_ns, [frame.time_ns for frame in frames])


def test_truth_tells_how_far_away_the_camera_sees() -> None:
    reference, times_ns, depths_m = truth_of("low-texture?frames=9&width=64")
    assert len(reference) == 9
    np.testing.assert_array_equal(times_ns, reference.times_ns[[0, 4, 8]])
    assert ((depths_m > 0.5) & (depths_m < 6)).all()
