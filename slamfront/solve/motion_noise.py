"""How rough a camera's motion is, and how far its measured poses are off, learned from the poses themselves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from slamfront.config import MotionConfig
from slamfront.geometry.pose import Sim3
from slamfront.solve.motion import MotionNoise, PoseMeasurement
from slamfront.types import FloatArray

# Columns of the sums: squares of changes of velocity along the motion, and along an axis across it, and what roughness,
# the poses' covariances and time stamps have to be multiplied by to explain them
_ALONG, _ACROSS, _ROUGHNESS, _POSES, _STAMPS = range(5)
_TURNING, _MOVING = slice(0, 3), slice(3, 6)


class NoiseEstimator:
    """Learns the noise of a motion from second differences of measured poses, one and four frames apart.

    Over intervals h the velocity between two poses changes by a mean square of 2/3 h q + 6 r / h^2 for each axis, with
    the power spectral density q of the acceleration and the variance r of the poses: one grows and the other shrinks
    with the interval, which separates them (as in the Allan variance, Allan 1966).

    Time stamps that are off move poses along the motion, in turning and moving alike: what changes of velocity have
    along the motion more than across it bounds their variance. What is left of the errors in moving is taken for a
    factor of the poses' covariances.
    """

    def __init__(self, config: MotionConfig) -> None:
        self._config, self._strides = config, (1, config.stride)
        self._sums = {axes.start: np.zeros((len(self._strides), 5)) for axes in (_TURNING, _MOVING)}
        self._poses: list[PoseMeasurement] = []
        self._noise: MotionNoise | None = None

    @property
    def noise(self) -> MotionNoise:
        """What is known of the noise by now; it takes a first pose to know anything."""
        assert self._noise is not None
        return self._noise

    def observe(self, measured: PoseMeasurement) -> None:
        """Learn from the next measured pose."""
        if self._noise is None:
            self._noise = MotionNoise(
                self._config.prior_turning_psd, self._config.prior_moving_psd * measured.depth_m**2
            )
        if self._poses and measured.time_ns <= self._poses[-1].time_ns:
            return
        self._poses = [*self._poses[-2 * self._strides[-1] :], measured]
        for row, stride in enumerate(self._strides):
            if len(self._poses) > 2 * stride:
                self._learn(row, *self._poses[-1 - 2 * stride :: stride])
        if len(self._poses) > 2:
            self._noise = self._solved(measured.depth_m)

    def interrupt(self) -> None:
        """Begin anew with the next pose, as after tracking is lost; what was learned stays."""
        self._poses = []

    def moved(self, new_from_old_world: Sim3) -> None:
        """Follow a correction of the map about the camera, which may also change the unit of length."""
        scale = new_from_old_world.scale
        self._poses = [_moved(one, new_from_old_world) for one in self._poses]
        if scale != 1.0 and self._noise is not None:
            self._noise = replace(self._noise, moving_psd=self._noise.moving_psd * scale**2)
            self._sums[_MOVING.start][:, [_ALONG, _ACROSS, _POSES, _STAMPS]] *= scale**2

    def _learn(self, row: int, first: PoseMeasurement, second: PoseMeasurement, third: PoseMeasurement) -> None:
        """Add the change of velocity between three poses."""
        before, after = _velocity(first, second), _velocity(second, third)
        h1, h2 = (1e-9 * (b.time_ns - a.time_ns) for a, b in ((first, second), (second, third)))
        by_variance = 1 / h1**2 + (1 / h1 + 1 / h2) ** 2 + 1 / h2**2
        for axes in (_TURNING, _MOVING):
            # Errors of the three poses leave the mean velocity apart from its change
            change, mean = after[axes] - before[axes], 0.5 * (before[axes] + after[axes])
            speed2 = float(mean @ mean)
            stated = np.trace(second.covariance[axes, axes]) / 3
            moments = np.array([(h1 + h2) / 3, by_variance * stated, by_variance * speed2])
            along, across = self._expected(axes, moments)
            sums = self._sums[axes.start][row]
            if not sums.any():
                sums += self._config.prior_frames * np.r_[along, across, moments]
            squared = float(change @ change)
            found = float(change @ mean) ** 2 / speed2 if speed2 else squared / 3
            most = min(1.0, self._config.max_change_sigmas**2 * (along + 2 * across) / squared) if squared else 1.0
            sums *= 1.0 - 1.0 / self._config.memory_frames
            sums += np.r_[most * found, most * (squared - found) / 2, moments]

    def _expected(self, axes: slice, moments: FloatArray) -> tuple[float, float]:
        """Return the mean squares of a change of velocity along the motion, and along an axis across it, by the noise
        that is known.
        """
        noise = self.noise
        psd = noise.turning_psd if axes is _TURNING else noise.moving_psd
        across = float(moments[:2] @ (psd, noise.pose_scale))
        return across + float(moments[2]) * noise.stamp_sigma_s**2, across

    def _solved(self, depth_m: float) -> MotionNoise:
        turning, moving = self._sums[_TURNING.start], self._sums[_MOVING.start]
        config = self._config
        stamps = _stamps(turning, moving, config.memory_frames)
        scale = max(_errors(moving[:, _ACROSS], moving, _POSES, unknown=1.0), config.min_pose_scale)
        return MotionNoise(
            max(_roughness(turning, scale, stamps), config.min_psd_share * config.prior_turning_psd),
            max(_roughness(moving, scale, stamps), config.min_psd_share * config.prior_moving_psd * depth_m**2),
            scale,
            float(np.sqrt(stamps)),
        )


def _velocity(first: PoseMeasurement, second: PoseMeasurement) -> FloatArray:
    """Return the twist (6,) that leads from one pose to the next in their interval."""
    motion = second.camera_from_world @ first.camera_from_world.inverse()
    return motion.log() / (1e-9 * (second.time_ns - first.time_ns))


def _moved(measured: PoseMeasurement, new_from_old_world: Sim3) -> PoseMeasurement:
    """Return a measured pose in a world that has moved, whose unit of length may be another."""
    units = np.repeat([1.0, new_from_old_world.scale, 1.0], 3)[: len(measured.covariance)]
    pose = new_from_old_world.apply_to_pose(measured.camera_from_world.inverse()).inverse()
    return replace(measured, camera_from_world=pose, covariance=units[:, None] * measured.covariance * units)


def _errors(squares: FloatArray, sums: FloatArray, column: int, unknown: float = 0.0) -> float:
    """Return the factor of a column of moments, of errors, that explains squares at both strides (2,) together with the
    roughness; `unknown` while only one stride is known.
    """
    (a, b), (c, d) = sums[:, [_ROUGHNESS, column]]
    near, far = squares
    determinant = a * d - b * c
    return float((a * far - c * near) / determinant) if determinant else unknown


def _roughness(sums: FloatArray, scale: float, stamps: float) -> float:
    """Return the roughness, a mean of all axes, that explains the squares together with the errors: where errors count
    for least.
    """
    squares = sums[:, _ALONG] + 2 * sums[:, _ACROSS] - 3 * scale * sums[:, _POSES] - stamps * sums[:, _STAMPS]
    row = -1 if sums[-1, _ROUGHNESS] else 0
    return float(squares[row] / (3 * sums[row, _ROUGHNESS]))


def _stamps(turning: FloatArray, moving: FloatArray, memory_frames: float) -> float:
    """Return the variance of the time stamps: that which turning or moving shows better, whichever it is, and no more
    than the other allows with two of its standard deviations.
    """
    estimates = [_errors(one[:, _ALONG] - one[:, _ACROSS], one, _STAMPS) for one in (turning, moving)]
    # A mean of so many squares of normal deviates varies by the root of two over their number
    varies = [
        np.hypot(np.sqrt(2) * one[0, _ALONG], one[0, _ACROSS]) / np.sqrt(memory_frames) for one in (turning, moving)
    ]
    sigmas = [float(v / max(one[0, _STAMPS], 1e-12)) for v, one in zip(varies, (turning, moving))]
    better = int(sigmas[1] < sigmas[0])
    return max(min(estimates[better], estimates[1 - better] + 2 * sigmas[1 - better]), 0.0)
