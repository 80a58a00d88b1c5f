from __future__ import annotations

import itertools

import numpy as np
import pytest

from slamfront.geometry.pose import Pose, rotation_angle
from slamfront.simulation.paths import SplinePath, TurningPath, look_at, orbit, route, sway


def test_camera_looks_at_its_target_and_stands_upright() -> None:
    pose = look_at((1, 2, 1.5), (4, -1, 0.5))
    target = pose.inverse().apply([4, -1, 0.5])
    np.testing.assert_allclose(target[:2], 0, atol=1e-12)
    assert target[2] > 0
    assert pose.rotation[2, 0] == pytest.approx(0)  # right is level
    assert pose.rotation[2, 1] < 0  # image down is world down


@pytest.mark.parametrize(
    "path",
    [
        orbit((0, 0, 1.4), (1.3, 1.0), 10.0, 1.0),
        sway((1, 0, 1.4), (-1, 1, 1), (0.6, 0.1, 0.4), 5.0, 0.5),
        route([(0, 0, 1), (4, 0, 1), (4, 4, 1), (0, 4, 1)], 12.0, 1.0, closed=True),
    ],
)
def test_closed_path_comes_back_and_never_jumps(path: SplinePath) -> None:
    start, end = path(0.0), path(path.lap_s)
    np.testing.assert_allclose(start.matrix(), end.matrix(), atol=1e-9)
    times = np.linspace(0, path.lap_s, 601)
    poses = [path(t) for t in times]
    steps = np.array([(a.inverse() @ b).log() for a, b in itertools.pairwise(poses)])
    speed = np.linalg.norm(steps, axis=1)
    # A twice differentiable path changes its velocity little from step to step.
    assert np.linalg.norm(np.diff(steps, axis=0), axis=1).max() < 0.15 * speed.max()


def test_open_path_goes_to_its_end_and_back_the_same_way() -> None:
    path = route([(0, 0, 1), (10, 0, 1)], 5.0, 2.0, closed=False)
    np.testing.assert_allclose(path(6.0).matrix(), path(4.0).matrix(), atol=1e-9)
    assert path(4.9).translation_m[0] > path(0.1).translation_m[0] + 7


def test_turning_camera_stays_in_place() -> None:
    path = TurningPath(look_at((1, 1, 1), (0, 0, 1)), 1.0, 0.2, 8.0)
    poses = [path(t) for t in np.linspace(0, 8, 50)]
    assert all(np.array_equal(pose.translation_m, (1, 1, 1)) for pose in poses)
    turns = [rotation_angle(poses[0].rotation.T @ pose.rotation) for pose in poses]
    assert max(turns) == pytest.approx(1.0, abs=0.05)
    assert isinstance(poses[0], Pose)
