"""Trajectories: streamed while the run goes on, and written once more when all corrections are in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from slamfront.geometry.pose import Pose
from slamfront.sinks.lines import LineFile
from slamfront.trajectories import format_seconds, write_kitti, write_tum
from slamfront.types import IntArray, Tracked, Trajectory

_HEADER = "# time_s tx ty tz qx qy qz qw (world_from_camera, as known when the frame was answered)"


class OnlineTrajectory:
    """A sink that streams the pose of every tracked frame to a TUM file, as it was known at the time.

    Poses in the world of a further map, which was begun after tracking was lost, go to a file of their own: beside
    `online.tum`, those of map 1 to `online-1.tum`. Each line is handed to the system at once: a run that is killed
    keeps what it has. Raises OutputError.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._files = {0: LineFile(path, _HEADER)}

    def write(self, tracked: Tracked) -> None:
        """Append the pose of a frame; one without a pose leaves no line."""
        pose = tracked.online_world_from_camera
        if pose is not None:
            values = (*pose.translation_m.tolist(), *pose.quaternion_xyzw().tolist())
            line = " ".join([format_seconds(tracked.time_ns), *(f"{value:.9f}" for value in values)])
            self._file(tracked.map_id).add(line)

    def close(self) -> None:
        """Close the files; a second call does nothing."""
        for file in self._files.values():
            file.close()

    def _file(self, number: int) -> LineFile:
        if number not in self._files:
            self._files[number] = LineFile(numbered(self._path, number), _HEADER)
        return self._files[number]


def numbered(path: Path, number: int) -> Path:
    """Return where what belongs to a further map goes, beside the file of the main one: `room.map`, `room-1.map`."""
    return path.with_name(f"{path.stem}-{number}{path.suffix}")


def write_poses(path: Path, times_ns: Sequence[int] | IntArray, poses: Sequence[Pose | None]) -> None:
    """Write a TUM file of the frames that have a pose, world_from_camera; raises OutputError."""
    # A clock that was set back gives a time twice, of which the later pose counts
    pose_at = {int(time_ns): pose for time_ns, pose in zip(times_ns, poses) if pose is not None}
    order = sorted(pose_at)
    write_tum(path, Trajectory.from_poses(order, [pose_at[time_ns] for time_ns in order]))


def write_every_pose(path: Path, poses: Sequence[Pose | None]) -> None:
    """Write a KITTI file with a line for each frame, the first the identity; raises OutputError.

    A frame without a pose repeats the last one that is known; frames before the first known pose take that one.
    """
    write_kitti(path, filled(poses))


def filled(poses: Sequence[Pose | None]) -> list[Pose]:
    """Return a pose for every frame: its own, else the last before it, else the first of all, else the identity."""
    last = next((pose for pose in poses if pose is not None), Pose.identity())
    every = []
    for pose in poses:
        last = pose if pose is not None else last
        every.append(last)
    return every


def write_final(
    folder: Path,
    times_ns: Sequence[int] | IntArray,
    poses: Sequence[Pose | None],
    keyframe_times_ns: Sequence[int] | IntArray,
    keyframe_poses: Sequence[Pose],
    *,
    kitti: bool = False,
) -> None:
    """Write final.tum and keyframes.tum of a run, and with `kitti` final.kitti, into its folder.

    times_ns, poses     of every frame in order of time, world_from_camera or None
    keyframe_poses      of the keyframes that still live, with their times

    An older file stays whole until the new one is complete. Raises OutputError.
    """
    write_poses(folder / "final.tum", times_ns, poses)
    write_poses(folder / "keyframes.tum", keyframe_times_ns, keyframe_poses)
    if kitti:
        write_every_pose(folder / "final.kitti", poses)
