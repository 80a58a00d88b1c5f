"""EuRoC MAV in the ASL layout (and TUM-VI, which shares it): two cameras, an IMU, the true state of the body.

Burri et al., "The EuRoC micro aerial vehicle datasets", IJRR 2016. T_BS of a sensor.yaml is body_from_sensor.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from slamfront.calibration import camera_from_euroc, read_yaml
from slamfront.errors import CalibrationError, SourceError, refused_as
from slamfront.geometry.camera import Camera, StereoRig
from slamfront.geometry.pose import Pose
from slamfront.image_files import first_size
from slamfront.sources.reader import SensorChoice, choose_sensor, find_calibration, for_sensor
from slamfront.sources.recording import Recording, Shot, associate, integer_time, read_rows
from slamfront.trajectories import read_euroc
from slamfront.types import FloatArray, IntArray, Trajectory, read_only

_TOLERANCE_NS = 2_000_000


@dataclass(frozen=True, slots=True, eq=False)
class ImuSamples:
    """Inertial measurements in the body frame; the arrays are read-only.

    times_ns                     int64 (N,)
    angular_velocities_rad_s     (N,3)
    accelerations_m_s2           (N,3), gravity included
    """

    times_ns: IntArray
    angular_velocities_rad_s: FloatArray
    accelerations_m_s2: FloatArray

    def __len__(self) -> int:
        return len(self.times_ns)


def is_euroc(folder: Path) -> bool:
    """Whether a folder looks like an ASL recording: it is, or holds, mav0 with cam0."""
    return _find_mav(folder) is not None


def open_euroc(folder: Path, sensor: SensorChoice = "auto", calibration: Path | None = None) -> Recording:
    """Return an ASL recording, mono or stereo; `folder` is mav0 or what holds it.

    The reference is that of the left camera: the body's true pose times T_BS of cam0. The calibration of a stereo
    recording is a StereoRig, since its images are not rectified.
    """
    mav = _mav(folder)
    left = _list_images(mav / "cam0")
    right = _list_images(mav / "cam1") if (mav / "cam1").is_dir() else []
    chosen = choose_sensor(sensor, ("mono", "stereo") if right else ("mono",), str(folder))
    rows = associate([t for t, _ in left], [t for t, _ in right], _TOLERANCE_NS)
    shots = [
        Shot(number, time_ns, path, right=right[row][1] if row >= 0 else None)
        for number, ((time_ns, path), row) in enumerate(zip(left, rows))
    ]
    size = first_size((shot.image for shot in shots), folder)
    known = find_calibration(folder, size, calibration, _read_rig(mav))
    name = mav.resolve().parent.name
    return Recording(name, for_sensor(known, chosen), chosen, shots, _read_reference(mav))


def read_imu(folder: Path) -> ImuSamples:
    """Return the samples of imu0 of an ASL recording; SourceError when there are none."""
    mav = _mav(folder)
    rows = read_rows(mav / "imu0" / "data.csv", lambda f: (integer_time(f[0]), [float(v) for v in f[1:7]]), ",")
    values = np.array([row for _, row in rows], np.float64).reshape(-1, 6)
    times_ns = np.array([time_ns for time_ns, _ in rows], np.int64)
    return ImuSamples(read_only(times_ns), read_only(values[:, :3]), read_only(values[:, 3:]))


def _find_mav(folder: Path) -> Path | None:
    return next((path for path in (folder, folder / "mav0") if (path / "cam0" / "data").is_dir()), None)


def _mav(folder: Path) -> Path:
    mav = _find_mav(folder)
    if mav is None:
        raise SourceError(f"{folder} is no ASL recording: expected mav0/cam0/data")
    return mav


def _list_images(camera: Path) -> list[tuple[int, Path]]:
    """Return times and files from data.csv, or from the names where there is no such list."""
    if (camera / "data.csv").is_file():
        return read_rows(
            camera / "data.csv", lambda fields: (integer_time(fields[0]), camera / "data" / fields[1]), ","
        )
    files = (path for path in (camera / "data").glob("*.*") if re.fullmatch(r"[0-9]{1,19}", path.stem))
    return sorted((integer_time(path.stem), path) for path in files)


def _read_rig(mav: Path) -> Camera | StereoRig | None:
    sensors = [_read_sensor(mav / name / "sensor.yaml") for name in ("cam0", "cam1")]
    if sensors[0] is None:
        return None
    left, body_from_left = sensors[0]
    if sensors[1] is None:
        return left
    right, body_from_right = sensors[1]
    return StereoRig(left, right, body_from_right.inverse() @ body_from_left)


def _read_sensor(path: Path) -> tuple[Camera, Pose] | None:
    if not path.is_file():
        return None
    values = read_yaml(path)
    try:
        with refused_as(CalibrationError, "a value has the wrong form"):
            return camera_from_euroc(values), _body_from_sensor(values)
    except CalibrationError as error:
        raise CalibrationError(f"{path} cannot be used: {error}") from error


def _body_from_sensor(values: dict[str, Any]) -> Pose:
    return Pose.from_matrix(np.reshape(values["T_BS"]["data"], (4, 4)))


def _read_reference(mav: Path) -> Trajectory | None:
    """Return the left camera's true poses, from the estimated state or the motion capture of the body."""
    sensor = _read_sensor(mav / "cam0" / "sensor.yaml")
    for name in ("state_groundtruth_estimate0", "mocap0"):
        path = mav / name / "data.csv"
        if path.is_file() and sensor is not None:
            return read_euroc(path, sensor[1])
    return None
