"""Absolute pose from landmarks and their pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import poselib

from slamfront.geometry.camera import Camera
from slamfront.geometry.pose import Pose, rotation_exp
from slamfront.geometry.shutter import Shutter
from slamfront.types import BoolArray, FloatArray

# 95 % quantiles of chi-square for a point seen by one camera (2 residuals) and by two (3)
CHI_SQUARE_MONO = 5.991
CHI_SQUARE_STEREO = 7.815
# Its median for the first; for the second it is larger, and gates by it a little wider
_MEDIAN_CHI_SQUARE = 1.386
# After a step this small, in rad and in m, what is left moves no pixel by a hundredth
_SMALL_STEP = 1e-4


@dataclass(frozen=True, slots=True, eq=False)
class PixelObservations:
    """Where one camera saw N landmarks, and how precisely.

    landmarks_m (N,3) in the world; pixels_xy (N,2); right_x (N,) px, NaN = not seen by the right camera;
    sigmas_px (N,); disparity_sigma_px (N,) or a number; spreads_m (N,3) one deviation of the landmarks' own positions,
    None where they are exact.
    """

    landmarks_m: FloatArray
    pixels_xy: FloatArray
    right_x: FloatArray
    sigmas_px: FloatArray
    disparity_sigma_px: FloatArray | float = 1.0
    spreads_m: FloatArray | None = None

    def __len__(self) -> int:
        return len(self.landmarks_m)


@dataclass(frozen=True, slots=True, eq=False)
class PoseEstimate:
    """A camera pose with its support: `inliers` (N,) and `covariance` (6,6), rotation (rad) before translation (m)."""

    camera_from_world: Pose
    inliers: BoolArray
    covariance: FloatArray


class TurningEstimate(NamedTuple):
    """A camera pose with how the camera turned, and their support: `inliers` (N,), and `disagreement`, the sum of all
    points' squared residuals in parts of the gates, at most 1 each (MSAC's cost, Torr and Zisserman 2000).
    """

    camera_from_world: Pose
    shutter: Shutter
    inliers: BoolArray
    disagreement: float


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

    Each round runs `iterations` steps with Huber weights at sqrt(chi-square * its number), or at less where residuals
    are smaller than their sigmas, on the observations that were inliers of the round before (all, in the first), and
    then decides anew which are inliers: chi-square at 95 % times the round's number. The residuals are the pixel's x
    and y over `sigmas_px`, and the disparity over its sigma.

    How uncertain landmarks of given spreads are in the image depends on the pose. Followed along the way it draws the
    camera to where they tell nothing, and so all fits; taken from the first pose it holds a camera there that leaps.
    Both are tried, and the likelier pose is returned.
    """
    ways = (False, True) if observations.spreads_m is not None else (False,)
    tried = [_refined(camera_from_world, observations, camera, rounds, iterations, follow=way) for way in ways]
    found = [pair for pair in tried if pair is not None]
    if len(found) < 2:
        return found[0][0] if found else None
    return min(found, key=lambda pair: pair[1].cost(pair[0].camera_from_world.rotation))[0]


def _refined(
    camera_from_world: Pose,
    observations: PixelObservations,
    camera: Camera,
    rounds: tuple[float, ...],
    iterations: int,
    *,
    follow: bool,
) -> tuple[PoseEstimate, _Problem] | None:
    """Return the pose of `refine_pose` and its residuals; landmarks' spreads in the image are those of the first pose,
    unless they follow it.
    """
    problem = _Problem(observations, camera, follow)
    rotation, translation = camera_from_world.rotation, camera_from_world.translation_m
    active = np.ones(len(observations), bool)
    hessian = np.zeros((6, 6))
    problem.move(rotation, translation)
    for widen in rounds:
        gates = problem.gates * widen
        for _ in range(iterations):
            weights = _huber_weights(problem.squared, gates, active & problem.in_front)
            if np.count_nonzero(weights) < 3:
                return None
            jacobian = problem.jacobian()
            weighted = (jacobian * weights).reshape(6, -1)
            hessian = weighted @ jacobian.reshape(6, -1).T
            damping = 1e-9 * np.trace(hessian) / 6
            try:
                step = np.linalg.solve(hessian + damping * np.eye(6), -weighted @ problem.residuals.ravel())
            except np.linalg.LinAlgError:
                return None
            turn = rotation_exp(step[:3])
            rotation, translation = turn @ rotation, turn @ translation + step[3:]
            problem.move(rotation, translation)
            if np.abs(step).max() < _SMALL_STEP:
                break
        active = problem.in_front & (problem.squared < gates)
    if not np.all(np.isfinite(translation)):
        return None
    covariance = np.asarray(np.linalg.pinv(hessian, hermitian=True), np.float64)
    return PoseEstimate(Pose(rotation, translation).normalized(), active, covariance), problem


