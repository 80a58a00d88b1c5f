"""stats.csv: one line for each frame, with its state and the time of each stage."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from slamfront.errors import OutputError
from slamfront.sinks.lines import LineFile
from slamfront.types import Tracked

_COLUMNS = ("frame_id", "time_ns", "state", "inliers", "is_keyframe", "map_id", "reason", "total_ms")


class Stats:
    """A sink that streams a line for each frame: state, inliers, and milliseconds of each stage.

    A stage is a column `NAME_ms`, empty where it did not run. One that first runs in a later frame adds its column to
    the lines that are there: a new file with them replaces the old one, which happens a few times at the start. Raises
    OutputError.
    """

    def __init__(self, path: Path) -> None:
        self._stages: list[str] = []
        self._lines = LineFile(path, _row(_COLUMNS))

    def write(self, tracked: Tracked) -> None:
        """Append the line of a frame."""
        new = [stage for stage in tracked.stage_ms if stage not in self._stages]
        if new:
            self._add_stages(new)
        times_ms = (tracked.stage_ms.get(stage) for stage in self._stages)
        values = (
            tracked.frame_id,
            tracked.time_ns,
            tracked.state.value,
            tracked.inliers,
            int(tracked.is_keyframe),
            tracked.map_id,
            " ".join(tracked.reason.split()),
            f"{sum(tracked.stage_ms.values()):.3f}",
            *("" if time_ms is None else f"{time_ms:.3f}" for time_ms in times_ms),
        )
        self._lines.add(_row(values))

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        self._lines.close()

    def _add_stages(self, new: list[str]) -> None:
        path = self._lines.path
        try:
            rows = path.read_text(encoding="utf-8").splitlines()[1:]
        except OSError as error:
            raise OutputError(f"cannot read {path} again: {error.strerror}") from error
        stages = self._stages + new
        header = _row([*_COLUMNS, *(f"{stage.replace(' ', '_')}_ms" for stage in stages)])
        self._lines.rewrite([header, *(row + "," * len(new) for row in rows)])
        self._stages = stages


def _row(values: Sequence[object]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(values)
    return text.getvalue()
