"""Fixtures that every room's tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

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
