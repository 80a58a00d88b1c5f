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

    Each round runs `iterations` steps with Huber weights at sqrt(chi-square * its number), on the observations that were inliers of the
    round before (all, in the first), and then decides anew which are inliers: chi-square at 95 % times the round's number.
    The residuals are the pixel's x and y over `sigmas_px`, and the disparity over its sigma.
    """
    pose = camera_from_world
    active = np.ones(len(observations), bool)
    stereo = np.isfinite(observations.right_x)
    gates = np.where(stereo, CHI_SQUARE_STEREO, CHI_SQUARE_MONO)
    hessian = np.zeros((6, 6))
    for widen in rounds:
        for _ in range(iterations):
            residuals, jacobian, in_front = _linearize(pose, observations, camera, stereo)
            squared = np.einsum("ij,ij->i", residuals, residuals)
            weights = np.where(active & in_front, _huber_weights(squared, gates * widen), 0.0)
            weighted = jacobian * weights[:, None, None]
            hessian = np.einsum("nri,nrj->ij", weighted, jacobian)
            gradient = np.einsum("nri,nr->i", weighted, residuals)
            if np.count_nonzero(weights) < 3:
                return None
            try:
                step = np.linalg.solve(hessian + 1e-9 * np.trace(hessian) / 6 * np.eye(6), -gradient)
            except np.linalg.LinAlgError:
                return None
            pose = Pose.exp(step) @ pose
            if np.abs(step).max() < 1e-7:
                break
        residuals, _, in_front = _linearize(pose, observations, camera, stereo)
        active = in_front & (np.einsum("ij,ij->i", residuals, residuals) < gates * widen)
    if not np.all(np.isfinite(pose.translation_m)):
        return None
    covariance = np.linalg.pinv(hessian, hermitian=True)
    return PoseEstimate(pose.normalized(), active, covariance)


def _huber_weights(squared: FloatArray, gates: FloatArray) -> FloatArray:
    return np.where(squared <= gates, 1.0, np.sqrt(gates / np.maximum(squared, 1e-12)))


def _linearize(
    pose: Pose, observations: PixelObservations, camera: Camera, stereo: BoolArray
) -> tuple[FloatArray, FloatArray, BoolArray]:
    """Return residuals (N,3), their Jacobian (N,3,6) by a left twist, and which points lie in front of the camera."""
    points = pose.apply(observations.landmarks_m)
    x, y, z = points.T
    in_front = z > 1e-6
    iz = 1.0 / np.where(in_front, z, 1.0)
    u, v = camera.fx * x * iz + camera.cx, camera.fy * y * iz + camera.cy
    inverse_sigma = 1.0 / observations.sigmas_px
    residuals = np.zeros((len(points), 3))
    residuals[:, 0] = (u - observations.pixels_xy[:, 0]) * inverse_sigma
    residuals[:, 1] = (v - observations.pixels_xy[:, 1]) * inverse_sigma
    by_point = np.zeros((len(points), 3, 3))
    by_point[:, 0, 0] = camera.fx * iz * inverse_sigma
    by_point[:, 0, 2] = -camera.fx * x * iz * iz * inverse_sigma
    by_point[:, 1, 1] = camera.fy * iz * inverse_sigma
    by_point[:, 1, 2] = -camera.fy * y * iz * iz * inverse_sigma
    if camera.baseline_m is not None and stereo.any():
        bf = camera.disparity_times_depth
        inverse_disparity_sigma = np.where(stereo, 1.0 / observations.disparity_sigma_px, 0.0)
        measured = np.where(stereo, observations.pixels_xy[:, 0] - observations.right_x, 0.0)
        residuals[:, 2] = (bf * iz - measured) * inverse_disparity_sigma
        by_point[:, 2, 2] = -bf * iz * iz * inverse_disparity_sigma
    # d(R p + t) under a left twist (rotation, translation) is [-[p]x | I]
    by_twist = np.zeros((len(points), 3, 6))
    by_twist[:, 0, 1], by_twist[:, 0, 2] = z, -y
    by_twist[:, 1, 0], by_twist[:, 1, 2] = -z, x
    by_twist[:, 2, 0], by_twist[:, 2, 1] = y, -x
    by_twist[:, (0, 1, 2), (3, 4, 5)] = 1.0
    return residuals, by_point @ by_twist, in_front
