"""Tracking lost for long: a new map is begun, the old one kept, and both become one where a place is seen again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import pytest

from slamfront.build import write_maps
from slamfront.config import MapsConfig, RunConfig, SmoothingConfig
from slamfront.evaluation.trajectory import evaluate
from slamfront.frontend import FrontEnd
from slamfront.map.files import load_map
from slamfront.pipeline import Journal
from slamfront.types import Frame, Sensor, State, Tracked, Trajectory
from tests.tracking.worlds import CONFIG, Clip, blinded, clip, front_for

# A quarter of a second in place of three, so that clips are short
SOON = replace(CONFIG, maps=MapsConfig(new_after_s=0.25))
# A lap of a room takes 100 frames. The camera is carried off to a side it has not seen, and walks back to its beginning
FIRST, SECOND = range(0, 26), range(52, 122)
CARRIED = len(FIRST)


@dataclass(frozen=True)
class Story:
    """What a front end answered to a clip, and where all that was."""

    front: FrontEnd
    answers: list[Tracked]
    journal: Journal
    truth: Trajectory

    def map_ids(self) -> list[int]:
        return [answer.map_id for answer in self.answers]

    def error_m(self, map_id: int) -> float:
        """Return the error of all frames in a map after alignment, with a scale for a single camera."""
        metrics = evaluate(self.truth, self.journal.trajectory(self.front.maps[map_id]))
        mono = self.front.camera.baseline_m is None
        return (metrics.sim3 if mono else metrics.se3).translation_m.rmse


def frames_of(whole: Clip, rows: list[int]) -> tuple[list[Frame], Trajectory]:
    """Return rows of a clip one after another at the clip's rate, and where they were taken."""
    times = whole.truth.times_ns[: len(rows)]
    frames = [replace(whole.frames[row], id=i, time_ns=int(times[i])) for i, row in enumerate(rows)]
    return frames, Trajectory.from_poses(times, [whole.truth.pose(row) for row in rows])


def told(whole: Clip, rows: list[int], config: RunConfig = SOON, dark: range = range(0)) -> Story:
    frames, truth = frames_of(whole, rows)
    front, journal, answers = front_for(whole, config), Journal(SmoothingConfig()), []
    for frame in blinded(frames, dark):
        answers.append(front.step(frame))
        reference = answers[-1].reference_id
        journal.add(answers[-1], 1.0 if reference is None else front.world.scale(reference))
        for late in front.take_late():
            assert late.reference_id is not None
            journal.amend(late, front.world.scale(late.reference_id))
    front.finish()
    return Story(front, answers, journal, truth)


@lru_cache(maxsize=4)
def carried_off(sensor: Sensor) -> Story:
    return told(clip("room-loop?speed=3", sensor, 122), [*FIRST, *SECOND])


@lru_cache(maxsize=1)
def never_seen_again() -> Story:
    return told(clip("room-loop?speed=3", "rgbd", 122), [*FIRST[:16], *SECOND[:26]])


@pytest.mark.parametrize("sensor", ["rgbd", pytest.param("stereo", marks=pytest.mark.slow), "mono"])
def test_a_new_map_is_begun_and_joined_where_a_place_is_seen_again(sensor: Sensor) -> None:
    story = carried_off(sensor)
    begins = story.map_ids().index(1)
    lost = [answer for answer in story.answers[CARRIED:begins] if answer.state is State.LOST]
    assert len(lost) == begins - CARRIED >= 8 and all(answer.reason for answer in lost)
    joined = story.map_ids().index(0, begins)
    # Not before the place of the beginning comes into sight, from 30 degrees on, nor long after
    assert 85 < SECOND[joined - CARRIED] < 115
    assert all(answer.state is State.TRACKING for answer in story.answers[begins:])
    assert set(story.front.maps) == {0}
    assert len(story.journal.trajectory(story.front.world)) >= len(story.answers) - 10
    # A single camera's maps have units of length that the few landmarks seen in both tell to a percent, of 7 m of way
    assert story.error_m(0) < (0.07 if sensor == "mono" else 0.035)


