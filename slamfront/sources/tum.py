"""TUM RGB-D: rgb.txt and depth.txt with their own times, depth in 1/5000 m, groundtruth.txt.

Sturm et al., "A Benchmark for the Evaluation of RGB-D SLAM Systems", IROS 2012. Depth is registered to the colour
image, so it shares its distortion.
"""

from __future__ import annotations

import re
from pathlib import Path

from slamfront.geometry.camera import Camera
from slamfront.sources.images_io import first_size
from slamfront.sources.reader import SensorChoice, choose_sensor, find_calibration, for_sensor
from slamfront.sources.recording import Recording, Shot, associate, read_rows
from slamfront.trajectories import parse_seconds, read_tum
from slamfront.types import Sensor

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


def is_tum(folder: Path) -> bool:
    """Whether a folder looks like a TUM RGB-D sequence."""
    return (folder / "rgb.txt").is_file()


def open_tum(folder: Path, sensor: SensorChoice = "auto", calibration: Path | None = None) -> Recording:
    """Return a TUM RGB-D sequence, mono or rgbd.

    A colour frame takes the depth that is nearest in time, within 20 ms and one to one; as rgbd, frames without depth
    are skipped and counted. The calibration is the file given, else the folder's calibration.yaml, else that of the
    benchmark's camera which the folder's name tells (freiburg1, fr2, ...).
    """
    images = _read_list(folder / "rgb.txt")
    depths = _read_list(folder / "depth.txt") if (folder / "depth.txt").is_file() else []
    offered: tuple[Sensor, ...] = ("mono", "rgbd") if depths else ("mono",)
    chosen = choose_sensor(sensor, offered, str(folder))
    rows = associate([t for t, _ in images], [t for t, _ in depths], _TOLERANCE_NS)
    nothing = None, None
    shots = []
    for number, ((time_ns, path), row) in enumerate(zip(images, rows)):
        depth_ns, depth = depths[row] if row >= 0 else nothing
        shots.append(Shot(number, time_ns, path, depth=depth, depth_ns=depth_ns))
    size = first_size((shot.image for shot in shots), folder)
    known = find_calibration(folder, size, calibration, _camera_by_name(folder))
    truth = folder / "groundtruth.txt"
    reference = read_tum(truth) if truth.is_file() else None
    return Recording(folder.resolve().name, for_sensor(known, chosen), chosen, shots, reference)


def _read_list(path: Path) -> list[tuple[int, Path]]:
    return read_rows(path, lambda fields: (parse_seconds(fields[0]), path.parent / fields[1]))


def _camera_by_name(folder: Path) -> Camera | None:
    match = re.search(r"(?:freiburg|fr)([123])(?![0-9])", folder.resolve().name.lower())
    return _CAMERAS[match[1]] if match else None
