"""Two views of one scene with the exact mapping between them, for learning to match."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from slamfront.errors import TrainingError
from slamfront.geometry.camera import Camera
from slamfront.geometry.pose import Array, Pose
from slamfront.simulation.scenes import Scene
from slamfront.types import BoolArray, Float32Array, FloatArray, Image

_GRID_PX = 16
_TRIES = 50


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """Two images, their depth (float32 (H,W), m, exact) and the pose between them."""

    camera: Camera
    first: Image
    second: Image
    first_depth_m: Float32Array
    second_depth_m: Float32Array
    second_from_first: Pose

    def warp(self, pixels_xy: FloatArray) -> tuple[FloatArray, BoolArray]:
        """Return where pixels (N,2) of the first image lie in the second (N,2), and which are seen there (N,).

        Depth is that of the nearest pixel centre, so the mapping is exact for whole pixels.
        """
        return _warp(pixels_xy, self.first_depth_m, self.second_depth_m, self.second_from_first, self.camera)


def sample_pair(
    scene: Scene, rng: np.random.Generator, overlap: tuple[float, float] = (0.3, 0.95), tilt_rad: float = 0.2
) -> Pair:
    """Return a random pair of views near the scene's path; a share of the first within `overlap` is seen in the second.

    Cameras are turned from the path by about `tilt_rad` about every axis. Raises TrainingError when the scene has no
    such pair.
    """
    duration_s = scene.length / scene.rate_hz
    y, x = np.mgrid[0 : scene.camera.height : _GRID_PX, 0 : scene.camera.width : _GRID_PX].reshape(2, -1)
    grid = np.column_stack([x, y]).astype(np.float64)
    for _ in range(_TRIES):
        start_s = rng.uniform(0, duration_s)
        poses = [_shaken(scene.path(start_s + delay), rng, tilt_rad) for delay in (0.0, rng.normal(0, 1.0))]
        views = [scene.renderer.render(pose, scene.camera) for pose in poses]
        second_from_first = poses[1].inverse() @ poses[0]
        _, seen = _warp(grid, views[0].depth_m, views[1].depth_m, second_from_first, scene.camera)
        if overlap[0] <= seen.mean() <= overlap[1]:
            noise_ids = rng.integers(0, 2**31, 2)
            images = [scene.effects.image(view.image, int(i), start_s) for view, i in zip(views, noise_ids)]
            return Pair(scene.camera, images[0], images[1], views[0].depth_m, views[1].depth_m, second_from_first)
    raise TrainingError(f"the scene '{scene.name}' gave no pair with an overlap of {overlap[0]} to {overlap[1]}")


def _shaken(pose: Pose, rng: np.random.Generator, tilt_rad: float) -> Pose:
    return pose @ Pose.exp(np.concatenate([rng.normal(0, tilt_rad, 3), rng.normal(0, 0.05, 3)]))


def _warp(
    pixels_xy: FloatArray,
    first_depth_m: Float32Array,
    second_depth_m: Float32Array,
    second_from_first: Pose,
    camera: Camera,
) -> tuple[Array, BoolArray]:
    """Return the pixels (N,2) in the second view, and which are seen: inside, and behind nothing nearer."""
    columns, rows = np.rint(pixels_xy).astype(int).T
    depth = first_depth_m[rows, columns].astype(np.float64)
    points = second_from_first.apply(camera.unproject(pixels_xy) * depth[:, None])
    warped = camera.project(points)
    seen = camera.contains(warped) & (depth > 0)
    columns, rows = np.rint(warped[seen]).astype(int).T
    surface = second_depth_m[rows, columns]
    # Depth is read at the nearest pixel's centre, where a slanted surface differs by a few per cent.
    seen[seen] = points[seen, 2] < 1.03 * surface + 0.01
    return warped, seen
