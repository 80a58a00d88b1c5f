"""Absolute pose from landmarks and their pixels."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import poselib

from slamfront.config import PoseConfig, TrackerConfig
from slamfront.geometry.camera import Camera
from slamfront.geometry.pose import Pose, rotation_exp
from slamfront.geometry.shutter import Shutter
from slamfront.solve.statistics import CHI_SQUARE_MONO, CHI_SQUARE_STEREO, MEDIAN_MONO, MEDIAN_STEREO
from slamfront.types import BoolArray, FloatArray

# What is not observed at all is unknown to half a turn, and to a thousand median depths
_UNKNOWN_TURN_RAD, _UNKNOWN_MOVE_DEPTHS = np.pi, 1e3
# After a step this small, in rad and in m, what is left moves no pixel by a hundredth
_SMALL_STEP = 1e-4


@dataclass(frozen=True, slots=True, eq=False)
class PixelObservations:
    """Where one camera saw N landmarks, and how precisely.

    landmarks_m (N,3) in the world; pixels_xy (N,2); right_x (N,) px, NaN = not seen by the right camera;
    sigmas_px (N,); disparity_sigma_px (N,) or a number; spreads_m (N,3) one deviation of the landmarks' own positions,
    None where they are exact; weights (N,) how much each counts, 0 to 1, None = all alike.
    """

    landmarks_m: FloatArray
    pixels_xy: FloatArray
    right_x: FloatArray
    sigmas_px: FloatArray
    disparity_sigma_px: FloatArray | float = 1.0
    spreads_m: FloatArray | None = None
    weights: FloatArray | None = None

    def __len__(self) -> int:
        return len(self.landmarks_m)

    def take(self, chosen: BoolArray) -> PixelObservations:
        """Return the observations of a mask (N,)."""
        values = (getattr(self, field.name) for field in fields(self))
        return PixelObservations(*(v[chosen] if isinstance(v, np.ndarray) else v for v in values))


@dataclass(frozen=True, slots=True, eq=False)
class TurningPrior:
    """What is expected of a camera's turning during the exposure of a rolling shutter: `shutter` has the pixels of the
    observations and the expected velocity, whose components have the standard deviation `sigma_rad_s`.
    """

    shutter: Shutter
    sigma_rad_s: float


@dataclass(frozen=True, slots=True, eq=False)
class PoseEstimate:
    """A camera pose with its support.

    inliers     bool (N,)
    covariance  (6,6) of the left perturbation of camera_from_world, rotation (rad) before translation (m); (9,9) with
                the angular velocity (rad/s) where that was estimated too. What observations do not determine has
                deviations of half a turn and of a thousand median depths.
    costs       (N,) squared residuals over their variances, each at most its gate (MSAC, Torr and Zisserman 2000)
    cost        their sum, each as much as it counts
    shutter     the shutter with the estimated angular velocity; None where it was not estimated
    depth_m     median depth of the inliers
    """

    camera_from_world: Pose
    inliers: BoolArray
    covariance: FloatArray
    costs: FloatArray
    cost: float
    shutter: Shutter | None = None
    depth_m: float = 1.0


def is_determined(covariance: FloatArray, depth_m: float, config: TrackerConfig) -> bool:
    """Return whether a pose with a covariance (6,6) is known well enough in every direction, for landmarks of a median
    depth.
    """
    rotation, position = (float(np.linalg.eigvalsh(covariance[k : k + 3, k : k + 3])[-1]) for k in (0, 3))
    turn, move = np.deg2rad(config.max_rotation_sigma_deg), config.max_position_sigma * depth_m
    return rotation <= turn**2 and position <= move**2


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
    turning: TurningPrior | None = None,
    *,
    config: PoseConfig,
) -> PoseEstimate | None:
    """Refine a camera pose on all observations by iteratively reweighted Gauss-Newton; None when it is not determined.

    Each round runs `iterations` steps and then decides which observations are inliers: chi-square at 95 % times the
    round's number. The first weighs all of them by Geman and McClure's rule, the others the inliers of the round before
    by Huber's, or closer where residuals are smaller than their sigmas. The residuals are the pixel's x
    and y over `sigmas_px`, and the disparity over its sigma.

    How uncertain landmarks of given spreads are in the image depends on the pose. Followed along the way it draws the
    camera to where they tell nothing, and so all fits; taken from the first pose it holds a camera there that leaps.
    Both are tried, and the likelier pose is returned.

    With `turning`, how the camera turned during the exposure is refined as well: Albl et al., "R6P - Rolling Shutter
    Absolute Camera Pose", CVPR 2015, without translation during the exposure. Observations are pixels under the
    shutter of the prior.
    """
    uncertain = observations.spreads_m is not None and camera.baseline_m is None
    ways = (False, True) if uncertain else (False,)
    tried = [
        _refined(camera_from_world, observations, camera, rounds, iterations, turning, config, follow=way)
        for way in ways
    ]
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
    turning: TurningPrior | None,
    config: PoseConfig,
    *,
    follow: bool,
) -> tuple[PoseEstimate, _Problem] | None:
    """Return the pose of `refine_pose` and its residuals; landmarks' spreads in the image are those of the first pose,
    unless they follow it.
    """
    problem = _Problem(observations, camera, follow, turning)
    rotation, translation = camera_from_world.rotation, camera_from_world.translation_m
    velocity = np.zeros(3)
    active = np.ones(len(observations), bool)
    size = 6 if turning is None else 9
    prior = np.zeros(size) if turning is None else np.r_[np.zeros(6), np.full(3, turning.sigma_rad_s**-2)]
    hessian = np.zeros((size, size))
    problem.move(rotation, translation, velocity)
    for number, widen in enumerate(rounds):
        gates, weigh = problem.gates * widen, _huber_weights if number else _redescending_weights
        for _ in range(iterations):
            weights = weigh(problem.squared, gates, active & problem.in_front) * problem.trust
            if np.count_nonzero(weights) < 3:
                return None
            jacobian = problem.jacobian()
            weighted = (jacobian * weights).reshape(size, -1)
            hessian = weighted @ jacobian.reshape(size, -1).T + np.diag(prior)
            gradient = weighted @ problem.residuals.ravel()
            if turning is not None:
                gradient[6:] += prior[6:] * velocity
            damping = 1e-9 * np.trace(hessian) / size
            try:
                step = np.linalg.solve(hessian + damping * np.eye(size), -gradient)
            except np.linalg.LinAlgError:
                return None
            turn = rotation_exp(step[:3])
            rotation, translation = turn @ rotation, turn @ translation + step[3:6]
            velocity = velocity + step[6:] if turning is not None else velocity
            problem.move(rotation, translation, velocity)
            if np.abs(step).max() < _SMALL_STEP:
                break
        active = problem.in_front & (problem.squared < gates)
    if not (np.all(np.isfinite(translation)) and np.all(np.isfinite(velocity))):
        return None
    depth_m = problem.median_depth_m(active)
    variance_factor = max(problem.variance_factor(active), config.min_variance_factor)
    covariance = _covariance(hessian, variance_factor * config.correlation, depth_m)
    shutter = None
    if turning is not None:
        shutter = Shutter(turning.shutter.camera, turning.shutter.angular_velocity + velocity)
    pose = Pose(rotation, translation).normalized()
    costs = np.where(problem.in_front, np.minimum(problem.squared, problem.gates), problem.gates)
    cost = float(costs @ problem.trust)
    return PoseEstimate(pose, active, covariance, costs, cost, shutter, depth_m), problem


def _covariance(hessian: FloatArray, variance_factor: float, depth_m: float) -> FloatArray:
    """Return the covariance of what a Gauss-Newton matrix determines; directions that it does not determine keep the
    deviations `_UNKNOWN_TURN_RAD` and `_UNKNOWN_MOVE_DEPTHS`.
    """
    least = np.full(len(hessian), _UNKNOWN_TURN_RAD**-2)
    least[3:6] = (_UNKNOWN_MOVE_DEPTHS * depth_m) ** -2
    # In units of the deviations of what is unknown the matrix is well conditioned
    units = np.sqrt(least)
    scaled = hessian / variance_factor / np.outer(units, units) + np.eye(len(hessian))
    return np.asarray(np.linalg.inv(scaled) / np.outer(units, units), np.float64)


class _Problem:
    """Residuals over their sigmas (R,N), of x, y and where it is measured disparity, at a pose; what does not change
    with it is kept.

    squared (N,) sums of squared residuals; gates (N,) their chi-square at 95 %; in_front (N,) which points the camera
    has before it.
    """

    residuals: FloatArray
    squared: FloatArray
    in_front: BoolArray

    def __init__(
        self, observations: PixelObservations, camera: Camera, follow: bool, turning: TurningPrior | None = None
    ) -> None:
        o, self._follow = observations, follow
        self.trust = np.ones(len(o)) if o.weights is None else o.weights
        self._by_velocity: FloatArray | None = None
        if turning is not None:
            motion = turning.shutter.motion_by_velocity(turning.shutter.to_image(o.pixels_xy))
            self._by_velocity = (motion / o.sigmas_px[:, None, None]).transpose(2, 1, 0)
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

    def move(self, rotation: FloatArray, translation_m: FloatArray, velocity: FloatArray | None = None) -> None:
        """Take the residuals at a pose, camera_from_world, and where the angular velocity differs by (3,) rad/s from
        the expected one.
        """
        self._image = rotation @ self._landmarks + translation_m[:, None]
        z = self._image[2]
        self.in_front = z > 1e-6
        z[~self.in_front] = 1.0
        np.divide(1.0, z, out=z)
        self._image[:2] *= z
        self.residuals = self._image[: len(self._scales)] * self._scales - self._measured
        if self._by_velocity is not None and velocity is not None:
            self.residuals[:2] += np.einsum("k,kcn->cn", velocity, self._by_velocity)
        if self._spreads is not None and (self._follow or self._unknown is None):
            self._unknown = self._unknown_from(rotation @ self._spreads)
        self._raw = self.residuals[:2].copy() if self._spreads is not None else self.residuals[:2]
        self._whiten(self.residuals[:2])
        self.squared = np.einsum("rn,rn->n", self.residuals, self.residuals)

    def jacobian(self) -> FloatArray:
        """Return the derivatives (6,R,N) of the residuals by a left twist (rotation, translation).

        A twist moves a point p by -[p]x r + t; divided by depth this is Longuet-Higgins and Prazdny 1980, Eq. 2.2 and
        2.3.
        """
        a, b, inverse_z = self._image
        j = np.zeros((6 if self._by_velocity is None else 9, *self._scales.shape))
        np.multiply(a, b, out=j[1, 1])
        np.negative(j[1, 1], out=j[0, 0])
        j[1, 0], j[0, 1] = 1.0 + a * a, -1.0 - b * b
        j[2, 0], j[2, 1] = -b, a
        j[3, 0] = j[4, 1] = inverse_z
        np.multiply(self._image[:2], -inverse_z, out=j[5, :2])
        j[:6, :2] *= self._scales[:2]
        if self._by_velocity is not None:
            j[6:, :2] = self._by_velocity
        if len(self._scales) == 3:
            # Disparity over its sigma is a multiple of the inverse depth
            slope = self._scales[2] * inverse_z
            j[0, 2], j[1, 2], j[5, 2] = -slope * b, slope * a, -slope * inverse_z
        self._whiten(j[:, :2])
        return j

    def median_depth_m(self, chosen: BoolArray) -> float:
        """Return the median depth of the chosen points (N,), 1 without any."""
        return float(np.median(1.0 / self._image[2, chosen])) if chosen.any() else 1.0

    def variance_factor(self, chosen: BoolArray) -> float:
        """Return by what factor squared residuals of the chosen points (N,) are larger than their sigmas say, by their
        median.
        """
        if not chosen.any():
            return 1.0
        medians = np.where(self.gates == CHI_SQUARE_STEREO, MEDIAN_STEREO, MEDIAN_MONO)
        return float(np.median(self.squared[chosen] / medians[chosen]))

    def cost(self, rotation: FloatArray) -> float:
        """Return minus twice the log likelihood of the pose that was moved to last, but for a constant; residuals count
        as Huber says, with the covariance that landmarks' spreads have there.
        """
        squared, certainty = self.squared, 0.0
        if self._spreads is not None:
            residuals = self._raw
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
    smaller = min(4.0 * float(np.median(squared[used])) / MEDIAN_MONO, 1.0)
    return np.where(used, np.sqrt(np.minimum(smaller * gates / np.maximum(squared, 1e-12), 1.0)), 0.0)


def _redescending_weights(squared: FloatArray, gates: FloatArray, used: BoolArray) -> FloatArray:
    """Return the weights (N,) of residuals by their squares, by Geman and McClure's rule at the gates, nought for those
    not used: what is far off, however much of it, does not draw the camera.
    """
    return np.where(used, (1.0 + squared / gates) ** -2, 0.0)
