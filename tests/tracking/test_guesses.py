"""Frames that images do not place, carried on by other odometry, and found again near where it says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import chi2

from slamfront.config import GuessConfig, MapsConfig
from slamfront.frontend import FrontEnd
from slamfront.geometry.pose import Pose
from slamfront.types import Frame, Sensor, State, Tracked
from tests.tracking.worlds import CONFIG, Clip, blinded, clip, front_for

# Where the frame of the other odometry lies
ELSEWHERE = Pose.exp(np.array([0.4, -1.0, 2.0, 30.0, -7.0, 5.0]))
# It measures 2 % of every way too much, and turns by a tenth of a degree a frame that is not there: a third of what
# a step of this clip turns would be far too much, so that is 2 % too
DRIFT = 0.02
DARK = range(24, 36)
# A covariance is honest when the squared error over it is no rarer than one in a thousand
CHI_SQUARE = float(chi2.ppf(0.999, 6))

PLACES = "slamfront.loop_closing.place_recognition.PlaceRecognition"


def odometry(whole: Clip, drift: float = DRIFT) -> list[Pose]:
    """Return the true poses, with steps that are too long and turn too much, in a frame elsewhere."""
    poses = [ELSEWHERE]
    for row in range(1, len(whole.frames)):
        step = whole.truth.pose(row - 1).inverse() @ whole.truth.pose(row)
        poses.append(poses[-1] @ Pose.exp((1 + drift) * step.log()))
    return poses


def guided(whole: Clip, guesses: Sequence[Pose | None], dark: range = DARK) -> list[Frame]:
    frames = [replace(frame, guess=guess) for frame, guess in zip(whole.frames, guesses, strict=True)]
    return blinded(frames, dark)


def house(sensor: Sensor = "rgbd") -> Clip:
    return clip("room-loop?speed=2", sensor, 44)


def run(frames: Sequence[Frame], sensor: Sensor = "rgbd") -> tuple[FrontEnd, list[Tracked]]:
    front = front_for(house(sensor), CONFIG)
    return front, [front.step(frame) for frame in frames]


def states(answers: Sequence[Tracked], rows: range = DARK) -> set[State]:
    return {answers[row].state for row in rows}


def test_a_gap_is_bridged_and_the_covariance_grows_and_holds() -> None:
    whole = house()
    _, answers = run(guided(whole, odometry(whole)))
    assert states(answers, range(0, 24)) == {State.TRACKING}
    assert states(answers) == {State.GUESSED}
    deviations = []
    for row in DARK:
        pose, covariance = answers[row].online_world_from_camera, answers[row].covariance
        assert pose is not None and covariance is not None and answers[row].inliers == 0
        error = (pose.inverse() @ whole.true_pose(row)).log()
        assert error @ np.linalg.solve(covariance, error) < CHI_SQUARE
        deviations.append(np.sqrt(covariance.diagonal()))
    assert np.all(np.diff(deviations, axis=0) > 0)
    assert "landmarks" in answers[DARK[0]].reason
    assert states(answers, range(DARK.stop + 1, len(answers))) == {State.TRACKING}
    assert answers[DARK.stop].state is State.RELOCALIZED


def test_without_a_guess_nothing_is_made_up() -> None:
    whole = house()
    _, answers = run(guided(whole, [None] * len(whole.frames)))
    assert states(answers) == {State.LOST}
    assert all(answers[row].online_world_from_camera is None for row in DARK)


def test_a_guess_that_is_missing_now_and_then_leaves_gaps_only_there() -> None:
    whole = house()
    guesses = [None if row in (26, 27, 30) else pose for row, pose in enumerate(odometry(whole))]
    _, answers = run(guided(whole, guesses))
    assert [row for row in DARK if answers[row].state is State.LOST] == [26, 27, 30]
    pose = answers[DARK[-1]].online_world_from_camera
    assert pose is not None
    assert np.linalg.norm(pose.translation_m - whole.true_pose(DARK[-1]).translation_m) < 0.1


def test_the_camera_is_found_again_by_its_guess_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = house()
    monkeypatch.setattr(f"{PLACES}.find", lambda *_, **__: "nothing looks like it")
    _, without = run(guided(whole, [None] * len(whole.frames)))
    assert states(without, range(DARK.stop, 44)) == {State.LOST}
    _, answers = run(guided(whole, odometry(whole)))
    assert answers[DARK.stop].state is State.RELOCALIZED
    assert states(answers, range(DARK.stop + 1, 44)) == {State.TRACKING}
    pose = answers[DARK.stop].online_world_from_camera
    assert pose is not None
    # As near as frames are tracked to here in this draft scene
    assert np.linalg.norm(pose.translation_m - whole.true_pose(DARK.stop).translation_m) < 0.02


def test_a_leap_beyond_what_motion_foretells_is_tracked_by_its_guess(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{PLACES}.find", lambda *_, **__: "nothing looks like it")
    monkeypatch.setattr("slamfront.tracking.locator.Locator._match", lambda *_: False)
    whole = house()
    rows = [*range(20), *range(29, 44)]
    known = odometry(whole)
    for given in (False, True):
        front = front_for(whole, CONFIG)
        times_ns = whole.truth.times_ns
        answers = [
            front.step(replace(whole.frames[row], time_ns=int(times_ns[k]), guess=known[row] if given else None))
            for k, row in enumerate(rows)
        ]
        assert answers[20].state is (State.TRACKING if given else State.LOST)


def test_a_single_camera_learns_what_a_metre_is() -> None:
    whole = house("mono")
    _, answers = run(guided(whole, odometry(whole)), "mono")
    assert states(answers) == {State.GUESSED}
    start, end = (answers[row].online_world_from_camera for row in (DARK[0] - 1, DARK[-1]))
    before = answers[DARK[0] - 9].online_world_from_camera
    assert start is not None and end is not None and before is not None
    true = [np.linalg.norm(whole.truth.positions_m[row] - whole.truth.positions_m[DARK[0] - 1]) for row in (15, 35)]
    measured = [np.linalg.norm(pose.translation_m - start.translation_m) for pose in (before, end)]
    # A tenth: the scale of a young map of a single camera varies along its way by some percent
    assert measured[1] / measured[0] == pytest.approx(true[1] / true[0], rel=0.1)


def test_guesses_change_nothing_where_images_place_the_camera() -> None:
    whole = house()
    _, without = run(whole.frames)
    _, answers = run(guided(whole, odometry(whole, drift=0.5), range(0)))
    for mine, theirs in zip(answers, without, strict=True):
        assert mine.state is theirs.state
        assert mine.online_world_from_camera is not None and theirs.online_world_from_camera is not None
        np.testing.assert_array_equal(mine.online_world_from_camera.matrix(), theirs.online_world_from_camera.matrix())


def test_poses_of_another_body_are_not_used_and_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    whole = house()
    # Axes of a robot, x forward and z up, in place of the camera's
    robot_from_camera = Pose(np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]]), np.zeros(3))
    guesses = [robot_from_camera @ pose @ robot_from_camera.inverse() for pose in odometry(whole)]
    _, answers = run(guided(whole, guesses))
    assert states(answers) == {State.LOST}
    assert caplog.text.count("guesses contradict") == 1


def test_odometry_goes_on_by_the_guess_where_a_new_map_begins() -> None:
    whole, soon = clip("room-loop?speed=3", "rgbd", 70), replace(CONFIG, maps=MapsConfig(new_after_s=0.25))
    known = odometry(whole)
    front, rows = front_for(whole, soon), [*range(20), *range(52, 70)]  # carried to a side that it has not seen
    times_ns = whole.truth.times_ns
    answers = [
        front.step(replace(whole.frames[row], id=k, time_ns=int(times_ns[k]), guess=known[row]))
        for k, row in enumerate(rows)
    ]
    begun = [k for k, answer in enumerate(answers) if answer.map_id == 1]
    assert begun and states(answers, range(20, begun[0])) == {State.GUESSED}
    odom = answers[begun[0]].odom_from_camera
    assert odom is not None
    true = whole.true_pose(rows[begun[0]])
    way_m = np.linalg.norm(true.translation_m - whole.true_pose(19).translation_m)
    # As wrong as the odometry that leads there, and what it turned wrongly
    assert np.linalg.norm(odom.translation_m - true.translation_m) < 2 * DRIFT * way_m + 0.05


def test_what_is_said_of_the_odometry_is_what_the_covariance_says() -> None:
    whole = house()
    frames = guided(whole, odometry(whole))
    widths = []
    for config in (GuessConfig(), GuessConfig(moving_share=0.5, turning_share=0.3)):
        front = front_for(whole, replace(CONFIG, guess=config))
        answers = [front.step(frame) for frame in frames[: DARK.stop]]
        covariance = answers[-1].covariance
        assert covariance is not None
        widths.append(np.sqrt(covariance.diagonal()))
    assert np.all(widths[1] > 3 * widths[0])


def test_a_reset_forgets_the_odometry_too() -> None:
    whole = house()
    front, _ = run(guided(whole, odometry(whole))[:24])
    front.reset()
    answer = front.step(guided(whole, odometry(whole))[24])
    assert answer.state is State.INITIALIZING and answer.online_world_from_camera is None
