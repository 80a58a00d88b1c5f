"""Recordings on disk: a list of what belongs to each instant, read frame by frame."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from slamfront.calibration import Calibration, read_calibration
from slamfront.errors import CalibrationError, FrameError, SourceError
from slamfront.geometry.camera import Camera, StereoRig
from slamfront.sources.images_io import read_depth, read_image
from slamfront.types import Frame, Sensor, Trajectory

T = TypeVar("T")
log = logging.getLogger(__name__)

SensorChoice = Literal["auto", "mono", "stereo", "rgbd"]

VIRTUAL_BASELINE_M = 0.08
"""Baseline of the virtual right camera that turns a depth camera's depth into a right x (`KeyFrame.right_x`)."""

_SENSORS: tuple[Sensor, ...] = ("mono", "stereo", "rgbd")
_WARNINGS = 5


@dataclass(frozen=True, slots=True)
class Shot:
    """The files of one instant of a recording.

    id          number of the frame in the whole recording
    right, depth   files of the right image and of the depth map, None where the recording has none at that instant
    """

    id: int
    time_ns: int
    image: Path
    right: Path | None = None
    depth: Path | None = None


@dataclass(frozen=True, slots=True)
class DepthUnit:
    """How depth files are read: a value times `metres` is the depth, and the value `invalid` means unknown."""

    metres: float = 1 / 5000
    invalid: int | None = None


class Skips:
    """Counts the frames that cannot be used, and warns of the first few by name."""

    def __init__(self, source: str) -> None:
        self._source = source
        self.count = 0

    def add(self, error: FrameError) -> None:
        """Count one frame and say why it was skipped."""
        self.count += 1
        if self.count <= _WARNINGS:
            log.warning("%s: skipped a frame: %s", self._source, error)

    def summarise(self) -> None:
        """Say how many were skipped when not each was named."""
        if self.count > _WARNINGS:
            log.warning("%s: %d frames were skipped in all", self._source, self.count)


class Clock:
    """Refuses frames whose time does not advance."""

    def __init__(self) -> None:
        self._last_ns: int | None = None

    def check(self, frame: Frame) -> None:
        """Raise FrameError when `frame` is not later than the last one that passed."""
        if self._last_ns is not None and frame.time_ns <= self._last_ns:
            raise FrameError(f"frame {frame.id}: its time {frame.time_ns} ns is not after {self._last_ns} ns")
        self._last_ns = frame.time_ns


class Recording:
    """A source that reads image files: frames as they were recorded, not yet undistorted.

    `calibration` is that of the files: a Camera, or the StereoRig of two cameras that are not rectified yet; `camera` is the
    left one. Damaged frames, frames of another size, frames without the depth or right image that `sensor` needs, and frames
    whose time does not advance are skipped: each is warned of, and `skipped` counts them during and after an iteration.
    """

    live = False
    dropped = 0

    def __init__(
        self,
        name: str,
        calibration: Calibration,
        sensor: Sensor,
        shots: Sequence[Shot],
        reference: Trajectory | None = None,
        depth_unit: DepthUnit = DepthUnit(),
    ) -> None:
        if not shots:
            raise SourceError(f"{name}: there are no frames")
        self.name, self.sensor, self.reference = name, sensor, reference
        self.calibration = calibration
        self.camera = calibration.left if isinstance(calibration, StereoRig) else calibration
        self._shots, self._depth_unit = list(shots), depth_unit
        self._skips = Skips(name)

    @property
    def length(self) -> int:
        """Number of frames, those that cannot be used included."""
        return len(self._shots)

    @property
    def skipped(self) -> int:
        """Number of frames that the newest iteration could not use."""
        return self._skips.count

    def taken(self, start: int, end: int | None, stride: int) -> Recording:
        """Return the recording of every `stride`-th frame from `start` on and before `end`; their ids stay."""
        shots = self._shots[start:end:stride]
        if not shots:
            raise SourceError(f"{self.name}: no frame is left of its {self.length}: change start, end or stride")
        return Recording(self.name, self.calibration, self.sensor, shots, self.reference, self._depth_unit)

    def __iter__(self) -> Iterator[Frame]:
        self._skips = skips = Skips(self.name)
        clock = Clock()
        for shot in self._shots:
            try:
                frame = self._read(shot)
                clock.check(frame)
            except FrameError as error:
                skips.add(error)
                continue
            yield frame
        skips.summarise()

    def _read(self, shot: Shot) -> Frame:
        right = depth_m = None
        if self.sensor == "stereo":
            if shot.right is None:
                raise FrameError(f"frame {shot.id}: no right image belongs to {shot.image.name}")
            right = read_image(shot.right)
        if self.sensor == "rgbd":
            if shot.depth is None:
                raise FrameError(f"frame {shot.id}: no depth belongs to {shot.image.name}")
            depth_m = read_depth(shot.depth, self._depth_unit.metres, self._depth_unit.invalid)
        frame = Frame(shot.id, shot.time_ns, read_image(shot.image), self.camera, right, depth_m)
        frame.check()
        return frame


