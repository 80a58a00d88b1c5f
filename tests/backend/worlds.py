"""Windows of a synthetic world whose truth is known."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from slamfront.geometry.camera import Camera
from slamfront.geometry.pose import Pose
from slamfront.types import BundleAdjustmentProblem, Correction, Sensor


@dataclass(frozen=True)
class World:
    """A problem with perturbed unknowns, and the poses and landmarks (L,3) that it was made from."""

    problem: BundleAdjustmentProblem
    poses: list[Pose]
    landmarks_m: np.ndarray

    def position_errors(self, correction: Correction) -> np.ndarray:
        """Return the distance (K,) of each corrected keyframe to its true place, m."""
        true = np.array([self.poses[i].translation_m for i in correction.keyframe_ids])
        return np.linalg.norm(correction.positions_m - true, axis=1)

    def rotation_errors(self, correction: Correction) -> np.ndarray:
        """Return a bound (K,) on the angle of each corrected keyframe to its true attitude, rad."""
        true = np.array([self.poses[i].rotation for i in correction.keyframe_ids])
        return np.linalg.norm(correction.rotations - true, axis=(1, 2))

    def landmark_errors(self, correction: Correction) -> np.ndarray:
        """Return the distance (L,) of each landmark to its true place, m."""
        return np.linalg.norm(correction.landmarks_m - self.landmarks_m[correction.landmark_ids], axis=1)


def make_world(
    sensor: Sensor = "stereo",
    keyframes: int = 6,
    fixed: int = 2,
    landmarks: int = 150,
    noise_px: float = 0.0,
    seed: int = 0,
    disturb: float = 1.0,
) -> World:
    """Return a world seen by keyframes that move sideways, 15 cm a step, past landmarks at 3 to 8 m.

    Free poses start off by about 2 cm and 0.02 rad, landmarks by 5 cm, both times `disturb`. The noise is that of its
    sigmas (`noise_px` times the keypoint's scale), and the problem states sigmas of at least half a pixel.
    """
    rng = np.random.default_rng(seed)
    camera = Camera("pinhole", 640, 480, 450.0, 460.0, 320.0, 240.0, (), None if sensor == "mono" else 0.1)
    poses = [Pose.exp(np.r_[rng.normal(0, 0.03, 3), 0.15 * i, rng.normal(0, 0.03, 2)]) for i in range(keyframes)]
    points = np.column_stack(
        [rng.uniform(-2, 3, landmarks), rng.uniform(-2, 2, landmarks), rng.uniform(3, 8, landmarks)]
    )
    seen = [camera.project(p.inverse().apply(points)) for p in poses]
    inside = [np.flatnonzero(camera.contains(pixels)) for pixels in seen]
    rows = np.repeat(np.arange(keyframes), [len(i) for i in inside])
    marks = np.concatenate(inside)
    pixels = np.concatenate([p[i] for p, i in zip(seen, inside)])
    depth = np.concatenate([p.inverse().apply(points[i])[:, 2] for p, i in zip(poses, inside)])
    scale = 1.2 ** rng.integers(0, 4, len(rows))
    pixels = pixels + rng.normal(0, 1, pixels.shape) * (noise_px * scale)[:, None]
    right_x = np.full(len(rows), np.nan)
    if camera.baseline_m is not None:
        exact = camera.disparity_times_depth / depth
        right_x = pixels[:, 0] - exact - rng.normal(0, 1, len(rows)) * noise_px
    if sensor == "rgbd":  # half of the pixels have no depth
        right_x[rng.random(len(rows)) < 0.5] = np.nan
    sigma = noise_px or 0.5
    moved = [
        p if i < fixed else p @ Pose.exp(rng.normal(0, 0.02 * disturb / np.sqrt(3), 6)) for i, p in enumerate(poses)
    ]
    problem = BundleAdjustmentProblem(
        keyframe_ids=np.arange(keyframes),
        rotations=np.array([p.rotation for p in moved]),
        positions_m=np.array([p.translation_m for p in moved]),
        fixed=np.arange(keyframes) < fixed,
        landmark_ids=np.arange(landmarks),
        landmarks_m=points + rng.normal(0, 0.05 * disturb / np.sqrt(3), points.shape),
        keyframe_rows=rows,
        landmark_rows=marks,
        keypoint_rows=np.concatenate([np.arange(len(i)) for i in inside]),
        pixels_xy=pixels,
        right_x=right_x,
        sigmas_px=sigma * scale,
        disparity_sigma_px=np.full(len(rows), sigma),
        camera=camera,
    )
    return World(problem, poses, points)


def part(problem: BundleAdjustmentProblem, observations: np.ndarray) -> BundleAdjustmentProblem:
    """Return the problem with only the chosen observations (mask or rows)."""
    names = ("keyframe_rows", "landmark_rows", "keypoint_rows", "pixels_xy", "right_x", "sigmas_px")
    chosen = {name: getattr(problem, name)[observations] for name in (*names, "disparity_sigma_px")}
    return replace(problem, **chosen)


def first_keyframes(problem: BundleAdjustmentProblem, count: int) -> BundleAdjustmentProblem:
    """Return the problem of the first keyframes, and the landmarks that they see."""
    problem = part(problem, problem.keyframe_rows < count)
    seen = np.unique(problem.landmark_rows)
    return replace(
        problem,
        keyframe_ids=problem.keyframe_ids[:count],
        rotations=problem.rotations[:count],
        positions_m=problem.positions_m[:count],
        fixed=problem.fixed[:count],
        landmark_ids=problem.landmark_ids[seen],
        landmarks_m=problem.landmarks_m[seen],
        landmark_rows=np.searchsorted(seen, problem.landmark_rows),
    )
