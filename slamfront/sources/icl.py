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
from slamfront.image_files import first_size
from slamfront.sources.reader import SensorChoice, choose_sensor, find_calibration, for_sensor
from slamfront.sources.recording import Recording, Shot
from slamfront.sources.tum import find_pairs, read_pairs
from slamfront.trajectories import read_tum
from slamfront.types import Trajectory

_CAMERA = Camera("pinhole", 640, 480, 481.2, 480.0, 319.5, 239.5)
_RATE_HZ = 30
_MIRROR = np.diag([1.0, -1.0, 1.0])


def is_icl(folder: Path) -> bool:
    """Whether a folder is an ICL-NUIM sequence: its layout is shared with many others, its file of the truth is not."""
    return _find_truth(folder) is not None and find_pairs(folder) is not None


def open_icl(folder: Path, sensor: SensorChoice = "auto", calibration: Path | None = None) -> Recording:
    """Return an ICL-NUIM sequence, mono or rgbd; times that count frames are taken at 30 Hz."""
    path, truth = find_pairs(folder), _find_truth(folder)
    if path is None or truth is None:
        raise SourceError(f"{folder} is no ICL-NUIM sequence: expected associations.txt and a .gt.freiburg file")
    rows = read_pairs(path)
    shots = [Shot(number, time_ns, image, depth=depth) for number, (time_ns, image, _, depth) in enumerate(rows)]
    chosen = choose_sensor(sensor, ("mono", "rgbd"), str(folder))
    known = find_calibration(folder, first_size((shot.image for shot in shots), folder), calibration, _CAMERA)
    return Recording(folder.resolve().name, for_sensor(known, chosen), chosen, shots, _read_reference(truth))


def _find_truth(folder: Path) -> Path | None:
    return next(iter(sorted(folder.glob("*.gt.freiburg"))), None)


def _read_reference(path: Path) -> Trajectory:
    truth = read_tum(path)
    poses = [truth.pose(row) for row in range(len(truth))]
    poses = [Pose(_MIRROR @ pose.rotation @ _MIRROR, _MIRROR @ pose.translation_m) for pose in poses]
    counted = not (truth.times_ns % 1_000_000_000).any()
    return Trajectory.from_poses([int(t) // _RATE_HZ if counted else int(t) for t in truth.times_ns], poses)
