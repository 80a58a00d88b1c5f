from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from slamfront.calibration import write_calibration
from slamfront.errors import CalibrationError, SourceError
from slamfront.sources.camera import CameraSource, open_camera
from slamfront.types import Frame
from tests.sources.datasets import CAMERA


class FakeDevice:
    """A camera that delivers a stated number of frames, one each period, and is then unplugged."""

    def __init__(self, frames: int = 10, period_s: float = 0.002, size: tuple[int, int] = (64, 48)) -> None:
        self.size, self.left, self.period_s = [*size], frames, period_s
        self.undecodable: set[int] = set()
        self.fixed, self.released = False, False
        self.count = 0

    def isOpened(self) -> bool:
        return True

    def grab(self) -> bool:
        assert not self.released
        if self.left == 0:
            return False
        time.sleep(self.period_s)
        self.left -= 1
        self.count += 1
        return True

    def retrieve(self) -> tuple[bool, Any]:
        if self.count in self.undecodable:
            return False, None
        return True, np.full((self.size[1], self.size[0], 3), (self.count % 256, 0, 0), np.uint8)

    def get(self, propId: int) -> float:
        return 0.0

    def set(self, propId: int, value: float) -> bool:
        if propId in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT) and not self.fixed:
            self.size[propId == cv2.CAP_PROP_FRAME_HEIGHT] = int(value)
        return True

    def release(self) -> None:
        self.released = True


def connect(folder: Path, device: FakeDevice) -> CameraSource:
    write_calibration(folder / "c.yaml", CAMERA)
    return open_camera("0", calibration=folder / "c.yaml", open_capture=lambda _: device)


def until_unplugged(source: CameraSource, each_s: float = 0.0) -> list[Frame]:
    """Take frames, spending `each_s` on each, until the camera is unplugged."""
    frames = []

    def take() -> None:
        for frame in source:
            frames.append(frame)
            time.sleep(each_s)

    with pytest.raises(SourceError, match="camera:0 stopped .* unplugged"):
        take()
    return frames


def test_frames_are_rgb_with_times_of_the_clock(tmp_path: Path) -> None:
    device = FakeDevice()
    source = connect(tmp_path, device)
    before = time.time_ns()
    frames = until_unplugged(source)
    assert source.live
    assert source.length is None
    times = [frame.time_ns for frame in frames]
    # The clock of the epoch may be set a little while the test runs.
    assert before - 10**8 < times[0] < times[-1] < time.time_ns() + 10**8
    assert all(frame.image[0, 0].tolist() == [0, 0, frame.id + 2] for frame in frames), "BGR of the device is RGB here"


def test_unplugged_camera_ends_with_a_clear_error_after_its_last_frame(tmp_path: Path) -> None:
    device = FakeDevice(frames=5)
    frames = until_unplugged(connect(tmp_path, device))
    assert frames[-1].id == 3, "one of the five frames told the size"
    assert device.released


def test_newest_frame_wins_and_drops_are_counted(tmp_path: Path) -> None:
    source = connect(tmp_path, FakeDevice(frames=40))
    frames = until_unplugged(source, each_s=0.02)
    assert frames[-1].id == 38
    assert len(frames) < 20
    assert source.dropped == 39 - len(frames)


def test_closing_early_stops_the_thread_and_frees_the_camera(tmp_path: Path) -> None:
    device = FakeDevice(frames=10_000)
    frames = iter(connect(tmp_path, device))
    next(frames)
    frames.close()  # type: ignore[attr-defined]
    assert device.released
    assert "camera" not in {thread.name for thread in threading.enumerate()}


def test_picture_that_cannot_be_decoded_is_skipped(tmp_path: Path) -> None:
    device = FakeDevice(frames=6, period_s=0.02)
    device.undecodable = {3}
    source = connect(tmp_path, device)
    frames = until_unplugged(source)
    assert source.skipped == 1
    assert 1 not in [frame.id for frame in frames]


def test_camera_is_asked_for_the_resolution_of_the_calibration(tmp_path: Path) -> None:
    source = connect(tmp_path, FakeDevice(size=(640, 480)))
    assert source.camera == CAMERA
    device = FakeDevice(size=(640, 480))
    device.fixed = True
    with pytest.raises(CalibrationError, match="640x480"):
        connect(tmp_path, device)
    assert device.released


def test_camera_that_is_not_there_or_not_calibrated_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match=r"--source\.calibration"):
        open_camera("0")
    with pytest.raises(SourceError, match="delivers no frame"):
        connect(tmp_path, FakeDevice(frames=0))
    absent = FakeDevice()
    absent.isOpened = lambda: False  # type: ignore[method-assign]
    with pytest.raises(SourceError, match="cannot be opened"):
        connect(tmp_path, absent)
