"""Poses of frames that hang on keyframes of a map that moves."""

from __future__ import annotations

import numpy as np
import pytest

from slamfront.config import SmoothingConfig
from slamfront.geometry.pose import Pose
from slamfront.map import KeyframeMap
from slamfront.pipeline import Journal
from slamfront.types import State, Tracked
from tests.map import worlds


@pytest.fixture
def world() -> KeyframeMap:
    return worlds.chain(3)[0]


def test_a_journal_stretches_with_the_map(world: KeyframeMap) -> None:
    """What a single camera's frames are away from their keyframe grows with the unit of length there."""
    journal, offset = Journal(SmoothingConfig()), Pose(np.eye(3), np.array([0.1, 0.0, 0.0]))
    journal.add(Tracked(0, 0, State.TRACKING, 1, offset), world.scale(1))
    world.stretch({0: 1.0, 1: 2.0, 2: 1.0})
    journal.add(Tracked(1, 1000, State.TRACKING, 1, offset), world.scale(1))
    place = world.world_from_keyframe(1).translation_m
    poses = journal.poses(world)
    assert np.allclose(poses[0].translation_m - place, [0.2, 0.0, 0.0])
    assert np.allclose(poses[1].translation_m - place, [0.1, 0.0, 0.0])
    assert np.allclose(journal.positions_m(world), [poses[0].translation_m, poses[1].translation_m])
    last = journal.last_pose(world)
    assert last is not None and np.allclose(last.translation_m, poses[1].translation_m)


@pytest.mark.parametrize("late", [False, True], ids=["as they came", "placed when the map began"])
def test_frames_between_keyframes_follow_both(late: bool) -> None:
    world, records = worlds.chain(2)
    journal = Journal(SmoothingConfig())

    def at(number: int) -> Pose:
        return Pose(np.eye(3), np.array([0.02 * number, 0.0, 0.0]))

    frames = [Tracked(i, 1000 * i, State.TRACKING, 0, at(i), at(i), at(i)) for i in range(5)]
    for frame in frames:
        journal.add(Tracked(frame.frame_id, frame.time_ns, State.INITIALIZING) if late else frame)
    journal.add(Tracked(5, 5000, State.TRACKING, 1, Pose.identity(), at(5), at(5), is_keyframe=True))
    # The view that made the map is placed in it again, as those before it are
    own = Tracked(5, 5000, State.TRACKING, 0, at(5), at(5), at(5))
    for frame in (own, *reversed(frames)) if late else ():
        journal.amend(frame)
    journal.add(Tracked(6, 6000, State.TRACKING, 1, at(1), at(6), at(6)))
    before = journal.poses(world)
    for i in range(7):
        np.testing.assert_allclose(before[i].matrix(), at(i).matrix(), atol=1e-12)
    # The way between both turns out to be twice as long, and the second to look elsewhere
    turned = Pose.exp(np.array([0.0, 0.2, 0.0, 0.0, 0.0, 0.0])).rotation
    records[1].world_from_camera = Pose(turned, np.array([0.2, 0.0, 0.0]))
    after = journal.poses(world)
    np.testing.assert_allclose([after[i].translation_m[0] for i in range(6)], 0.04 * np.arange(6), atol=1e-12)
    np.testing.assert_allclose(after[2].rotation, Pose.exp(np.array([0.0, 0.08, 0.0, 0.0, 0.0, 0.0])).rotation)
    np.testing.assert_allclose(after[5].matrix(), records[1].world_from_camera.matrix(), atol=1e-12)
    np.testing.assert_allclose(after[6].matrix(), (records[1].world_from_camera @ at(1)).matrix(), atol=1e-12)
    np.testing.assert_allclose(journal.positions_m(world), [pose.translation_m for pose in after.values()], atol=1e-12)
    # A keyframe that is gone tells nothing
    records[1].world_from_camera = at(5)
    world.remove_keyframe(1, 0)
    world.clear()
    assert journal.poses(world) == {} and len(journal.positions_m(world)) == 0
