"""Problems that are solved beside tracking, or in between: one at a time."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from slamfront.backend import MapSolver, NullBackend, RemoteBackend
from slamfront.build import workers_of
from slamfront.config import BackendConfig, LoopConfig, RunConfig
from slamfront.errors import BackendError
from slamfront.map import KeyframeMap
from slamfront.map.ba_problem import full_ba_problem
from slamfront.map.graph import essential_graph
from slamfront.pipeline import Disabled, InlineWorker, ThreadedWorker
from slamfront.pipeline.moves import Moves
from slamfront.protocols import Workers
from slamfront.types import BundleAdjustmentProblem, Correction, GraphCorrection
from tests.map import worlds

PATIENCE_S = 20.0
BOTH = pytest.mark.parametrize("make", [InlineWorker, ThreadedWorker], ids=["inline", "threaded"])
Make = Callable[[Any], Any]


class Held:
    """Doubles a number when it is allowed to; a negative one has no solution, and zero is an error of the program."""

    def __init__(self) -> None:
        self.asked, self.go = threading.Semaphore(0), threading.Semaphore(0)

    def solve(self, problem: int, /) -> int:
        self.asked.release()
        assert self.go.acquire(timeout=PATIENCE_S)
        return Doubling().solve(problem)


class Doubling:
    """Solves at once what `Held` does."""

    def solve(self, problem: int, /) -> int:
        if problem < 0:
            raise BackendError(f"{problem} cannot be solved")
        return 2 * problem * (problem // problem)


def wait_until(condition: Callable[[], bool]) -> None:
    end_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end_s
        time.sleep(0.001)


def polled(worker: ThreadedWorker[Any, Any] | InlineWorker[Any, Any]) -> list[Any]:
    """Wait until the worker is idle, and return what was polled meanwhile."""
    solutions: list[Any] = []

    def idle() -> bool:
        solutions.extend(worker.poll())
        return worker.idle

    wait_until(idle)
    return solutions


@BOTH
def test_a_solution_is_polled_once(make: Make) -> None:
    worker = make(Doubling())
    assert worker.idle and worker.poll() == []
    assert worker.submit(3)
    worker.finish()
    assert worker.poll() == [6] and worker.poll() == []


def test_one_problem_is_in_flight_until_its_solution_is_polled() -> None:
    solver = Held()
    worker = ThreadedWorker(solver)
    assert worker.submit(1)
    assert solver.asked.acquire(timeout=PATIENCE_S)
    assert not worker.idle and not worker.submit(2)
    solver.go.release()
    solutions: list[int] = []
    end_s = time.monotonic() + PATIENCE_S
    while not solutions and time.monotonic() < end_s:
        assert not worker.idle and not worker.submit(2)
        solutions = worker.poll()
    assert solutions == [2] and worker.idle
    worker.finish()
    assert not worker.submit(2), "nothing is taken after the end"


def test_what_is_in_flight_at_the_end_is_waited_for() -> None:
    solver = Held()
    worker = ThreadedWorker(solver)
    assert worker.submit(4)
    threading.Timer(0.05, solver.go.release).start()
    worker.finish()
    assert worker.poll() == [8]


@BOTH
def test_failures_are_counted_and_only_the_first_is_a_warning(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    worker = make(Doubling())
    with caplog.at_level(logging.WARNING):
        for failed in (1, 2):
            assert worker.submit(-failed)
            assert polled(worker) == [] and worker.failed == failed
        assert worker.submit(5) and polled(worker) == [10], "a failure makes room for the next problem"
    worker.finish()
    assert caplog.text.count("cannot be solved") == 1
    assert "the run goes on: -1 cannot be solved" in caplog.text


@BOTH
def test_solutions_of_problems_before_a_discard_never_come(make: Make) -> None:
    worker = make(Doubling())
    assert worker.submit(1)
    worker.discard_pending()
    assert polled(worker) == []
    assert worker.submit(2) and polled(worker) == [4], "those of later ones do"
    worker.finish()


def test_a_discarded_problem_stays_in_flight_until_it_is_solved() -> None:
    solver = Held()
    worker = ThreadedWorker(solver)
    assert worker.submit(1)
    worker.discard_pending()
    assert not worker.submit(2)
    solver.go.release()
    assert polled(worker) == []
    solver.go.release()
    assert worker.submit(2) and polled(worker) == [4]
    worker.finish()


def test_an_error_of_the_program_is_raised_at_the_end() -> None:
    worker = ThreadedWorker(Doubling())
    assert worker.submit(0)
    wait_until(lambda: not worker._thread.alive)
    assert not worker.idle and not worker.submit(1)
    with pytest.raises(ZeroDivisionError):
        worker.finish()
    with pytest.raises(ZeroDivisionError):
        InlineWorker(Doubling()).submit(0)


def test_closing_waits_for_nothing_and_drops_what_comes_later(caplog: pytest.LogCaptureFixture) -> None:
    for problem in (3, -3):
        solver, ended = Held(), threading.Event()
        worker = ThreadedWorker(solver, on_exit=ended.set)
        assert worker.submit(problem)
        assert solver.asked.acquire(timeout=PATIENCE_S)
        worker.close()
        assert not ended.is_set() and not worker.submit(1)
        solver.go.release()
        worker.join()
        assert ended.is_set() and worker.poll() == [] and worker.failed == 0
    assert caplog.text == ""


def test_an_inline_worker_takes_problems_until_it_is_closed() -> None:
    worker = InlineWorker(Doubling())
    worker.finish()
    assert worker.submit(1), "what the last keyframe submits is solved as well"
    worker.close()
    assert not worker.idle and not worker.submit(2)
    assert worker.poll() == [2]


def test_a_worker_that_is_disabled_takes_nothing() -> None:
    worker = Disabled()
    assert not worker.idle and not worker.submit(1) and worker.poll() == []
    worker.discard_pending()
    worker.finish()
    worker.close()
    assert worker.failed == 0


def test_workers_finish_together_and_no_loop_is_closed_afterwards() -> None:
    workers = Workers(InlineWorker(Doubling()), InlineWorker(Doubling()))  # type: ignore[arg-type]
    workers.finish()
    assert workers.loop_closing is not None
    assert workers.bundle_adjustment.idle and not workers.loop_closing.idle


# --- real problems


@pytest.fixture
def world() -> KeyframeMap:
    return worlds.chain(3)[0]


def test_one_solver_solves_pose_graphs_and_bundle_adjustments(world: KeyframeMap) -> None:
    worker: InlineWorker[Any, Any] = InlineWorker(MapSolver(NullBackend()), "loop closing")
    assert worker.submit(essential_graph(world, [], scaled=False))
    assert worker.submit(full_ba_problem(world, 1.0))
    assert [type(one) for one in worker.poll()] == [GraphCorrection, Correction]


def test_moves_are_noted_when_solutions_are_polled(world: KeyframeMap) -> None:
    front, moves = SimpleNamespace(maps={0: world}), Moves()
    watched = moves.watch(Workers(InlineWorker(NullBackend()), InlineWorker(MapSolver(NullBackend()))))  # type: ignore[arg-type]
    assert watched.loop_closing is not None
    watched.bundle_adjustment.submit(full_ba_problem(world, 1.0))
    watched.loop_closing.submit(essential_graph(world, [], scaled=False))
    assert moves.take(front) == []  # type: ignore[arg-type]
    watched.loop_closing.poll()
    watched.bundle_adjustment.poll()
    assert [one.why for one in moves.take(front)] == ["loop", "adjustment"]  # type: ignore[arg-type]
    assert moves.watch(Workers(Disabled())).loop_closing is None


def test_a_backend_that_makes_no_progress_costs_its_problem_alone(
    world: KeyframeMap, caplog: pytest.LogCaptureFixture
) -> None:
    problem = full_ba_problem(world, 1.0)
    with RemoteBackend(BackendConfig(kind="none", patience_s=1.0)) as backend:
        worker: ThreadedWorker[BundleAdjustmentProblem, Correction] = ThreadedWorker(backend)
        assert worker.submit(problem) and len(polled(worker)) == 1
        assert backend.process_id is not None
        os.kill(backend.process_id, signal.SIGSTOP)
        assert worker.submit(problem) and polled(worker) == []
        assert worker.failed == 1 and "no progress for 1 s" in caplog.text
        moved = replace(problem, landmarks_m=problem.landmarks_m + 1.0)
        assert worker.submit(moved)
        (correction,) = polled(worker)
        np.testing.assert_array_equal(correction.landmarks_m, moved.landmarks_m)
        worker.finish()


def test_a_deferred_backend_starts_with_its_first_problem(world: KeyframeMap, caplog: pytest.LogCaptureFixture) -> None:
    with RemoteBackend(BackendConfig(kind="none"), deferred=True) as backend:
        assert backend.process_id is None
        assert len(backend.solve(full_ba_problem(world, 1.0)).keyframe_ids) == 2
        assert backend.process_id is not None and "new backend process" not in caplog.text
    assert backend.process_id is None


@pytest.mark.parametrize("enabled", [True, False])
def test_a_run_that_is_broken_off_ends_its_workers_at_once(enabled: bool, world: KeyframeMap) -> None:
    config = RunConfig(loops=LoopConfig(enabled=enabled))
    threads = threading.active_count()
    with suppress(KeyboardInterrupt), workers_of(config) as workers:
        assert (workers.loop_closing is not None) == enabled
        assert workers.bundle_adjustment.submit(full_ba_problem(world, 1.0))
        if workers.loop_closing is not None:
            assert workers.loop_closing.submit(essential_graph(world, [], scaled=False))
        raise KeyboardInterrupt
    assert threading.active_count() == threads


def test_odometry_alone_has_no_workers() -> None:
    with workers_of(RunConfig(backend=BackendConfig(kind="none"))) as workers:
        assert isinstance(workers.bundle_adjustment, Disabled) and workers.loop_closing is None
