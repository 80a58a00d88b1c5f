"""Pause and step between two threads."""

from __future__ import annotations

import threading

from slamfront.viewer.controls import Controls


def test_frames_run_until_someone_pauses() -> None:
    controls = Controls()
    assert controls.admit(0.0)
    controls.pause()
    assert controls.paused
    assert not controls.admit(0.0)
    controls.pause(False)
    assert controls.admit(0.0)


def test_a_step_lets_one_frame_through() -> None:
    controls = Controls()
    controls.step()
    assert controls.admit(0.0)
    assert not controls.admit(0.0)
    controls.step()
    controls.step()
    assert [controls.admit(0.0) for _ in range(3)] == [True, True, False]


def test_a_frame_that_waits_goes_on_when_the_window_closes() -> None:
    controls = Controls()
    controls.pause()
    admitted = threading.Event()
    waiting = threading.Thread(target=lambda: controls.admit() and admitted.set(), daemon=True)
    waiting.start()
    assert not admitted.wait(0.05)
    controls.release()
    assert admitted.wait(5.0)
    waiting.join(5.0)
