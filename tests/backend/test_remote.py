from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from slamfront.backend import BundleAdjustment, RemoteBackend
from slamfront.config import BackendConfig
from slamfront.errors import BackendError
from slamfront.types import Correction
from tests.backend.worlds import make_world

ROOT = Path(__file__).parents[2]
PROBLEM = make_world("stereo", noise_px=0.5).problem


@pytest.fixture(scope="module")
def backend() -> Iterator[RemoteBackend]:
    with RemoteBackend(BackendConfig()) as remote:
        yield remote


def _ended(process_id: int, within_s: float = 10.0) -> bool:
    """Whether a process has ended, or is only waiting to be reaped."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{process_id}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.02)
    return False


def _assert_equal(first: Correction, second: Correction) -> None:
    for field in fields(first):
        a, b = getattr(first, field.name), getattr(second, field.name)
        assert np.array_equal(a, b, equal_nan=True), field.name
        assert np.asarray(a).dtype == np.asarray(b).dtype


def test_remote_answers_are_those_of_this_process(backend: RemoteBackend) -> None:
    here = BundleAdjustment(BackendConfig()).solve(PROBLEM)
    there = backend.solve(PROBLEM)
    _assert_equal(here, there)
    assert not there.positions_m.flags.writeable


def test_what_disparities_are_off_by_is_asked_and_answered_remotely(backend: RemoteBackend) -> None:
    world = make_world(keyframes=8, fixed=1, landmarks=300)
    problem = replace(world.problem, right_x=world.problem.right_x - 0.2, offset_sigma_px=0.2)
    correction = backend.solve(problem)
    assert isinstance(correction.disparity_offset_px, float)
    assert correction.disparity_offset_px == BundleAdjustment(BackendConfig()).solve(problem).disparity_offset_px > 0


def test_problems_in_flight_are_answered_in_order(backend: RemoteBackend) -> None:
    futures = [backend.submit(make_world("stereo", keyframes=k).problem) for k in (3, 4, 5)]
    assert [len(f.result().keyframe_ids) for f in futures] == [1, 2, 3]


def test_a_problem_that_breaks_the_backend_is_an_error_and_the_process_lives_on(backend: RemoteBackend) -> None:
    process = backend.process_id
    broken = make_world("stereo").problem
    object.__setattr__(broken, "landmark_rows", broken.landmark_rows + 100_000)
    with pytest.raises(BackendError, match="the backend failed: .*Error"):
        backend.solve(broken)
    assert backend.process_id == process
    _assert_equal(backend.solve(PROBLEM), BundleAdjustment(BackendConfig()).solve(PROBLEM))


def test_a_killed_process_is_one_error_and_the_next_problem_starts_anew(
    backend: RemoteBackend, caplog: pytest.LogCaptureFixture
) -> None:
    backend.solve(PROBLEM)
    process = backend.process_id
    assert process is not None
    os.kill(process, signal.SIGKILL)
    assert _ended(process)
    with pytest.raises(BackendError, match=r"process was lost \(exit -9\)"):
        backend.solve(PROBLEM)
    with caplog.at_level(logging.WARNING):
        backend.solve(PROBLEM)
    assert "starting a new backend process" in caplog.text
    assert backend.process_id not in (None, process)


def test_closing_ends_the_process_and_may_be_repeated() -> None:
    remote = RemoteBackend(BackendConfig(kind="none"))
    process = remote.process_id
    remote.close()
    remote.close()
    assert process is not None
    assert _ended(process)
    with pytest.raises(BackendError, match="closed"):
        remote.solve(PROBLEM)


def test_closing_does_not_wait_for_problems_in_flight() -> None:
    remote = RemoteBackend(BackendConfig())
    futures = [remote.submit(PROBLEM) for _ in range(20)]
    start = time.monotonic()
    remote.close()
    assert time.monotonic() - start < 2.0
    for future in futures:
        with pytest.raises(BackendError, match="was closed"):
            future.result(timeout=1)


SCRIPT = """
import sys, time
sys.path.insert(0, {root!r})
from slamfront.backend import RemoteBackend
from slamfront.config import BackendConfig
from tests.backend.worlds import make_world
remote = RemoteBackend(BackendConfig(kind="none"))
remote.solve(make_world("stereo").problem)
assert "gtsam" not in sys.modules
print(remote.process_id, flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_the_process_ends_with_its_parent_and_prints_nothing(end: signal.Signals, tmp_path: Path) -> None:
    # A script without a main guard, whose module cannot be imported a second time.
    script = tmp_path / "run me.py"
    script.write_text(SCRIPT.format(root=str(ROOT)))
    parent = subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        # What runs in the background inherits that SIGINT is ignored, which no terminal does
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    os.killpg(parent.pid, end)  # as a terminal does on Ctrl-C: every process of the group
    _, errors = parent.communicate(timeout=20)
    assert _ended(child)
    assert b"slamfront/backend" not in errors
    assert errors.count(b"Traceback") == (1 if end == signal.SIGINT else 0)  # the script's own
