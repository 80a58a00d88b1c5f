"""How fast frames go by."""

from __future__ import annotations

import time
from collections import deque


class Rate:
    """Frames per second of wall-clock time, over the last second or so."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def count(self, frame_id: int) -> float | None:
        """Return the rate up to a frame, None for the first."""
        now = time.perf_counter()
        self._seen.append((now, frame_id))
        while len(self._seen) > 2 and now - self._seen[0][0] > 1.0:
            self._seen.popleft()
        then, first_id = self._seen[0]
        return max(0.0, (frame_id - first_id) / (now - then)) if now > then else None
