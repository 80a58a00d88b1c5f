"""Two maps of one place, made apart from each other, become one map."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest

from slamfront.config import RunConfig
from slamfront.geometry.pose import Pose, Sim3, rotation_angle
from slamfront.loop_closing.map_alignment import MapAlignment, find_joint, join
from slamfront.loop_closing.map_merging import MapMerger
from slamfront.loop_closing.verification import GeometricVerifier
from slamfront.map import KeyframeMap
from slamfront.map.arrays import from_arrays, to_arrays
from slamfront.map.joining import absorb
from slamfront.map.places import PlaceIndex, packaged_vocabulary
from slamfront.matching.nearest import Nearest
from slamfront.types import Sensor
from tests.map.worlds import add_keyframe, add_landmarks, assert_consistent, chain, empty_map
from tests.tracking.worlds import CONFIG, Clip, clip, run_on

MOVED = Sim3(2.0, Pose.exp(np.array([0.3, -0.2, 0.5, 0, 0, 0])).rotation, np.array([1.0, 2.0, 3.0]))


def part(whole: Clip, start: int, end: int) -> Clip:
    truth = whole.truth
    times, positions, turns = truth.times_ns[start:end], truth.positions_m[start:end], truth.quaternions_xyzw[start:end]
    return replace(whole, frames=whole.frames[start:end], truth=type(truth)(times, positions, turns))


@lru_cache(maxsize=4)
def halves(sensor: Sensor) -> tuple[Clip, KeyframeMap, KeyframeMap]:
    """Return a clip, and a map of its first and one of its last frames, which overlap."""
    whole = clip("room-loop?speed=2", sensor, 60)
    first, last = (run_on(part(whole, *rows), CONFIG).front.world for rows in ((0, 36), (20, 60)))
    return whole, first, last


def copied(world: KeyframeMap) -> KeyframeMap:
    return from_arrays(world.camera, *to_arrays(world))


def joint_of(first: KeyframeMap, last: KeyframeMap, scaled: bool = False) -> MapAlignment | None:
    return find_joint(first, last, Nearest(), PlaceIndex(packaged_vocabulary("orb")), scaled, config=RunConfig())


def test_a_map_is_found_in_another_of_the_same_place() -> None:
    whole, first, last = halves("rgbd")
    joint = joint_of(first, last)
    assert joint is not None and joint.pairs > 100 and joint.keyframes >= 2
    found, truth = joint.world_from_other, whole.true_pose(20)
    assert found.scale == 1.0
    # As well as either map is known
    assert np.linalg.norm(found.translation - truth.translation_m) < 0.02
    assert rotation_angle(found.rotation.T @ truth.rotation) < np.deg2rad(0.5)


def test_maps_of_one_camera_are_joined_with_their_scale() -> None:
    whole, first, last = halves("mono")
    joint = joint_of(first, last, scaled=True)
    assert joint is not None
    both = copied(first)
    join(both, copied(last), joint, config=RunConfig())
    row_of = {time_ns: row for row, time_ns in enumerate(whole.truth.times_ns.tolist())}
    records = list(both.keyframes.values())
    estimate = np.array([record.world_from_camera.translation_m for record in records])
    truth = np.array([whole.truth.positions_m[row_of[record.time_ns]] for record in records])
    from slamfront.geometry.align import align

    errors = np.linalg.norm(align(estimate, truth, "sim3").target_from_source.apply(estimate) - truth, axis=1)
    # The path is 1.7 m long, and one camera's scale drifts by a percent or two over it
    assert np.sqrt(np.mean(errors**2)) < 0.03


def test_the_joined_map_holds_both_and_common_landmarks_once() -> None:
    whole, first, last = halves("rgbd")
    joint = joint_of(first, last)
    assert joint is not None
    both, gone = copied(first), copied(last)
    fused = join(both, gone, joint, config=RunConfig())
    assert len(gone.keyframes) == len(gone.landmarks) == 0
    assert len(both.keyframes) == len(first.keyframes) + len(last.keyframes)
    assert fused > 50 and len(both.landmarks) == len(first.landmarks) + len(last.landmarks) - fused
    assert_consistent(both)
    rows = np.flatnonzero(both.landmarks.alive)
    ids, _ = both.keyframes_seeing(rows)
    of_last = both.keyframes[first.next_id + min(last.keyframes)]
    neighbours = both.covisible(of_last)
    assert (neighbours < first.next_id).any() and set(ids) == set(both.keyframes)
    for keyframe_id, record in first.keyframes.items():
        np.testing.assert_array_equal(
            both.keyframes[keyframe_id].world_from_camera.matrix(), record.world_from_camera.matrix()
        )
    row_of = {time_ns: row for row, time_ns in enumerate(whole.truth.times_ns.tolist())}
    for record in both.keyframes.values():
        true_place = whole.true_pose(row_of[record.time_ns]).translation_m
        assert np.linalg.norm(record.world_from_camera.translation_m - true_place) < 0.03


def test_maps_of_different_places_are_not_joined() -> None:
    _, first, _ = halves("rgbd")
    other = run_on(clip("corridor?speed=2", "rgbd", 20)).front.world
    assert joint_of(first, other) is None


def test_an_empty_map_is_not_joined() -> None:
    _, first, _ = halves("rgbd")
    empty = KeyframeMap(first.camera, first.landmarks.descriptors)
    assert joint_of(first, empty) is None and joint_of(empty, first) is None


@pytest.mark.parametrize("culled", [False, True])
def test_what_is_carried_into_another_world_keeps_its_shape(culled: bool) -> None:
    (world, _), (other, records) = chain(3), chain(4)
    if culled:
        other.remove_keyframe(records[1].id, records[2].id)
    other.remove_landmarks(records[0].landmark_rows[:4].copy())
    both = copied(world)
    rows = absorb(both, copied(other), MOVED)
    assert_consistent(both)
    np.testing.assert_array_equal(rows >= 0, other.landmarks.alive)
    assert both.next_id == world.next_id + other.next_id
    for keyframe_id in [*other.keyframes, *other.retired]:
        moved = both.world_from_keyframe(keyframe_id + world.next_id)
        expected = MOVED.apply_to_pose(other.world_from_keyframe(keyframe_id))
        np.testing.assert_allclose(moved.matrix(), expected.matrix(), atol=1e-12)
    for keyframe_id, record in other.keyframes.items():
        copy = both.keyframes[keyframe_id + world.next_id]
        seen = record.landmark_rows >= 0
        np.testing.assert_array_equal(copy.landmark_rows >= 0, seen)
        mine, theirs = copy.landmark_rows[seen], record.landmark_rows[seen]
        for name in ("descriptors", "patches", "anchor_xy", "anchor_scales", "observations", "seen", "expected"):
            np.testing.assert_array_equal(
                both.landmarks.values()[name][mine], other.landmarks.values()[name][theirs], err_msg=name
            )
        np.testing.assert_allclose(
            both.landmarks.positions_m[mine], MOVED.apply(other.landmarks.positions_m[theirs]), atol=1e-12
        )
        np.testing.assert_allclose(
            both.landmarks.anchor_distances_m[mine], 2 * other.landmarks.anchor_distances_m[theirs], rtol=1e-6
        )


def test_keyframes_keep_ids_that_are_not_taken() -> None:
    (world, _), other = chain(3), empty_map()
    other.void_ids(world.next_id, world.landmarks.most_uses)
    record = add_keyframe(other, x_m=1.0)
    add_landmarks(other, record, np.arange(5))
    mine, theirs = (set(m.landmarks.ids(np.flatnonzero(m.landmarks.alive)).tolist()) for m in (world, other))
    assert not mine & theirs
    absorb(world, other, MOVED)
    assert list(world.keyframes) == [0, 1, 2, 3] and world.keyframes[3] is record and world.next_id == 4
    assert not theirs & set(world.landmarks.ids(np.flatnonzero(world.landmarks.alive)).tolist())
    # Frames that hang on the keyframe follow the change of its unit of length
    assert world.scale(3) == MOVED.scale and world.scale(2) == 1.0


def test_maps_of_different_descriptors_are_not_joined() -> None:
    floats = KeyframeMap(chain(1)[0].camera, np.zeros((0, 256), np.float32))
    with pytest.raises(ValueError, match="different descriptors"):
        absorb(chain(2)[0], floats, MOVED)


def test_a_reunion_takes_two_keyframes_that_agree() -> None:
    _, first, last = halves("rgbd")
    kept, world = {0: first}, last
    places = PlaceIndex(packaged_vocabulary("orb"))
    places.update(first)
    reunion = MapMerger(places, GeometricVerifier(Nearest(), CONFIG.loops, CONFIG.tracker, "rgbd", 0), "rgbd", CONFIG)
    # The oldest keyframes of the last part show what the first part has
    one, two = list(world.keyframes.values())[:2]
    assert reunion.look(kept, world, one) is None
    found = reunion.look(kept, world, two)
    expected = joint_of(first, last)
    assert found is not None and found[0] == 0 and expected is not None
    shift = found[1].world_from_other.translation - expected.world_from_other.translation
    assert np.linalg.norm(shift) < 0.02
    assert reunion.look(kept, world, one) is not None
    reunion.restart()
    assert reunion.look(kept, world, two) is None
    last_one = max(world.keyframes.values(), key=lambda record: record.id)
    assert reunion.look(kept, world, last_one) is None
    assert reunion.look(kept, world, one) is None