def refine_turning_pose(
    camera_from_world: Pose,
    shutter: Shutter,
    landmarks_m: FloatArray,
    image_xy: FloatArray,
    sigmas_px: FloatArray,
    doubt: float,
    rounds: tuple[float, ...] = (9.0, 3.0, 1.0),
    iterations: int = 4,
) -> TurningEstimate | None:
    """Refine the pose of a camera with a rolling shutter together with how it turned during the exposure; None where
    these are not determined.

    image_xy (N,2) are pixels of the image; doubt is the standard deviation of each component of the velocity that
    `shutter` has, rad/s. The pose is that of the middle row's exposure. Rounds and weights are those of `refine_pose`.
    Albl et al., "R6P - Rolling Shutter Absolute Camera Pose", CVPR 2015, without translation during the exposure.
    """
    rotation, translation = camera_from_world.rotation, camera_from_world.translation_m
    expected = velocity = shutter.angular_velocity
    motion = shutter.motion_by_velocity(image_xy)
    by_velocity = (motion / sigmas_px[:, None, None]).transpose(2, 1, 0)
    trust = np.r_[np.full(6, 1e-9), np.full(3, doubt**-2)]
    active, unknown = np.ones(len(image_xy), bool), np.full(len(image_xy), np.nan)
    for widen in rounds:
        for _ in range(iterations):
            seen = PixelObservations(landmarks_m, image_xy - motion @ velocity, unknown, sigmas_px)
            problem = _Problem(seen, shutter.camera, follow=False)
            problem.move(rotation, translation)
            gates = problem.gates * widen
            weights = _huber_weights(problem.squared, gates, active & problem.in_front)
            if np.count_nonzero(weights) < 5:
                return None
            jacobian = np.concatenate([problem.jacobian()[:, :2], by_velocity])
            weighted = (jacobian * weights).reshape(9, -1)
            gradient = weighted @ problem.residuals[:2].ravel()
            gradient[6:] += (velocity - expected) * trust[6:]
            step = np.linalg.solve(weighted @ jacobian.reshape(9, -1).T + np.diag(trust), -gradient)
            turn = rotation_exp(step[:3])
            rotation, translation = turn @ rotation, turn @ translation + step[3:6]
            velocity = velocity + step[6:]
        active = problem.in_front & (problem.squared < gates)
    if not (np.all(np.isfinite(translation)) and np.all(np.isfinite(velocity))):
        return None
    disagreement = float(np.where(problem.in_front, np.minimum(problem.squared / problem.gates, 1.0), 1.0).sum())
    return TurningEstimate(
        Pose(rotation, translation).normalized(), Shutter(shutter.camera, velocity), active, disagreement
    )


