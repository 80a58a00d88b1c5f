"""What a run answered while it went on, read back from its folder frame by frame."""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from slamfront.errors import EvaluationError
from slamfront.evaluation.trajectory.association import select
from slamfront.evaluation.trajectory.results import STATS_FILE
from slamfront.trajectories import read_tum
from slamfront.types import BoolArray, IntArray, Trajectory

_NEEDED = ("frame_id", "time_ns", "state", "map_id", "reason")
_BEGINNING = "initializing"


@dataclass(frozen=True, slots=True, eq=False)
class Online:
    """The answers of a run to its frames, in order.

    frame_ids, times_ns     int64 (N,)
    states, reasons         as the frame's state and its reason were told
    rows        int64 (N,): the frame's row in `trajectory`, -1 without a pose
    worlds      int64 (N,): frames of one number have poses in one world. Another begins with another map, and where a
                map was given up and begun anew
    trajectory  the poses as they were known at the time, world_from_camera
    """

    frame_ids: IntArray
    times_ns: IntArray
    states: tuple[str, ...]
    reasons: tuple[str, ...]
    rows: IntArray
    worlds: IntArray
    trajectory: Trajectory

    @property
    def main(self) -> BoolArray:
        """Which frames (N,) have a pose in the world that most have one in, the earliest of several."""
        placed = self.rows >= 0
        counts = Counter(self.worlds[placed].tolist())
        return np.asarray(placed & (self.worlds == max(counts, key=lambda world: counts[world], default=-1)), np.bool_)

    def poses(self, frames: BoolArray) -> Trajectory:
        """Return the poses of frames (N,) that have one."""
        return select(self.trajectory, self.rows[frames])


def read_online(folder: Path) -> Online:
    """Return what stats.csv and online.tum of a run folder hold; EvaluationError when they are missing or damaged."""
    lines = _read_stats(folder / STATS_FILE)
    try:
        frame_ids, times_ns, maps = (
            np.array([int(line[name]) for line in lines], np.int64) for name in ("frame_id", "time_ns", "map_id")
        )
    except ValueError as error:
        raise EvaluationError(f"{folder / STATS_FILE}: {error}") from error
    states = tuple(line["state"] for line in lines)
    pose_at = {(world, time_ns): pose for world in set(maps.tolist()) for time_ns, pose in _poses(folder, world)}
    keys = list(zip(maps.tolist(), times_ns.tolist()))
    placed = [key for key in keys if key in pose_at]
    rows = np.full(len(keys), -1, np.int64)
    rows[[row for row, key in enumerate(keys) if key in pose_at]] = np.arange(len(placed))
    values = np.array([pose_at[key] for key in placed]).reshape(-1, 7)
    trajectory = Trajectory(
        np.array([time for _, time in placed], np.int64), values[:, :3].copy(), values[:, 3:].copy()
    )
    return Online(
        frame_ids, times_ns, states, tuple(line["reason"] for line in lines), rows, _worlds(maps, states), trajectory
    )


def _worlds(maps: IntArray, states: tuple[str, ...]) -> IntArray:
    """Return a number (N,) for each stretch of frames in one map that no beginning interrupts."""
    beginnings = np.cumsum([state == _BEGINNING for state in states])
    _, worlds = np.unique(np.column_stack([maps, beginnings]), axis=0, return_inverse=True)
    return worlds.reshape(-1).astype(np.int64)


def _poses(folder: Path, world: int) -> list[tuple[int, tuple[float, ...]]]:
    """Return time, position and quaternion of the poses in a map; none where the file has none."""
    path = folder / ("online.tum" if world == 0 else f"online-{world}.tum")
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        lines = []
    except (OSError, UnicodeDecodeError) as error:
        raise EvaluationError(f"cannot read {path}: {error}") from error
    if all(line.startswith("#") for line in lines if line.strip()):
        return []
    read = read_tum(path)
    values = np.column_stack([read.positions_m, read.quaternions_xyzw])
    return list(zip(read.times_ns.tolist(), map(tuple, values.tolist())))


def _read_stats(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            missing = [name for name in _NEEDED if name not in (reader.fieldnames or ())]
            lines = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise EvaluationError(f"cannot read {path}: {error}") from error
    if missing or not lines:
        raise EvaluationError(f"{path} has no column {missing[0]}" if missing else f"{path} holds no frames")
    return lines
