"""TUM RGB-D: rgb.txt and depth.txt with their own times, depth in 1/5000 m, groundtruth.txt.

Sturm et al., "A Benchmark for the Evaluation of RGB-D SLAM Systems", IROS 2012. Depth is registered to the colour
image, so it shares its distortion.
"""

from __future__ import annotations

import logging
import re
from itertools import pairwise
from pathlib import Path

from slamfront.geometry.camera import Camera
from slamfront.image_files import first_size
from slamfront.sources.reader import SensorChoice, choose_sensor, find_calibration, for_sensor
from slamfront.sources.recording import Recording, Shot, associate, read_rows
from slamfront.trajectories import parse_stamp, read_tum
from slamfront.types import Sensor

log = logging.getLogger(__name__)

# A Kinect's colour camera exposes its last row this long after its first (Ringaby and Forssén, "Scan rectification for
# structured light range sensors with rolling shutters", 2011)
_READOUT_S = 0.0261
# Time stamps of the first Kinect's depth are late by this: with it, depths of landmarks agree best while the camera
# turns, see tools/depth_delay.py
_DEPTH_DELAY_S = -0.019
# The intrinsics that the benchmark publishes for its three cameras, two Kinects and an Xtion; those of the third are of
# images already undistorted.
_CAMERAS = {
    "1": Camera(
        "radtan",
        640,
        480,
        517.3,
        516.5,
        318.6,
        255.3,
        (0.2624, -0.9531, -0.0054, 0.0026, 1.1633),
        readout_s=_READOUT_S,
        depth_delay_s=_DEPTH_DELAY_S,
    ),
    "2": Camera(
        "radtan",
        640,
        480,
        520.9,
        521.0,
        325.1,
        249.7,
        (0.2312, -0.7849, -0.0033, -0.0001, 0.9172),
        readout_s=_READOUT_S,
    ),
    "3": Camera("pinhole", 640, 480, 535.4, 539.2, 320.1, 247.6),
}
_TOLERANCE_NS = 20_000_000
_SECOND_NS = 1_000_000_000
_COUNTED_HZ = 30


_LISTS = ("associations.txt", "association.txt", "associate.txt")
"""What other programs write, who pair colour and depth beforehand: `time file time file`."""


def is_tum(folder: Path) -> bool:
    """Whether a folder looks like a TUM RGB-D sequence, or one in its layout whose images are paired in one list."""
    return (folder / "rgb.txt").is_file() or find_pairs(folder) is not None


def find_pairs(folder: Path) -> Path | None:
    """Return the list that pairs colour and depth images of a folder, or None."""
    return next((folder / name for name in _LISTS if (folder / name).is_file()), None)


def read_pairs(path: Path) -> list[tuple[int, Path, int, Path]]:
    """Return time and file of colour and of depth from such a list, whichever of the two comes first in a row.

    A time that only counts frames, from a first image on by one, is that of frames at 30 Hz. Raises SourceError.
    """
    folder = path.parent

    def parse(fields: list[str]) -> tuple[int, Path, int, Path]:
        image = 3 if "depth" in fields[1].split("/") else 1
        other = 4 - image
        stamps = parse_stamp(fields[image - 1]), parse_stamp(fields[other - 1])
        return stamps[0], folder / fields[image], stamps[1], folder / fields[other]

    rows = read_rows(path, parse)
    counted = all(b[0] - a[0] == _SECOND_NS and not a[0] % _SECOND_NS for a, b in pairwise(rows))
    if len(rows) > 1 and counted:
        log.info("%s: the times count frames, which are taken to be 30 a second", path)
        rows = [(row[0] // _COUNTED_HZ, row[1], row[2] // _COUNTED_HZ, row[3]) for row in rows]
    return rows


def open_tum(folder: Path, sensor: SensorChoice = "auto", calibration: Path | None = None) -> Recording:
    """Return a TUM RGB-D sequence, mono or rgbd.

    A colour frame takes the depth that is nearest in time, within 20 ms and one to one; where rgb.txt is missing,
    associations.txt pairs them. The calibration is the file given, else the folder's calibration.yaml, else that of the
    benchmark's camera which the folder's name tells (freiburg1, fr2, ...), which is said.
    """
    shots, offered = _shots(folder)
    chosen = choose_sensor(sensor, offered, str(folder))
    size = first_size((shot.image for shot in shots), folder)
    known = find_calibration(folder, size, calibration, _camera_by_name(folder))
    truth = folder / "groundtruth.txt"
    reference = read_tum(truth) if truth.is_file() else None
    return Recording(folder.resolve().name, for_sensor(known, chosen), chosen, shots, reference)


def _shots(folder: Path) -> tuple[list[Shot], tuple[Sensor, ...]]:
    """Return the frames of a folder, and what they offer."""
    pairs = find_pairs(folder)
    if pairs is not None and not (folder / "rgb.txt").is_file():
        rows = enumerate(read_pairs(pairs))
        return [Shot(n, t, image, depth=depth, depth_ns=late) for n, (t, image, late, depth) in rows], ("mono", "rgbd")
    images = _read_list(folder / "rgb.txt")
    depths = _read_list(folder / "depth.txt") if (folder / "depth.txt").is_file() else []
    matched = associate([t for t, _ in images], [t for t, _ in depths], _TOLERANCE_NS)
    nothing = None, None
    shots = []
    for number, ((time_ns, path), row) in enumerate(zip(images, matched)):
        depth_ns, depth = depths[row] if row >= 0 else nothing
        shots.append(Shot(number, time_ns, path, depth=depth, depth_ns=depth_ns))
    return shots, ("mono", "rgbd") if depths else ("mono",)


def _read_list(path: Path) -> list[tuple[int, Path]]:
    return read_rows(path, lambda fields: (parse_stamp(fields[0]), path.parent / fields[1]))


def _camera_by_name(folder: Path) -> Camera | None:
    name = folder.resolve().name.lower()
    match = re.search(r"(?<![a-z0-9])(?:freiburg|fr)([123])(?![0-9])", name)
    if match is None:
        return None
    log.info("%s: by its name, the lens is that of the TUM benchmark's freiburg%s", folder, match[1])
    return _CAMERAS[match[1]]
