from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from slamfront.config import KeyframeConfig, MotionConfig, PoseConfig
from slamfront.geometry.camera import Camera
from slamfront.geometry.pose import Pose
from slamfront.loop_closing.relocalizer import Relocalizer
from slamfront.map import KeyframeMap
from slamfront.matching.nearest import Nearest
from slamfront.solve.pnp import PixelObservations, is_determined, refine_pose
from slamfront.tracking.locator import Locator
from slamfront.tracking.motion import MotionFilter
from slamfront.tracking.view import View
from slamfront.types import Features, Frame, Matches
from tests.tracking.worlds import CONFIG, Clip, blinded, clip, run_on, view_of


@pytest.fixture(scope="module")
def seen() -> Clip:
    return clip("room", "rgbd")


@pytest.fixture(scope="module")
def world(seen: Clip) -> KeyframeMap:
    """The map of a run, with a keyframe every few frames."""
    config = replace(CONFIG, keyframes=KeyframeConfig(max_interval=3, min_interval=1, cull_redundancy=1.0))
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


def square_of(frame: Frame, side_px: float) -> View:
    """Return a view of a frame that has only the features of the square of a side that holds most of them."""
    view = view_of(frame)
    xy = view.features.keypoints_xy
    inside = np.abs(xy[:, None] - xy).max(axis=2) < side_px / 2
    view.__dict__["features"] = view.features.take(inside[inside.sum(axis=1).argmax()])
    return view


def determined(landmarks_m: np.ndarray) -> bool:
    """Return whether landmarks (N,3), in the camera's axes, determine its pose, seen with half a pixel of noise."""
    camera = Camera("pinhole", 640, 480, 500.0, 500.0, 320.0, 240.0)
    noise = np.random.default_rng(1).normal(0, 0.5, (len(landmarks_m), 2))
    unknown, sigmas_px = np.full(len(landmarks_m), np.nan), np.full(len(landmarks_m), 0.5)
    seen = PixelObservations(landmarks_m, camera.project(landmarks_m) + noise, unknown, sigmas_px)
    estimate = refine_pose(Pose.identity(), seen, camera, config=PoseConfig())
    assert estimate is not None and estimate.inliers.mean() > 0.9
    return is_determined(estimate.covariance, estimate.depth_m, CONFIG.tracker)


def test_landmarks_all_over_the_image_determine_a_pose_and_those_of_a_small_distant_object_do_not() -> None:
    rng = np.random.default_rng(0)
    count = 2 * CONFIG.tracker.min_inliers
    assert determined(rng.uniform([-2.5, -1.8, 4.0], [2.5, 1.8, 8.0], (count, 3)))
    # 30 cm at 20 m, 7 px wide: moving aside looks like turning
    assert not determined(rng.uniform([-0.15, -0.15, 19.85], [0.15, 0.15, 20.15], (count, 3)))


def test_an_object_that_fills_the_image_determines_a_pose() -> None:
    rng = np.random.default_rng(0)
    assert determined(rng.uniform([-0.15, -0.15, 0.35], [0.15, 0.15, 0.65], (2 * CONFIG.tracker.min_inliers, 3)))


def test_landmarks_along_a_line_do_not_determine_a_pose() -> None:
    along = np.random.default_rng(0).uniform(-1.0, 1.0, (2 * CONFIG.tracker.min_inliers, 1))
    assert not determined(along * (2.0, 0.5, 0.0) + (0.0, 0.0, 5.0))


def test_inliers_in_one_spot_place_nothing(seen: Clip, world: KeyframeMap) -> None:
    few, first = replace(CONFIG.tracker, min_inliers=4), min(world.keyframes)
    spot = square_of(seen.frames[0], 20)
    found = Relocalizer(Nearest(), few, 0, Always(first)).locate(spot, world)
    fitting = re.search(r"fits best with (\d+) landmarks, which leave its place open", str(found))
    assert fitting is not None and int(fitting[1]) >= 2 * few.min_inliers, "so that it is not for their number"
    assert spot.camera_from_world is None


def test_a_spot_that_determines_a_pose_is_enough(seen: Clip, world: KeyframeMap) -> None:
    """Its landmarks lie at several depths: the covariance decides, and not how much of the image they fill."""
    few, first = replace(CONFIG.tracker, min_inliers=4), min(world.keyframes)
    spot = square_of(seen.frames[0], 50)
    assert Relocalizer(Nearest(), few, 0, Always(first)).locate(spot, world) == first
    assert spot.measured is not None
    error_m = np.linalg.norm(spot.pose.inverse().translation_m - seen.true_pose(0).translation_m)
    # Three of the deviations that are allowed
    assert error_m < 3 * few.max_position_sigma * spot.measured.depth_m


def test_a_view_of_which_a_keyframe_shows_one_spot_is_not_placed_by_it(seen: Clip, world: KeyframeMap) -> None:
    """As a doorway seen from two rooms: it says little about where the camera is."""
    locator, keyframe = Locator(Nearest(), replace(CONFIG.tracker, min_inliers=4), 0), world.keyframes[0]
    assert locator.locate(view_of(seen.frames[0]), None, world, keyframe, MotionFilter(MotionConfig()))
    assert not locator.locate(square_of(seen.frames[0], 20), None, world, keyframe, MotionFilter(MotionConfig()))
