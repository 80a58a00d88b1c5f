"""A backend as the front end sees it: windows out, corrections back, in this loop or beside it."""

from __future__ import annotations

import logging
import threading
from typing import Protocol

from slamfront.errors import BackendError
from slamfront.pipeline.closers import FinishingCloser
from slamfront.protocols import Adjuster, Backend
from slamfront.runtime import Channel, Closed, Worker
from slamfront.types import Correction, Window

log = logging.getLogger(__name__)

# Corrections are taken before every frame, so that two wait at most
_CORRECTIONS = 16


class FinishingAdjuster(Adjuster, Protocol):
    """An adjuster that can wait for what it still has in hand."""

    @property
    def failed(self) -> int:
        """Windows that the backend could not solve."""
        ...

    def finish(self) -> None:
        """Wait until every window that was taken has been answered; none is taken afterwards."""
        ...


class NoAdjuster:
    """Odometry alone: no window is ever taken."""

    idle = False
    failed = 0
    closer = None

    def offer(self, window: Window) -> bool:
        """Refuse the window."""
        return False

    def take(self) -> list[Correction]:
        """Return nothing."""
        return []

    def forget(self) -> None:
        """Return at once: there is nothing to forget."""

    def finish(self) -> None:
        """Return at once."""


class InlineAdjuster:
    """Solves a window while it is offered; the correction comes with the next `take`, so that runs repeat exactly."""

    idle = True

    def __init__(self, backend: Backend, closer: FinishingCloser | None = None) -> None:
        self._backend, self.closer = backend, closer
        self._corrections: list[Correction] = []
        self.failed = 0

    def offer(self, window: Window) -> bool:
        """Solve the window; one that cannot be solved is counted, and told the first time."""
        try:
            self._corrections.append(self._backend.solve(window))
        except BackendError as error:
            _tell(error, self.failed)
            self.failed += 1
        return True

    def take(self) -> list[Correction]:
        """Return the corrections since the last call."""
        corrections, self._corrections = self._corrections, []
        return corrections

    def forget(self) -> None:
        """Drop the corrections that were not taken."""
        self._corrections = []

    def finish(self) -> None:
        """Take no more jobs for the whole map; nothing waits."""
        if self.closer is not None:
            self.closer.finish()


class ThreadedAdjuster:
    """Solves windows on a thread, which for a remote backend only waits for the answer.

    There is one window at a time, from when it is offered until its correction is taken. Two would each take for
    granted what the map was before the other's correction, and the map would swing between their answers.
    """

    def __init__(self, backend: Backend, closer: FinishingCloser | None = None) -> None:
        self._backend, self.closer = backend, closer
        self._windows: Channel[tuple[int, Window]] = Channel(1)
        self._corrections: Channel[tuple[int, Correction]] = Channel(_CORRECTIONS)
        self._lock = threading.Lock()
        self._unanswered = self._generation = 0
        self.failed = 0
        self._closed = False
        self._worker = Worker("backend", self._work).start()

    @property
    def idle(self) -> bool:
        """Whether the corrections of all windows have been taken."""
        return self._unanswered == 0 and self._worker.alive

    def offer(self, window: Window) -> bool:
        """Hand a window to the thread, unless there is one already, or the adjuster has finished."""
        with self._lock:
            if self._unanswered:
                return False
            try:
                self._windows.put((self._generation, window))
            except Closed:
                return False
            self._unanswered += 1
        return True

    def take(self) -> list[Correction]:
        """Return the corrections that have come since the last call."""
        answers = self._corrections.drain()
        with self._lock:
            self._unanswered -= len(answers)
        return [correction for generation, correction in answers if generation == self._generation]

    def forget(self) -> None:
        """Drop the corrections of all windows that were taken so far, whenever they come."""
        self._generation += 1

    def finish(self) -> None:
        """Wait for the windows in hand, and for the whole map; raises what ended a thread, if something did."""
        self._windows.close()
        self._worker.join()
        if self._worker.error is not None:
            raise self._worker.error
        if self.closer is not None:
            self.closer.finish()

    def close(self) -> None:
        """Wait for nothing: whatever the backend still answers is dropped."""
        self._closed = True
        self._windows.close()
        self._corrections.close()

    def join(self) -> None:
        """Wait for the end of the thread, which comes when the backend is closed, too."""
        self._worker.join()

    def _work(self) -> None:
        for generation, window in self._windows:
            try:
                self._corrections.put((generation, self._backend.solve(window)))
            except BackendError as error:
                if self._closed:
                    return
                _tell(error, self.failed)
                self.failed += 1
                with self._lock:
                    self._unanswered -= 1


def _tell(error: BackendError, failures: int) -> None:
    level = logging.DEBUG if failures else logging.WARNING
    log.log(level, "a window stays as it was, the run goes on: %s", error)
