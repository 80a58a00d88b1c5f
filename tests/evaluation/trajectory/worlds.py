"""Trajectories that the evaluation's tests share."""

from __future__ import annotations

import numpy as np

from slamfront.geometry.pose import Pose
from slamfront.types import Trajectory

START_NS = 1_305_031_225_933_400_001
FRAME_NS = 33_333_333


def drive(count: int = 300, step_m: float = 1.0, seed: int = 0) -> Trajectory:
    """A camera that goes forward and turns gently, one pose a frame."""
    rng = np.random.default_rng(seed)
    pose, poses = Pose.identity(), []
    for _ in range(count):
        poses.append(pose)
        turn = rng.normal(size=3) * [0.002, 0.02, 0.002]
        pose = pose @ Pose.exp([*turn, 0.0, 0.0, step_m * rng.uniform(0.8, 1.2)])
    return Trajectory.from_poses(START_NS + FRAME_NS * np.arange(count), poses)


def drifting(truth: Trajectory, rotation_rad: float = 0.002, translation_m: float = 0.02, seed: int = 1) -> Trajectory:
    """The truth with a random walk on top, in a world of its own."""
    rng = np.random.default_rng(seed)
    error, poses = Pose.identity(), []
    elsewhere = Pose.exp([0.3, -0.5, 0.8, 4.0, -2.0, 7.0])
    for row in range(len(truth)):
        poses.append(elsewhere @ truth.pose(row) @ error)
        error = error @ Pose.exp(rng.normal(size=6) * np.repeat([rotation_rad, translation_m], 3))
    return Trajectory.from_poses(truth.times_ns, poses)


def moved(trajectory: Trajectory, world: Pose, scale: float = 1.0, offset_ns: int = 0) -> Trajectory:
    """The same trajectory seen from another world, scaled there, its clock set differently."""
    poses = [world @ trajectory.pose(row) for row in range(len(trajectory))]
    poses = [Pose(pose.rotation, scale * pose.translation_m) for pose in poses]
    return Trajectory.from_poses(trajectory.times_ns + offset_ns, poses)
