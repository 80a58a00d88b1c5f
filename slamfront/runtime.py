"""Threads and the two ways in which values pass between them; nothing else in slamfront starts a thread.

`Channel` keeps every value and makes the writer wait; `Latest` keeps the newest and never makes the writer wait.
Closing either wakes both sides, and readers still get what is queued.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Generic, TypeVar, cast

T = TypeVar("T")

_LAST_WAIT_S = 2.0
"""How long the end of a program waits for a thread that is in the middle of something."""
_channels: weakref.WeakSet[Channel[Any]] = weakref.WeakSet()
_workers: weakref.WeakSet[Worker] = weakref.WeakSet()


class Closed(Exception):
    """The channel was closed: no value can be put, or none will come."""


class Channel(Generic[T]):
    """A bounded queue between threads that loses nothing."""

    def __init__(self, size: int) -> None:
        if size < 1:
            raise ValueError("a channel holds at least one value")
        self._size = size
        self._values: deque[T] = deque()
        self._closed = False
        self._changed = threading.Condition()
        _channels.add(self)

    def put(self, value: T) -> None:
        """Append a value, waiting while the channel is full; raises Closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or len(self._values) < self._size)
            self._append(value)

    def offer(self, value: T) -> bool:
        """Append a value if there is room and say whether there was; raises Closed."""
        with self._changed:
            if not self._closed and len(self._values) >= self._size:
                return False
            self._append(value)
            return True

    def get(self, timeout_s: float | None = None) -> T:
        """Take the oldest value, waiting for one; raises Closed at the end and TimeoutError when none came in time."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._closed or bool(self._values), timeout_s):
                raise TimeoutError
            if not self._values:
                raise Closed
            value = self._values.popleft()
            self._changed.notify_all()
            return value

    def drain(self) -> list[T]:
        """Take all that is queued, without waiting."""
        with self._changed:
            values = list(self._values)
            self._values.clear()
            self._changed.notify_all()
            return values

    def close(self) -> None:
        """Refuse further values and wake everyone; what is queued can still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def __iter__(self) -> Iterator[T]:
        while True:
            try:
                yield self.get()
            except Closed:
                return

    def _append(self, value: T) -> None:
        if self._closed:
            raise Closed
        self._values.append(value)
        self._changed.notify_all()


class Latest(Channel[T]):
    """A mailbox of one value: a newer one replaces it, and `dropped` counts what was never read."""

    def __init__(self) -> None:
        super().__init__(1)
        self.dropped = 0

    def put(self, value: T) -> None:
        """Leave a value, replacing one that nobody took; never waits; raises Closed."""
        with self._changed:
            if not self._closed and self._values:
                self._values.clear()
                self.dropped += 1
            self._append(value)


class Worker:
    """A named thread that keeps the exception that ended it.

    `on_exit` runs when the function ends, however it ends: it closes the channels that others wait on.
    """

    def __init__(self, name: str, function: Callable[[], None], on_exit: Callable[[], None] = lambda: None) -> None:
        self.error: BaseException | None = None
        self._function, self._on_exit, self._owner = function, on_exit, os.getpid()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> Worker:
        """Start the thread."""
        _workers.add(self)
        self._thread.start()
        return self

    @property
    def alive(self) -> bool:
        """Whether the function still runs."""
        return self._thread.is_alive()

    def join(self, timeout_s: float | None = None) -> None:
        """Wait for the end; returns at once on the thread itself, and in a forked child, which has no such thread."""
        if self._thread is not threading.current_thread() and os.getpid() == self._owner:
            self._thread.join(timeout_s)

    def _run(self) -> None:
        try:
            self._function()
        except Closed:
            pass
        except BaseException as error:  # kept, and raised again by whoever joins
            self.error = error
        finally:
            self._on_exit()


class Servant:
    """Runs functions one after another on a thread of its own, which no signal interrupts.

    A signal handler that raises (Ctrl-C, an alarm) breaks off the wait for the answer, and not the function in the
    middle of what it changes. The thread ends with `close`.
    """

    def __init__(self, name: str) -> None:
        self._calls: Channel[_Call] = Channel(64)
        self._worker = Worker(name, partial(_serve, self._calls)).start()

    def call(self, function: Callable[[], T]) -> T:
        """Return what a function returns, or raise what it raises, once those before it have ended; raises Closed."""
        call = _Call(function)
        self._calls.put(call)
        call.done.wait()
        if call.error is not None:
            try:
                raise call.error
            finally:
                call.error = None  # else the error holds its own frame
        return cast(T, call.answer)

    def close(self) -> None:
        """End the thread when it has done what it was given."""
        self._calls.close()

    def join(self, timeout_s: float | None = None) -> None:
        """Wait for the end of the thread."""
        self._worker.join(timeout_s)


class _Call:
    def __init__(self, function: Callable[[], Any]) -> None:
        self.function: Callable[[], Any] | None = function
        self.done = threading.Event()
        self.answer: Any = None
        self.error: BaseException | None = None


def _serve(calls: Channel[_Call]) -> None:
    """Do calls until their channel is closed, and keep nothing of one between it and the next."""
    while True:
        call = calls.get()
        try:
            assert call.function is not None
            call.answer = call.function()
        except BaseException as error:
            call.error = error
        call.function = None
        call.done.set()
        del call


def _end_all() -> None:
    """Let threads end that nobody has ended, before the interpreter stops them in the middle of compiled code."""
    for channel in list(_channels):
        channel.close()
    end_s = time.monotonic() + _LAST_WAIT_S
    for worker in list(_workers):
        worker.join(max(0.0, end_s - time.monotonic()))


atexit.register(_end_all)
