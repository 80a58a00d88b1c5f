from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from slamfront.config import CullingConfig, KeyframeConfig
from slamfront.geometry.pose import Pose
from slamfront.map import KeyframeMap, KeyframeRecord
from slamfront.mapping.keyframes import KeyframePolicy, cull_collapsed, cull_keyframes, cull_landmarks
from slamfront.tracking.view import View
from slamfront.types import Frame
from tests.map.worlds import CAMERA, add_keyframe, add_landmarks, assert_consistent, empty_map
from tests.tracking.worlds import view_of

CONFIG = KeyframeConfig(max_interval=30, min_interval=3)
COUNT = 200


@pytest.fixture
def world() -> KeyframeMap:
    """A map with one keyframe at the origin that sees 200 landmarks at 4 m."""
    world = empty_map()
    add_landmarks(world, add_keyframe(world, COUNT), np.arange(COUNT))
    return world


def reference(world: KeyframeMap) -> KeyframeRecord:
    return world.keyframes[0]


def showing(world: KeyframeMap, rows: np.ndarray, camera_from_world: Pose | None = None, measures: bool = True) -> View:
    """Return a tracked view that shows landmarks where its pose puts them, of a frame with depth or without."""
    size = CAMERA.height, CAMERA.width
    depth_m = np.full(size, 4.0, np.float32) if measures else None
    view = view_of(Frame(0, 0, np.zeros(size, np.uint8), CAMERA, depth_m=depth_m), "rgbd")
    assert view.depth_source.measures == measures
    view.camera_from_world = camera_from_world or Pose.identity()
    xy = CAMERA.project(view.camera_from_world.apply(world.landmarks.positions_m[rows]))
    inside = CAMERA.contains(xy)
    view.observe(rows[inside], xy[inside], 0.5)
    return view


def everything(world: KeyframeMap) -> np.ndarray:
    return np.flatnonzero(world.landmarks.alive)


def due(policy: KeyframePolicy, world: KeyframeMap, view: View, times: int, idle: bool = True) -> list[bool]:
    return [policy.due(view, world, reference(world), idle) for _ in range(times)]


def test_the_same_view_again_is_no_keyframe(world: KeyframeMap) -> None:
    view = showing(world, everything(world))
    assert not any(due(KeyframePolicy(CONFIG, COUNT), world, view, 20))


def test_the_same_view_is_one_after_a_while_if_the_backend_is_idle(world: KeyframeMap) -> None:
    view = showing(world, everything(world))
    assert due(KeyframePolicy(CONFIG, COUNT), world, view, 30) == [False] * 29 + [True]
    assert not any(due(KeyframePolicy(CONFIG, COUNT), world, view, 100, idle=False))


def test_the_count_begins_anew_after_a_keyframe(world: KeyframeMap) -> None:
    policy, view = KeyframePolicy(CONFIG, COUNT), showing(world, everything(world))
    assert np.flatnonzero(due(policy, world, view, 90)).tolist() == [29, 59, 89]


def test_losing_a_part_of_the_landmarks_makes_a_keyframe(world: KeyframeMap) -> None:
    policy, rows = KeyframePolicy(CONFIG, COUNT), everything(world)
    due(policy, world, showing(world, rows), 5)
    # Spread over the image, so that it is their number that counts
    most, some = rows[np.arange(COUNT) % 10 > 0], rows[::2]
    assert due(policy, world, showing(world, most), 1) == [False]
    assert due(policy, world, showing(world, some), 1) == [True]


def test_a_bare_side_of_the_image_makes_a_keyframe(world: KeyframeMap) -> None:
    """Landmarks may be many and yet all on one side, as when the camera turns away from them."""
    policy, rows = KeyframePolicy(CONFIG, COUNT), everything(world)
    left = rows[world.landmarks.positions_m[rows, 0] < 0]
    rng = np.random.default_rng(0)
    extra = world.landmarks.take_rows(COUNT)
    world.landmarks.positions_m[extra] = rng.uniform([-2.2, -1.8, 4], [-0.2, 1.8, 4.1], (COUNT, 3))
    due(policy, world, showing(world, rows), 5)
    assert due(policy, world, showing(world, np.r_[left, extra]), 1) == [True]


@pytest.mark.parametrize("twist", [[0, 0.3, 0, 0, 0, 0], [0, 0, 0, 0.6, 0, 0]], ids=["17 degrees", "1/7 of the depth"])
def test_seeing_things_from_elsewhere_makes_a_keyframe(world: KeyframeMap, twist: list[float]) -> None:
    view = showing(world, everything(world), Pose.exp(twist))
    assert due(KeyframePolicy(CONFIG, COUNT), world, view, 3)[-1]


