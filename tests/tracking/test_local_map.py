from __future__ import annotations

import numpy as np

from slamfront.config import RunConfig, TrackerConfig
from slamfront.mapping.landmarks import insert_keyframe
from slamfront.tracking.local_map import align_view
from tests.tracking.worlds import clip, run_on, view_of


def test_patches_without_texture_are_not_looked_for_and_leave_their_place_to_others() -> None:
    run = run_on(clip("room", "rgbd", 3))
    world, view = run.front.world, view_of(run.clip.frames[2], "rgbd")
    rows = world.observed_by(np.array(list(world.keyframes)))
    view.camera_from_world = run.pose(2).inverse()
    before = align_view(view, world, rows, TrackerConfig(max_landmarks=50))
    assert len(before) == 50 and world.landmarks.textured[before].all()
    world.landmarks.textured[before[::2]] = False
    view.forget()
    view.camera_from_world = run.pose(2).inverse()
    after = align_view(view, world, rows, TrackerConfig(max_landmarks=50))
    assert len(after) == 50 and not np.isin(before[::2], after).any()
    assert np.isin(view.landmark_rows, after).all() and len(view.landmark_rows) > 25


def test_landmarks_are_found_by_patches_of_a_culled_keyframe() -> None:
    run = run_on(clip("room", "rgbd", 3))
    world, view = run.front.world, view_of(run.clip.frames[1], "rgbd")
    rows = world.observed_by(np.array([0]))
    view.camera_from_world = run.pose(1).inverse()
    align_view(view, world, rows, TrackerConfig(max_landmarks=200))
    found = dict(zip(view.landmark_rows.tolist(), view.xy.tolist(), strict=True))
    world.remove_keyframe(0, insert_keyframe(world, view, config=RunConfig()).id)
    assert (world.landmarks.anchor_ids[list(found)] == 0).all()
    again = view_of(run.clip.frames[1], "rgbd")
    again.camera_from_world = view.camera_from_world
    align_view(again, world, rows, TrackerConfig(max_landmarks=200))
    assert set(again.landmark_rows.tolist()) == set(found)
    # The pose of the culled keyframe went through that of its heir and back
    np.testing.assert_allclose(again.xy, [found[row] for row in again.landmark_rows.tolist()], atol=1e-3)
