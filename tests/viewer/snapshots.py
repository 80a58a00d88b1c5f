"""Snapshots of a made-up run: a camera that walks a circle in a square room."""

from __future__ import annotations

import numpy as np

from slamfront.geometry.camera import Camera
from slamfront.geometry.pose import Pose, rotation_exp
from slamfront.types import Snapshot, State

CAMERA = Camera("pinhole", 320, 240, 260.0, 260.0, 159.5, 119.5)
FRAMES = 60


def circle_pose(frame_id: int, scale: float = 1.0) -> Pose:
    """Return world_from_camera on a circle around the room's middle, looking ahead along it; y is down."""
    angle = 2 * np.pi * frame_id / FRAMES
    return Pose(rotation_exp((0.0, -angle, 0.0)), scale * 1.5 * np.array([np.cos(angle), 0.0, np.sin(angle)]))


def room_points(count: int, scale: float = 1.0) -> np.ndarray:
    """Return landmarks (count,3) on the four walls of a room of 6 x 6 x 2.4 m."""
    rng = np.random.default_rng(0)
    along, height = rng.uniform(-3, 3, count), rng.uniform(-1.4, 1.0, count)
    walls = [(along, 3.0), (along, -3.0), (3.0, along), (-3.0, along)]
    side = rng.integers(0, 4, count)
    x = np.choose(side, [np.broadcast_to(wall[0], count) for wall in walls])
    z = np.choose(side, [np.broadcast_to(wall[1], count) for wall in walls])
    return (scale * np.column_stack([x, height, z])).astype(np.float32)


def snapshot(
    frame_id: int = 40,
    state: State = State.TRACKING,
    landmarks: int = 4000,
    scale: float = 1.0,
    time_ns: int | None = None,
    colour: bool = False,
) -> Snapshot:
    """Return the run as it looks at a frame; `scale` stretches the world, as a monocular map may."""
    poses = [circle_pose(i, scale) for i in range(frame_id + 1)]
    keyframes = np.array([pose.matrix() for pose in poses[::5]])
    pairs = [(row, row + step) for step in (1, 2) for row in range(len(keyframes) - step)]
    points = room_points(landmarks, scale)
    grey = np.indices((240, 320)).sum(axis=0).astype(np.uint8)
    tracks = np.random.default_rng(frame_id).uniform((5, 5), (315, 235), (120, 2)).astype(np.float32)
    return Snapshot(
        frame_id=frame_id,
        time_ns=frame_id * 33_333_333 if time_ns is None else time_ns,
        state=state,
        world_from_camera=None if state in (State.LOST, State.INITIALIZING) else poses[-1],
        camera=CAMERA,
        trajectory_m=np.array([pose.translation_m for pose in poses]),
        keyframe_poses=keyframes,
        covisibility=np.array(pairs, np.int64).reshape(-1, 2),
        landmarks_m=points,
        landmark_intensity=np.random.default_rng(1).integers(0, 256, landmarks).astype(np.uint8),
        image=np.stack([grey, grey // 2, 255 - grey], axis=-1) if colour else grey,
        tracks_xy=tracks,
    )


def empty_snapshot() -> Snapshot:
    """Return what there is before anything is known: an image and nothing else."""
    return Snapshot(
        frame_id=0,
        time_ns=0,
        state=State.INITIALIZING,
        world_from_camera=None,
        camera=CAMERA,
        trajectory_m=np.zeros((0, 3)),
        keyframe_poses=np.zeros((0, 4, 4)),
        covisibility=np.zeros((0, 2), np.int64),
        landmarks_m=np.zeros((0, 3), np.float32),
        landmark_intensity=np.zeros(0, np.uint8),
        image=np.zeros((240, 320), np.uint8),
        tracks_xy=np.zeros((0, 2), np.float32),
    )
