"""A viewer for runs that nobody watches."""

from __future__ import annotations

from slamfront.types import Snapshot


class NullViewer:
    """Shows nothing and is never closed."""

    def show(self, snapshot: Snapshot) -> bool:
        """Ignore the snapshot; always True."""
        return True

    def close(self) -> None:
        """Do nothing."""
