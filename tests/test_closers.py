"""Work on the whole map beside tracking, or in between."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

from slamfront.backend import NullBackend
from slamfront.config import SmoothingConfig
from slamfront.errors import BackendError
from slamfront.geometry.pose import Pose
from slamfront.map import KeyframeMap
from slamfront.map.graph import essential_graph
from slamfront.map.window import whole_window
from slamfront.pipeline import InlineAdjuster, Journal, ThreadedAdjuster
from slamfront.pipeline.closers import Answer, InlineCloser, Job, Solve, ThreadedCloser
from slamfront.types import GraphCorrection, PoseGraph, State, Tracked
from tests.map import worlds


@pytest.fixture
def world() -> KeyframeMap:
    return worlds.chain(3)[0]


def solve(job: Job) -> Answer:
    """Answer that everything is right as it is."""
    if not isinstance(job, PoseGraph):
        return NullBackend().solve(job)
    same = job.rotations, job.positions_m
    return GraphCorrection(job.keyframe_ids, *same, *same, np.ones(len(job.rotations)), np.ones(len(job.edges), bool))


def fail(job: Job) -> Answer:
    raise BackendError("the pose graph cannot be solved: it is a test")


class Made:
    """A solver that counts how often it was made and ended."""

    def __init__(self, solve: Solve) -> None:
        self.solve, self.made, self.ended = solve, 0, 0

    @contextmanager
    def __call__(self) -> Iterator[Solve]:
        self.made += 1
        yield self.solve
        self.ended += 1


def test_a_job_done_inline_is_answered_at_the_next_call(world: KeyframeMap) -> None:
    closer = InlineCloser(solve)
    graph = essential_graph(world, [], scaled=False)
    assert closer.take() == []
    assert closer.offer(graph)
    (answer,) = closer.take()
    assert isinstance(answer, GraphCorrection) and closer.take() == []
    closer.finish()
    assert not closer.offer(graph) and not closer.idle


def test_the_solver_is_made_for_the_first_job_and_ended_with_the_closer(world: KeyframeMap) -> None:
    solver = Made(solve)
    closer = ThreadedCloser(solver)
    assert solver.made == 0
    assert closer.offer(essential_graph(world, [], scaled=False))
    closer.finish()
    assert (solver.made, solver.ended) == (1, 1)
    assert isinstance(closer.take()[0], GraphCorrection)
    assert not closer.offer(whole_window(world, 1.0))


def test_one_job_is_in_hand_at_a_time(world: KeyframeMap) -> None:
    gate = threading.Event()

    def wait(job: Job) -> Answer:
        gate.wait(10.0)
        return solve(job)

    closer = ThreadedCloser(Made(wait))
    window = whole_window(world, 1.0)
    assert closer.idle and closer.offer(window)
    assert not closer.idle and not closer.offer(window)
    gate.set()
    closer.finish()
    assert len(closer.take()) == 1


def test_a_job_that_fails_has_no_answer_and_the_next_one_is_done(world: KeyframeMap) -> None:
    jobs: list[Job] = []

    def once(job: Job) -> Answer:
        jobs.append(job)
        return fail(job) if len(jobs) == 1 else solve(job)

    closer = InlineCloser(once)
    graph = essential_graph(world, [], scaled=False)
    assert closer.offer(graph) and closer.take() == [] and closer.idle
    assert closer.offer(graph) and len(closer.take()) == 1


def test_corrections_of_forgotten_windows_never_come(world: KeyframeMap) -> None:
    gate = threading.Event()

    class Waiting(NullBackend):
        def solve(self, window):  # type: ignore[no-untyped-def]
            gate.wait(10.0)
            return super().solve(window)

    window = whole_window(world, 1.0)
    adjuster = ThreadedAdjuster(Waiting())
    adjuster.offer(window)
    adjuster.forget()
    marked = replace(window, landmarks_m=window.landmarks_m + 1.0)
    gate.set()
    while not adjuster.offer(marked):
        assert adjuster.take() == []
    adjuster.finish()
    (correction,) = adjuster.take()
    assert np.array_equal(correction.landmarks_m, marked.landmarks_m)
    inline = InlineAdjuster(NullBackend())
    inline.offer(window)
    inline.forget()
    assert inline.take() == []


def test_a_journal_stretches_with_the_map(world: KeyframeMap) -> None:
    """What a single camera's frames are away from their keyframe grows with the unit of length there."""
    journal, offset = Journal(SmoothingConfig()), Pose(np.eye(3), np.array([0.1, 0.0, 0.0]))
    journal.add(Tracked(0, 0, State.TRACKING, 1, offset), world.scale(1))
    world.stretch({0: 1.0, 1: 2.0, 2: 1.0})
    journal.add(Tracked(1, 1000, State.TRACKING, 1, offset), world.scale(1))
    place = world.world_from_keyframe(1).translation_m
    poses = journal.poses(world)
    assert np.allclose(poses[0].translation_m - place, [0.2, 0.0, 0.0])
    assert np.allclose(poses[1].translation_m - place, [0.1, 0.0, 0.0])
    assert np.allclose(journal.positions_m(world), [poses[0].translation_m, poses[1].translation_m])
    last = journal.last_pose(world)
    assert last is not None and np.allclose(last.translation_m, poses[1].translation_m)


