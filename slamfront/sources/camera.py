"""A live camera: a thread grabs, the newest frame wins, and a camera that is unplugged ends the source."""

from __future__ import annotations

import re
import time
from collections.abc import Generator
from functools import partial
from pathlib import Path

import cv2

from slamfront.calibration import read_calibration
from slamfront.errors import CalibrationError, FrameError, SourceError, refused_as
from slamfront.geometry.camera import Camera, StereoRig
from slamfront.runtime import Latest, Worker
from slamfront.sources.capture import Capture, OpenCapture, retrieve_rgb
from slamfront.sources.reader import Attempt, FrameReader, SensorChoice, choose_sensor, for_sensor
from slamfront.types import Frame, Image

_FAILURES = 10
"""Grabs that fail in a row before the camera counts as unplugged."""
_CLOSE_S = 3.0
"""How long closing waits for a driver that does not answer; the thread ends with the process in any case."""

_Grabbed = tuple[int, int, Image | None]


def open_camera(
    device: str,
    sensor: SensorChoice = "auto",
    calibration: Path | None = None,
    open_capture: OpenCapture = cv2.VideoCapture,
) -> CameraSource:
    """Return the live camera of a number (`0`), a device file or a stream's address, as a mono source.

    The resolution of the calibration is asked of the camera. Raises SourceError when there is no such camera, and
    CalibrationError when there is no calibration, or the camera cannot deliver its resolution.
    """
    choose_sensor(sensor, ("mono",), f"camera:{device}")
    if calibration is None:
        raise CalibrationError(f"camera:{device} has no calibration: name a file with --source.calibration")
    return CameraSource(device, calibration, open_capture)


class CameraSource(FrameReader):
    """A camera that delivers at its own pace.

    A frame's time is that of its grab: the epoch's at the start, advanced by the monotonic clock. Frames that nobody
    took in time are replaced by newer ones and counted in `dropped`; they leave gaps in the ids. When the camera stops
    answering, the iteration raises SourceError after the last frame.
    """

    live = True

    def __init__(self, device: str, calibration: Path, open_capture: OpenCapture) -> None:
        self._device, self._open_capture = device, open_capture
        self._mailbox: Latest[_Grabbed] = Latest()
        capture = self._open()
        try:
            camera = _fit(capture, calibration, f"camera:{device}")
        except BaseException:
            capture.release()
            raise
        self._waiting: Capture | None = capture
        super().__init__(f"camera-{device.strip('/').replace('/', '-')}", camera, "mono")

    @property
    def dropped(self) -> int:
        """Frames that were replaced by newer ones before anyone took them."""
        return self._mailbox.dropped

    def _open(self) -> Capture:
        number = re.fullmatch(r"[0-9]{1,4}", self._device)
        with refused_as(SourceError, f"camera:{self._device} cannot be opened"):
            capture = self._open_capture(int(self._device) if number else self._device)
        if not capture.isOpened():
            raise SourceError(f"camera:{self._device} cannot be opened: is it connected, and free?")
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0)
        return capture

    def _attempts(self) -> Generator[Attempt, None, None]:
        capture, self._waiting = self._waiting or self._open(), None
        mailbox = self._mailbox = Latest()

        def finish() -> None:
            mailbox.close()
            capture.release()

        worker = Worker("camera", partial(_grab, capture, mailbox, self._device), finish).start()
        try:
            for grabbed in mailbox:
                yield partial(self._frame, *grabbed)
            worker.join()
            if worker.error is not None:
                raise worker.error
        finally:
            mailbox.close()
            worker.join(_CLOSE_S)

    def _frame(self, number: int, time_ns: int, image: Image | None) -> Frame:
        if image is None:
            raise FrameError(f"frame {number}: the camera delivered no picture")
        return Frame(number, time_ns, image, self.camera)


def _fit(capture: Capture, calibration: Path, name: str) -> Camera:
    """Return the calibration of what the camera delivers, after asking it for the calibration's resolution."""
    width, height = _size(capture, name)
    camera = read_calibration(calibration, (width, height))
    if isinstance(camera, StereoRig):
        camera = camera.left
    if (camera.width, camera.height) != (width, height):
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, camera.width)
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, camera.height)
        camera.check(*_size(capture, name))
    single = for_sensor(camera, "mono")
    assert isinstance(single, Camera)
    return single


def _size(capture: Capture, name: str) -> tuple[int, int]:
    if not capture.grab():
        raise SourceError(f"{name} opens but delivers no frame")
    height, width = retrieve_rgb(capture, f"the first frame of {name}").shape[:2]
    return width, height


def _grab(capture: Capture, mailbox: Latest[_Grabbed], device: str) -> None:
    """Put each frame into the mailbox until it is closed; SourceError when the camera no longer answers."""
    epoch_ns = time.time_ns() - time.monotonic_ns()
    number = failures = 0
    while failures < _FAILURES:
        if not capture.grab():
            failures += 1
            continue
        time_ns, failures = epoch_ns + time.monotonic_ns(), 0
        try:
            image = retrieve_rgb(capture, "frame")
        except FrameError:
            image = None
        mailbox.put((number, time_ns, image))
        number += 1
    raise SourceError(f"camera:{device} stopped after {number} frames: it was unplugged or taken by another program")
