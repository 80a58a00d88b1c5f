"""ICL-NUIM in its TUM compatible form: rgb/, depth/, associations.txt, and a rendered truth without error.

Handa et al., "A Benchmark for RGB-D Visual Odometry, 3D Reconstruction and SLAM", ICRA 2014. Its camera has a negative
fy: its y axis points up. Frames here have y down, so the truth is reflected: with M = diag(1, -1, 1) a pose (R, t)
becomes (M R M, M t), which is the same motion seen in the reflected world.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from slamfront.errors import SourceError
from slamfront.geometry.camera import Camera
from slamfront.geometry.pose import Pose
from slamfront.sources.images_io import first_size
from slamfront.sources.reader import SensorChoice, choose_sensor, find_calibration, for_sensor
from slamfront.sources.recording import Recording, Shot, read_rows
from slamfront.trajectories import parse_seconds, read_tum
from slamfront.types import Trajectory

_CAMERA = Camera("pinhole", 640, 480, 481.2, 480.0, 319.5, 239.5)
_RATE_HZ = 30
_MIRROR = np.diag([1.0, -1.0, 1.0])


def is_icl(folder: Path) -> bool:
    """Whether a folder looks like an ICL-NUIM sequence."""
    return _find_list(folder) is not None and (folder / "rgb").is_dir() and not (folder / "rgb.txt").is_file()


def open_icl(folder: Path, sensor: SensorChoice = "auto", calibration: Path | None = None) -> Recording:
    """Return an ICL-NUIM sequence, mono or rgbd; times that count frames are taken at 30 Hz."""
    path = _find_list(folder)
    if path is None:
        raise SourceError(f"{folder} is no ICL-NUIM sequence: expected associations.txt")
    rows = read_rows(path, lambda fields: _parse_pair(folder, fields))
    counted = all(time_ns % 1_000_000_000 == 0 for time_ns, _, _ in rows)
    shots = [
        Shot(number, _in_time(time_ns, counted), image, depth=depth)
        for number, (time_ns, image, depth) in enumerate(rows)
    ]
    chosen = choose_sensor(sensor, ("mono", "rgbd"), str(folder))
    known = find_calibration(folder, first_size((shot.image for shot in shots), folder), calibration, _CAMERA)
    return Recording(folder.resolve().name, for_sensor(known, chosen), chosen, shots, _read_reference(folder, counted))


def _find_list(folder: Path) -> Path | None:
    names = ("associations.txt", "association.txt", "associate.txt")
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _parse_pair(folder: Path, fields: list[str]) -> tuple[int, Path, Path]:
    """Return time, image and depth of a row `time file time file`, whichever of the two comes first."""
    image = 1 if fields[1].startswith("rgb") else 3
    return parse_seconds(fields[image - 1]), folder / fields[image], folder / fields[4 - image]


def _in_time(time_ns: int, counted: bool) -> int:
    return time_ns // _RATE_HZ if counted else time_ns


def _read_reference(folder: Path, counted: bool) -> Trajectory | None:
    path = next(iter(sorted([*folder.glob("*.gt.freiburg"), *folder.glob("groundtruth.txt")])), None)
    if path is None:
        return None
    truth = read_tum(path)
    poses = [truth.pose(row) for row in range(len(truth))]
    poses = [Pose(_MIRROR @ pose.rotation @ _MIRROR, _MIRROR @ pose.translation_m) for pose in poses]
    return Trajectory.from_poses([_in_time(int(t), counted) for t in truth.times_ns], poses)
