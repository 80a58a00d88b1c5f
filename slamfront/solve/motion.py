"""A camera's motion as a Gaussian process: white noise on acceleration, filtered forward and smoothed backward.

Anderson and Barfoot, "Full STEAM ahead: Exactly sparse Gaussian process regression for batch continuous-time trajectory
estimation on SE(3)", IROS 2015. Perturbations are of the left: camera_from_world = exp(e) @ mean, with rotation (rad)
before translation (m).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from slamfront.config import MotionConfig
from slamfront.geometry.pose import Pose
from slamfront.geometry.se3 import adjoint
from slamfront.solve.statistics import CONTRADICTION
from slamfront.types import FloatArray


@dataclass(frozen=True, slots=True)
class MotionNoise:
    """How rough a camera's motion is, and how far its measured poses are off.

    turning_psd     power spectral density of the angular acceleration, rad^2/s^3
    moving_psd      power spectral density of the linear acceleration, m^2/s^3
    pose_scale      by what factor the covariances of measured poses are too small
    stamp_sigma_s   standard deviation of the time stamps, s
    """

    turning_psd: float
    moving_psd: float
    pose_scale: float = 1.0
    stamp_sigma_s: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class PoseMeasurement:
    """A camera's pose as one frame shows it.

    camera_from_world  pose at the middle row's exposure
    covariance         (6,6), or (9,9) together with the angular velocity
    angular_velocity   (3,) rad/s in the camera frame, where a rolling shutter shows it; None elsewhere
    depth_m            median depth of the landmarks that it comes from
    """

    time_ns: int
    camera_from_world: Pose
    covariance: FloatArray
    angular_velocity: FloatArray | None = None
    depth_m: float = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class MotionState:
    """Pose and velocity at a time, with their uncertainty.

    camera_from_world  pose
    velocity           (6,) left twist: camera_from_world(t + dt) = exp(dt * velocity) @ camera_from_world(t); angular
                       (rad/s) before linear (m/s)
    covariance         (12,12) of the perturbations of pose and velocity
    """

    time_ns: int
    camera_from_world: Pose
    velocity: FloatArray
    covariance: FloatArray


def first_state(measured: PoseMeasurement, noise: MotionNoise, *, config: MotionConfig) -> MotionState:
    """Return the state after a first measurement: of the velocity only what a shutter shows is known."""
    covariance, velocity = unknown_velocity(measured.depth_m, config=config), np.zeros(6)
    size = len(measured.covariance)
    covariance[:size, :size] = noise.pose_scale * measured.covariance
    if measured.angular_velocity is not None:
        velocity[:3] = measured.angular_velocity
    return MotionState(measured.time_ns, measured.camera_from_world, velocity, covariance)


def unknown_velocity(depth_m: float, *, config: MotionConfig) -> FloatArray:
    """Return the covariance (12,12) of a state whose pose is exact, and whose velocity may be any, where landmarks have
    a median depth.
    """
    covariance = np.zeros((12, 12))
    covariance[6:, 6:] = np.diag(
        np.repeat([config.first_turning_rad_s, config.first_moving_depths_s * depth_m], 3) ** 2
    )
    return covariance


def predict(state: MotionState, time_ns: int, noise: MotionNoise) -> tuple[MotionState, FloatArray]:
    """Return the state expected at a later time, and the transition (12,12) of its perturbation (Eq. 11 and 12)."""
    interval_s = 1e-9 * (time_ns - state.time_ns)
    step = Pose.exp(interval_s * state.velocity)
    transition = np.eye(12)
    transition[:6, :6] = adjoint(step)
    transition[:6, 6:] = interval_s * np.eye(6)
    covariance = transition @ state.covariance @ transition.T + process_covariance(interval_s, noise)
    return MotionState(time_ns, step @ state.camera_from_world, state.velocity, covariance), transition


def process_covariance(interval_s: float, noise: MotionNoise) -> FloatArray:
    """Return the covariance (12,12) that white noise on acceleration adds in an interval (Eq. 13)."""
    psd = np.diag(np.repeat([noise.turning_psd, noise.moving_psd], 3))
    powers = np.array([[interval_s**3 / 3, interval_s**2 / 2], [interval_s**2 / 2, interval_s]])
    return np.kron(powers, psd)


def widened(predicted: MotionState, measured: PoseMeasurement, noise: MotionNoise) -> MotionState:
    """Return a prediction as uncertain as a measurement shows it to be.

    Where hardly a measurement differs that much from its prediction the camera was pushed: the prediction is then
    taken to be as uncertain as the difference says (covariance matching, Mehra 1972).
    """
    size, residual = len(measured.covariance), _innovation(predicted, measured)
    total = predicted.covariance[:size, :size] + _measurement_covariance(measured, predicted, noise)
    surprise = float(residual @ np.linalg.solve(total, residual))
    return (
        predicted
        if surprise <= CONTRADICTION[size]
        else replace(predicted, covariance=predicted.covariance * (surprise / size))
    )


def update(predicted: MotionState, measured: PoseMeasurement, noise: MotionNoise) -> MotionState:
    """Return the state after a measurement (Kalman 1960)."""
    size, residual, p = len(measured.covariance), _innovation(predicted, measured), predicted.covariance
    total = p[:size, :size] + _measurement_covariance(measured, predicted, noise)
    gain = np.linalg.solve(total, p[:size]).T
    step = gain @ residual
    covariance = p - gain @ p[:size]
    pose = (Pose.exp(step[:6]) @ predicted.camera_from_world).normalized()
    return MotionState(measured.time_ns, pose, predicted.velocity + step[6:], 0.5 * (covariance + covariance.T))


def _innovation(predicted: MotionState, measured: PoseMeasurement) -> FloatArray:
    """Return what a measurement differs by from its prediction, (6,) or with an angular velocity (9,)."""
    shift = (measured.camera_from_world @ predicted.camera_from_world.inverse()).log()
    if measured.angular_velocity is None:
        return shift
    return np.r_[shift, measured.angular_velocity - predicted.velocity[:3]]


def smooth(
    measured: Sequence[PoseMeasurement], noises: Sequence[MotionNoise], *, config: MotionConfig
) -> list[MotionState]:
    """Return the states at the times of all measurements, each in the light of those before and after it (Rauch, Tung
    and Striebel 1965); noises are those about each measurement.
    """
    if not measured:
        return []
    states, steps = [first_state(measured[0], noises[0], config=config)], []
    for one, noise in zip(measured[1:], noises[1:]):
        predicted, transition = predict(states[-1], one.time_ns, noise)
        predicted = widened(predicted, one, noise)
        steps.append((predicted, transition))
        states.append(update(predicted, one, noise))
    for row in range(len(states) - 2, -1, -1):
        states[row] = _smoothed(states[row], states[row + 1], *steps[row])
    return states


def _smoothed(state: MotionState, later: MotionState, predicted: MotionState, transition: FloatArray) -> MotionState:
    """Return a filtered state in the light of the smoothed one after it, which was predicted from it."""
    gain = np.linalg.solve(predicted.covariance, transition @ state.covariance).T
    shift = (later.camera_from_world @ predicted.camera_from_world.inverse()).log()
    step = gain @ np.r_[shift, later.velocity - predicted.velocity]
    covariance = state.covariance + gain @ (later.covariance - predicted.covariance) @ gain.T
    pose = (Pose.exp(step[:6]) @ state.camera_from_world).normalized()
    return MotionState(state.time_ns, pose, state.velocity + step[6:], covariance)


def _measurement_covariance(measured: PoseMeasurement, predicted: MotionState, noise: MotionNoise) -> FloatArray:
    """Return the covariance of a measurement at its time stamp: one that is off by a moment is off along the motion,
    whose second moment is that of its mean and its uncertainty.
    """
    covariance = noise.pose_scale * measured.covariance
    moments = np.outer(predicted.velocity, predicted.velocity) + predicted.covariance[6:, 6:]
    covariance[:6, :6] += noise.stamp_sigma_s**2 * moments
    return covariance
