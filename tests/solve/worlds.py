"""Points in front of a camera, and what one or two cameras measure of them."""

from __future__ import annotations

import numpy as np

from slamfront.geometry.camera import Camera
from slamfront.geometry.pose import Pose
from slamfront.solve.pnp import PixelObservations
from slamfront.types import FloatArray

BASELINE_M = 0.12
MONO = Camera("pinhole", 640, 480, 450.0, 460.0, 320.0, 240.0)
STEREO = Camera("pinhole", 640, 480, 450.0, 460.0, 320.0, 240.0, (), BASELINE_M)
# Neither turned nor placed as the world is
CAMERA_FROM_WORLD = Pose.exp([0.2, -0.3, 0.1, 0.5, -0.2, 0.4])


def points_in_view(count: int, rng: np.random.Generator, near_m: float = 2.0, far_m: float = 9.0) -> FloatArray:
    """Return points (N,3) in the camera's frame, spread over its image and over depth."""
    pixels = rng.uniform([10, 10], [MONO.width - 11, MONO.height - 11], (count, 2))
    return MONO.unproject(pixels) * rng.uniform(near_m, far_m, (count, 1))


def observed(
    points_in_camera: FloatArray, camera_from_world: Pose, camera: Camera, noise_px: float, rng: np.random.Generator
) -> PixelObservations:
    """Return what the camera sees of points (N,3), with noise of 1 to 2 times `noise_px` as its sigmas tell.

    The camera with a baseline sees the right image's x of every other point.
    """
    count = len(points_in_camera)
    scales = rng.uniform(1.0, 2.0, count)
    pixels = camera.project(points_in_camera) + rng.normal(0, 1, (count, 2)) * (noise_px * scales)[:, None]
    right_x = np.full(count, np.nan)
    if camera.baseline_m is not None:
        disparity = camera.disparity_times_depth / points_in_camera[::2, 2]
        right_x[::2] = pixels[::2, 0] - disparity - rng.normal(0, noise_px, len(disparity))
    sigma = noise_px or 1.0
    world = camera_from_world.inverse().apply(points_in_camera)
    return PixelObservations(world, pixels, right_x, sigma * scales, sigma)


def pose_error(estimate: Pose, truth: Pose) -> tuple[float, float]:
    """Return the angle (rad) and the distance (m) between two estimates of camera_from_world."""
    twist = (estimate @ truth.inverse()).log()
    return float(np.linalg.norm(twist[:3])), float(np.linalg.norm(twist[3:]))