@pytest.mark.parametrize("sensor", ["rgbd", "mono"])
def test_odometry_does_not_notice_that_maps_change(sensor: Sensor) -> None:
    story = carried_off(sensor)
    places = [a.odom_from_camera.translation_m for a in story.answers if a.odom_from_camera is not None]
    steps = np.linalg.norm(np.diff(places, axis=0), axis=1)
    # Even steps but for the frame that began the second map, where the camera counts as if it had stood still
    assert steps.max() < 3 * np.median(steps)


def test_poses_of_the_second_map_are_in_a_world_of_its_own_until_it_is_joined() -> None:
    story = carried_off("rgbd")
    begins = story.map_ids().index(1)
    first = story.answers[begins].online_world_from_camera
    assert first is not None
    np.testing.assert_array_equal(first.matrix(), np.eye(4))
    joined = story.map_ids().index(0, begins)
    online = story.answers[joined + 3].online_world_from_camera
    assert online is not None
    expected = story.truth.pose(0).inverse() @ story.truth.pose(joined + 3)
    assert np.linalg.norm(online.translation_m - expected.translation_m) < 0.05


def test_maps_that_show_no_common_place_are_both_kept_and_saved(tmp_path: pytest.TempPathFactory) -> None:
    story = never_seen_again()
    assert set(story.front.maps) == {0, 1}
    for number in (0, 1):
        assert len(story.journal.trajectory(story.front.maps[number])) >= 15
        assert story.error_m(number) < 0.01
    config = replace(SOON, sensor="rgbd")
    path = tmp_path / "room.map"  # type: ignore[operator]
    written = write_maps(story.front.maps, story.front.maps[1], path, config, "rgbd")
    assert [one.name for one in written] == ["room-0.map", "room.map"]
    assert [len(load_map(one)[0].keyframes) for one in written] == [
        len(world.keyframes) for world in story.front.maps.values()
    ]


def test_a_map_that_was_left_is_entered_again_where_it_is_found() -> None:
    whole = clip("room-loop?speed=3", "rgbd", 122)
    story = told(whole, [*FIRST[:16], *SECOND[:16], *FIRST[8:13], *SECOND[11:16]])
    # Carried back into the first map, and then into the second
    assert story.map_ids()[-6] == 0 and story.answers[-6].state is State.TRACKING
    assert story.map_ids()[-1] == 1 and story.answers[-1].state is State.TRACKING
    assert set(story.front.maps) == {0, 1}


def test_a_covered_lens_begins_no_map() -> None:
    whole = clip("room-loop?speed=3", "rgbd", 122)
    dark = range(10, 22)
    story = told(whole, [*range(10), *[10] * 12, *range(10, 14)], SOON, dark)
    assert [answer.state for answer in story.answers[10:22]] == [State.LOST] * 12
    assert story.answers[22].state is State.RELOCALIZED and set(story.map_ids()) == {0}
    assert "no new map yet" in story.answers[21].reason


@pytest.mark.parametrize(
    "config",
    [replace(SOON, maps=MapsConfig(enabled=False)), replace(SOON, maps=MapsConfig(new_after_s=0.25, most=1))],
    ids=["switched off", "enough of them"],
)
def test_no_map_is_begun_where_that_is_not_wanted(config: RunConfig) -> None:
    story = told(clip("room-loop?speed=3", "rgbd", 122), [*FIRST[:6], *SECOND[:12]], config)
    assert {answer.state for answer in story.answers[6:]} == {State.LOST} and set(story.front.maps) == {0}


def test_a_reset_forgets_all_maps() -> None:
    whole = clip("room-loop?speed=3", "rgbd", 122)
    story = told(whole, [*FIRST[:6], *SECOND[:12]])
    ids = {i for world in story.front.maps.values() for i in world.keyframes}
    assert len(story.front.maps) == 2
    story.front.reset()
    assert len(story.front.maps) == 1 and story.front.keyframe_count == 0
    late = [replace(frame, time_ns=frame.time_ns + 10**11) for frame in frames_of(whole, [*FIRST[:3]])[0]]
    assert [story.front.step(frame).state for frame in late] == [State.TRACKING] * len(late)
    assert not ids & set(story.front.world.keyframes)
