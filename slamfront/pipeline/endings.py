"""How a run is told to end from outside: Ctrl-C, a service that is stopped, a terminal that is closed."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

log = logging.getLogger(__name__)

_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)  # Windows has no SIGHUP
_REASONS = {"SIGINT": "interrupted", "SIGTERM": "told to end", "SIGHUP": "the terminal was closed"}


class Ended(KeyboardInterrupt):
    """A signal that came while there were no results yet, or was repeated."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


class Endings:
    """Ends a run once, for the reason that came first.

    reason   why the run ends; empty while it goes on
    actions  called when it does
    """

    def __init__(self) -> None:
        self.reason = ""
        self.actions: list[Callable[[], None]] = []
        self._keeping = False

    def __call__(self, reason: str) -> None:
        """End the run."""
        self.reason = self.reason or reason
        for action in self.actions:
            action()

    @contextmanager
    def keeping(self) -> Iterator[None]:
        """While the block lasts a signal ends the run in order, with its results; before and after it ends at once."""
        before, self._keeping = self._keeping, True
        try:
            yield
        finally:
            self._keeping = before

    def take(self, number: int, frame: FrameType | None = None) -> None:
        """Take a signal; raises Ended where nothing is kept, and for a second Ctrl-C.

        A second SIGTERM or SIGHUP changes nothing: a closed terminal and a service manager send both, or one twice.
        """
        if not self._keeping or (self.reason and number == signal.SIGINT):
            raise Ended(number)
        if not self.reason:
            with suppress(Exception):  # a stream may be in the middle of a line, or gone with the terminal
                log.warning("stopping, results are being written; Ctrl-C again ends at once")
            self(_REASONS[signal.Signals(number).name])


@contextmanager
def endings() -> Iterator[Endings]:
    """Give what ends a run, with SIGINT, SIGTERM and SIGHUP bound to it; those that are ignored stay so.

    Off the main thread, where signals cannot be bound, nothing is.
    """
    ends = Endings()
    if threading.current_thread() is not threading.main_thread():
        yield ends
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    bound = [number for number, handler in before.items() if handler not in (signal.SIG_IGN, None)]
    for number in bound:
        signal.signal(number, ends.take)
    try:
        yield ends
    finally:
        for number in bound:
            signal.signal(number, before[number])
