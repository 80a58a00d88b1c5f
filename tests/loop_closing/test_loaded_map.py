"""A front end in a map that was made before: found in it, only localised in it, and a front end made empty again."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from slamfront.build import build_front, resolve
from slamfront.config import KeyframeConfig, RunConfig
from slamfront.frontend import FrontEnd
from slamfront.map import KeyframeMap
from slamfront.map.arrays import to_arrays
from slamfront.map.files import MapHeader, load_map, save_map
from slamfront.pipeline import Disabled
from slamfront.protocols import Workers
from slamfront.types import Frame, State, Tracked
from tests.tracking.worlds import CONFIG, Clip, Run, blinded, clip, front_for, run_on

ONLY = replace(CONFIG, localize_only=True)
OFTEN = replace(CONFIG, keyframes=KeyframeConfig(max_interval=5, min_interval=1))


@pytest.fixture(scope="module")
def seen() -> Clip:
    return clip("room", "rgbd")


@pytest.fixture(scope="module")
def saved(seen: Clip, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The map of a run over the clip."""
    path = tmp_path_factory.mktemp("maps") / "room.map"
    save_map(run_on(seen, OFTEN).front.world, path, MapHeader("rgbd", "orb", "nearest"))
    return path


def front_in(path: Path, config: RunConfig, clip: Clip) -> FrontEnd:
    config = resolve(replace(config, sensor=clip.sensor, load_map=path))
    return build_front(config, clip.camera, clip.sensor, Workers(Disabled()))


def answers(front: FrontEnd, frames: list[Frame] | tuple[Frame, ...]) -> tuple[Tracked, ...]:
    return tuple(front.step(frame) for frame in frames)


def content(world: KeyframeMap) -> dict[str, np.ndarray]:
    return to_arrays(world)[1]


def assert_unchanged(before: dict[str, np.ndarray], after: dict[str, np.ndarray]) -> None:
    for name, values in before.items():
        np.testing.assert_array_equal(values, after[name], err_msg=name)


def elsewhere() -> tuple[Frame, ...]:
    """Return frames of a camera of the same kind in another place."""
    return clip("corridor?fov=64", "rgbd", 6).frames


# --- found in a map


@pytest.mark.parametrize("config", [CONFIG, ONLY], ids=["mapping", "only localised"])
def test_a_run_is_lost_until_it_knows_a_place_of_the_loaded_map(seen: Clip, saved: Path, config: RunConfig) -> None:
    front = front_in(saved, config, seen)
    frames = [*blinded(seen.frames[:3], range(3)), *seen.frames[3:]]
    run = Run(front, answers(front, frames), seen)
    assert run.states[:4] == [State.LOST] * 3 + [State.RELOCALIZED]
    assert set(run.states[4:]) == {State.TRACKING}
    assert run.answers[0].reason and run.answers[0].online_world_from_camera is None
    # As well as the frames that made the map
    assert run.errors_m().max() < 0.01


def test_a_found_run_goes_on_with_the_map_and_its_ids(seen: Clip, saved: Path) -> None:
    front = front_in(saved, OFTEN, seen)
    old = set(front.world.keyframes)
    first = front.world.next_id
    assert front.first_own_id == first
    tracked = answers(front, seen.frames)
    new = set(front.world.keyframes) - old
    assert any(answer.is_keyframe for answer in tracked) and new and min(new) >= first


@pytest.mark.parametrize("config", [CONFIG, ONLY], ids=["mapping", "only localised"])
def test_what_is_not_in_the_map_leaves_it_whole(seen: Clip, saved: Path, config: RunConfig) -> None:
    front = front_in(saved, config, seen)
    before = content(front.world)
    for answer in answers(front, elsewhere()):
        assert answer.state is State.LOST and "no keyframe shows this view" in answer.reason
    assert_unchanged(before, content(front.world))
    assert answers(front, seen.frames[5:6])[0].state is State.RELOCALIZED


def test_a_small_map_of_one_camera_is_not_given_up_as_a_false_start(tmp_path: Path) -> None:
    mono = clip("room?speed=2", "mono")
    world = run_on(mono, replace(CONFIG, keyframes=KeyframeConfig(max_interval=1000, tracked_ratio=0.0))).front.world
    for gone in sorted(world.keyframes)[3:]:
        world.remove_keyframe(gone, min(world.keyframes))
    path = tmp_path / "small.map"
    save_map(world, path, MapHeader("mono", "orb", "nearest"))
    front = front_in(path, CONFIG, mono)
    count = front.keyframe_count
    answers(front, blinded(mono.frames[:5], range(5)))
    assert 1 < count <= 3 and front.keyframe_count == count
    assert answers(front, mono.frames[5:6])[0].state is State.RELOCALIZED


