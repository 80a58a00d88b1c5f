"""The worker that solves problems about the map for the front end: in the same loop, on a thread, or not at all."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from slamfront.errors import BackendError
from slamfront.protocols import Solver
from slamfront.runtime import Channel, Closed, Worker

log = logging.getLogger(__name__)

Problem = TypeVar("Problem")
Solution = TypeVar("Solution")


class Disabled:
    """Odometry alone: no problem is ever taken."""

    idle = False
    failed = 0

    def submit(self, problem: object) -> bool:
        """Refuse the problem."""
        return False

    def poll(self) -> list[Any]:
        """Return nothing."""
        return []

    def discard_pending(self) -> None:
        """Return at once: nothing is pending."""

    def finish(self) -> None:
        """Return at once."""

    def close(self) -> None:
        """Return at once."""


class InlineWorker(Generic[Problem, Solution]):
    """Solves a problem while it is submitted; the solution comes with the next `poll`, so that runs repeat exactly.

    name  what is solved, for the log
    """

    def __init__(self, solver: Solver[Problem, Solution], name: str = "bundle adjustment") -> None:
        self._solver, self._name = solver, name
        self._solutions: list[Solution] = []
        self.idle, self.failed = True, 0

    def submit(self, problem: Problem) -> bool:
        """Solve the problem, unless the worker is closed; one that cannot be solved is counted, and has no solution."""
        if self.idle:
            try:
                self._solutions.append(self._solver.solve(problem))
            except BackendError as error:
                _log_failure(self._name, error, self.failed)
                self.failed += 1
        return self.idle

    def poll(self) -> list[Solution]:
        """Return the solutions since the last call."""
        solutions, self._solutions = self._solutions, []
        return solutions

    def discard_pending(self) -> None:
        """Drop the solutions that were not polled."""
        self._solutions = []

    def finish(self) -> None:
        """Return at once: all that was submitted is solved, and what the last keyframe submits still is."""

    def close(self) -> None:
        """Take no problem any more; what is solved can still be polled."""
        self.idle = False


class ThreadedWorker(Generic[Problem, Solution]):
    """Solves problems on a thread, which for a solver in another process only waits for the solution.

    There is one problem at a time, from when it is submitted until its solution is polled. Two would each take for
    granted what the map was before the other's solution, and the map would swing between both. One thread submits and
    polls; any may close.

    name     what is solved, for the log, and name of the thread
    on_exit  called when the thread ends, however it ends
    """

    def __init__(
        self,
        solver: Solver[Problem, Solution],
        name: str = "bundle adjustment",
        on_exit: Callable[[], None] = lambda: None,
    ) -> None:
        self._solver, self._name = solver, name
        self._problems: Channel[tuple[int, Problem]] = Channel(1)
        self._solutions: Channel[tuple[int, Solution]] = Channel(1)
        self._lock = threading.Lock()
        self._in_flight = self._closed = False
        self._generation = self.failed = 0
        self._thread = Worker(name, self._work, on_exit).start()

    @property
    def idle(self) -> bool:
        """Whether nothing is in flight: no problem, and no solution that was not polled."""
        return not self._in_flight and self._thread.alive

    def submit(self, problem: Problem) -> bool:
        """Hand a problem to the thread, unless one is in flight, or the worker has finished."""
        with self._lock:
            if not self.idle:
                return False
            try:
                self._problems.put((self._generation, problem))
            except Closed:
                return False
            self._in_flight = True
        return True

    def poll(self) -> list[Solution]:
        """Return the solution, if it has come since the last call, and was not discarded."""
        solved = self._solutions.drain()
        if solved:
            self._in_flight = False
        return [solution for generation, solution in solved if generation == self._generation]

    def discard_pending(self) -> None:
        """Drop the solution of the problem in flight, whenever it comes."""
        self._generation += 1

    def finish(self) -> None:
        """Wait for the problem in flight, and end the thread; raises what ended it, if something did."""
        self._problems.close()
        self._thread.join()
        if self._thread.error is not None:
            raise self._thread.error

    def close(self) -> None:
        """Wait for nothing: a solution that is still to come is dropped, and so is a failure."""
        self._closed = True
        self._problems.close()
        self._solutions.close()

    def join(self) -> None:
        """Wait for the end of the thread, after `close`; it comes once the solver is done, or closed as well."""
        self._thread.join()

    def _work(self) -> None:
        for generation, problem in self._problems:
            try:
                self._solutions.put((generation, self._solver.solve(problem)))
            except BackendError as error:
                if self._closed:
                    return
                _log_failure(self._name, error, self.failed)
                with self._lock:  # not before `submit` has noted that this problem is in flight
                    self.failed += 1
                    self._in_flight = False


def _log_failure(name: str, error: BackendError, failures: int) -> None:
    """Log that a problem could not be solved: the first of a worker as a warning, further ones for debugging alone."""
    level = logging.DEBUG if failures else logging.WARNING
    log.log(level, "%s failed, the map stays as it was and the run goes on: %s", name, error)
