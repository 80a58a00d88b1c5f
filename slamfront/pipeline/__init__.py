"""From a source to results: sessions, the loop and the threads around them, and the folder that a run leaves behind."""

from __future__ import annotations

from slamfront.pipeline.journal import Journal
from slamfront.pipeline.loop import RunSummary, run
from slamfront.pipeline.session import Session, Status, Watcher
from slamfront.pipeline.snapshots import Audience
from slamfront.pipeline.workers import Disabled, InlineWorker, ThreadedWorker

__all__ = [
    "Audience",
    "Disabled",
    "InlineWorker",
    "Journal",
    "RunSummary",
    "Session",
    "Status",
    "ThreadedWorker",
    "Watcher",
    "run",
]
