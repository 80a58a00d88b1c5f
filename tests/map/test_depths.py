from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from slamfront.geometry.camera import Camera
from slamfront.geometry.pose import Pose
from slamfront.geometry.shutter import Shutter
from slamfront.map import KeyframeMap
from slamfront.map.depths import measure_depths
from slamfront.types import Features

CAMERA = Camera("pinhole", 640, 480, 500.0, 500.0, 320.0, 240.0)


def seen_from(*places: tuple[float, float, float], baseline_m: float | None = None) -> KeyframeMap:
    """Return a map with one landmark, 2 m ahead, that keyframes at these places see."""
    camera = replace(CAMERA, baseline_m=baseline_m)
    point = np.array([[0.0, 0.0, 2.0]])
    world = KeyframeMap(camera, np.zeros((1, 32), np.uint8))
    rows = np.full(1, -1, np.int64)
    for n, place in enumerate(places):
        pose = Pose(np.eye(3), np.array(place))
        xy = camera.project(pose.inverse().apply(point)).astype(np.float32)
        features = Features(xy, np.ones(1, np.float32), np.zeros((1, 32), np.uint8), (640, 480), np.ones(1, np.float32))
        one, shutter = np.ones(1, np.float32), Shutter(camera, np.zeros(3))
        record = world.add_keyframe(n, pose, features, np.full(1, np.nan, np.float32), one, rows, None, shutter)
        if n == 0:
            rows = world.add_landmarks(record, np.array([0]), point, np.zeros((1, 21, 21), np.uint8))
    measure_depths(world)
    return world


def relative(world: KeyframeMap) -> float:
    """Return the deviation of the landmark as a share of its depth, and see that it lies along the ray."""
    spread = world.landmarks.spreads_m[world.keyframes[0].landmark_rows[0]]
    assert np.abs(spread[:2]).max() < 0.1 * abs(spread[2])
    return float(spread[2]) / 2.0


def test_a_landmark_of_one_keyframe_may_lie_at_any_depth() -> None:
    assert relative(seen_from((0, 0, 0))) == pytest.approx(1.0)


def test_parallax_tells_depth_as_far_as_pixels_are_true() -> None:
    """Two places .1 m apart, .05 from their mean, at .7 / 500 rad: 2 m are known to .0014 * 2 / (.05 sqrt 2)."""
    assert relative(seen_from((-0.05, 0, 0), (0.05, 0, 0))) == pytest.approx(0.0396, rel=0.01)


def test_moving_towards_a_landmark_tells_nothing_of_its_depth() -> None:
    assert relative(seen_from((0, 0, 0), (0, 0, 0.5))) > 0.7


def test_more_keyframes_tell_more() -> None:
    assert relative(seen_from((0, 0, 0), (0.1, 0, 0), (0.2, 0, 0))) < 0.6 * relative(seen_from((0, 0, 0), (0.1, 0, 0)))


def test_measured_depths_are_taken_as_they_are() -> None:
    world = seen_from((0, 0, 0), baseline_m=0.1)
    assert not world.landmarks.spreads_m.any()
