from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from slamfront.config import TriangulationConfig
from slamfront.geometry.camera import Camera
from slamfront.geometry.pose import Pose
from slamfront.geometry.shutter import Shutter
from slamfront.map import KeyframeMap
from slamfront.map.depths import measure_depths
from slamfront.types import Features

CAMERA = Camera("pinhole", 640, 480, 500.0, 500.0, 320.0, 240.0)
DISPARITY_SIGMA_PX = 0.5


def seen_from(
    *places: tuple[float, float, float], baseline_m: float | None = None, ranged: Sequence[bool] = (True, True, True)
) -> KeyframeMap:
    """Return a map with one landmark, 2 m ahead, that keyframes at these places see, those `ranged` of a camera with a
    baseline with its disparity.
    """
    camera = replace(CAMERA, baseline_m=baseline_m)
    point = np.array([[0.0, 0.0, 2.0]])
    world = KeyframeMap(camera, np.zeros((1, 32), np.uint8))
    rows = np.full(1, -1, np.int64)
    for n, place in enumerate(places):
        pose = Pose(np.eye(3), np.array(place))
        xy = camera.project(pose.inverse().apply(point)).astype(np.float32)
        features = Features(xy, np.ones(1, np.float32), np.zeros((1, 32), np.uint8), (640, 480), np.ones(1, np.float32))
        one, shutter = np.ones(1, np.float32), Shutter(camera, np.zeros(3))
        right_x = np.full(1, np.nan, np.float32)
        if baseline_m is not None and ranged[n]:
            right_x[:] = xy[:, 0] - baseline_m * camera.fx / pose.inverse().apply(point)[:, 2]
        record = world.add_keyframe(n, pose, features, right_x, one, rows, None, shutter)
        if n == 0:
            rows = world.add_landmarks(record, np.array([0]), point, np.zeros((1, 21, 21), np.uint8))
    measure_depths(world, DISPARITY_SIGMA_PX, config=TriangulationConfig())
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


def test_a_disparity_tells_depth_as_far_as_it_is_true() -> None:
    """At 2 m the disparity is .1 * 500 / 2 = 25 px, of which half a pixel is a fiftieth."""
    assert relative(seen_from((0, 0, 0), baseline_m=0.1)) == pytest.approx(DISPARITY_SIGMA_PX / 25.0, rel=1e-3)


def test_a_smaller_disparity_tells_less() -> None:
    assert relative(seen_from((0, 0, 0), baseline_m=0.02)) == pytest.approx(DISPARITY_SIGMA_PX / 5.0, rel=0.01)


def test_several_disparities_of_one_landmark_count_once() -> None:
    """What they are wrong by is alike: three from one place tell no more than one."""
    once, thrice = seen_from((0, 0, 0), baseline_m=0.1), seen_from(*[(0, 0, 0)] * 3, baseline_m=0.1)
    assert relative(thrice) == pytest.approx(relative(once), rel=1e-6)


def test_disparity_and_parallax_tell_depth_together() -> None:
    places = (-0.05, 0, 0), (0.05, 0, 0)
    parallax, disparity = relative(seen_from(*places)), DISPARITY_SIGMA_PX / 25.0
    both = (parallax**-2 + disparity**-2) ** -0.5
    assert relative(seen_from(*places, baseline_m=0.1)) == pytest.approx(both, rel=0.01)


def test_one_disparity_among_several_keyframes_is_enough() -> None:
    world = seen_from((0, 0, 0), (0, 0, 0), baseline_m=0.1, ranged=(False, True))
    assert relative(world) == pytest.approx(DISPARITY_SIGMA_PX / 25.0, rel=1e-3)


def test_a_landmark_whose_disparity_was_not_found_may_lie_at_any_depth() -> None:
    assert relative(seen_from((0, 0, 0), baseline_m=0.1, ranged=(False,))) == pytest.approx(1.0)
