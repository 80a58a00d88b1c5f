from __future__ import annotations

import numpy as np
import pytest

from slamfront.errors import SourceError
from slamfront.protocols import Source
from slamfront.sources.synthetic import SyntheticSource
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
