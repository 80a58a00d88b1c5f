"""Absolute pose from landmarks and their pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import poselib

from slamfront.geometry.camera import Camera
from slamfront.geometry.pose import Pose
from slamfront.types import BoolArray, FloatArray

# 95 % quantiles of chi-square for a point seen by one camera (2 residuals) and by two (3)
CHI_SQUARE_MONO = 5.991
CHI_SQUARE_STEREO = 7.815
# A step this small, in rad and in m, moves no pixel by a hundredth
_SMALL_STEP = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class PixelObservations:
    """Where one camera saw N landmarks, and how precisely.

    landmarks_m (N,3) in the world; pixels_xy (N,2); right_x (N,) px, NaN = not seen by the right camera;
    sigmas_px (N,); disparity_sigma_px (N,) or a number.
    """

    landmarks_m: FloatArray
    pixels_xy: FloatArray
    right_x: FloatArray
    sigmas_px: FloatArray
    disparity_sigma_px: FloatArray | float = 1.0

    def __len__(self) -> int:
        return len(self.landmarks_m)


@dataclass(frozen=True, slots=True, eq=False)
class PoseEstimate:
    """A camera pose with its support: `inliers` (N,) and `covariance` (6,6), rotation (rad) before translation (m)."""

    camera_from_world: Pose
    inliers: BoolArray
    covariance: FloatArray


def ransac_pose(
    landmarks_m: FloatArray, pixels_xy: FloatArray, camera: Camera, max_error_px: float, seed: int = 0
) -> tuple[Pose, BoolArray] | None:
    """Return camera_from_world and the inliers (N,) by PoseLib's LO-RANSAC, or None with fewer than 4 points.

    landmarks_m (N,3) in the world, pixels_xy (N,2) of a pinhole camera.
    """
    if len(landmarks_m) < 4:
        return None
    model = {
        "model": "PINHOLE",
        "width": camera.width,
        "height": camera.height,
        "params": [camera.fx, camera.fy, camera.cx, camera.cy],
    }
    options = {"max_reproj_error": max_error_px, "max_iterations": 2000, "min_iterations": 50, "seed": seed}
    estimate, info = poselib.estimate_absolute_pose(
        np.asarray(pixels_xy, np.float64), np.asarray(landmarks_m, np.float64), model, options, {}
    )
    inliers = np.asarray(info["inliers"], dtype=bool)
    if inliers.sum() < 4 or not np.all(np.isfinite(estimate.Rt)):
        return None
    return Pose(estimate.R, estimate.t), inliers


def refine_pose(
    camera_from_world: Pose,
    observations: PixelObservations,
    camera: Camera,
    rounds: tuple[float, ...] = (3.0, 1.0, 1.0),
    iterations: int = 4,
) -> PoseEstimate | None:
    """Refine a camera pose on all observations by iteratively reweighted Gauss-Newton; None when it is not determined.

    Each round runs `iterations` steps with Huber weights at sqrt(chi-square * its number), on the observations that
    were inliers of the round before (all, in the first), and then decides anew which are inliers: chi-square at 95 %
    times the round's number. The residuals are the pixel's x and y over `sigmas_px`, and the disparity over its
    sigma.
    """
    pose = camera_from_world
    active = np.ones(len(observations), bool)
    stereo = np.isfinite(observations.right_x) & (camera.baseline_m is not None)
    gates = np.where(stereo, CHI_SQUARE_STEREO, CHI_SQUARE_MONO)
    hessian = np.zeros((6, 6))
    for widen in rounds:
        for _ in range(iterations):
            residuals, in_front, points = _residuals(pose, observations, camera, stereo)
            squared = np.einsum("rn,rn->n", residuals, residuals)
            weights = np.where(active & in_front, _huber_weights(squared, gates * widen), 0.0)
            if np.count_nonzero(weights) < 3:
                return None
            jacobian = _jacobian(points, observations, camera, stereo)
            weighted = jacobian * np.tile(weights, 3)
            hessian = weighted @ jacobian.T
            damping = 1e-9 * np.trace(hessian) / 6
            try:
                step = np.linalg.solve(hessian + damping * np.eye(6), -weighted @ residuals.ravel())
            except np.linalg.LinAlgError:
                return None
            pose = Pose.exp(step) @ pose
            if np.abs(step).max() < _SMALL_STEP:
                break
        residuals, in_front, _ = _residuals(pose, observations, camera, stereo)
        active = in_front & (np.einsum("rn,rn->n", residuals, residuals) < gates * widen)
    if not np.all(np.isfinite(pose.translation_m)):
        return None
    covariance = np.asarray(np.linalg.pinv(hessian, hermitian=True), np.float64)
    return PoseEstimate(pose.normalized(), active, covariance)


def _huber_weights(squared: FloatArray, gates: FloatArray) -> FloatArray:
    return np.where(squared <= gates, 1.0, np.sqrt(gates / np.maximum(squared, 1e-12)))


def _residuals(
    pose: Pose, observations: PixelObservations, camera: Camera, stereo: BoolArray
) -> tuple[FloatArray, BoolArray, FloatArray]:
    """Return residuals (3,N) of x, y and disparity over their sigmas, which points lie in front of the camera, and
    the points (N,3).
    """
    points = pose.apply(observations.landmarks_m)
    in_front = points[:, 2] > 1e-6
    points[~in_front, 2] = 1.0
    x, y, z = points.T
    residuals = np.zeros((3, len(points)))
    residuals[0] = (camera.fx * x / z + camera.cx - observations.pixels_xy[:, 0]) / observations.sigmas_px
    residuals[1] = (camera.fy * y / z + camera.cy - observations.pixels_xy[:, 1]) / observations.sigmas_px
    if stereo.any():
        expected = camera.disparity_times_depth / z
        measured = observations.pixels_xy[:, 0] - observations.right_x
        residuals[2] = np.where(stereo, (expected - measured) / observations.disparity_sigma_px, 0.0)
    return residuals, in_front, points


def _jacobian(points: FloatArray, observations: PixelObservations, camera: Camera, stereo: BoolArray) -> FloatArray:
    """Return the derivatives (6,3N) of all residuals x, then y, then disparity, by a left twist (rotation,
    translation).

    A twist moves a point p by -[p]x r + t; divided by depth this is Longuet-Higgins and Prazdny 1980, Eq. 2.2 and 2.3.
    """
    x, y, z = points.T
    a, b, inverse_z = x / z, y / z, 1.0 / z
    count = len(points)
    jacobian = np.zeros((6, 3, count))
    fx, fy = camera.fx / observations.sigmas_px, camera.fy / observations.sigmas_px
    jacobian[0, 0], jacobian[1, 0], jacobian[2, 0] = -fx * a * b, fx * (1 + a * a), -fx * b
    jacobian[3, 0], jacobian[5, 0] = fx * inverse_z, -fx * a * inverse_z
    jacobian[0, 1], jacobian[1, 1], jacobian[2, 1] = -fy * (1 + b * b), fy * a * b, fy * a
    jacobian[4, 1], jacobian[5, 1] = fy * inverse_z, -fy * b * inverse_z
    if stereo.any():
        slope = -camera.disparity_times_depth * inverse_z * inverse_z / observations.disparity_sigma_px
        slope = np.where(stereo, slope, 0.0)
        jacobian[0, 2], jacobian[1, 2], jacobian[5, 2] = slope * y, -slope * x, slope
    return jacobian.reshape(6, -1)
