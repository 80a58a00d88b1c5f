"""How long the stages of a step take."""

from __future__ import annotations

import time
from types import MappingProxyType


class Stopwatch:
    """Times of stages, each from the mark before."""

    def __init__(self) -> None:
        self._marks = [("", time.perf_counter())]

    def mark(self, stage: str) -> None:
        """End the stage of this name."""
        self._marks.append((stage, time.perf_counter()))

    def times_ms(self) -> MappingProxyType[str, float]:
        """Return the milliseconds of each stage."""
        pairs = zip(self._marks, self._marks[1:], strict=False)
        return MappingProxyType({name: 1e3 * (end - start) for (_, start), (name, end) in pairs})
