"""Files of trajectories: TUM, KITTI and EuRoC, read and written without loss of time.

    TUM     `t tx ty tz qx qy qz qw`, world_from_camera, t in seconds, or as `parse_stamp` tells
    KITTI   12 numbers: the rows of world_from_camera (3,4); one line a frame, the first the identity; no times
    EuRoC   `t,px,py,pz,qw,qx,qy,qz[,...]`, world_from_body, t in integer nanoseconds

Seconds are read as decimal text and never pass through a float, which holds today's epoch to 0.2 microseconds at best.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Literal

import numpy as np

from slamfront.errors import EvaluationError, shortened
from slamfront.geometry.pose import Pose
from slamfront.reading import read_text
from slamfront.types import FloatArray, IntArray, Trajectory
from slamfront.writing import write_atomically

TrajectoryKind = Literal["tum", "kitti", "euroc"]

KITTI_PERIOD_NS = 100_000_000
"""Time between KITTI's frames where no times are given: the nominal 10 Hz."""

_MAX_TIME_NS = 2**63 - 1
_MOST_M = 1e9
"""No camera goes farther: numbers beyond are damage, and squares of the largest ones are infinite."""
_UNITS_NS = ((10**11, 10**9), (10**14, 10**6), (10**17, 10**3), (2**63, 1))
"""Below so many, a count since 1970 is of seconds, of milli-, micro-, or nanoseconds: of the years 1970 to 5138 each
has a range of its own from 1973 on."""
_Line = tuple[int, list[str]]


def parse_seconds(text: str) -> int:
    """Return the integer nanoseconds of decimal seconds such as `1305031225.9334` or `1.037359e-01`, exactly.

    Digits beyond the nanosecond are rounded half to even. Raises ValueError for anything but a finite number within
    the range of int64.
    """
    try:
        seconds = Decimal(text)
    except InvalidOperation:
        seconds = Decimal("nan")
    # the exponent is looked at first, since 1e999999999 would be written out as an integer
    if not seconds.is_finite() or seconds.adjusted() >= 10 or abs(seconds * 10**9) > _MAX_TIME_NS:
        raise ValueError(f"'{text[:40]}' is no time in seconds")
    return int((seconds * 10**9).to_integral_value())


def parse_stamp(text: str) -> int:
    """Return the nanoseconds of a time since 1970 in seconds, milliseconds, microseconds or nanoseconds.

    Which of them is told by the size of the number, since for times of 1973 to 5138 no two units share one. Raises
    ValueError as `parse_seconds`.
    """
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal("nan")
    if not value.is_finite() or value.adjusted() > 18:
        raise ValueError(f"'{text[:40]}' is no time")
    unit_ns = next((unit for limit, unit in _UNITS_NS if abs(value) < limit), 1)
    if unit_ns == 10**9:
        return parse_seconds(text)
    time_ns = int((value * unit_ns).to_integral_value())
    if abs(time_ns) > _MAX_TIME_NS:
        raise ValueError(f"'{text[:40]}' is no time within 64 bits")
    return time_ns


def format_seconds(time_ns: int) -> str:
    """Return the nanoseconds as seconds with nine decimals; the inverse of `parse_seconds`."""
    sign = "-" if time_ns < 0 else ""
    seconds, rest = divmod(abs(int(time_ns)), 1_000_000_000)
    return f"{sign}{seconds}.{rest:09d}"


def read_tum(path: Path) -> Trajectory:
    """Return the trajectory in a TUM file, sorted by time with duplicate times dropped.

    Raises EvaluationError naming file and line for an unreadable or empty file, a wrong number of columns, values that
    are not finite, and quaternions that are not of unit length.
    """
    rows = _read_rows(path, {8}, "tum: t tx ty tz qx qy qz qw")
    times = [_time(path, line, parse_stamp) for line in rows]
    values = _values(path, rows, slice(1, 8))
    return _trajectory(path, rows, times, values[:, :3], values[:, 3:])


