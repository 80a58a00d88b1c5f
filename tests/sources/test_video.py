from __future__ import annotations

import logging
from pathlib import Path

import cv2
import numpy as np
import pytest

from slamfront.calibration import write_calibration
from slamfront.errors import CalibrationError, SourceError
from slamfront.sources.video import open_video
from tests.sources.datasets import CAMERA, HEIGHT, WIDTH


def make_video(folder: Path, count: int = 12) -> Path:
    """Build a video at 20 Hz whose n-th frame is a uniform red of 20 n."""
    path = folder / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 20.0, (WIDTH, HEIGHT))
    for number in range(count):
        writer.write(np.full((HEIGHT, WIDTH, 3), (0, 0, 20 * number % 256), np.uint8))
    writer.release()
    write_calibration(folder / "calibration.yaml", CAMERA)
    return path


def test_frames_are_rgb_and_advance_at_the_frame_rate(tmp_path: Path) -> None:
    source = open_video(make_video(tmp_path))
    frames = list(source)
    assert (source.length, len(frames), source.skipped, source.camera) == (12, 12, 0, CAMERA)
    # JPEG keeps a uniform colour within a few steps.
    np.testing.assert_allclose([frame.image[..., 0].mean() for frame in frames], 20 * np.arange(12), atol=4)
    assert [round(frame.time_ns / 1e6) for frame in frames] == [50 * n for n in range(12)]
    assert len(list(source)) == 12, "a source can be read again"


def test_truncated_video_gives_what_it_has_and_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = make_video(tmp_path, count=100)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 3 // 4])
    with caplog.at_level(logging.WARNING):
        frames = list(open_video(path))
    assert 20 <= len(frames) < 98
    assert "truncated" in caplog.text


def test_what_is_no_video_is_refused(tmp_path: Path) -> None:
    path = make_video(tmp_path)
    path.write_bytes(b"no video at all")
    with pytest.raises(SourceError, match=r"clip\.avi cannot be opened"):
        open_video(path)


def test_calibration_of_another_resolution_is_refused(tmp_path: Path) -> None:
    path = make_video(tmp_path)
    write_calibration(tmp_path / "calibration.yaml", CAMERA.scaled(128, 96))
    with pytest.raises(CalibrationError, match="128x96"):
        open_video(path)
