"""How far a run is: one line that changes on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.text import Text

from slamfront.errors import one_line
from slamfront.pipeline import Status
from slamfront.types import State

_REFRESH_S = 0.2
_PLAIN_S = 5.0
_STYLES = {
    State.TRACKING: "green",
    State.RELOCALIZED: "yellow",
    State.GUESSED: "yellow",
    State.LOST: "red",
    State.INITIALIZING: "yellow",
}


class Progress:
    """Shows the status of a run on stderr while the block lasts; call it with every status."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._last_s = 0.0
        self._phase = ""

    def __enter__(self) -> Progress:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def __call__(self, status: Status) -> None:
        """Show a status, unless the last one is only a moment old."""
        now, terminal = time.monotonic(), self._console.is_terminal
        new_phase = status.phase != self._phase
        if not new_phase and now - self._last_s < (_REFRESH_S if terminal else _PLAIN_S):
            return
        self._last_s, self._phase = now, status.phase
        if terminal:
            self._live.update(_line(status), refresh=True)
        else:
            print(_line(status).plain, file=sys.stderr)


def _line(status: Status) -> Text:
    of = f"/{status.length}" if status.length is not None else ""
    line = Text(f"frame {status.frames}{of}  {status.fps:5.1f} fps  ", no_wrap=True)
    line.append(status.state.value if status.phase == "tracking" else status.phase, _STYLES[status.state])
    line.append(f"  {status.keyframes} keyframes  {status.landmarks} landmarks")
    if status.phase == "tracking" and status.reason:
        line.append(f"  {one_line(status.reason)}", "yellow")
    if status.skipped:
        line.append(f"  {status.skipped} skipped", "yellow")
    return line
