"""From a source to results: sessions, the loop and the threads around them, and the folder that a run leaves behind."""

from __future__ import annotations

from slamfront.pipeline.adjusters import FinishingAdjuster, InlineAdjuster, NoAdjuster, ThreadedAdjuster
from slamfront.pipeline.journal import Journal
from slamfront.pipeline.loop import RunSummary, run
from slamfront.pipeline.session import Session, Status, Watcher
from slamfront.pipeline.snapshots import Audience

__all__ = [
    "Audience",
    "FinishingAdjuster",
    "InlineAdjuster",
    "Journal",
    "NoAdjuster",
    "RunSummary",
    "Session",
    "Status",
    "ThreadedAdjuster",
    "Watcher",
    "run",
]
