"""A folder or glob of images, in the order of the numbers in their names."""

from __future__ import annotations

import glob
import re
from collections.abc import Sequence
from pathlib import Path

from slamfront.errors import SourceError
from slamfront.image_files import IMAGE_SUFFIXES, first_size
from slamfront.sources.reader import SensorChoice, choose_sensor, find_calibration, for_sensor
from slamfront.sources.recording import Recording, Shot
from slamfront.trajectories import parse_seconds, parse_stamp

_TIME_DIGITS = 10
"""Names of at least this many digits are times: frame numbers are shorter."""


def is_images(folder: Path) -> bool:
    """Whether a folder holds images."""
    return bool(_images_in(folder))


def open_images(
    place: Path, sensor: SensorChoice = "auto", calibration: Path | None = None, fps: float = 30.0
) -> Recording:
    """Return the images of a folder, of a glob such as `shots/*.jpg`, or one image, as a mono source.

    Names are sorted as people number them (2 before 10). Times are the names where all of them are integers of at least
    10 digits (seconds, milli-, micro- or nanoseconds since 1970: see `parse_stamp`) or decimal numbers (seconds),
    otherwise frames are `fps` apart.
    """
    if place.is_dir():
        folder, paths = place, _images_in(place)
    else:
        folder = place.parent
        paths = sorted(filter(_is_image, map(Path, glob.glob(str(place), recursive=True))), key=_natural)
    if not paths:
        raise SourceError(f"{place} holds no images ({', '.join(IMAGE_SUFFIXES)})")
    choose_sensor(sensor, ("mono",), str(place))
    times_ns = _times(paths, fps)
    shots = [Shot(number, time_ns, path) for number, (time_ns, path) in enumerate(zip(times_ns, paths))]
    known = find_calibration(folder, first_size(paths, place), calibration)
    return Recording(folder.resolve().name, for_sensor(known, "mono"), "mono", shots)


def _images_in(folder: Path) -> list[Path]:
    return sorted(filter(_is_image, folder.iterdir()), key=_natural)


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()


def _natural(path: Path) -> list[tuple[bool, int, str]]:
    """Return a key that compares runs of digits as numbers."""
    return [(_is_number(part), int(part) if _is_number(part) else 0, part) for part in re.split(r"([0-9]+)", str(path))]


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 300


def _times(paths: Sequence[Path], fps: float) -> list[int]:
    stems = [path.stem for path in paths]
    if all(re.fullmatch(rf"[0-9]{{{_TIME_DIGITS},19}}", stem) for stem in stems):
        return [parse_stamp(stem) for stem in stems]
    if all(re.fullmatch(r"[0-9]+\.[0-9]+", stem) for stem in stems):
        return [parse_seconds(stem) for stem in stems]
    return [round(number * 1e9 / fps) for number in range(len(paths))]
