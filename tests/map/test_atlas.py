"""Several maps in one count of ids."""

from __future__ import annotations

import numpy as np
import pytest

from slamfront.geometry.pose import Pose, Sim3
from slamfront.map import KeyframeMap
from slamfront.map.atlas import Atlas
from tests.map.worlds import add_keyframe, add_landmarks, assert_consistent, chain, empty_map

MOVED = Sim3(0.5, Pose.exp(np.array([0.1, 0.4, -0.2, 0, 0, 0])).rotation, np.array([3.0, 1.0, 2.0]))


def grow(world: KeyframeMap, count: int = 2) -> list[int]:
    """Add keyframes with landmarks of their own; return their ids."""
    records = [add_keyframe(world, x_m=0.1 * i) for i in range(count)]
    for record in records:
        add_landmarks(world, record, np.arange(10))
    return [record.id for record in records]


def landmark_ids(world: KeyframeMap) -> set[int]:
    return set(world.landmarks.ids(np.flatnonzero(world.landmarks.alive)).tolist())


def begun(atlas: Atlas) -> KeyframeMap:
    atlas.begin(empty_map())
    assert atlas.active is not None
    return atlas.active


def test_an_atlas_begins_without_any_map_or_with_a_given_one() -> None:
    assert Atlas().active is None and dict(Atlas().maps) == dict(Atlas().kept) == {}
    world, _ = chain(2)
    atlas = Atlas(world)
    assert atlas.active is world and dict(atlas.maps) == {0: world} and not atlas.kept


def test_no_two_maps_share_an_id() -> None:
    atlas = Atlas(chain(3)[0])
    first = atlas.maps[0]
    second = begun(atlas)
    ids = grow(second)
    assert ids == [3, 4] and dict(atlas.kept) == {0: first}
    atlas.enter(0)
    assert atlas.active is first and grow(first) == [5, 6]
    first.remove_landmarks(np.flatnonzero(first.landmarks.alive)[:20])
    grow(first)
    atlas.enter(1)
    assert grow(second) == [9, 10]
    assert not landmark_ids(first) & landmark_ids(second)


def test_a_map_that_is_dropped_leaves_the_one_before_and_its_ids_stay_void() -> None:
    atlas = Atlas(chain(2)[0])
    first = atlas.active
    grow(begun(atlas))
    atlas.drop()
    assert atlas.active is first and not atlas.kept
    assert grow(begun(atlas)) == [4, 5] and atlas.active_id == 1
    atlas.drop()
    with pytest.raises(KeyError):
        atlas.drop()


def test_a_map_joined_to_another_keeps_its_ids_and_takes_its_world() -> None:
    atlas = Atlas(chain(3)[0])
    first = atlas.active
    second = begun(atlas)
    ids = grow(second, 3)
    second.remove_keyframe(ids[1], ids[2])
    places = {i: second.world_from_keyframe(i) for i in ids}
    old = np.flatnonzero(second.landmarks.alive)
    second.landmarks.set_patches(old[:7], np.random.default_rng(0).integers(0, 256, (7, 21, 21), np.uint8))
    rows = atlas.join(0, 1, MOVED)
    assert atlas.active is first and atlas.active_id == 0 and not atlas.kept and first is not None
    assert_consistent(first)
    assert (rows >= 0).sum() == 20 and first.landmarks.alive[rows[rows >= 0]].all()
    np.testing.assert_array_equal(first.landmarks.textured[rows[old]], np.arange(len(old)) < 7)
    for keyframe_id, place in places.items():
        moved = first.world_from_keyframe(keyframe_id)
        np.testing.assert_allclose(moved.matrix(), MOVED.apply_to_pose(place).matrix(), atol=1e-12)
        assert first.scale(keyframe_id) == MOVED.scale
    assert grow(first) == [6, 7]


def test_a_cleared_atlas_is_one_empty_map_with_new_ids() -> None:
    atlas = Atlas(chain(3)[0])
    second = begun(atlas)
    grow(second)
    atlas.clear()
    assert dict(atlas.maps) == {1: second} and not second.keyframes
    assert grow(second) == [5, 6]
    Atlas().clear()
