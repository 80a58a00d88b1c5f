"""What all sources of recorded or captured frames share: a frame that cannot be used is skipped, named and counted."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypeVar

from numpy.typing import NDArray

from slamfront.calibration import Calibration, read_calibration
from slamfront.errors import CalibrationError, FrameError, SourceError, refused_as
from slamfront.geometry.camera import Camera, StereoRig
from slamfront.types import Frame, Image, Sensor, Trajectory

log = logging.getLogger(__name__)

SensorChoice = Literal["auto", "mono", "stereo", "rgbd"]
Attempt = Callable[[], Frame]
T = TypeVar("T")

VIRTUAL_BASELINE_M = 0.08
"""Baseline of the virtual right camera that turns a depth camera's depth into a right x (`KeyFrame.right_x`)."""

_SENSORS: tuple[Sensor, ...] = ("mono", "stereo", "rgbd")
_WARNINGS = 5


class FrameReader(ABC):
    """A source of frames as they were captured, not yet undistorted; subclasses say how each is read.

    calibration  that of the frames: a Camera, or the StereoRig of two cameras that are not rectified; `camera` is the
                 left one
    skipped      frames that the newest iteration could not use: damaged ones, and those of another size; the first few
                 are named in warnings
    incomplete   frames of the newest iteration that came without their right image or depth; the first few are named
    dropped      frames of a live source that came too fast for whoever takes them
    """

    live = False

    def __init__(
        self, name: str, calibration: Calibration, sensor: Sensor, reference: Trajectory | None = None
    ) -> None:
        self.name, self.sensor, self.reference = name, sensor, reference
        self.calibration = calibration
        self.camera = calibration.left if isinstance(calibration, StereoRig) else calibration
        self.skipped = self.incomplete = 0

    @property
    def length(self) -> int | None:
        """Number of frames, those that cannot be used included, or None when it is not known."""
        return None

    @property
    def dropped(self) -> int:
        """Frames that came too fast; none unless the source is live."""
        return 0

    def __iter__(self) -> Iterator[Frame]:
        self.skipped = self.incomplete = 0
        with closing(self._attempts()) as attempts:
            while True:
                with refused_as(SourceError, f"{self.name} cannot be read on"):
                    attempt = next(attempts, None)
                if attempt is None:
                    break
                try:
                    with refused_as(FrameError, f"{self.name}: a frame cannot be read"):
                        frame = attempt()
                        frame.check()
                except FrameError as error:
                    self._skip(error)
                    continue
                yield frame
        if self.skipped > _WARNINGS:
            log.warning("%s: %d frames were skipped in all", self.name, self.skipped)
        if self.incomplete > _WARNINGS:
            log.warning("%s: %d frames came without their right image or depth", self.name, self.incomplete)

    @abstractmethod
    def _attempts(self) -> Generator[Attempt, None, None]:
        """Yield for each frame a function that returns it, or raises FrameError when it cannot be used."""

    def optional(
        self, frame_id: int, what: str, given: T | None, read: Callable[[T], NDArray[Any]], image: Image
    ) -> NDArray[Any] | None:
        """Return what `read` makes of what a frame was given beside its image, or None, with a warning, where there is
        nothing, or it is damaged or of another size: such a frame is tracked as one camera's would be.
        """
        try:
            if given is None:
                raise FrameError("there is none")
            with refused_as(FrameError, "it cannot be read"):
                second = read(given)
            expected = image.shape if second.dtype == image.dtype else image.shape[:2]
            if second.shape != expected:
                raise FrameError(f"its shape is {second.shape}, where the image needs {expected}")
        except FrameError as error:
            self.incomplete += 1
            if self.incomplete <= _WARNINGS:
                log.warning("%s: frame %d comes without its %s: %s", self.name, frame_id, what, error)
            return None
        return second

    def _skip(self, error: FrameError) -> None:
        self.skipped += 1
        if self.skipped <= _WARNINGS:
            log.warning("%s: skipped a frame: %s", self.name, error)


def depth_delay_s(camera: Camera, time_ns: int, depth_ns: int | None) -> float:
    """Return how much later than an image its depth was captured by their time stamps, where both have one."""
    return camera.depth_delay_s + (0.0 if depth_ns is None else 1e-9 * (depth_ns - time_ns))


def choose_sensor(wanted: SensorChoice, offered: Sequence[Sensor], name: str) -> Sensor:
    """Return the sensor that is `wanted`, or for "auto" the most that is `offered`; SourceError if it is not there."""
    if wanted == "auto":
        return max(offered, key=_SENSORS.index)
    if wanted not in offered:
        raise SourceError(f"{name} offers {', '.join(offered)}, not {wanted}")
    return wanted


def find_calibration(
    folder: Path, size: tuple[int, int], given: Path | None, default: Calibration | None = None
) -> Calibration:
    """Return the calibration of frames that are `size` = (width, height) px and lie in `folder`.

    It is the file `given`, else `calibration.yaml` in the folder, else the `default` of that kind of dataset. Raises
    CalibrationError when there is none, or when it belongs to another resolution.
    """
    own = folder / "calibration.yaml"
    path = given if given is not None else own if own.is_file() else None
    calibration = read_calibration(path, size) if path is not None else default
    if calibration is None:
        raise CalibrationError(
            f"{folder} has no calibration: put calibration.yaml there, or name a file with --source.calibration"
        )
    for camera in (calibration.left, calibration.right) if isinstance(calibration, StereoRig) else (calibration,):
        camera.check(*size)
    return calibration


def for_sensor(calibration: Calibration, sensor: Sensor) -> Calibration:
    """Return the calibration as `sensor` needs it.

    One camera is the left one of a pair. A depth camera has a baseline, by default that of a virtual right camera; a
    single camera has none. Raises CalibrationError for stereo without a rectified pair's baseline or a second camera.
    """
    if sensor == "stereo":
        if isinstance(calibration, Camera) and (calibration.baseline_m is None or calibration.model != "pinhole"):
            raise CalibrationError(
                "stereo needs a rectified pinhole camera with baseline_m, or both cameras' calibration"
            )
        return calibration
    camera = calibration.left if isinstance(calibration, StereoRig) else calibration
    if sensor == "mono":
        return replace(camera, baseline_m=None)
    return replace(camera, baseline_m=camera.baseline_m or VIRTUAL_BASELINE_M)