def choose_sensor(wanted: SensorChoice, offered: Sequence[Sensor], name: str) -> Sensor:
    """Return the sensor to use: what is `wanted`, or for "auto" the most that is `offered`; SourceError if it is not there."""
    if wanted == "auto":
        return max(offered, key=_SENSORS.index)
    if wanted not in offered:
        raise SourceError(f"{name} offers {', '.join(offered)}, not {wanted}")
    return wanted


def find_calibration(
    folder: Path, size: tuple[int, int], given: Path | None, default: Calibration | None
) -> Calibration:
    """Return the calibration of a dataset's frames, which are `size` = (width, height) px.

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

    One camera is the left one of a pair. A depth camera has a baseline, by default that of a virtual right camera; a single
    camera has none. Raises CalibrationError for stereo without a rectified pair's baseline or a second camera.
    """
    if sensor == "stereo":
        if isinstance(calibration, Camera) and (calibration.baseline_m is None or calibration.model != "pinhole"):
            raise CalibrationError(
                "stereo needs a rectified pinhole camera with baseline_m, or the calibration of both cameras"
            )
        return calibration
    camera = calibration.left if isinstance(calibration, StereoRig) else calibration
    if sensor == "mono":
        return replace(camera, baseline_m=None)
    return replace(camera, baseline_m=camera.baseline_m or VIRTUAL_BASELINE_M)


def associate(first_ns: ArrayLike, second_ns: ArrayLike, tolerance_ns: int) -> NDArray[np.int64]:
    """Return for each of the first times the row of the second that belongs to it, or -1, one to one.

    Pairs that differ by at most `tolerance_ns` are taken closest first; times need not be sorted.
    """
    first, second = np.asarray(first_ns, np.int64), np.asarray(second_ns, np.int64)
    order = np.argsort(second, kind="stable")
    low = np.searchsorted(second[order], first - tolerance_ns, "left")
    high = np.searchsorted(second[order], first + tolerance_ns, "right")
    pairs = [(row, order[k]) for row in range(len(first)) for k in range(low[row], high[row])]
    pairs.sort(key=lambda pair: abs(int(first[pair[0]]) - int(second[pair[1]])))
    rows = np.full(len(first), -1, np.int64)
    used: set[int] = set()
    for row, other in pairs:
        if rows[row] < 0 and other not in used:
            rows[row] = other
            used.add(other)
    return rows


def read_rows(path: Path, parse: Callable[[list[str]], T], separator: str | None = None) -> list[T]:
    """Return what `parse` makes of the fields of each line of a text file, without comments (#) and empty lines.

    Raises SourceError naming the file and the line where `parse` raises ValueError or IndexError.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"cannot read {path}: {getattr(error, 'strerror', error)}") from error
    rows: list[T] = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            rows.append(parse([field.strip() for field in line.strip().split(separator)]))
        except (ValueError, IndexError) as error:
            raise SourceError(f"{path}, line {number}: cannot read '{line.strip()[:60]}'") from error
    return rows
