"""7-Scenes: frame-000000.color.png, .depth.png and .pose.txt, made with a Kinect and KinectFusion.

Shotton et al., "Scene Coordinate Regression Forests for Camera Relocalization in RGB-D Images", CVPR 2013.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from slamfront.errors import SourceError, refused_as
from slamfront.geometry.camera import Camera
from slamfront.geometry.pose import Pose
from slamfront.image_files import first_size
from slamfront.reading import MOST_YAML_BYTES, read_text
from slamfront.sources.reader import SensorChoice, choose_sensor, find_calibration, for_sensor
from slamfront.sources.recording import DepthUnit, Recording, Shot
from slamfront.types import Trajectory

# Published with the data set: focal length 585, principal point (320, 240), for both images, which are not registered.
_CAMERA = Camera("pinhole", 640, 480, 585.0, 585.0, 320.0, 240.0)
_DEPTH = DepthUnit(0.001, invalid=65535)
_PERIOD_NS = 1_000_000_000 // 30


def is_sevenscenes(folder: Path) -> bool:
    """Whether a folder looks like a 7-Scenes sequence, or like a scene that holds some."""
    return _is_sequence(folder) or any(map(_is_sequence, folder.glob("seq-*")))


def open_sevenscenes(folder: Path, sensor: SensorChoice = "auto", calibration: Path | None = None) -> Recording:
    """Return a 7-Scenes sequence, mono or rgbd; a scene with several sequences raises SourceError naming them.

    Frames carry no time: they are numbered at 30 Hz. Poses that are not finite are left out of the reference.
    """
    if not _is_sequence(folder):
        found = sorted(filter(_is_sequence, folder.glob("seq-*")))
        if len(found) != 1:
            raise SourceError(f"{folder} holds the sequences {', '.join(f.name for f in found)}: name one of them")
        folder = found[0]
    colours = sorted(folder.glob("frame-*.color.*"))
    chosen = choose_sensor(sensor, ("mono", "rgbd"), str(folder))
    shots = []
    for path in colours:
        digits = re.match(r"frame-([0-9]{1,9})\.", path.name)
        if digits is None:
            raise SourceError(f"{path} has no number, as in frame-000123.color.png")
        number = int(digits[1])
        depth = path.with_name(f"{path.name.split('.')[0]}.depth.png")
        shots.append(Shot(number, number * _PERIOD_NS, path, depth=depth))
    known = find_calibration(folder, first_size(colours, folder), calibration, _CAMERA)
    reference = _read_reference(shots)
    name = f"{folder.resolve().parent.name}-{folder.resolve().name}"
    return Recording(name, for_sensor(known, chosen), chosen, shots, reference, _DEPTH)


def _is_sequence(folder: Path) -> bool:
    return next(folder.glob("frame-*.color.*"), None) is not None


def _read_reference(shots: list[Shot]) -> Trajectory | None:
    times_ns, poses = [], []
    for shot in shots:
        path = shot.image.with_name(f"{shot.image.name.split('.')[0]}.pose.txt")
        if not path.is_file():
            continue
        with refused_as(SourceError, f"{path} holds no pose of 16 numbers"):
            matrix = np.array(read_text(path, SourceError, MOST_YAML_BYTES).split(), np.float64)
        if matrix.size != 16:
            raise SourceError(f"{path} holds {matrix.size} numbers: a pose has 16")
        if np.isfinite(matrix).all():
            times_ns.append(shot.time_ns)
            poses.append(Pose.from_matrix(matrix.reshape(4, 4)))
    return Trajectory.from_poses(times_ns, poses) if poses else None
