"""Which keyframes were moved, and why: what whoever keeps their poses has to know."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from slamfront.frontend import FrontEnd
from slamfront.protocols import Workers
from slamfront.types import GraphCorrection, LoopClosingSolution, Moved

Mover = Callable[[Moved], None]


class Moves:
    """Notes what corrections a front end takes in, and where maps are joined."""

    def __init__(self) -> None:
        self._moved: list[Moved] = []
        self._maps: dict[int, tuple[int, ...]] = {}
        self._loops = 0

    def watch(self, workers: Workers) -> Workers:
        """Return the workers, whose solutions are noted when they are polled."""
        loop_closing = workers.loop_closing
        return replace(
            workers,
            bundle_adjustment=_Watched(workers.bundle_adjustment, self._note),
            loop_closing=None if loop_closing is None else _Watched(loop_closing, self._note),
        )

    def take(self, front: FrontEnd) -> list[Moved]:
        """Return what has moved since the last call, oldest first."""
        moved, self._moved = self._moved, []
        gone = set(self._maps) - set(front.maps)
        into = front.maps.get(min(front.maps, default=0))
        for number in sorted(gone):
            ids = tuple(i for i in self._maps[number] if into is not None and into.knows(i))
            if ids:
                moved.append(Moved("joined", ids))
        self._maps = {number: tuple(world.keyframes) for number, world in front.maps.items()}
        return moved

    def forget(self) -> None:
        """Drop what was noted: the maps are begun anew."""
        self._moved, self._maps = [], {}

    def _note(self, solution: LoopClosingSolution) -> None:
        ids = tuple(solution.keyframe_ids.tolist())
        if ids:
            self._moved.append(Moved("loop" if isinstance(solution, GraphCorrection) else "adjustment", ids))


class _Watched:
    """A worker that passes every solution on to a listener when it is polled."""

    def __init__(self, inner: Any, note: Callable[[LoopClosingSolution], None]) -> None:
        self._inner, self._note = inner, note

    def poll(self) -> list[Any]:
        solutions: list[Any] = self._inner.poll()
        for solution in solutions:
            self._note(solution)
        return solutions

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)
