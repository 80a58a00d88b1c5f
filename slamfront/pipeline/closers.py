"""Work on the whole map while tracking goes on: pose graphs of loops, and the adjustment that follows."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from typing import Protocol

from slamfront.errors import BackendError
from slamfront.protocols import Closer
from slamfront.runtime import Channel, Closed, Worker
from slamfront.types import Correction, GraphCorrection, PoseGraph, Window

log = logging.getLogger(__name__)

Job = Window | PoseGraph
Answer = Correction | GraphCorrection
Solve = Callable[[Job], Answer]
"""Solves a whole window or a pose graph; raises BackendError."""


class FinishingCloser(Closer, Protocol):
    """A closer that can wait for what it still has in hand."""

    def finish(self) -> None:
        """Wait until the job in hand, if any, is done; none is taken afterwards."""
        ...


class InlineCloser:
    """Does a job while it is offered; the answer comes with the next `take`, so that runs repeat exactly."""

    def __init__(self, solve: Solve) -> None:
        self._solve = solve
        self._answers: list[Answer] = []
        self.idle = True

    def offer(self, job: Job) -> bool:
        """Do the job, unless the closer has finished; one that fails is told and has no answer."""
        if self.idle:
            self._answers += _answers(self._solve, job)
        return self.idle

    def take(self) -> list[Answer]:
        """Return the answers since the last call."""
        answers, self._answers = self._answers, []
        return answers

    def finish(self) -> None:
        """Take no more jobs."""
        self.idle = False


class ThreadedCloser:
    """Does one job at a time on a thread, by a solver that is made for the first one: most runs close no loop."""

    def __init__(self, solver: Callable[[], AbstractContextManager[Solve]]) -> None:
        self._solver = solver
        self._jobs: Channel[Job] = Channel(1)
        self._answers: Channel[Answer] = Channel(2)
        self._busy = self._closed = False
        self._worker = Worker("loops", self._work).start()

    @property
    def idle(self) -> bool:
        """Whether a job would be taken now."""
        return not self._busy and self._worker.alive

    def offer(self, job: Job) -> bool:
        """Hand a job to the thread, unless it has one already, or the closer has finished."""
        if not self.idle:
            return False
        self._busy = True
        try:
            return self._jobs.offer(job)
        except Closed:
            return False

    def take(self) -> list[Answer]:
        """Return the answer, if it has come since the last call."""
        return self._answers.drain()

    def finish(self) -> None:
        """Wait for the job in hand; raises what ended the thread, if something did."""
        self._jobs.close()
        self._worker.join()
        if self._worker.error is not None:
            raise self._worker.error

    def close(self) -> None:
        """Wait for nothing: an answer that is still to come is dropped."""
        self._closed = True
        self._jobs.close()
        self._answers.close()

    def join(self) -> None:
        """Wait for the end of the thread, which comes when its solver is closed, too."""
        self._worker.join()

    def _work(self) -> None:
        with ExitStack() as stack:
            solve: Solve | None = None
            for job in self._jobs:
                solve = solve or stack.enter_context(self._solver())
                for answer in _answers(solve, job, lambda: self._closed):
                    self._answers.put(answer)
                self._busy = False


def _answers(solve: Solve, job: Job, closed: Callable[[], bool] = lambda: False) -> list[Answer]:
    """Return the answer to a job, or nothing where it fails, which is told unless nobody waits for it."""
    try:
        return [solve(job)]
    except BackendError as error:
        if not closed():
            log.warning("the map stays as it is, the run goes on: %s", error)
        return []