def write_tum(path: Path, trajectory: Trajectory) -> None:
    """Write a trajectory as a TUM file, nine decimals a value; OutputError when that is not possible."""
    lines = ["# time_s tx ty tz qx qy qz qw (world_from_camera)"]
    for time_ns, position, quaternion in zip(
        trajectory.times_ns.tolist(), trajectory.positions_m.tolist(), trajectory.quaternions_xyzw.tolist()
    ):
        lines.append(" ".join([format_seconds(time_ns), *(f"{value:.9f}" for value in (*position, *quaternion))]))
    write_atomically(path, "\n".join(lines) + "\n")


def read_times(path: Path) -> IntArray:
    """Return the times in nanoseconds (N,) of a file with one time in seconds a line, such as KITTI's times.txt."""
    rows = _read_rows(path, {1}, "one time in seconds")
    return np.array([_time(path, line, parse_seconds) for line in rows], np.int64)


def read_kitti(path: Path, times_ns: Sequence[int] | IntArray | None = None) -> Trajectory:
    """Return the trajectory in a KITTI pose file, one pose for each of `times_ns` (N,).

    Without times the frames are taken as KITTI_PERIOD_NS apart, the first at 0. Raises EvaluationError as `read_tum`
    does, when the number of times is another than that of poses, and for matrices that hold no rotation.
    """
    rows = _read_rows(path, {12}, "kitti: the 12 numbers of a 3x4 matrix")
    if times_ns is None:
        times_ns = np.arange(len(rows), dtype=np.int64) * KITTI_PERIOD_NS
    if len(times_ns) != len(rows):
        raise EvaluationError(f"{path} holds {len(rows)} poses for {len(times_ns)} times; KITTI has one for each frame")
    matrices = _values(path, rows, slice(0, 12)).reshape(-1, 3, 4)
    poses = []
    for (number, _), matrix in zip(rows, matrices):
        if np.abs(matrix[:, :3] @ matrix[:, :3].T - np.eye(3)).max() > 0.01 or np.linalg.det(matrix[:, :3]) < 0:
            raise EvaluationError(f"{path}:{number}: the left 3x3 part of the matrix is no rotation")
        poses.append(Pose.from_matrix(matrix))
    positions = np.array([pose.translation_m for pose in poses])
    return _trajectory(path, rows, times_ns, positions, np.array([pose.quaternion_xyzw() for pose in poses]))


def write_kitti(path: Path, poses: Sequence[Pose]) -> None:
    """Write world_from_camera poses, one for every frame, as a KITTI file whose world is the first camera's frame.

    Raises OutputError when that is not possible.
    """
    lines = []
    for pose in poses:
        first_from_camera = poses[0].inverse() @ pose
        lines.append(" ".join(f"{value:.9e}" for value in first_from_camera.matrix()[:3].ravel().tolist()))
    write_atomically(path, "\n".join(lines) + "\n")


def read_euroc(path: Path, body_from_camera: Pose | None = None) -> Trajectory:
    """Return the trajectory in a EuRoC csv, of the body, or of a camera where `body_from_camera` (T_BS) is given.

    Columns after the eighth (velocity, biases) are left aside. Raises EvaluationError as `read_tum` does.
    """
    rows = _read_rows(path, set(range(8, 32)), "euroc: t,px,py,pz,qw,qx,qy,qz")
    times = [_time(path, line, _whole) for line in rows]
    values = _values(path, rows, slice(1, 8))
    trajectory = _trajectory(path, rows, times, values[:, :3], values[:, [4, 5, 6, 3]])
    if body_from_camera is None:
        return trajectory
    poses = [trajectory.pose(row) @ body_from_camera for row in range(len(trajectory))]
    return Trajectory.from_poses(trajectory.times_ns, poses)


def read_trajectory(
    path: Path,
    kind: TrajectoryKind | None = None,
    *,
    times: Path | None = None,
    body_from_camera: Pose | None = None,
) -> Trajectory:
    """Return the trajectory in a file whose kind is guessed from its first line where it is not given.

    `times` is the file with the times of a KITTI trajectory, `body_from_camera` the extrinsics of a EuRoC one. Raises
    EvaluationError for a file that is none of the three, and as the reader of its kind does.
    """
    kind = kind or guess_kind(path)
    if kind == "kitti":
        return read_kitti(path, read_times(times) if times is not None else None)
    return read_euroc(path, body_from_camera) if kind == "euroc" else read_tum(path)


