"""What is drawn of a snapshot, and where it is looked at from."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from slamfront.types import State
from slamfront.viewer.scene import (
    STATE_COLOURS,
    Follower,
    Viewpoint,
    build_scene,
    frustum,
    height_colours,
    scene_scale,
    scene_up,
)
from tests.viewer.snapshots import CAMERA, circle_pose, empty_snapshot, snapshot


def test_a_frustum_starts_at_the_camera_and_opens_along_its_view() -> None:
    pose = circle_pose(7)
    local = pose.inverse().apply(frustum(pose.matrix(), CAMERA, 0.5).reshape(-1, 3))
    at_camera = np.linalg.norm(local, axis=1) < 1e-12
    assert at_camera.any()
    np.testing.assert_allclose(local[~at_camera, 2], 0.5, atol=1e-12)


def test_a_scene_keeps_every_finite_landmark() -> None:
    points = snapshot().landmarks_m.copy()
    points[::10] = np.nan
    scene = build_scene(dataclasses.replace(snapshot(), landmarks_m=points))
    assert len(scene.points_m) == len(scene.colours) == np.isfinite(points).all(axis=1).sum()


def test_an_empty_snapshot_makes_a_scene() -> None:
    scene = build_scene(empty_snapshot())
    assert len(scene.points_m) == 0
    assert scene.scale_m == 1.0
    assert all(len(lines.segments_m) == 0 for lines in scene.lines)


@pytest.mark.parametrize("scale", [0.01, 1.0, 300.0])
def test_sizes_follow_the_scale_of_the_world(scale: float) -> None:
    unit, scaled = build_scene(snapshot()), build_scene(snapshot(scale=scale))
    assert scaled.scale_m == pytest.approx(scale * unit.scale_m, rel=1e-3)  # landmarks are float32
    for lines, reference in zip(scaled.lines, unit.lines):
        np.testing.assert_allclose(lines.segments_m, scale * reference.segments_m, rtol=1e-3, atol=1e-3 * scale)


def test_the_scale_is_the_usual_distance_to_a_landmark() -> None:
    points = np.array([(0, 0, 4), (0, 0, 5), (0, 0, 400)], np.float32)
    assert scene_scale(points, np.zeros((1, 3))) == pytest.approx(5.0)


def test_up_is_where_the_cameras_hold_their_top() -> None:
    np.testing.assert_allclose(scene_up(snapshot().keyframe_poses), (0, -1, 0), atol=1e-12)
    np.testing.assert_allclose(scene_up(np.zeros((0, 4, 4))), (0, -1, 0))


def test_height_colours_differ_between_floor_and_ceiling_and_darken_with_the_grey_value() -> None:
    points = np.column_stack([np.zeros(101), np.linspace(-1, 1, 101), np.zeros(101)]).astype(np.float32)
    colours = height_colours(points, np.full(101, 128, np.uint8), np.array([0.0, -1.0, 0.0]))
    assert colours[-1, 2] > colours[-1, 0]  # low is blue
    assert colours[0, 0] > colours[0, 2]  # high is warm
    dark = height_colours(points, np.zeros(101, np.uint8), np.array([0.0, -1.0, 0.0]))
    assert (dark <= colours).all()


def test_the_current_camera_has_the_colour_of_its_state_and_none_is_drawn_when_lost() -> None:
    tracking, lost = build_scene(snapshot()).lines[-1], build_scene(snapshot(state=State.LOST)).lines[-1]
    assert tuple(tracking.colours[0].tolist()) == STATE_COLOURS[State.TRACKING]
    assert len(lost.segments_m) == 0


def test_the_follower_looks_at_the_camera_from_behind_and_above() -> None:
    current = snapshot()
    pose = current.world_from_camera
    assert pose is not None
    viewpoint = Follower().look(current, build_scene(current))
    seen_from_camera = pose.inverse().apply(viewpoint.eye_m)
    assert seen_from_camera[2] < 0  # behind
    assert seen_from_camera[1] < 0  # above: y points down
    in_view = viewpoint.world_from_view().inverse().apply(pose.translation_m)
    assert in_view[2] > 0
    assert abs(in_view[0]) < 1e-9  # in the middle of the picture


def test_the_follower_moves_calmly_and_stays_where_it_was_when_tracking_is_lost() -> None:
    follower = Follower()
    first = follower.look(snapshot(10), build_scene(snapshot(10)))
    second = follower.look(snapshot(11), build_scene(snapshot(11)))
    step = np.linalg.norm(circle_pose(11).translation_m - circle_pose(10).translation_m)
    assert np.linalg.norm(second.eye_m - first.eye_m) < step
    lost = snapshot(11, State.LOST)
    third = follower.look(lost, build_scene(lost))
    assert np.linalg.norm(third.eye_m - second.eye_m) < step


def test_a_viewpoint_is_a_right_handed_camera_pose() -> None:
    rotation = (
        Viewpoint(np.array([1.0, -2.0, -5.0]), np.zeros(3), np.array([0.0, -1.0, 0.0])).world_from_view().rotation
    )
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(rotation) == pytest.approx(1.0)
    assert rotation[1, 1] > 0  # its y points down in a world whose y points down
