from __future__ import annotations

import numpy as np
import pytest

from slamfront.geometry.pose import Pose
from slamfront.map import Landmarks
from slamfront.tracking.warps import landmark_warps
from tests.map.worlds import CAMERA


def warps_of(points: np.ndarray, camera_from_anchor: Pose) -> tuple[np.ndarray, np.ndarray]:
    """Return warps of landmarks (M,3) that an anchor camera saw, for a camera elsewhere; both turned in the world."""
    world_from_anchor = Pose.exp([0.3, -0.2, 0.1, 1.0, 2.0, 3.0])
    marks = Landmarks(np.zeros((0, 32), np.uint8))
    rows = marks.take_rows(len(points))
    marks.positions_m[rows] = world_from_anchor.apply(points)
    anchor = np.broadcast_to(world_from_anchor.rotation, (len(points), 3, 3))
    place = np.broadcast_to(world_from_anchor.translation_m, (len(points), 3))
    camera_from_world = camera_from_anchor @ world_from_anchor.inverse()
    return landmark_warps(
        marks, rows, anchor, place, camera_from_world.rotation, camera_from_world.translation_m, CAMERA, 2.0
    )


POINTS = np.array([[0.0, 0.0, 3.0], [1.0, -0.5, 4.0], [-0.8, 0.9, 2.5]])


def test_a_landmark_seen_from_its_anchor_is_not_warped() -> None:
    warps, usable = warps_of(POINTS, Pose.identity())
    np.testing.assert_allclose(warps, np.broadcast_to(np.eye(2), (3, 2, 2)), atol=1e-9)
    assert usable.all()


def test_a_warp_is_what_a_plane_facing_the_anchor_shows() -> None:
    motion = Pose.exp([0.1, -0.3, 0.5, 0.4, -0.2, 0.6])
    warps, usable = warps_of(POINTS, motion)
    assert usable.all()
    step_px = 0.01
    for point, warp in zip(POINTS, warps):
        for axis in range(2):
            beside = point.copy()
            beside[axis] += step_px * point[2] / (CAMERA.fx, CAMERA.fy)[axis]
            here, there = CAMERA.project(motion.apply(np.array([point, beside])))
            expected = np.eye(2)[axis] * step_px
            np.testing.assert_allclose(warp @ (there - here), expected, atol=1e-2 * step_px)


@pytest.mark.parametrize(
    "motion",
    [[0, 0, 0, 0, 0, -2.2], [0, 0, 0, 0, 0, 6.0], [0, 3.1, 0, 0, 0, 0]],
    ids=["four times nearer", "three times farther", "behind"],
)
def test_a_warp_that_changes_size_more_than_twice_is_not_usable(motion: list[float]) -> None:
    warps, usable = warps_of(np.array([[0.0, 0.0, 3.0]]), Pose.exp(motion))
    assert not usable.any()
    assert np.isfinite(warps).all()