@pytest.mark.parametrize("late", [False, True], ids=["as they came", "placed when the map began"])
def test_frames_between_keyframes_follow_both(late: bool) -> None:
    world, records = worlds.chain(2)
    journal = Journal(SmoothingConfig())

    def at(number: int) -> Pose:
        return Pose(np.eye(3), np.array([0.02 * number, 0.0, 0.0]))

    frames = [Tracked(i, 1000 * i, State.TRACKING, 0, at(i), at(i), at(i)) for i in range(5)]
    for frame in frames:
        journal.add(Tracked(frame.frame_id, frame.time_ns, State.INITIALIZING) if late else frame)
    journal.add(Tracked(5, 5000, State.TRACKING, 1, Pose.identity(), at(5), at(5), is_keyframe=True))
    # The view that made the map is placed in it again, as those before it are
    own = Tracked(5, 5000, State.TRACKING, 0, at(5), at(5), at(5))
    for frame in (own, *reversed(frames)) if late else ():
        journal.amend(frame)
    journal.add(Tracked(6, 6000, State.TRACKING, 1, at(1), at(6), at(6)))
    before = journal.poses(world)
    for i in range(7):
        np.testing.assert_allclose(before[i].matrix(), at(i).matrix(), atol=1e-12)
    # The way between both turns out to be twice as long, and the second to look elsewhere
    turned = Pose.exp(np.array([0.0, 0.2, 0.0, 0.0, 0.0, 0.0])).rotation
    records[1].world_from_camera = Pose(turned, np.array([0.2, 0.0, 0.0]))
    after = journal.poses(world)
    np.testing.assert_allclose([after[i].translation_m[0] for i in range(6)], 0.04 * np.arange(6), atol=1e-12)
    np.testing.assert_allclose(after[2].rotation, Pose.exp(np.array([0.0, 0.08, 0.0, 0.0, 0.0, 0.0])).rotation)
    np.testing.assert_allclose(after[5].matrix(), records[1].world_from_camera.matrix(), atol=1e-12)
    np.testing.assert_allclose(after[6].matrix(), (records[1].world_from_camera @ at(1)).matrix(), atol=1e-12)
    np.testing.assert_allclose(journal.positions_m(world), [pose.translation_m for pose in after.values()], atol=1e-12)
    # A keyframe that is gone tells nothing
    records[1].world_from_camera = at(5)
    world.remove_keyframe(1, 0)
    world.clear()
    assert journal.poses(world) == {} and len(journal.positions_m(world)) == 0
