from __future__ import annotations

import numpy as np
import pytest

from slamfront.geometry.pose import Pose
from slamfront.patches import PATCH_SIZE
from tests.map.worlds import NONE, add_keyframe, add_landmarks, assert_consistent, chain, empty_map, observers


def test_a_keyframe_observes_the_landmarks_that_it_came_with() -> None:
    world = empty_map()
    first = add_keyframe(world)
    rows = add_landmarks(world, first, np.arange(10))
    second = add_keyframe(world, 30, rows[:6], 0.2)
    assert (first.id, second.id) == (0, 1)
    np.testing.assert_array_equal(second.landmark_rows, np.r_[rows[:6], np.full(24, -1)])
    np.testing.assert_array_equal(world.landmarks.observations[rows], [2] * 6 + [1] * 4)
    assert_consistent(world)


def test_landmarks_remember_where_they_were_first_seen() -> None:
    world = empty_map()
    keyframe = add_keyframe(world, x_m=0.5)
    rows = add_landmarks(world, keyframe, np.array([3, 7]), depth_m=2.0)
    marks = world.landmarks
    np.testing.assert_array_equal(marks.anchor_ids[rows], keyframe.id)
    np.testing.assert_array_equal(marks.anchor_xy[rows], keyframe.features.keypoints_xy[[3, 7]])
    np.testing.assert_array_equal(marks.descriptors[rows], keyframe.features.descriptors[[3, 7]])
    offset = marks.positions_m[rows] - [0.5, 0.0, 0.0]
    np.testing.assert_allclose(marks.anchor_distances_m[rows], np.linalg.norm(offset, axis=1), rtol=1e-6)
    directions = -offset / np.linalg.norm(offset, axis=1, keepdims=True)
    np.testing.assert_allclose(marks.view_directions[rows], directions, atol=1e-12)


def test_a_landmark_that_is_anchored_anew_looks_as_it_does_there() -> None:
    world = empty_map()
    first = add_keyframe(world)
    rows = add_landmarks(world, first, np.arange(4))
    second = add_keyframe(world, 30, rows, 0.4, seed=1)
    before = world.landmarks.positions_m.copy()
    patches = np.full((2, PATCH_SIZE, PATCH_SIZE), 7, np.uint8)
    world.anchor(second, np.array([1, 3]), patches)
    marks = world.landmarks
    np.testing.assert_array_equal(marks.anchor_ids[rows], [first.id, second.id, first.id, second.id])
    for keyframe, keypoint in ((first, 0), (second, 1), (first, 2), (second, 3)):
        row = rows[keypoint]
        np.testing.assert_array_equal(marks.anchor_xy[row], keyframe.features.keypoints_xy[keypoint])
        np.testing.assert_array_equal(marks.descriptors[row], keyframe.features.descriptors[keypoint])
        assert (marks.patches[row] == (7 if keyframe is second else 0)).all()
        distance_m = np.linalg.norm(marks.positions_m[row] - keyframe.world_from_camera.translation_m)
        assert marks.anchor_distances_m[row] == pytest.approx(distance_m, rel=1e-6)
    np.testing.assert_array_equal(marks.positions_m, before)
    np.testing.assert_array_equal(marks.observations[rows], 2)


def test_view_direction_is_that_of_the_newest_keyframe() -> None:
    world = empty_map()
    rows = add_landmarks(world, add_keyframe(world), np.arange(5))
    add_keyframe(world, 30, rows, x_m=3.0, seed=1)
    to_camera = np.array([3.0, 0.0, 0.0]) - world.landmarks.positions_m[rows]
    expected = to_camera / np.linalg.norm(to_camera, axis=1, keepdims=True)
    np.testing.assert_allclose(world.landmarks.view_directions[rows], expected, atol=1e-12)


def test_a_frozen_copy_does_not_change_with_the_map() -> None:
    world, (first, _) = chain(2)
    copy = world.keyframe(first.id)
    ids, position = copy.landmark_ids.copy(), copy.world_from_camera.translation_m.copy()
    world.remove_observations(first, np.arange(10))
    first.world_from_camera = Pose(np.eye(3), np.ones(3))
    np.testing.assert_array_equal(copy.landmark_ids, ids)
    np.testing.assert_array_equal(copy.world_from_camera.translation_m, position)


