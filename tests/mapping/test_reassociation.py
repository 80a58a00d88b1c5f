"""A lap whose end comes to lie a little beside its beginning: too far for patches, not far enough for a loop."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from slamfront.config import AlignmentConfig, LoopConfig, ProjectionConfig
from slamfront.geometry.pose import Pose
from slamfront.map import KeyframeMap, KeyframeRecord
from slamfront.mapping.reassociation import observe_instead, reassociate
from slamfront.tracking.projection import match_projection, project
from tests.tracking.worlds import CONFIG, clip, front_for

FRAMES = 115
CONNECTING = 20
OPEN = replace(CONFIG, loops=LoopConfig(enabled=False), backend=replace(CONFIG.backend, kind="none"))


def lap(connecting: int = CONNECTING) -> tuple[KeyframeMap, KeyframeRecord]:
    """Return the map of a lap that ends in the first view, and its last keyframe, which shares so many landmarks with
    the first ones."""
    track = clip("room-loop?speed=3", "rgbd", FRAMES)
    front = front_for(track, OPEN)
    for frame in track.frames:
        front.step(frame)
    front.finish()
    world = front.world
    last = world.keyframes[max(world.keyframes)]
    projection = project(
        world.landmarks, beginning(world), last.world_from_camera.inverse(), world.camera, config=ProjectionConfig()
    )
    found, owners = match_projection(
        projection, world.landmarks, last.features, last.tree, 4.0, config=ProjectionConfig()
    )
    observe_instead(world, last, projection.rows[owners[:connecting]], found[:connecting], config=AlignmentConfig())
    return world, last


def beginning(world: KeyframeMap) -> np.ndarray:
    """Return rows of the landmarks of the first keyframes."""
    return world.observed_by(np.array(sorted(world.keyframes)[:5]))


def shift_beginning(world: KeyframeMap, shift: Pose) -> None:
    """Move the first keyframes and their landmarks, as if the rest had drifted."""
    rows = beginning(world)
    world.landmarks.positions_m[rows] = shift.apply(world.landmarks.positions_m[rows])
    for keyframe_id in sorted(world.keyframes)[:5]:
        record = world.keyframes[keyframe_id]
        record.world_from_camera = shift @ record.world_from_camera


def test_what_drift_moved_by_some_pixels_is_observed_again() -> None:
    # 0.8 degrees and a centimetre are some 5 px, beside what the lap drifted by itself, and the reach is 9.6 px
    for turn_deg in (0.0, 0.8):
        world, last = lap()
        shift_beginning(world, Pose.exp([0.0, np.deg2rad(turn_deg), 0.0, 0.01, 0.0, 0.0]))
        old, before = beginning(world), (last.landmark_rows >= 0).sum()
        count = reassociate(world, last, OPEN)
        assert count >= 40
        assert np.isin(last.landmark_rows, old).sum() - CONNECTING > 0.5 * count, "others belong to the keyframes after"
        assert (last.landmark_rows >= 0).sum() >= before
        assert len(np.unique(last.landmark_rows[last.landmark_rows >= 0])) == (last.landmark_rows >= 0).sum()


def test_what_drift_moved_far_is_left_to_loops() -> None:
    world, last = lap()
    shift_beginning(world, Pose.exp([0.0, np.deg2rad(8.0), 0.0, 0.0, 0.0, 0.0]))
    before = last.landmark_rows.copy()
    assert reassociate(world, last, OPEN) == 0
    assert (last.landmark_rows == before).all()


def test_what_nothing_connects_is_left_to_loops() -> None:
    world, last = lap(connecting=0)
    assert reassociate(world, last, OPEN) == 0


def test_a_map_that_has_just_begun_recalls_nothing() -> None:
    track = clip("room-loop?speed=3", "rgbd", FRAMES)
    front = front_for(track, OPEN)
    for frame in track.frames[:3]:
        front.step(frame)
    world = front.world
    assert reassociate(world, world.keyframes[max(world.keyframes)], OPEN) == 0
