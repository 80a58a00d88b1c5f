"""Fixtures that every room's tests share."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from hypothesis import settings

# A job of the tests runs as if a package were not installed: SLAMFRONT_BLOCKED=open3d
_BLOCKED = set(filter(None, os.environ.get("SLAMFRONT_BLOCKED", "").split(",")))


class _Blocker:
    """Finds nothing for packages that are not to be there."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name.partition(".")[0] in _BLOCKED:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name.partition(".")[0])


if _BLOCKED:
    sys.meta_path.insert(0, _Blocker())  # type: ignore[arg-type]

# No deadline, for a busy machine is no failure; the same examples every time, so that a failure can be repeated.
settings.register_profile("slamfront", deadline=None, derandomize=True, max_examples=40)
settings.load_profile("slamfront")


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real sequences, from SLAMFRONT_DATA; the test is skipped by name without it."""
    folder = os.environ.get("SLAMFRONT_DATA", "")
    if not folder or not Path(folder).is_dir():
        pytest.skip("SLAMFRONT_DATA is not set: tests on real sequences are skipped")
    return Path(folder)