def test_a_keyframe_whose_copy_was_handed_out_can_still_change() -> None:
    world, (keyframe,) = chain(1)
    keyframe.right_x[:] = 50.0
    copy = world.keyframe(keyframe.id)
    xy = copy.features.keypoints_xy.copy()
    world.move_keypoints(keyframe, np.arange(5), np.ones((5, 2)), 0.5)
    np.testing.assert_array_equal(keyframe.right_x[:6], [51, 51, 51, 51, 51, 50])
    np.testing.assert_array_equal(copy.right_x, 50.0)
    np.testing.assert_array_equal(copy.features.keypoints_xy, xy)


# --- connections


def test_covisibility_counts_shared_landmarks_most_first() -> None:
    world = empty_map()
    first = add_keyframe(world)
    rows = add_landmarks(world, first, np.arange(30))
    for shared in (5, 20, 15):
        add_keyframe(world, 30, rows[:shared], seed=shared)
    np.testing.assert_array_equal(world.covisible(first), [2, 3])
    np.testing.assert_array_equal(world.covisible(first, minimum=1), [2, 3, 1])
    ids, counts = world.keyframes_seeing(rows[:10])
    assert dict(zip(ids.tolist(), counts.tolist())) == {0: 10, 2: 10, 3: 10, 1: 5}
    assert ids[-1] == 1
    assert (np.diff(counts) <= 0).all()


def test_nothing_is_covisible_with_a_keyframe_without_landmarks() -> None:
    world, _ = chain(3)
    alone = add_keyframe(world, 30)
    assert len(world.covisible(alone, minimum=1)) == 0
    assert len(world.observed_by(np.array([alone.id]))) == 0
    assert len(world.observed_by(NONE)) == 0


def test_a_keyframe_without_features_is_a_keyframe() -> None:
    world, records = chain(2)
    empty = add_keyframe(world, 0)
    assert len(world.covisible(empty)) == 0
    world.remove_keyframe(empty.id, records[0].id)
    assert_consistent(world)


def test_observed_by_names_each_landmark_once_in_order() -> None:
    world, records = chain(4)
    rows = world.observed_by(np.array([1, 2]))
    assert (np.diff(rows) > 0).all()
    expected = {int(r) for record in records[1:3] for r in record.landmark_rows if r >= 0}
    assert set(rows.tolist()) == expected


# --- removal


def test_a_landmark_that_nobody_sees_any_more_is_removed() -> None:
    world = empty_map()
    keyframe = add_keyframe(world)
    rows = add_landmarks(world, keyframe, np.arange(4))
    add_keyframe(world, 30, rows[:1], seed=1)
    ids = world.landmarks.ids(rows)
    world.remove_observations(keyframe, np.array([0, 1, 20]))
    np.testing.assert_array_equal(world.landmarks.rows(ids) >= 0, [True, False, True, True])
    np.testing.assert_array_equal(keyframe.landmark_rows[:4], [-1, -1, rows[2], rows[3]])
    assert_consistent(world)


def test_a_removed_landmark_is_seen_by_nobody() -> None:
    world, records = chain(3)
    shared = np.intersect1d(records[0].landmark_rows, records[1].landmark_rows)
    shared = shared[shared >= 0]
    world.remove_landmarks(shared[:5])
    assert not np.isin(shared[:5], list(observers(world))).any()
    for record in records:
        assert not np.isin(record.landmark_rows, shared[:5]).any()
    assert_consistent(world)


def test_a_new_landmark_in_a_row_used_again_does_not_inherit_observations() -> None:
    world, records = chain(2)
    gone = records[0].landmark_rows[:3].copy()
    world.remove_landmarks(gone)
    new = add_landmarks(world, records[1], np.flatnonzero(records[1].landmark_rows < 0)[:3])
    assert set(new.tolist()) <= set(gone.tolist())
    assert all(observers(world)[int(row)] == [1] for row in new)
    assert_consistent(world)


def test_removing_a_keyframe_removes_what_it_alone_saw() -> None:
    world, records = chain(4)
    alone = [row for row, ids in observers(world).items() if ids == [1]]
    shared = [row for row, ids in observers(world).items() if 1 in ids and len(ids) > 1]
    ids, kept = world.landmarks.ids(np.array(alone, np.int64)), world.landmarks.ids(np.array(shared, np.int64))
    world.remove_keyframe(1, 0)
    assert list(world.keyframes) == [0, 2, 3]
    assert (world.landmarks.rows(ids) == -1).all()
    assert (world.landmarks.rows(kept) >= 0).all()
    assert 1 not in world.covisible(records[0], minimum=1)
    assert_consistent(world)
    # Its part of the table is handed to others, and a keyframe's own is still its own
    newest = add_keyframe(world, 30, NONE)
    assert (newest.landmark_rows == -1).all()
    assert_consistent(world)


