"""The live window, on a virtual display where there is one, and its refusals everywhere."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from slamfront.errors import ViewerError
from slamfront.types import State
from slamfront.viewer.open3d import Window, load_open3d
from slamfront.viewer.scene import BACKGROUND, STATE_COLOURS

ROOT = Path(__file__).resolve().parents[2]
WIDTH, HEIGHT = 1700, 960

SHOW = """
from slamfront.types import State
from slamfront.viewer.open3d import Window
from tests.viewer.snapshots import empty_snapshot, snapshot

window = Window()
shown = [window.show(empty_snapshot())]
shown += [window.show(snapshot(frame_id, colour=True)) for frame_id in range(20, 24)]
last = snapshot(24)
shown += [window.show(last) for _ in range(3)]
assert all(shown), shown
print("look", flush=True)
input()
window.controls.pause()
window.close()
window.close()
assert not window.show(last)
assert not window.controls.paused
print("closed")
"""


@pytest.fixture
def display(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A virtual display and the file that holds its picture."""
    if shutil.which("Xvfb") is None:
        pytest.skip("Xvfb is not installed: the live window is not tested")
    read, write = os.pipe()
    command = ["Xvfb", "-displayfd", str(write), "-screen", "0", f"{WIDTH}x{HEIGHT}x24", "-fbdir", str(tmp_path)]
    server = subprocess.Popen(command, pass_fds=[write], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.close(write)
    with os.fdopen(read) as answer:
        number = answer.readline().strip()
    try:
        if not number:
            pytest.skip("Xvfb does not start: the live window is not tested")
        yield f":{number}", tmp_path / "Xvfb_screen0"
    finally:
        server.terminate()
        server.wait(10)


def code(colours: np.ndarray) -> np.ndarray:
    """Return RGB colours (...,3) as one number each."""
    return colours.astype(np.int64) @ np.array([1 << 16, 1 << 8, 1])


def loads_open3d() -> bool:
    try:
        load_open3d()
    except ViewerError:
        return False
    return True


def test_the_window_shows_map_and_panel_and_closes_cleanly(display: tuple[str, Path]) -> None:
    if not loads_open3d():
        pytest.skip("Open3D's system libraries are missing: the live window is not tested")
    name, screen = display
    environment = {**os.environ, "DISPLAY": name, "PYTHONPATH": str(ROOT)}
    child = subprocess.Popen(
        [sys.executable, "-c", SHOW],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=environment,
    )
    assert child.stdout is not None
    try:
        ready = child.stdout.readline()
        pixels = np.frombuffer(screen.read_bytes()[-4 * WIDTH * HEIGHT :], np.uint8).reshape(-1, 4)[:, 2::-1]
        output, errors = child.communicate("\n", timeout=60)
    finally:
        child.kill()
    assert child.returncode == 0, errors
    assert ready == "look\n"
    assert output.strip() == "closed"
    seen = set(code(pixels).tolist())
    assert code(np.array(BACKGROUND)) in seen
    assert code(np.array(STATE_COLOURS[State.TRACKING])) in seen
    assert len(seen) > 500  # landmarks of many heights, and the image


def test_a_missing_display_is_a_viewer_error(monkeypatch: pytest.MonkeyPatch) -> None:
    if not sys.platform.startswith("linux"):
        pytest.skip("only Linux tells by its environment that there is no display")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(ViewerError, match="no display"):
        Window()


def test_a_display_that_does_not_answer_is_a_viewer_error(monkeypatch: pytest.MonkeyPatch) -> None:
    if not sys.platform.startswith("linux"):
        pytest.skip("only Linux has X displays")
    monkeypatch.setenv("DISPLAY", ":4242")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(ViewerError, match=":4242 does not answer|Open3D does not load"):
        Window()


def test_a_missing_system_library_is_named_with_the_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def find_spec(self, name: str, path: object = None, target: object = None) -> None:
            if name == "open3d":
                raise ImportError("libGL.so.1: cannot open shared object file")

    monkeypatch.delitem(sys.modules, "open3d", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    with pytest.raises(ViewerError, match=r"apt-get install .*libgl1 .*libx11-6"):
        load_open3d()


def test_open3d_that_is_not_installed_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "open3d", None)
    with pytest.raises(ViewerError, match="not installed: pip install open3d"):
        load_open3d()
