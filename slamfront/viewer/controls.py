"""Pause and step: what a window tells the loop that takes the frames."""

from __future__ import annotations

import threading


class Controls:
    """A gate for frames that one thread opens and closes, and another waits at.

    Nothing waits at it until `pause` is called, and nothing after `release`, so a closed window stops nobody.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._paused = False
        self._steps = 0

    @property
    def paused(self) -> bool:
        """Whether frames wait."""
        return self._paused

    def pause(self, paused: bool = True) -> None:
        """Let frames wait, or let them run."""
        with self._changed:
            self._paused, self._steps = paused, 0
            self._changed.notify_all()

    def step(self) -> None:
        """Let one frame through, and pause."""
        with self._changed:
            self._paused, self._steps = True, self._steps + 1
            self._changed.notify_all()

    def release(self) -> None:
        """Let frames run; the same as `pause(False)`."""
        self.pause(False)

    def admit(self, timeout_s: float | None = None) -> bool:
        """Wait until the next frame may be taken; False when `timeout_s` ran out before that.

        A loop that also draws the window asks with a timeout, and shows the last snapshot again while it is False.
        """
        with self._changed:
            admitted = self._changed.wait_for(lambda: not self._paused or self._steps > 0, timeout_s)
            if admitted and self._paused:
                self._steps -= 1
            return admitted