# --- only localised


def test_localising_never_changes_the_map(seen: Clip, saved: Path, tmp_path: Path) -> None:
    front = front_in(saved, ONLY, seen)
    called = []
    front.listeners.append(lambda *_: called.append(1))
    # Lost and found again on the way
    frames = blinded(clip("room?noise=1&exposure=0.3", "rgbd").frames, range(10, 13))
    tracked = answers(front, frames)
    front.finish()
    assert [answer.state for answer in tracked].count(State.LOST) >= 3
    assert sum(answer.online_world_from_camera is not None for answer in tracked) >= 25
    assert not any(answer.is_keyframe for answer in tracked) and not called
    save_map(front.world, tmp_path / "after.map", load_map(saved)[1])
    assert (tmp_path / "after.map").read_bytes() == saved.read_bytes()


def test_a_lost_frame_has_no_pose_and_no_covariance_and_weak_poses_have_a_large_one(seen: Clip, saved: Path) -> None:
    front = front_in(saved, ONLY, seen)
    good = answers(front, seen.frames[:5])[-1]
    lost = answers(front, blinded(seen.frames[5:6], [0]))[0]
    assert lost.state is State.LOST and lost.reason
    assert (lost.covariance, lost.reference_id, lost.reference_from_camera, lost.online_world_from_camera) == (
        None,
    ) * 4
    front.world.remove_landmarks(np.flatnonzero(front.world.landmarks.alive)[::2])
    front.world.remove_landmarks(np.flatnonzero(front.world.landmarks.alive)[::2])
    weak = answers(front, seen.frames[6:9])[-1]
    assert weak.covariance is not None and good.covariance is not None
    assert weak.inliers < good.inliers
    assert np.trace(weak.covariance) > 1.5 * np.trace(good.covariance)


def test_a_reset_of_a_localiser_keeps_its_map(seen: Clip, saved: Path) -> None:
    front = front_in(saved, ONLY, seen)
    before = content(front.world)
    answers(front, seen.frames[:5])
    front.reset()
    assert_unchanged(before, content(front.world))
    assert answers(front, seen.frames[20:21])[0].state is State.RELOCALIZED


# --- empty again


def test_a_reset_frees_everything(seen: Clip) -> None:
    front = front_for(seen, OFTEN)
    for frame in seen.frames:
        front.step(replace(frame, image=frame.image.copy()))
    world, view = front.world, front.view
    assert view is not None and len(world.keyframes) > 4
    images = [record.image for record in world.keyframes.values()]
    points = [record.features.keypoints_xy for record in world.keyframes.values()]
    held = [weakref.ref(one) for one in (view, world.landmarks, *images, *points)]
    del images, points
    small = KeyframeMap(world.camera, world.landmarks.descriptors)
    del view
    front.reset()
    gc.collect()
    assert [reference() for reference in held] == [None] * len(held)
    assert (front.keyframe_count, front.landmark_count, len(world.retired)) == (0, 0, 0)
    assert _bytes(world) <= _bytes(small)


def _bytes(world: KeyframeMap) -> int:
    arrays = [*vars(world.landmarks).values(), *vars(world).values()]
    return sum(value.nbytes for value in arrays if isinstance(value, np.ndarray))


@pytest.mark.parametrize("sensor", ["rgbd", "mono"])
def test_a_front_end_that_was_reset_works_as_a_new_one_with_new_ids(sensor: str) -> None:
    room = clip("room?speed=2", sensor)  # type: ignore[arg-type]
    front = front_for(room)
    first = answers(front, room.frames)
    ids = set(front.world.keyframes)
    landmark_ids = set(front.world.landmarks.ids(np.flatnonzero(front.world.landmarks.alive)).tolist())
    front.reset()
    second = answers(front, room.frames)
    assert [a.state for a in first] == [a.state for a in second]
    assert [a.is_keyframe for a in first] == [a.is_keyframe for a in second]
    for a, b in zip(first, second, strict=True):
        if a.online_world_from_camera is not None and b.online_world_from_camera is not None:
            np.testing.assert_array_equal(a.online_world_from_camera.matrix(), b.online_world_from_camera.matrix())
    assert not ids & set(front.world.keyframes)
    new = front.world.landmarks.ids(np.flatnonzero(front.world.landmarks.alive)).tolist()
    assert not landmark_ids & set(new)


def test_a_reset_before_the_first_frame_does_nothing(seen: Clip) -> None:
    front = front_for(seen)
    front.reset()
    assert front.step(seen.frames[0]).state is State.TRACKING