class _Problem:
    """Residuals over their sigmas (R,N), of x, y and where it is measured disparity, at a pose; what does not change
    with it is kept.

    squared (N,) sums of squared residuals; gates (N,) their chi-square at 95 %; in_front (N,) which points the camera
    has before it.
    """

    residuals: FloatArray
    squared: FloatArray
    in_front: BoolArray

    def __init__(self, observations: PixelObservations, camera: Camera, follow: bool) -> None:
        o, self._follow = observations, follow
        stereo = np.isfinite(o.right_x) & (camera.baseline_m is not None)
        self.gates = np.where(stereo, CHI_SQUARE_STEREO, CHI_SQUARE_MONO)
        self._landmarks = np.ascontiguousarray(o.landmarks_m.T)
        self._spreads = None if o.spreads_m is None else np.ascontiguousarray(o.spreads_m.T)
        self._unknown: FloatArray | None = None
        rows = 3 if stereo.any() else 2
        self._scales, self._measured = np.empty((rows, len(o))), np.empty((rows, len(o)))
        np.divide([[camera.fx], [camera.fy]], o.sigmas_px, out=self._scales[:2])
        np.divide((o.pixels_xy - (camera.cx, camera.cy)).T, o.sigmas_px, out=self._measured[:2])
        if rows == 3:
            self._scales[2] = np.where(stereo, camera.disparity_times_depth / o.disparity_sigma_px, 0.0)
            self._measured[2] = np.where(stereo, (o.pixels_xy[:, 0] - o.right_x) / o.disparity_sigma_px, 0.0)

    def move(self, rotation: FloatArray, translation_m: FloatArray) -> None:
        """Take the residuals at a pose, camera_from_world."""
        self._image = rotation @ self._landmarks + translation_m[:, None]
        z = self._image[2]
        self.in_front = z > 1e-6
        z[~self.in_front] = 1.0
        np.divide(1.0, z, out=z)
        self._image[:2] *= z
        self.residuals = self._image[: len(self._scales)] * self._scales - self._measured
        if self._spreads is not None and (self._follow or self._unknown is None):
            self._unknown = self._unknown_from(rotation @ self._spreads)
        self._whiten(self.residuals[:2])
        self.squared = np.einsum("rn,rn->n", self.residuals, self.residuals)

    def jacobian(self) -> FloatArray:
        """Return the derivatives (6,R,N) of the residuals by a left twist (rotation, translation).

        A twist moves a point p by -[p]x r + t; divided by depth this is Longuet-Higgins and Prazdny 1980, Eq. 2.2 and
        2.3.
        """
        a, b, inverse_z = self._image
        j = np.zeros((6, *self._scales.shape))
        np.multiply(a, b, out=j[1, 1])
        np.negative(j[1, 1], out=j[0, 0])
        j[1, 0], j[0, 1] = 1.0 + a * a, -1.0 - b * b
        j[2, 0], j[2, 1] = -b, a
        j[3, 0] = j[4, 1] = inverse_z
        np.multiply(self._image[:2], -inverse_z, out=j[5, :2])
        j[:, :2] *= self._scales[:2]
        if len(self._scales) == 3:
            # Disparity over its sigma is a multiple of the inverse depth
            slope = self._scales[2] * inverse_z
            j[0, 2], j[1, 2], j[5, 2] = -slope * b, slope * a, -slope * inverse_z
        self._whiten(j[:, :2])
        return j

    def cost(self, rotation: FloatArray) -> float:
        """Return minus twice the log likelihood of the pose that was moved to last, but for a constant; residuals count
        as Huber says, with the covariance that landmarks' spreads have there.
        """
        squared, certainty = self.squared, 0.0
        if self._spreads is not None:
            residuals = self._image[:2] * self._scales[:2] - self._measured[:2]
            g = self._along(rotation @ self._spreads)
            length2 = np.einsum("rn,rn->n", g, g)
            along = np.einsum("rn,rn->n", g, residuals)
            squared = np.einsum("rn,rn->n", residuals, residuals) - along**2 / (1.0 + length2)
            certainty = float(np.log1p(length2).sum())
        far = squared > self.gates
        return certainty + float(np.where(far, 2.0 * np.sqrt(self.gates * squared) - self.gates, squared).sum())

    def _along(self, spreads_m: FloatArray) -> FloatArray:
        """Return how far (2,N) spreads (3,N), in the camera's axes, move pixels, over their sigmas."""
        return (spreads_m[:2] - self._image[:2] * spreads_m[2]) * self._image[2] * self._scales[:2]

    def _unknown_from(self, spreads_m: FloatArray) -> FloatArray:
        """Return the direction w (2,N) in which landmarks' spreads (3,N), in the camera's axes, let pixels tell less.

        If spreads move pixels by g, residuals have the covariance 1 + g g^T, whose inverse root is 1 - w w^T with w
        along g.
        """
        g = self._along(spreads_m)
        length2 = np.einsum("rn,rn->n", g, g)
        return g * np.sqrt((1.0 - 1.0 / np.sqrt(1.0 + length2)) / np.maximum(length2, 1e-12))

    def _whiten(self, values: FloatArray) -> None:
        """Let values (...,2,N) in x and y count by what landmarks of uncertain position can tell."""
        if self._unknown is not None:
            values -= self._unknown * np.einsum("rn,...rn->...n", self._unknown, values)[..., None, :]


def _huber_weights(squared: FloatArray, gates: FloatArray, used: BoolArray) -> FloatArray:
    """Return the weights (N,) of residuals by their squares, by Huber's rule at the gates, nought for those not used.

    Where residuals are smaller than their sigmas say, as in images without noise, the gates come down to twice the
    deviation that their median tells, since a few that are wrong by a pixel would move the camera by more than the
    others allow.
    """
    if not used.any():
        return np.zeros(len(squared))
    smaller = min(4.0 * float(np.median(squared[used])) / _MEDIAN_CHI_SQUARE, 1.0)
    return np.where(used, np.sqrt(np.minimum(smaller * gates / np.maximum(squared, 1e-12), 1.0)), 0.0)