def test_a_retired_keyframe_follows_its_heir() -> None:
    world, _ = chain(4)
    turn = Pose.exp([0.1, 0.2, -0.1, 1.0, 2.0, 3.0])
    before = world.world_from_keyframe(2)
    world.remove_keyframe(2, 1)
    np.testing.assert_allclose(world.world_from_keyframe(2).matrix(), before.matrix(), atol=1e-12)
    world.keyframes[1].world_from_camera = turn @ world.keyframes[1].world_from_camera
    np.testing.assert_allclose(world.world_from_keyframe(2).matrix(), (turn @ before).matrix(), atol=1e-12)


def test_a_retired_keyframe_follows_the_heir_of_its_heir() -> None:
    world, _ = chain(4)
    before = world.world_from_keyframe(2)
    world.remove_keyframe(2, 1)
    world.remove_keyframe(1, 3)
    turn = Pose.exp([0.0, 0.3, 0.0, -1.0, 0.0, 0.5])
    world.keyframes[3].world_from_camera = turn @ world.keyframes[3].world_from_camera
    np.testing.assert_allclose(world.world_from_keyframe(2).matrix(), (turn @ before).matrix(), atol=1e-12)


def test_the_way_to_a_living_heir_is_walked_once() -> None:
    world, _ = chain(5)
    before = [world.world_from_keyframe(i).matrix() for i in range(4)]
    for i in range(4):
        world.remove_keyframe(i, i + 1)
    np.testing.assert_allclose(world.world_from_keyframe(0).matrix(), before[0], atol=1e-12)
    assert [world.retired[i][0] for i in range(4)] == [4, 4, 4, 4]
    for i in range(4):
        np.testing.assert_allclose(world.world_from_keyframe(i).matrix(), before[i], atol=1e-12)


def test_lengths_grow_alike_for_the_culled_that_hang_on_each_other() -> None:
    world, _ = chain(4)
    heir = world.world_from_keyframe(3)
    apart = [world.world_from_keyframe(i).translation_m - heir.translation_m for i in range(3)]
    for i in (1, 0, 2):
        world.remove_keyframe(i, i + 1 if i else 2)
    world.stretch({3: 2.0})
    for i in range(3):
        np.testing.assert_allclose(world.world_from_keyframe(i).translation_m - heir.translation_m, 2.0 * apart[i])


def test_a_keyframe_that_never_was_has_no_pose() -> None:
    world, _ = chain(1)
    with pytest.raises(KeyError):
        world.world_from_keyframe(5)


def test_many_heirs_in_a_row_are_followed() -> None:
    """A long run retires keyframes by the thousand, each handed to the one before it or after it."""
    world = empty_map()
    add_keyframe(world, 1)
    for i in range(1, 1500):
        add_keyframe(world, 1, x_m=float(i))
        world.remove_keyframe(i - 1, i)
    np.testing.assert_allclose(world.world_from_keyframe(0).translation_m, [0.0, 0.0, 0.0], atol=1e-9)


def test_clearing_leaves_nothing_and_uses_no_id_again() -> None:
    world, records = chain(3)
    ids = world.keyframe(2).landmark_ids
    world.clear()
    assert len(world.keyframes) == len(world.landmarks) == 0
    assert (world.landmarks.rows(ids[ids >= 0]) == -1).all()
    with pytest.raises(KeyError):
        world.world_from_keyframe(records[0].id)
    fresh = add_keyframe(world)
    assert fresh.id == 3
    rows = add_landmarks(world, fresh, np.arange(30))
    assert not np.isin(world.landmarks.ids(rows), ids).any()
    np.testing.assert_array_equal(world.keyframes_seeing(rows)[0], [3])
    assert_consistent(world)


# --- merging


