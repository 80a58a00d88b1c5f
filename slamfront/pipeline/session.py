"""One frame through the front end, and what is kept of the answer; the same in a loop, on a thread and in the API."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from slamfront.errors import BackendError, FrameError
from slamfront.map import KeyframeMap
from slamfront.map.window import apply
from slamfront.pipeline.adjusters import FinishingAdjuster
from slamfront.pipeline.journal import Journal
from slamfront.pipeline.snapshots import snapshot_of
from slamfront.protocols import Backend, Sink
from slamfront.tracking.front import FrontEnd
from slamfront.types import Frame, Snapshot, State, Tracked

log = logging.getLogger(__name__)

WholeMapBackend = Callable[[], AbstractContextManager[Backend]]
"""Makes the backend of the last adjustment when it is needed."""

_MIN_FINAL_KEYFRAMES = 3
_WARNINGS = 5


@dataclass(frozen=True)
class Status:
    """How far a run has come.

    phase   "tracking", or what is done after the last frame
    frames  those answered so far, fps of them a second; length of the source, None when it is not known
    """

    phase: str
    frames: int
    length: int | None
    fps: float
    state: State
    keyframes: int
    landmarks: int
    skipped: int


Watcher = Callable[[Status], None]


class Session:
    """A run without its source: takes frames, keeps the journal, feeds the sinks, and adjusts the map at the end."""

    def __init__(
        self,
        front: FrontEnd,
        adjuster: FinishingAdjuster,
        sinks: Sequence[Sink] = (),
        whole_map: WholeMapBackend | None = None,
        watch: Watcher | None = None,
        length: int | None = None,
    ) -> None:
        self.front, self.adjuster = front, adjuster
        self.journal = Journal()
        self.skipped = 0
        self._sinks, self._whole_map, self._watch, self._length = tuple(sinks), whole_map, watch, length
        self._last: Tracked | None = None
        self._start_s = self._end_s = 0.0

    @property
    def world(self) -> KeyframeMap | None:
        """The map that frames are placed in, None before the first frame."""
        return self.front.world if self._last is not None else None

    @property
    def main_map(self) -> KeyframeMap | None:
        """The map that places most frames, the oldest of several that place as many; None before the first frame."""
        return max(self.front.maps.values(), key=self.journal.count_placed_by, default=None)

    @property
    def state(self) -> State:
        """The state after the newest frame."""
        return self._last.state if self._last is not None else State.INITIALIZING

    @property
    def fps(self) -> float:
        """Frames a second from the first frame to the last, with all that happens between them."""
        took_s = self._end_s - self._start_s
        return len(self.journal) / took_s if took_s > 0 else 0.0

    def take(self, frame: Frame) -> Tracked:
        """Return the answer to a frame; raises FrameError for one that cannot be used, and OutputError of a sink."""
        if self._last is not None and frame.time_ns <= self._last.time_ns:
            raise FrameError(f"frame {frame.id}: its time {frame.time_ns} ns is not after {self._last.time_ns} ns")
        if self._last is None:
            self._start_s = time.perf_counter()
        self._last = tracked = self.front.step(frame)
        self.journal.add(tracked, self._scale_of(tracked))
        for late in self.front.take_late():
            self.journal.amend(late, self._scale_of(late))
        for sink in self._sinks:
            sink.write(tracked)
        self._end_s = time.perf_counter()
        self._report("tracking")
        return tracked

    def snapshot(self) -> Snapshot | None:
        """Return copies for a viewer, or None before the first frame; call it where, or after, frames are taken."""
        return snapshot_of(self.front, self.journal, self._last) if self._last is not None else None

    def skip(self, error: FrameError) -> None:
        """Count a frame that cannot be used; the first few are named."""
        self.skipped += 1
        if self.skipped <= _WARNINGS:
            log.warning("skipped a frame: %s", error)

    def reset(self) -> None:
        """Forget every frame so far, and free the map; time goes on."""
        self.front.reset()
        self.journal = Journal()

    def finish(self) -> None:
        """Take in the corrections that are still to come, and adjust the whole map."""
        self.adjuster.finish()
        self.front.finish()
        large = [world for world in self.front.maps.values() if len(world.keyframes) >= _MIN_FINAL_KEYFRAMES]
        if self._whole_map is None or not large:
            return
        self._report("adjusting the whole map")
        for world in large:
            try:
                with self._whole_map() as backend:
                    apply(world, backend.solve(self.front.whole_window(world)))
            except BackendError as error:
                log.warning("the map stays as it is, without a last adjustment: %s", error)

    def _scale_of(self, tracked: Tracked) -> float:
        return 1.0 if tracked.reference_id is None else self.front.world.scale(tracked.reference_id)

    def _report(self, phase: str) -> None:
        if self._watch is not None:
            front = self.front
            self._watch(
                Status(
                    phase,
                    len(self.journal),
                    self._length,
                    self.fps,
                    self.state,
                    front.keyframe_count,
                    front.landmark_count,
                    self.skipped,
                )
            )
