"""Viewers made of viewers."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Sequence
from typing import Protocol

from slamfront.errors import SlamfrontError
from slamfront.types import Snapshot

log = logging.getLogger(__name__)


class ClosableViewer(Protocol):
    """A viewer that holds a window or a file."""

    def show(self, snapshot: Snapshot) -> bool:
        """Draw the newest state; False when the viewer was closed and the run should end."""
        ...

    def close(self) -> None:
        """Let go of the window, or finish the file; a second call does nothing."""
        ...


class Guarded:
    """A viewer whose failure is told once in the log and never ends a run."""

    def __init__(self, viewer: ClosableViewer) -> None:
        self._viewer: ClosableViewer | None = viewer

    def show(self, snapshot: Snapshot) -> bool:
        """Show with the wrapped viewer while it works; True after it failed."""
        if self._viewer is None:
            return True
        try:
            return self._viewer.show(snapshot)
        except Exception as error:  # whatever a graphics library raises, the results matter more
            _tell(error)
            failed, self._viewer = self._viewer, None
            with contextlib.suppress(Exception):  # one failure has been told
                failed.close()
            return True

    def close(self) -> None:
        """Close the wrapped viewer."""
        viewer, self._viewer = self._viewer, None
        try:
            if viewer is not None:
                viewer.close()
        except Exception as error:  # as above
            _tell(error)


def _tell(error: Exception) -> None:
    text = str(error) if isinstance(error, SlamfrontError) else f"{type(error).__name__}: {error}"
    log.warning("the viewer stopped, the run goes on: %s", text)
    log.debug("where the viewer stopped", exc_info=error)


class Several:
    """Viewers that look at the same run; it ends when any of them was closed."""

    def __init__(self, viewers: Sequence[ClosableViewer]) -> None:
        self._viewers = tuple(viewers)

    def show(self, snapshot: Snapshot) -> bool:
        """Show with all of them; False when one was closed."""
        going_on = [viewer.show(snapshot) for viewer in self._viewers]  # each gets it, whatever the others say
        return all(going_on)

    def close(self) -> None:
        """Close all of them."""
        for viewer in self._viewers:
            viewer.close()
