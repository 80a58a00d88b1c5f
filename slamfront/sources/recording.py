"""Recordings on disk: a list of the files that belong to each instant, read frame by frame."""

from __future__ import annotations

import heapq
import re
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from slamfront.calibration import Calibration
from slamfront.errors import FrameError, SourceError, refused_as
from slamfront.image_files import Levels, read_depth, read_image, read_raw
from slamfront.reading import read_text
from slamfront.sources.reader import Attempt, FrameReader, depth_delay_s
from slamfront.types import Frame, Image, Sensor, Trajectory

T = TypeVar("T")

_LOOKED_AT = 8
"""Pictures of a recording that tell how many bits its sensor has."""


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

    A frame whose right image or depth is missing, damaged or of another size comes without it, and is counted.
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
        self._levels: Levels | None = None

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

    def set_depth_unit(self, metres: float | None) -> None:
        """Take one step of a depth image for so many metres; None leaves what is usual for the kind of dataset."""
        if metres is not None:
            self._depth_unit = replace(self._depth_unit, metres=metres)

    def _attempts(self) -> Generator[Attempt, None, None]:
        for shot in self._shots:
            yield partial(self._read, shot)

    def _read(self, shot: Shot) -> Frame:
        right, depth_m, delay_s = None, None, 0.0
        size = self.camera.width, self.camera.height
        image = self._image(shot.image, size)
        if self.sensor == "stereo":
            right = self.optional(shot.id, "right image", shot.right, partial(self._image, size=size), image)
        if self.sensor == "rgbd":
            unit = self._depth_unit
            read = partial(read_depth, unit_m=unit.metres, invalid=unit.invalid, size=size)
            depth_m = self.optional(shot.id, "depth", shot.depth, read, image)
            delay_s = depth_delay_s(self.camera, shot.time_ns, shot.depth_ns)
        return Frame(shot.id, shot.time_ns, image, self.camera, right, depth_m, delay_s)

    def _image(self, path: Path, size: tuple[int, int]) -> Image:
        if self._levels is None:
            self._levels = _levels_of([shot.image for shot in self._shots])
        return read_image(path, size, self._levels)


def _levels_of(paths: Sequence[Path]) -> Levels:
    """Return the levels of some pictures spread over a recording, the first of which has 16 bits."""
    levels = Levels()
    for path in paths[:: max(1, len(paths) // _LOOKED_AT)]:
        try:
            values = read_raw(path)
        except FrameError:
            continue
        if values.dtype != np.uint16:
            break
        levels.see(values)
    return levels


def associate(first_ns: ArrayLike, second_ns: ArrayLike, tolerance_ns: int) -> NDArray[np.int64]:
    """Return for each of the first times the row of the second that belongs to it, or -1, one to one.

    Pairs that differ by at most `tolerance_ns` are taken closest first; times need not be sorted. The closest pair of
    all is always one of neighbours in time, so that only neighbours are compared, as pairs between them are taken out.
    """
    first, second = np.asarray(first_ns, np.int64), np.asarray(second_ns, np.int64)
    times = np.concatenate([first, second])
    order = np.argsort(times, kind="stable").tolist()
    after = dict(pairwise(order))
    before = dict(zip(order[1:], order))
    rows = np.full(len(first), -1, np.int64)
    heap: list[tuple[int, int, int]] = []

    def compare(a: int | None, b: int | None) -> None:
        """Put two neighbours in line when they are of different kinds and close enough."""
        if a is None or b is None or (a < len(first)) == (b < len(first)):
            return
        apart = int(times[b]) - int(times[a])
        if apart <= tolerance_ns:
            heapq.heappush(heap, (apart, min(a, b), max(a, b)))

    for a, b in list(after.items()):
        compare(a, b)
    gone: set[int] = set()
    while heap:
        _, row, other = heapq.heappop(heap)
        if row in gone or other in gone:
            continue
        rows[row] = other - len(first)
        for taken in (row, other):
            gone.add(taken)
            earlier, later = before.pop(taken, None), after.pop(taken, None)
            if earlier is not None:
                after.pop(earlier, None)
            if later is not None:
                before.pop(later, None)
            if earlier is not None and later is not None:
                after[earlier], before[later] = later, earlier
            compare(earlier, later)
    return rows


def read_rows(path: Path, parse: Callable[[list[str]], T], separator: str | None = None) -> list[T]:
    """Return what `parse` makes of the fields of each line of a text file, without comments (#) and empty lines.

    Raises SourceError naming the file and the line where `parse` raises anything.
    """
    rows: list[T] = []
    for number, line in enumerate(read_text(path, SourceError).splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        with refused_as(SourceError, f"{path}, line {number}: cannot read '{line.strip()[:60]}'", told=False):
            rows.append(parse([field.strip() for field in line.strip().split(separator)]))
    return rows


def integer_time(text: str) -> int:
    """Return a whole number of nanoseconds; ValueError for anything else, and what 64 bits do not hold."""
    if not re.fullmatch(r"[+-]?[0-9]{1,19}", text) or abs(int(text)) >= 2**63:
        raise ValueError(f"'{text[:30]}' is no time in nanoseconds")
    return int(text)
