"""KITTI odometry: rectified stereo pairs, calib.txt, times.txt, and poses beside the sequences.

Geiger et al., "Are we ready for Autonomous Driving? The KITTI Vision Benchmark Suite", CVPR 2012.
"""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path

import numpy as np

from slamfront.calibration import camera_from_kitti, projections_from_kitti
from slamfront.errors import CalibrationError, SourceError, refused_as
from slamfront.geometry.pose import Pose
from slamfront.image_files import first_size
from slamfront.reading import read_text
from slamfront.sources.reader import SensorChoice, choose_sensor, find_calibration, for_sensor
from slamfront.sources.recording import Recording, Shot
from slamfront.trajectories import KITTI_PERIOD_NS, read_kitti, read_times
from slamfront.types import Trajectory

log = logging.getLogger(__name__)

_PAIRS = ((0, 1), (2, 3))


def is_kitti(folder: Path) -> bool:
    """Whether a folder looks like a KITTI odometry sequence, or like the data set that holds them."""
    return _is_sequence(folder) or (folder / "sequences").is_dir()


def find_kitti(path: Path) -> Path | None:
    """Return the sequence folder that is meant by itself, by the data set's root (holding one), or by `root/00`."""
    if _is_sequence(path):
        return path
    named = path.parent / "sequences" / path.name
    if _is_sequence(named):
        return named
    found = sorted(filter(_is_sequence, (path / "sequences").glob("*")))
    found = [folder for folder in found if (folder / "times.txt").is_file()] or found
    if len(found) > 1:
        names = ", ".join(folder.name for folder in found)
        raise SourceError(f"{path} holds the sequences {names}: name one, as in {found[0]}")
    return found[0] if found else None


def open_kitti(path: Path, sensor: SensorChoice = "auto", calibration: Path | None = None) -> Recording:
    """Return a KITTI odometry sequence, mono or stereo: a sequence folder, `root/00`, or a root with one sequence.

    The grey pair (image_0, image_1) is taken where it is, else the colour pair (image_2, image_3), whose reference is
    moved from the grey camera to the colour one. Where right images end before the left ones, a stereo sequence ends
    with them.
    """
    folder = find_kitti(path)
    if folder is None:
        raise SourceError(f"{path} is no KITTI sequence: expected times.txt or calib.txt, and image_0 or image_2")
    left, right = next(pair for pair in _PAIRS if (folder / f"image_{pair[0]}").is_dir())
    images, rights = _list_images(folder / f"image_{left}"), _list_images(folder / f"image_{right}")
    chosen = choose_sensor(sensor, ("mono", "stereo") if rights else ("mono",), str(folder))
    times = _times(folder, max(images, default=-1) + 1)
    ids = [number for number in sorted(images) if number < len(times)]
    if len(ids) < len(images):
        log.warning("%s: times.txt has %d rows for %d images: the rest is left out", folder, len(times), len(images))
    if chosen == "stereo" and rights:
        ids = _until_right_ends(folder, ids, max(rights))
    shots = [Shot(number, times[number], images[number], rights.get(number)) for number in ids]
    size = first_size((shot.image for shot in shots), folder)
    projections = _read_projections(folder)
    default = camera_from_kitti(projections, size, f"P{left}", f"P{right}") if f"P{left}" in projections else None
    known = find_calibration(folder, size, calibration, default)
    reference = _read_reference(folder, times, projections.get(f"P{left}"))
    return Recording(f"kitti-{folder.resolve().name}", for_sensor(known, chosen), chosen, shots, reference)


def _is_sequence(folder: Path) -> bool:
    named = any((folder / name).is_file() for name in ("times.txt", "calib.txt"))
    return named and any((folder / f"image_{left}").is_dir() for left, _ in _PAIRS)


def _times(folder: Path, count: int) -> list[int]:
    """Return the times of the frames, ns: those of times.txt, or else KITTI's nominal 10 Hz."""
    path = folder / "times.txt"
    if path.is_file():
        return read_times(path).tolist()
    log.warning("%s has no times.txt: frames are taken to be 0.1 s apart, as KITTI's nominally are", folder)
    return [number * KITTI_PERIOD_NS for number in range(count)]


def _list_images(folder: Path) -> dict[int, Path]:
    """Return the pictures by the number that is their name."""
    return {int(path.stem): path for path in folder.glob("*.*") if re.fullmatch(r"[0-9]{1,9}", path.stem)}


def _until_right_ends(folder: Path, ids: list[int], last: int) -> list[int]:
    kept = [number for number in ids if number <= last]
    if len(kept) < len(ids):
        log.warning(
            "%s: right images end at %d: the stereo sequence has %d of %d frames", folder, last, len(kept), len(ids)
        )
    return kept


def _read_projections(folder: Path) -> dict[str, np.ndarray]:
    path = folder / "calib.txt"
    if not path.is_file():
        return {}
    with refused_as(CalibrationError, f"{path} cannot be read"):
        return projections_from_kitti(read_text(path, CalibrationError))


def _read_reference(folder: Path, times_ns: list[int], projection: np.ndarray | None) -> Trajectory | None:
    """Return the true poses of the left camera; the file has those of camera 0."""
    sequence = Path(os.path.abspath(folder))  # unlike resolve(), it stays beside the poses when it is a link
    path = sequence.parent.parent / "poses" / f"{sequence.name}.txt"
    if not path.is_file():
        return None
    truth = read_kitti(path)
    count = min(len(truth), len(times_ns))
    with refused_as(CalibrationError, f"{folder / 'calib.txt'} holds no projection of a camera"):
        shift = np.zeros(3) if projection is None else np.linalg.solve(projection[:, :3], projection[:, 3])
    camera0_from_camera = Pose(np.eye(3), -shift)
    return Trajectory.from_poses(times_ns[:count], [truth.pose(row) @ camera0_from_camera for row in range(count)])
