"""Which keyframes were moved, and why: what whoever keeps their poses has to know."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from slamfront.frontend import FrontEnd
from slamfront.pipeline.adjusters import FinishingAdjuster
from slamfront.types import Correction, GraphCorrection, Moved

Mover = Callable[[Moved], None]


class Moves:
    """Notes what corrections a front end takes in, and where maps are joined."""

    def __init__(self) -> None:
        self._moved: list[Moved] = []
        self._maps: dict[int, tuple[int, ...]] = {}
        self._loops = 0

    def watch(self, adjuster: FinishingAdjuster) -> FinishingAdjuster:
        """Return the adjuster, whose corrections are noted when they are taken."""
        return _Watched(adjuster, self._note)

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

    def _note(self, kind: str, correction: Correction | GraphCorrection) -> None:
        ids = tuple(correction.keyframe_ids.tolist())
        if ids:
            self._moved.append(Moved("loop" if kind == "loop" else "adjustment", ids))


class _Watched:
    """An adjuster, or what closes loops, that tells what is taken from it."""

    def __init__(self, inner: Any, note: Callable[[str, Any], None]) -> None:
        self._inner, self._note = inner, note

    def take(self) -> list[Any]:
        answers: list[Any] = self._inner.take()
        for answer in answers:
            self._note("loop" if isinstance(answer, GraphCorrection) else "adjustment", answer)
        return answers

    @property
    def closer(self) -> Any:
        inner = self._inner.closer
        return None if inner is None else _Watched(inner, self._note)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)
