"""One frame through the front end, and what is kept of the answer; the same in a loop, on a thread and in the API."""

from __future__ import annotations

import logging
import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

from slamfront.errors import BackendError, FrameError
from slamfront.frontend import FrontEnd
from slamfront.map import KeyframeMap
from slamfront.map.ba_problem import apply, unchanged
from slamfront.pipeline.clock import Clock
from slamfront.pipeline.journal import Journal
from slamfront.pipeline.rollback import Rollback
from slamfront.pipeline.snapshots import snapshot_of
from slamfront.protocols import BundleAdjustmentSolver, Sink, Workers
from slamfront.types import Frame, Snapshot, State, Tracked, Trajectory

log = logging.getLogger(__name__)

WholeMapBackend = Callable[[], AbstractContextManager[BundleAdjustmentSolver]]
"""Makes the solver of the last full bundle adjustment when it is needed."""

_WARNINGS = 5
_NUMBERS = re.compile(r"\d+(\.\d+)?")


@dataclass(frozen=True)
class Status:
    """How far a run has come.

    phase   "tracking", or what is done after the last frame
    frames  those answered so far, fps of them a second; length of the source, None when it is not known
    reason  why the newest frame has no pose, or what was unusual; empty when all is well
    """

    phase: str
    frames: int
    length: int | None
    fps: float
    state: State
    keyframes: int
    landmarks: int
    skipped: int
    reason: str = ""


Watcher = Callable[[Status], None]


class Session:
    """A run without its source: takes frames, keeps the journal, feeds the sinks, and adjusts the map at the end."""

    def __init__(
        self,
        front: FrontEnd,
        workers: Workers,
        sinks: Sequence[Sink] = (),
        whole_map: WholeMapBackend | None = None,
        watch: Watcher | None = None,
        length: int | None = None,
    ) -> None:
        self.front, self.workers = front, workers
        self.journal, self.clock = Journal(front.smoothing_config), Clock()
        self.skipped = 0
        self._sinks, self._whole_map, self._watch, self._length = tuple(sinks), whole_map, watch, length
        self._last: Tracked | None = None
        self._reasons: Counter[str] = Counter()
        self._told: dict[str, str] = {}
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
    def reason(self) -> str:
        """Why most of the frames without a pose have none, as the last of them says; empty where all have one."""
        return self._told[self._reasons.most_common(1)[0][0]] if self._reasons else ""

    @property
    def fps(self) -> float:
        """Frames a second from the first frame to the last, with all that happens between them."""
        took_s = self._end_s - self._start_s
        return len(self.journal) / took_s if took_s > 0 else 0.0

    def take(self, frame: Frame) -> Tracked:
        """Return the answer to a frame; raises FrameError for one that cannot be used, and OutputError of a sink.

        Whatever the front end raises, the state is that before the frame, and the next one can be taken.
        """
        frame.check()
        frame = self.clock.admit(frame)
        if self._last is None:
            self._start_s = time.perf_counter()
        self._last = tracked = self._step(frame)
        self.journal.add(tracked, self._scale_of(tracked), self.front.observed)
        if tracked.reference_id is None:
            kind = _NUMBERS.sub("N", tracked.reason)
            self._reasons[kind] += 1
            self._told[kind] = tracked.reason
        for late in self.front.take_late():
            self.journal.amend(late, self._scale_of(late))
        stamped = replace(tracked, time_ns=self.clock.stamp(tracked.time_ns))
        for sink in self._sinks:
            sink.write(stamped)
        self._end_s = time.perf_counter()
        self._report("tracking")
        return stamped

    def _step(self, frame: Frame) -> Tracked:
        """Take a frame through the front end, or leave that as it was."""
        before, keyframes = Rollback(self.front), self.front.keyframe_count
        try:
            return self.front.step(frame)
        except BaseException:
            before.restore()
            if not keyframes and self.front.keyframe_count:  # half of a first map is none
                self.front.reset()
            raise

    def trajectory(self, world: KeyframeMap | None) -> Trajectory:
        """Return world_from_camera of all frames that a map can place, by their time stamps, corrected."""
        return self.clock.stamped(self.journal.trajectory(world))

    def snapshot(self) -> Snapshot | None:
        """Return copies for a viewer, or None before the first frame; call it where, or after, frames are taken."""
        return snapshot_of(self.front, self.journal, self._last, self.clock) if self._last is not None else None

    def skip(self, error: FrameError) -> None:
        """Count a frame that cannot be used; the first few are named."""
        self.skipped += 1
        if self.skipped <= _WARNINGS:
            log.warning("skipped a frame: %s", error)

    def reset(self) -> None:
        """Forget every frame so far, with its time, and free the map."""
        self.front.reset()
        self.journal, self.clock = Journal(self.front.smoothing_config), Clock()
        self._last = None
        self._reasons.clear()
        self._start_s = self._end_s = 0.0

    def finish(self) -> None:
        """Take in the corrections that are still to come, and adjust the whole map."""
        self.workers.finish()
        self.front.finish()
        for world in self.front.maps.values():
            if self._whole_map is not None and len(world.keyframes) >= self.front.smoothing_config.min_keyframes:
                self._report("adjusting the whole map")
                self._adjust(world, self._whole_map)
            self._report("smoothing the trajectory")
            self.journal.solve_again(world, self.front.tracker_config)

    def _adjust(self, world: KeyframeMap, whole_map: WholeMapBackend) -> None:
        """Adjust a whole map; where that is not possible, or frames between its keyframes fit worse then, it stays as
        it is.
        """
        problem, config = self.front.full_ba_problem(world), self.front.tracker_config
        before = self.journal.misfit(world, config)
        try:
            with whole_map() as solver:
                apply(world, solver.solve(problem))
        except BackendError as error:
            log.warning("the map stays as it is, without a last adjustment: %s", error)
            return
        after = self.journal.misfit(world, config)
        if after > before:
            log.info("frames fit the map worse after its last adjustment (%.3g, before %.3g): undone", after, before)
            apply(world, unchanged(problem))

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
                    self._last.reason if self._last is not None else "",
                )
            )
