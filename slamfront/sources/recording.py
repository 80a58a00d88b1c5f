"""Recordings on disk: a list of the files that belong to each instant, read frame by frame."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from slamfront.calibration import Calibration
from slamfront.errors import FrameError, SourceError
from slamfront.sources.images_io import read_depth, read_image
from slamfront.sources.reader import Attempt, FrameReader, depth_delay_s
from slamfront.types import Frame, Sensor, Trajectory

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Shot:
    """The files of one instant of a recording.

    id             number of the frame in the whole recording
    right, depth   files of the right image and of the depth map, None where the recording has none at that instant
    depth_ns       time stamp of the depth map, None where it has that of the image
    """

    id: int
    time_ns: int
    image: Path
    right: Path | None = None
    depth: Path | None = None
    depth_ns: int | None = None


@dataclass(frozen=True, slots=True)
class DepthUnit:
    """How depth files are read: a value times `metres` is the depth, and the value `invalid` means unknown."""

    metres: float
    invalid: int | None = None


FIFTH_OF_A_MILLIMETRE = DepthUnit(1 / 5000)
"""The unit of TUM's depth maps, where 0 means unknown."""


class Recording(FrameReader):
    """A source that reads image files.

    A frame that lacks the right image or the depth which `sensor` needs is skipped and counted, as a damaged one is.
    """

    def __init__(
        self,
        name: str,
        calibration: Calibration,
        sensor: Sensor,
        shots: Sequence[Shot],
        reference: Trajectory | None = None,
        depth_unit: DepthUnit = FIFTH_OF_A_MILLIMETRE,
    ) -> None:
        super().__init__(name, calibration, sensor, reference)
        if not shots:
            raise SourceError(f"{name}: there are no frames")
        self._shots, self._depth_unit = list(shots), depth_unit

    @property
    def length(self) -> int:
        """Number of frames, those that cannot be used included."""
        return len(self._shots)

    def taken(self, start: int, end: int | None, stride: int) -> Recording:
        """Return the recording of every `stride`-th frame from `start` on and before `end`; their ids stay."""
        shots = self._shots[start:end:stride]
        if not shots:
            raise SourceError(f"{self.name}: no frame is left of its {self.length}: change start, end or stride")
        return Recording(self.name, self.calibration, self.sensor, shots, self.reference, self._depth_unit)

    def _attempts(self) -> Generator[Attempt, None, None]:
        for shot in self._shots:
            yield partial(self._read, shot)

    def _read(self, shot: Shot) -> Frame:
        right, depth_m, delay_s = None, None, 0.0
        if self.sensor == "stereo":
            if shot.right is None:
                raise FrameError(f"frame {shot.id}: no right image belongs to {shot.image.name}")
            right = read_image(shot.right)
        if self.sensor == "rgbd":
            if shot.depth is None:
                raise FrameError(f"frame {shot.id}: no depth belongs to {shot.image.name}")
            depth_m = read_depth(shot.depth, self._depth_unit.metres, self._depth_unit.invalid)
            delay_s = depth_delay_s(self.camera, shot.time_ns, shot.depth_ns)
        return Frame(shot.id, shot.time_ns, read_image(shot.image), self.camera, right, depth_m, delay_s)


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
