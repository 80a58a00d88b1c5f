"""Closing loops while tracking goes on: found, spread over the map by others, fused, and adjusted by others."""

from __future__ import annotations

import logging

from slamfront.config import RunConfig
from slamfront.loop_closing.loop_detection import Loop, LoopDetector, fuse_loop
from slamfront.map import KeyframeMap, KeyframeRecord
from slamfront.map.ba_problem import apply, full_ba_problem
from slamfront.map.graph import apply_graph, essential_graph
from slamfront.protocols import SolverWorker
from slamfront.tracking.depth_source import disparity_offset_sigma_px, disparity_sigma_px
from slamfront.types import GraphCorrection, LoopClosingProblem, LoopClosingSolution, Sensor

log = logging.getLogger(__name__)


class OpenLoops:
    """Leaves loops open."""

    loops: tuple[Loop, ...] = ()
    idle = True

    def look(self, world: KeyframeMap, keyframe: KeyframeRecord) -> None:
        """Look for nothing."""

    def take(self, world: KeyframeMap) -> bool:
        """Return False: nothing moves the map."""
        return False

    def joined(self, world: KeyframeMap) -> None:
        """Have nothing adjusted."""

    def restart(self) -> None:
        """Forget nothing."""


class LoopClosing:
    """Takes a loop through its stages, one loop at a time.

    loops  those that were closed so far, oldest first
    """

    def __init__(
        self,
        detector: LoopDetector,
        worker: SolverWorker[LoopClosingProblem, LoopClosingSolution],
        sensor: Sensor,
        config: RunConfig,
    ) -> None:
        self._config, depth = config, config.tracker.depth
        self._detector, self._worker, self._scaled = detector, worker, sensor == "mono"
        self._sigmas_px = disparity_sigma_px(sensor, depth), disparity_offset_sigma_px(sensor, depth)
        self._open: Loop | None = None
        self._adjust_at: list[int] = []
        self.loops: list[Loop] = []

    def look(self, world: KeyframeMap, keyframe: KeyframeRecord) -> None:
        """Look for a loop that a new keyframe closes, and hand it over; or the whole map, some time after a loop."""
        if not self.idle:
            return
        if self._adjust_at and keyframe.id >= self._adjust_at[0]:
            self._adjust_at.pop(0)
            self._worker.submit(full_ba_problem(world, *self._sigmas_px))
            return
        loop = self._detector.look(world, keyframe)
        if loop is not None and self._worker.submit(essential_graph(world, [loop.edge], self._scaled)):
            self._open = loop

    def take(self, world: KeyframeMap) -> bool:
        """Take what was worked out since the last call into the map, and return whether the map has moved."""
        finished, moved = self._worker.idle, False
        for answer in self._worker.poll():
            finished = False
            if isinstance(answer, GraphCorrection):
                moved |= self._close(world, answer)
            else:
                apply(world, answer)
                moved = True
        if finished:  # without an answer: it failed
            self._open = None
        return moved

    @property
    def idle(self) -> bool:
        """Whether nothing is being worked out that a `take` has not seen."""
        return self._open is None and self._worker.idle

    def joined(self, world: KeyframeMap) -> None:
        """Begin anew in a map that has taken in another one, and have it adjusted as a whole, as after a loop."""
        self.restart()
        self._adjust_at = self._adjustments(world)

    def restart(self) -> None:
        """Forget the loop that is being closed, and what the last keyframes looked like."""
        self._open, self._adjust_at = None, []
        self._detector.restart()

    def _adjustments(self, world: KeyframeMap) -> list[int]:
        """Return at which keyframes to come the whole map is adjusted."""
        closing = self._config.loops.closing
        return [world.next_id + after for after in (closing.adjust_after, closing.adjust_again_after)]

    def _close(self, world: KeyframeMap, correction: GraphCorrection) -> bool:
        loop, self._open = self._open, None
        self._detector.restart()
        if loop is None or loop.keyframe_id not in correction.keyframe_ids:
            return False  # of a map that was begun anew
        if not correction.accepted[-1]:
            log.info("no loop, the map contradicts: %s", loop)
            return False
        apply_graph(world, correction)
        fuse_loop(world, loop, self._config)
        self.loops.append(loop)
        log.info("loop closed: %s", loop)
        self._adjust_at = self._adjustments(world)
        return True
