"""Frames of a video file."""

from __future__ import annotations

import logging
from collections.abc import Generator
from functools import partial
from pathlib import Path

import cv2

from slamfront.errors import SourceError
from slamfront.sources.capture import Capture, OpenCapture, retrieve_rgb
from slamfront.sources.reader import Attempt, FrameReader, SensorChoice, choose_sensor, find_calibration, for_sensor
from slamfront.types import Frame

log = logging.getLogger(__name__)

VIDEO_SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv", ".mts")

# Containers estimate their number of frames; one or two fewer is no sign of a truncated file.
_MISCOUNT = 2


def open_video(
    path: Path,
    sensor: SensorChoice = "auto",
    calibration: Path | None = None,
    open_capture: OpenCapture = cv2.VideoCapture,
) -> VideoSource:
    """Return a video file as a mono source; its calibration is the file given, else calibration.yaml beside it.

    Raises SourceError when it cannot be opened or holds no frame.
    """
    choose_sensor(sensor, ("mono",), str(path))
    return VideoSource(path, calibration, open_capture)


class VideoSource(FrameReader):
    """A video file, read to where it ends.

    Pictures are as the file holds them, however it says that they are to be turned for viewing. A frame's time is that
    of the file where it advances, else one period of the frame rate after the last. A frame that
    cannot be decoded is skipped and counted; a file that ends before its stated length ends with a warning.
    """

    def __init__(self, path: Path, calibration: Path | None, open_capture: OpenCapture) -> None:
        self._path, self._open_capture = path, open_capture
        capture = self._open()
        try:
            if not capture.grab():
                raise SourceError(f"{path} holds no frame that can be read")
            height, width = retrieve_rgb(capture, f"the first frame of {path}").shape[:2]
            count, fps = capture.get(cv2.CAP_PROP_FRAME_COUNT), capture.get(cv2.CAP_PROP_FPS)
        finally:
            capture.release()
        known = find_calibration(path.parent, (width, height), calibration)
        super().__init__(path.stem, for_sensor(known, "mono"), "mono")
        self._length = int(count) if 0 < count < 1e9 else None
        self._period_ns = round(1e9 / fps) if 0 < fps < 1e4 else round(1e9 / 30)

    @property
    def length(self) -> int | None:
        """Number of frames that the file states, or None."""
        return self._length

    def _open(self) -> Capture:
        capture = self._open_capture(str(self._path))
        if not capture.isOpened():
            raise SourceError(f"{self._path} cannot be opened as a video: it is damaged, or its codec is not known")
        # A calibration belongs to the pixels of the sensor, as they are in the file
        capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0)
        turned_deg = capture.get(cv2.CAP_PROP_ORIENTATION_META)
        if turned_deg not in (0, -1) and capture.get(cv2.CAP_PROP_ORIENTATION_AUTO):
            capture.release()
            raise SourceError(f"{self._path} is turned by {turned_deg:g} degrees, which cannot be undone here")
        return capture

    def _attempts(self) -> Generator[Attempt, None, None]:
        capture = self._open()
        try:
            count, time_ns = 0, -self._period_ns
            while capture.grab():
                stated_ns = round(capture.get(cv2.CAP_PROP_POS_MSEC) * 1e6)
                time_ns = stated_ns if stated_ns > time_ns else time_ns + self._period_ns
                yield partial(self._read, capture, count, time_ns)
                count += 1
        finally:
            capture.release()
        if self._length is not None and count < self._length - _MISCOUNT:
            log.warning("%s ends after %d of %d frames: it is truncated or damaged", self._path, count, self._length)

    def _read(self, capture: Capture, number: int, time_ns: int) -> Frame:
        return Frame(number, time_ns, retrieve_rgb(capture, f"frame {number} of {self._path}"), self.camera)
