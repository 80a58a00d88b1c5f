"""Time that only advances, whatever the clock of the camera does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from slamfront.errors import FrameError
from slamfront.types import Frame, IntArray, Trajectory


class Clock:
    """Turns the time stamps of frames into times that only advance, and back.

    A stamp that is not after the last one costs its frame. Where the next one is after that, it is the clock that has
    jumped: set back by a time server or a recording that begins anew, or after one stamp that lay in the future. Then
    time goes on as if the frames had come at their own pace.
    """

    def __init__(self) -> None:
        self._last: tuple[int, int] | None = None
        self._refused: int | None = None
        # From each of these times on, stamps are less by an offset
        self._starts: list[int] = []
        self._offsets: list[int] = []

    def admit(self, frame: Frame) -> Frame:
        """Return the frame with a time after that of the last one; FrameError for one whose stamp is not after it."""
        stamp = frame.time_ns
        if self._last is None:
            return self._take(frame, stamp)
        last_stamp, last_ns = self._last
        if stamp > last_stamp:
            return self._take(frame, last_ns + (stamp - last_stamp))
        if self._refused is None or stamp <= self._refused:
            self._refused = stamp
            raise FrameError(f"frame {frame.id}: its time {stamp} ns is not after {last_stamp} ns")
        # Two intervals, that of the frame that was refused and that of this one
        time_ns = last_ns + 2 * (stamp - self._refused)
        self._starts.append(time_ns)
        self._offsets.append(time_ns - stamp)
        return self._take(frame, time_ns)

    def stamps(self, times_ns: ArrayLike) -> IntArray:
        """Return the stamps (N,) that frames of these times (N,) had, ns."""
        times = np.asarray(times_ns, np.int64)
        if not self._starts:
            return times.copy()
        offsets = np.array([0, *self._offsets], np.int64)
        return np.asarray(times - offsets[np.searchsorted(np.array(self._starts), times, side="right")], np.int64)

    def stamp(self, time_ns: int) -> int:
        """Return the stamp that the frame of a time had, ns."""
        return int(self.stamps([time_ns])[0]) if self._starts else time_ns

    def stamped(self, trajectory: Trajectory) -> Trajectory:
        """Return a trajectory with stamps for times, in their order; of two with one stamp the later is kept."""
        if not self._starts:
            return trajectory
        stamps = self.stamps(trajectory.times_ns)
        _, newest = np.unique(stamps[::-1], return_index=True)
        rows = len(stamps) - 1 - newest
        return Trajectory(stamps[rows], trajectory.positions_m[rows], trajectory.quaternions_xyzw[rows])

    def _take(self, frame: Frame, time_ns: int) -> Frame:
        self._last, self._refused = (frame.time_ns, time_ns), None
        return frame if time_ns == frame.time_ns else replace(frame, time_ns=time_ns)