@pytest.mark.parametrize("twist", [[0, 0.1, 0, 0, 0, 0], [0, 0, 0, 0.1, 0, 0]], ids=["6 degrees", "1/40 of the depth"])
def test_a_small_motion_makes_no_keyframe(world: KeyframeMap, twist: list[float]) -> None:
    view = showing(world, everything(world), Pose.exp(twist))
    assert not any(due(KeyframePolicy(CONFIG, COUNT), world, view, 10))


def test_keyframes_keep_their_distance_unless_tracking_is_weak(world: KeyframeMap) -> None:
    rows, moved = everything(world), Pose.exp([0, 0, 0, 0.6, 0, 0])
    assert due(KeyframePolicy(CONFIG, COUNT), world, showing(world, rows, moved), 3) == [False, False, True]
    weak = KeyframePolicy(CONFIG, COUNT)
    due(weak, world, showing(world, rows), 1)
    assert due(weak, world, showing(world, rows[::8]), 1) == [True]


def test_a_view_from_aside_that_shows_little_of_the_keyframe_at_once_is_one(world: KeyframeMap) -> None:
    """In fast motion the first view after a keyframe may be the last that shows anything of it."""
    rows, aside = everything(world), Pose.exp([0, 0.15, 0, 0, 0, 0])
    assert due(KeyframePolicy(CONFIG, COUNT), world, showing(world, rows[::5], aside), 1) == [True]
    assert due(KeyframePolicy(CONFIG, COUNT), world, showing(world, rows[::2], aside), 1) == [False]
    assert due(KeyframePolicy(CONFIG, COUNT // 2), world, showing(world, rows[::5], aside), 1) == [False], "all sought"


def test_a_blurred_view_is_none(world: KeyframeMap) -> None:
    """It stands where the keyframe does, so what it lacks a keyframe of it would lack as well."""
    assert due(KeyframePolicy(CONFIG, COUNT), world, showing(world, everything(world)[::5]), 1) == [False]


def test_a_view_that_lacks_depth_leaves_a_keyframe_to_the_next_one(world: KeyframeMap) -> None:
    policy, rows, moved = KeyframePolicy(CONFIG, COUNT), everything(world), Pose.exp([0, 0, 0, 0.6, 0, 0])
    lacking, whole = (showing(world, rows, moved, measures) for measures in (False, True))
    assert due(policy, world, lacking, 5) == [False] * 5
    assert due(policy, world, whole, 1) == [True]
    # What is due only by the count waits as well, however long
    still = showing(world, rows, measures=False)
    assert not any(due(policy, world, still, 2 * CONFIG.max_interval))
    assert due(policy, world, showing(world, rows), 1) == [True]


def test_a_view_that_lacks_depth_is_a_keyframe_where_tracking_is_weak(world: KeyframeMap) -> None:
    policy, rows = KeyframePolicy(CONFIG, COUNT), everything(world)
    due(policy, world, showing(world, rows), 1)
    assert due(policy, world, showing(world, rows[::8], measures=False), 1) == [True]


def test_a_single_camera_lacks_nothing(world: KeyframeMap) -> None:
    single = KeyframeMap(replace(CAMERA, baseline_m=None), np.zeros((0, 32), np.uint8))
    add_landmarks(single, add_keyframe(single, COUNT), np.arange(COUNT))
    moved = showing(single, everything(single), Pose.exp([0, 0, 0, 0.6, 0, 0]), measures=False)
    assert due(KeyframePolicy(CONFIG, COUNT), single, moved, 3) == [False, False, True]


# --- culling


def redundant_map(length: int = 8) -> KeyframeMap:
    """Return a map of keyframes that all see the same landmarks."""
    world = empty_map()
    rows = add_landmarks(world, add_keyframe(world, 40), np.arange(40))
    for i in range(1, length):
        add_keyframe(world, 40, rows, 0.05 * i, seed=i)
    return world


def test_keyframes_that_show_nothing_of_their_own_are_culled() -> None:
    world = redundant_map()
    poses = {k: r.world_from_camera.matrix() for k, r in world.keyframes.items()}
    removed = cull_keyframes(world, world.keyframes[7], CONFIG)
    assert len(removed) >= 2
    assert set(world.keyframes) | set(removed.tolist()) == set(range(8))
    assert 0 in world.keyframes, "the first holds the world in place"
    assert {6, 7} <= set(world.keyframes), "the newest are still needed"
    assert world.landmarks.observations[everything(world)].min() >= 3
    for keyframe_id in removed.tolist():
        np.testing.assert_allclose(world.world_from_keyframe(keyframe_id).matrix(), poses[keyframe_id], atol=1e-12)
    assert_consistent(world)


def test_keyframes_that_show_something_of_their_own_stay() -> None:
    world = empty_map()
    rows = add_landmarks(world, add_keyframe(world, 80), np.arange(40))
    for i in range(1, 8):
        keyframe = add_keyframe(world, 80, rows, 0.05 * i, seed=i)
        add_landmarks(world, keyframe, np.arange(40, 60))
    assert len(cull_keyframes(world, world.keyframes[7], CONFIG)) == 0


def test_of_a_crowd_at_one_place_the_most_redundant_go() -> None:
    world = empty_map()
    rows = add_landmarks(world, add_keyframe(world, 80), np.arange(40))
    for i in range(1, 12):
        keyframe = add_keyframe(world, 80, rows, 0.05 * i, seed=i)
        add_landmarks(world, keyframe, np.arange(40, 40 + (5 if i % 2 else 20)))
    removed = cull_keyframes(world, world.keyframes[11], replace(CONFIG, max_neighbours=8))
    assert len(removed) == 3
    assert set(removed.tolist()) < {1, 3, 5, 7}, "those with the fewest landmarks of their own"
    assert len(world.covisible(world.keyframes[11])) == 8
    assert_consistent(world)


def test_culling_in_a_young_map_removes_nothing() -> None:
    world = redundant_map(3)
    assert len(cull_keyframes(world, world.keyframes[2], CONFIG)) == 0


def aged_map() -> tuple[KeyframeMap, np.ndarray]:
    """Return a map of five keyframes and 20 landmarks, only the first half of which was seen again."""
    world = empty_map()
    add_keyframe(world, 40)
    rows = add_landmarks(world, add_keyframe(world, 40, seed=1), np.arange(20))
    for i in range(2, 5):
        add_keyframe(world, 40, rows[:10], 0.1 * i, seed=i)
    world.landmarks.seen[rows] = np.r_[np.full(10, 9), np.full(10, 2)]
    world.landmarks.expected[rows] = 10
    return world, rows


def test_landmarks_that_were_hardly_found_again_are_culled() -> None:
    world, rows = aged_map()
    ids = world.landmarks.ids(rows)
    cull_landmarks(world, 4, config=CullingConfig())
    np.testing.assert_array_equal(world.landmarks.rows(ids) >= 0, np.arange(20) < 10)
    assert_consistent(world)


def test_new_landmarks_are_given_time_to_prove_themselves() -> None:
    world, _ = aged_map()
    rows = add_landmarks(world, world.keyframes[4], np.arange(10, 20))
    world.landmarks.expected[rows] = 1
    cull_landmarks(world, 4, config=CullingConfig())
    assert world.landmarks.alive[rows].all()


def test_landmarks_that_proved_themselves_are_kept_when_out_of_sight() -> None:
    world, rows = aged_map()
    for i in range(5, 40):
        add_keyframe(world, 5, x_m=0.1 * i)
        cull_landmarks(world, i, config=CullingConfig())
    assert world.landmarks.alive[rows[:10]].all()


def test_landmarks_that_proved_themselves_and_are_seldom_found_for_long_are_culled() -> None:
    world, rows = aged_map()
    cull_landmarks(world, 4, config=CullingConfig())
    kept, bad = rows[:10], rows[:5]
    world.landmarks.expected[bad] = 29
    world.landmarks.seen[bad] = 7
    cull_landmarks(world, 100, config=CullingConfig())
    assert world.landmarks.alive[kept].all(), "a few frames do not outweigh what it showed before"
    world.landmarks.expected[bad] = 40
    cull_landmarks(world, 101, config=CullingConfig())
    np.testing.assert_array_equal(world.landmarks.alive[kept], np.arange(10) >= 5)


def test_landmarks_that_were_drawn_onto_the_camera_are_culled(world: KeyframeMap) -> None:
    rows = everything(world)
    collapsed, near = rows[:5], rows[5:10]
    # Scaled about the camera, which is the origin, they are seen where they were
    world.landmarks.positions_m[collapsed] *= 0.01
    world.landmarks.positions_m[near] *= 0.1
    cull_collapsed(world, reference(world), config=CullingConfig())
    assert everything(world).tolist() == rows[5:].tolist()
    assert_consistent(world)