def guess_kind(path: Path) -> TrajectoryKind:
    """Return which kind of trajectory a file holds, by its first line: commas, 8 columns or 12.

    Files in TUM's order may have whole nanoseconds for times, as ORB-SLAM3 writes them; those with commas are EuRoC's,
    whose quaternion begins with w.
    """
    number, fields = _read_lines(path)[0]
    whole = re.fullmatch(r"[0-9]{16,19}", fields[0]) is not None
    if len(fields) >= 8 and whole and (_has_commas(path, number) or len(fields) > 8):
        return "euroc"
    if len(fields) in (8, 12):
        return "tum" if len(fields) == 8 else "kitti"
    raise EvaluationError(
        f"{path}:{number}: {len(fields)} columns; a trajectory has 8 (TUM), 12 (KITTI) or is a EuRoC csv"
    )


def _has_commas(path: Path, number: int) -> bool:
    return "," in read_text(path, EvaluationError).splitlines()[number - 1]


def _whole(text: str) -> int:
    if not re.fullmatch(r"[+-]?[0-9]{1,19}", text):
        raise ValueError
    return int(text)


def _read_lines(path: Path) -> list[_Line]:
    """Return line number and fields of each line that is neither empty nor a comment; at least one."""
    text = read_text(Path(path), EvaluationError)
    lines = []
    for number, line in enumerate(text.splitlines(), start=1):
        fields = line.replace(",", " ").split()
        if fields and not fields[0].startswith("#"):
            lines.append((number, fields))
    if not lines:
        raise EvaluationError(f"{path} holds no poses")
    return lines


def _read_rows(path: Path, widths: set[int], layout: str) -> list[_Line]:
    lines = _read_lines(path)
    for number, fields in lines:
        if len(fields) not in widths:
            raise EvaluationError(f"{path}:{number}: {len(fields)} columns do not fit the layout ({layout})")
    return lines


def _time(path: Path, line: _Line, parse: Callable[[str], int]) -> int:
    number, fields = line
    try:
        time_ns = parse(fields[0])
    except ValueError as error:
        raise EvaluationError(f"{path}:{number}: '{fields[0][:40]}' is no time") from error
    if abs(time_ns) > _MAX_TIME_NS:
        raise EvaluationError(f"{path}:{number}: the time {fields[0]} is out of range")
    return time_ns


def _values(path: Path, lines: list[_Line], columns: slice) -> FloatArray:
    """Return the numbers in the given columns (N,M), all finite."""
    rows = []
    for number, fields in lines:
        try:
            row = [float(field) for field in fields[columns]]
        except ValueError as error:
            raise EvaluationError(f"{path}:{number}: {shortened(str(error), 80)}") from error
        if not np.isfinite(row).all() or np.abs(row).max(initial=0.0) > _MOST_M:
            raise EvaluationError(f"{path}:{number}: a value is not finite, or farther than any camera goes")
        rows.append(row)
    return np.array(rows, np.float64)


def _trajectory(
    path: Path,
    lines: list[_Line],
    times_ns: Sequence[int] | IntArray,
    positions_m: FloatArray,
    quaternions_xyzw: FloatArray,
) -> Trajectory:
    lengths = np.linalg.norm(quaternions_xyzw, axis=1)
    wrong = np.flatnonzero(np.abs(lengths - 1.0) > 0.1)
    if len(wrong):
        raise EvaluationError(
            f"{path}:{lines[wrong[0]][0]}: the quaternion has length {lengths[wrong[0]]:.3g}, a rotation has 1"
        )
    times, rows = np.unique(np.asarray(times_ns, np.int64), return_index=True)
    return Trajectory(times, positions_m[rows], (quaternions_xyzw / lengths[:, None])[rows])
