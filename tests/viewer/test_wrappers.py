"""Viewers that fail, and viewers side by side."""

from __future__ import annotations

import logging

import pytest

from slamfront.errors import OutputError
from slamfront.types import Snapshot
from slamfront.viewer.null import NullViewer
from slamfront.viewer.wrappers import Guarded, Several
from tests.viewer.snapshots import empty_snapshot


class Scripted(NullViewer):
    """A viewer that answers what it is told, or raises it."""

    def __init__(self, answer: bool | Exception) -> None:
        self.answer, self.shown, self.closed = answer, 0, 0

    def show(self, snapshot: Snapshot) -> bool:
        self.shown += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def close(self) -> None:
        self.closed += 1


@pytest.mark.parametrize("error", [OutputError("the disk is full"), RuntimeError("GLX went away"), ValueError()])
def test_a_viewer_that_fails_is_told_once_and_the_run_goes_on(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    viewer = Scripted(error)
    guarded = Guarded(viewer)
    with caplog.at_level(logging.WARNING):
        assert [guarded.show(empty_snapshot()) for _ in range(3)] == [True] * 3
        guarded.close()
    assert (viewer.shown, viewer.closed) == (1, 1)
    assert len(caplog.messages) == 1
    assert str(error) in caplog.messages[0]


def test_a_guarded_viewer_can_still_be_closed_by_the_user() -> None:
    assert not Guarded(Scripted(False)).show(empty_snapshot())


def test_several_viewers_see_everything_and_any_of_them_ends_the_run() -> None:
    viewers = [Scripted(True), Scripted(False), Scripted(True)]
    several = Several(viewers)
    assert not several.show(empty_snapshot())
    several.close()
    assert [(viewer.shown, viewer.closed) for viewer in viewers] == [(1, 1)] * 3
    assert Several([]).show(empty_snapshot())
