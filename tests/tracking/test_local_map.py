from __future__ import annotations

import numpy as np

from slamfront.tracking.local_map import align_view
from tests.tracking.worlds import clip, run_on, view_of


def test_patches_without_texture_are_not_looked_for_and_leave_their_place_to_others() -> None:
    run = run_on(clip("room", "rgbd", 3))
    world, view = run.front.world, view_of(run.clip.frames[2], "rgbd")
    rows = world.observed_by(np.array(list(world.keyframes)))
    view.camera_from_world = run.pose(2).inverse()
    before = align_view(view, world, rows, 50)
    assert len(before) == 50 and world.landmarks.textured[before].all()
    world.landmarks.textured[before[::2]] = False
    view.forget()
    view.camera_from_world = run.pose(2).inverse()
    after = align_view(view, world, rows, 50)
    assert len(after) == 50 and not np.isin(before[::2], after).any()
    assert np.isin(view.landmark_rows, after).all() and len(view.landmark_rows) > 25
