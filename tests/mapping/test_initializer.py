from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from slamfront.config import ExtractorConfig
from slamfront.features.classical import Orb
from slamfront.geometry.pose import rotation_angle
from slamfront.map import KeyframeMap
from slamfront.mapping.initializer import FirstPair, Initializer
from slamfront.mapping.landmarks import first_map
from slamfront.matching.nearest import Nearest
from slamfront.tracking.view import View
from tests.map.worlds import assert_consistent
from tests.tracking.worlds import CONFIG, Clip, blinded, clip, view_of

MANY = replace(CONFIG, tracker=replace(CONFIG.tracker, max_landmarks=500))


@pytest.fixture(scope="module")
def seen() -> Clip:
    return clip("room", "mono")


def initializer(seen: Clip) -> Initializer:
    return Initializer(Nearest(), seen.camera, 0, CONFIG.tracker)


def first_pair(seen: Clip, policy: Initializer | None = None) -> tuple[int, FirstPair]:
    """Return the first pair of a clip, and the row of its second frame."""
    policy = policy or initializer(seen)
    for row, frame in enumerate(seen.frames):
        found = policy.try_view(view_of(frame))
        if isinstance(found, FirstPair):
            return row, found
    raise AssertionError("no frame made a pair with the first")


def test_the_first_view_waits_for_a_second(seen: Clip) -> None:
    assert initializer(seen).try_view(view_of(seen.frames[0])) == "waiting for a second view"


def test_a_pair_with_parallax_gives_the_true_motion(seen: Clip) -> None:
    row, pair = first_pair(seen)
    assert 0 < row < 10
    second_from_first = seen.true_pose(row).inverse()
    turn = pair.geometry.second_from_first.rotation @ second_from_first.rotation.T
    assert rotation_angle(turn) < np.deg2rad(0.3)
    direction = second_from_first.translation_m / np.linalg.norm(second_from_first.translation_m)
    # Parallax is a few pixels when the pair is taken, known to a fraction of one
    assert np.arccos(min(1.0, direction @ pair.geometry.second_from_first.translation_m)) < np.deg2rad(5)


def test_a_pair_makes_a_map_of_two_keyframes_with_a_median_depth_of_one(seen: Clip) -> None:
    row, pair = first_pair(seen)
    world = KeyframeMap(seen.camera, pair.first.features.descriptors)
    second = first_map(world, pair, config=MANY)
    assert list(world.keyframes) == [0, 1] and second.id == 1
    assert [k.time_ns for k in world.keyframes.values()] == [seen.frames[0].time_ns, seen.frames[row].time_ns]
    marks = world.landmarks
    shared = marks.alive & (marks.observations == 2)
    # Landmarks are looked for beyond those that match
    assert shared.sum() > 1.5 * pair.geometry.inliers.sum()
    # Every other feature is a direction, of which one keyframe knows
    assert len(marks) == sum(len(keyframe.features) for keyframe in world.keyframes.values()) - shared.sum()
    assert np.median(marks.positions_m[shared, 2]) == pytest.approx(1.0, abs=0.05)
    assert_consistent(world)
    # Depths are true up to one scale
    points = marks.positions_m[shared]
    x, y = np.rint(seen.camera.project(points)).astype(int).T
    depth = clip("room", "rgbd").frames[0].depth_m
    assert depth is not None
    ratio = points[:, 2] / depth[y, x]
    assert np.median(np.abs(ratio / np.median(ratio) - 1)) < 0.05


def test_the_views_between_a_pair_are_placed_on_the_way_from_one_to_the_other() -> None:
    slow = clip("room?speed=0.5", "mono", 40)
    policy = initializer(slow)
    row, pair = first_pair(slow, policy)
    assert row > 3
    world = KeyframeMap(slow.camera, pair.first.features.descriptors)
    first_map(world, pair, config=MANY)
    seen = world.landmarks.seen.copy()
    placed = policy.look_back(world, pair)
    assert [view.frame.id for view in placed] == [frame.id for frame in reversed(slow.frames[:row])]
    for view in placed:
        truth = slow.true_pose(view.frame.id).inverse()
        assert rotation_angle(view.pose.rotation @ truth.rotation.T) < np.deg2rad(0.3)
    # What was seen on the way proves landmarks as tracking does
    assert (world.landmarks.seen - seen).max() == row - 1


def test_a_view_without_keypoints_starts_anew_and_says_how_few_match(seen: Clip) -> None:
    policy = initializer(seen)
    policy.try_view(view_of(seen.frames[0]))
    reason = policy.try_view(view_of(blinded(seen.frames[:2], [1])[1]))
    assert isinstance(reason, str) and reason.startswith("0 matches")
    # The black view is the first one now, so that nothing matches it either, and then this one is
    assert isinstance(policy.try_view(view_of(seen.frames[2])), str)
    assert any(isinstance(policy.try_view(view_of(frame)), FirstPair) for frame in seen.frames[3:14])


@pytest.mark.parametrize("name", ["still", "rotation?speed=2.5"])
def test_a_camera_without_parallax_makes_no_pair(name: str) -> None:
    without = clip(name, "rgbd", 20)
    policy = initializer(without)
    reasons = [policy.try_view(view_of(replace(frame, depth_m=None))) for frame in without.frames[:8]]
    assert all(isinstance(reason, str) for reason in reasons)
    assert all("parallax" in str(reason) for reason in reasons[1:])


def test_a_view_that_stood_too_long_is_given_up(seen: Clip) -> None:
    """A camera that stands for minutes and then moves should not be held to its first view for ever."""
    few = Orb(ExtractorConfig(max_keypoints=150))
    policy, view = initializer(seen), view_of(seen.frames[0], extractor=few)
    answers = [policy.try_view(view) for _ in range(80)]
    assert answers.count("waiting for a second view") >= 2


def test_a_refused_view_is_left_as_it_was(seen: Clip) -> None:
    policy = initializer(seen)
    policy.try_view(view_of(seen.frames[0]))
    again: View = view_of(seen.frames[0])
    assert isinstance(policy.try_view(again), str)
    assert again.camera_from_world is None and len(again.landmark_rows) == 0
