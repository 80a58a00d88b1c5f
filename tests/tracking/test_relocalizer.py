from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from slamfront.config import KeyframeConfig
from slamfront.map import KeyframeMap
from slamfront.matching.nearest import Nearest
from slamfront.tracking.locator import Locator
from slamfront.tracking.motion import ConstantVelocity
from slamfront.tracking.relocalizer import Relocalizer, spread
from slamfront.tracking.view import View
from slamfront.types import Features, Matches
from tests.tracking.worlds import CONFIG, Clip, blinded, clip, run_on, view_of


@pytest.fixture(scope="module")
def seen() -> Clip:
    return clip("room", "rgbd")


@pytest.fixture(scope="module")
def world(seen: Clip) -> KeyframeMap:
    """The map of a run, with a keyframe every few frames."""
    config = replace(CONFIG, keyframes=KeyframeConfig(max_interval=3, min_interval=1, cull_redundancy=1.1))
    world = run_on(seen, config).front.world
    assert len(world.keyframes) >= 8
    return world


class Counting:
    """A matcher that counts its calls."""

    def __init__(self) -> None:
        self.calls, self._nearest = 0, Nearest()

    def match(self, first: Features, second: Features) -> Matches:
        self.calls += 1
        return self._nearest.match(first, second)


class Always:
    """A ranking that knows one keyframe."""

    def __init__(self, keyframe_id: int) -> None:
        self._keyframe_id = keyframe_id

    def ranked(self, view: View, worlds: Sequence[KeyframeMap], count: int) -> list[int]:
        return [self._keyframe_id]

    def restart(self) -> None:
        pass


@pytest.mark.parametrize("row", [0, 7, 15, 29])
def test_a_view_of_what_was_mapped_is_found(seen: Clip, world: KeyframeMap, row: int) -> None:
    relocalizer, view = Relocalizer(Nearest(), CONFIG.tracker, 0), view_of(seen.frames[row])
    for _ in range(10):
        found = relocalizer.locate(view, world)
        if not isinstance(found, str):
            break
    assert found in world.keyframes
    assert len(view.landmark_rows) >= 30 and world.landmarks.alive[view.landmark_rows].all()
    place = view.pose.inverse().translation_m
    # Keypoints as detected, to a pixel or two: near enough to be refined
    assert np.linalg.norm(place - seen.true_pose(row).translation_m) < 0.03


def test_a_view_of_nothing_is_not_found(seen: Clip, world: KeyframeMap) -> None:
    relocalizer, view = Relocalizer(Nearest(), CONFIG.tracker, 0), view_of(blinded(seen.frames[:1], [0])[0])
    for _ in range(5):
        reason = relocalizer.locate(view, world)
        assert isinstance(reason, str) and "no keyframe shows this view" in reason
        assert view.camera_from_world is None and len(view.landmark_rows) == 0


def test_a_view_of_noise_is_not_found(seen: Clip, world: KeyframeMap) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (240, 320), np.uint8)
    relocalizer, view = Relocalizer(Nearest(), CONFIG.tracker, 0), view_of(replace(seen.frames[0], image=noise))
    for _ in range(5):
        reason = relocalizer.locate(view, world)
        assert isinstance(reason, str) and "no keyframe shows this view" in reason
        assert view.camera_from_world is None and len(view.landmark_rows) == 0


def test_a_lost_frame_costs_a_few_keyframes_and_all_have_their_turn(seen: Clip, world: KeyframeMap) -> None:
    matcher = Counting()
    relocalizer, view = Relocalizer(matcher, CONFIG.tracker, 0), view_of(blinded(seen.frames[:1], [0])[0])
    relocalizer.locate(view, world)
    a_frame = matcher.calls
    assert 1 <= a_frame <= 5 < len(world.keyframes)


def test_the_search_goes_back_through_the_map_and_begins_anew_when_told(world: KeyframeMap) -> None:
    asked: list[int] = []
    at = {id(record.features): record.id for record in world.keyframes.values()}

    class Asked:
        def match(self, first: Features, second: Features) -> Matches:
            asked.append(at[id(first)])
            return Matches.empty()

    relocalizer, view = Relocalizer(Asked(), CONFIG.tracker, 0), view_of(clip("room", "rgbd").frames[0])
    for _ in range(len(world.keyframes)):
        relocalizer.locate(view, world)
    count = len(world.keyframes)
    assert asked[:count] == sorted(world.keyframes, reverse=True)
    asked.clear()
    relocalizer.restart()
    relocalizer.locate(view, world)
    assert asked[0] == max(world.keyframes)


def test_an_empty_map_has_nothing_to_find(seen: Clip, world: KeyframeMap) -> None:
    empty = KeyframeMap(world.camera, np.zeros((0, 32), np.uint8))
    assert isinstance(Relocalizer(Nearest(), CONFIG.tracker, 0).locate(view_of(seen.frames[0]), empty), str)


def test_a_better_ranking_saves_the_search(seen: Clip, world: KeyframeMap) -> None:
    first = min(world.keyframes)
    relocalizer = Relocalizer(Nearest(), CONFIG.tracker, 0, Always(first))
    assert relocalizer.locate(view_of(seen.frames[0]), world) == first


def test_spread_is_that_across_the_line_where_pixels_lie_on_one() -> None:
    square = np.random.default_rng(0).uniform(-20, 20, (1000, 2))
    assert spread(square) == pytest.approx(40 / np.sqrt(12), rel=0.05)
    assert spread(np.column_stack([np.arange(100), np.arange(100) / 3])) < 1e-5
    assert spread(square[:1]) == 0.0


def test_inliers_in_one_spot_place_nothing(seen: Clip, world: KeyframeMap) -> None:
    view, few = view_of(seen.frames[0]), replace(CONFIG.tracker, min_inliers=4)
    xy = view.features.keypoints_xy
    # The square of 40 px that holds most keypoints
    inside = np.abs(xy[:, None] - xy).max(axis=2) < 20
    view.__dict__["features"] = view.features.take(inside[inside.sum(axis=1).argmax()])
    found = Relocalizer(Nearest(), few, 0, Always(min(world.keyframes))).locate(view, world)
    assert isinstance(found, str) and "all in one spot" in found
    view = view_of(seen.frames[0])
    assert Relocalizer(Nearest(), few, 0, Always(min(world.keyframes))).locate(view, world) == min(world.keyframes)


def test_a_view_of_which_a_keyframe_shows_one_spot_is_not_placed_by_it(seen: Clip, world: KeyframeMap) -> None:
    """As a doorway seen from two rooms: it says little about where the camera is."""
    locator, keyframe = Locator(Nearest(), replace(CONFIG.tracker, min_inliers=4), 0), world.keyframes[0]
    view = view_of(seen.frames[0])
    assert locator.locate(view, None, world, keyframe, ConstantVelocity())
    xy = view.features.keypoints_xy
    inside = np.abs(xy[:, None] - xy).max(axis=2) < 25
    spot = view_of(seen.frames[0])
    spot.__dict__["features"] = view.features.take(inside[inside.sum(axis=1).argmax()])
    assert not locator.locate(spot, None, world, keyframe, ConstantVelocity())