def test_merged_landmarks_are_one_that_everyone_sees() -> None:
    world = empty_map()
    first = add_keyframe(world)
    kept = add_landmarks(world, first, np.arange(5))
    second = add_keyframe(world, seed=1)
    gone = add_landmarks(world, second, np.arange(5))
    ids = world.landmarks.ids(gone)
    world.merge_landmarks(kept, gone)
    np.testing.assert_array_equal(second.landmark_rows[:5], kept)
    np.testing.assert_array_equal(world.landmarks.observations[kept], 2)
    np.testing.assert_array_equal(world.landmarks.rows(ids), -1)
    assert_consistent(world)


def test_merging_keeps_one_observation_for_a_keyframe_that_saw_both() -> None:
    world = empty_map()
    first = add_keyframe(world)
    rows = add_landmarks(world, first, np.arange(4))
    second = add_keyframe(world, 30, rows, seed=1)
    world.merge_landmarks(rows[:1], rows[1:2])
    np.testing.assert_array_equal(first.landmark_rows[:4], [rows[0], -1, rows[2], rows[3]])
    np.testing.assert_array_equal(second.landmark_rows[:4], [rows[0], -1, rows[2], rows[3]])
    assert world.landmarks.observations[rows[0]] == 2
    assert_consistent(world)


def test_two_landmarks_merge_into_the_same_third() -> None:
    world = empty_map()
    keyframes = [add_keyframe(world, seed=i) for i in range(3)]
    rows = [int(add_landmarks(world, keyframe, np.array([0]))[0]) for keyframe in keyframes]
    world.merge_landmarks(np.array([rows[0], rows[0]]), np.array(rows[1:]))
    assert observers(world) == {rows[0]: [0, 1, 2]}
    assert_consistent(world)


def test_merging_nothing_changes_nothing() -> None:
    world, _ = chain(2)
    before = observers(world)
    world.merge_landmarks(NONE, NONE)
    assert observers(world) == before


# --- keypoints and the table


def test_moved_keypoints_move_in_both_images() -> None:
    world, (keyframe,) = chain(1)
    keyframe.right_x[:] = keyframe.features.keypoints_xy[:, 0] - 10
    before = keyframe.features.keypoints_xy.copy()
    shift = np.array([[0.5, -0.25], [-1.0, 0.75]])
    world.move_keypoints(keyframe, np.array([4, 9]), shift, 0.4)
    after = keyframe.features.keypoints_xy
    np.testing.assert_allclose(after[[4, 9]], before[[4, 9]] + shift, atol=1e-4)
    np.testing.assert_allclose(after[:, 0] - keyframe.right_x, 10.0, atol=1e-4)
    np.testing.assert_allclose(keyframe.sigmas_px[[3, 4, 9]], [1.0, 0.4, 0.4])
    np.testing.assert_array_equal(np.delete(after, [4, 9], axis=0), np.delete(before, [4, 9], axis=0))


def test_the_table_grows_and_every_keyframe_keeps_its_part() -> None:
    world = empty_map()
    rows = add_landmarks(world, add_keyframe(world, 2000), np.arange(2000))
    for i in range(1, 20):
        add_keyframe(world, 2000, np.roll(rows, i), seed=i)
    assert_consistent(world)
    np.testing.assert_array_equal(world.landmarks.observations[rows], 20)
    for i in range(1, 20):
        np.testing.assert_array_equal(world.keyframes[i].landmark_rows, np.roll(rows, i))
    # Writing to a keyframe's part still reaches the table that questions are asked of
    world.remove_observations(world.keyframes[3], np.arange(2000))
    assert 3 not in world.keyframes_seeing(rows)[0]


def test_the_table_does_not_grow_when_keyframes_come_and_go() -> None:
    world = empty_map()
    add_keyframe(world, 1000)
    for i in range(1, 60):
        add_keyframe(world, 1000, seed=i)
        if i > 1:
            world.remove_keyframe(i - 1, i)
    assert len(world._table_landmark) == 16384, "two keyframes fit, though 60 thousand features went through"


def test_only_the_newest_keyframes_keep_their_images() -> None:
    world = empty_map()
    image = np.zeros((240, 320), np.uint8)
    for i in range(40):
        record = add_keyframe(world, 3, seed=i)
        record.image = image
    kept = [record.id for record in world.keyframes.values() if record.image is not None]
    assert kept == list(range(40 - len(kept), 40))
    assert 5 <= len(kept) <= 20, "enough for alignment, not one for every keyframe"
