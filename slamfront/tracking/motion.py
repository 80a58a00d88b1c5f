"""Where the camera should be next, and where it is in the light of how it moved."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from slamfront.config import MotionConfig
from slamfront.geometry.pose import Sim3
from slamfront.solve.motion import MotionNoise, MotionState, PoseMeasurement, first_state, predict, update, widened
from slamfront.solve.motion_noise import NoiseEstimator
from slamfront.types import FloatArray


class MotionFilter:
    """Filters measured poses by the motion that they show, and learns from them how rough that motion is."""

    def __init__(self, config: MotionConfig) -> None:
        self._config, self._noise = config, NoiseEstimator(config)
        self._state: MotionState | None = None

    def predict(self, time_ns: int) -> MotionState | None:
        """Return pose and velocity expected at a time, or None when nothing is known."""
        return None if self._state is None else self._predicted(self._state, time_ns)

    def angular_velocity(self, time_ns: int) -> tuple[FloatArray, float]:
        """Return how the camera should turn at a time, (3,) rad/s, and the standard deviation of each component.

        Points in the camera frame move by the cross product of this vector with themselves.
        """
        if self._state is None:
            return np.zeros(3), self._config.unknown_turning_rad_s
        predicted = self._predicted(self._state, time_ns)
        sigma = float(np.sqrt(predicted.covariance[6:9, 6:9].diagonal().max()))
        return predicted.velocity[:3], min(sigma, self._config.unknown_turning_rad_s)

    def turning(self, measured: PoseMeasurement) -> tuple[FloatArray, float]:
        """Return how the camera turns at the time of a measured pose, (3,) rad/s, and the standard deviation of each
        component, in the light of it and of the motion before.
        """
        state = self._state
        if state is None or measured.time_ns <= state.time_ns:
            return self.angular_velocity(measured.time_ns)
        known = _updated(self._predicted(state, measured.time_ns), measured, self._noise.noise)
        sigma = float(np.sqrt(known.covariance[6:9, 6:9].diagonal().max()))
        return known.velocity[:3], min(sigma, self._config.unknown_turning_rad_s)

    def observe(self, measured: PoseMeasurement) -> MotionState:
        """Return pose and velocity at the time of a measured pose, in the light of it and of those before."""
        self._noise.observe(measured)
        noise, state = self._noise.noise, self._state
        gap_s = np.inf if state is None else 1e-9 * (measured.time_ns - state.time_ns)
        if state is None or not 0 <= gap_s <= self._config.max_gap_s:
            self._state = first_state(measured, noise, config=self._config)
        else:
            self._state = _updated(predict(state, measured.time_ns, noise)[0], measured, noise)
        return self._state

    def assume(self, state: MotionState) -> None:
        """Take a state that other odometry tells for what was known before the next measured pose."""
        self.reset()
        self._state = state

    def moved(self, new_from_old_world: Sim3) -> None:
        """Follow a correction of the map about the camera, which may also change the unit of length."""
        state, scale = self._state, new_from_old_world.scale
        if state is None:
            return
        units = np.repeat([1.0, scale, 1.0, scale], 3)
        self._state = replace(
            state,
            camera_from_world=new_from_old_world.apply_to_pose(state.camera_from_world.inverse()).inverse(),
            velocity=units[:6] * state.velocity,
            covariance=units[:, None] * state.covariance * units,
        )
        self._noise.moved(new_from_old_world)

    def reset(self) -> None:
        """Know nothing, as after tracking is lost; what was learned of the noise stays."""
        self._state = None
        self._noise.interrupt()

    def _predicted(self, state: MotionState, time_ns: int) -> MotionState:
        """Return the state at a time; after a long gap the camera stands, as far as is known, where it was."""
        gap_s = 1e-9 * (time_ns - state.time_ns)
        if gap_s > self._config.max_gap_s:
            state = replace(state, velocity=np.zeros(6))
        return predict(state, time_ns, self._noise.noise)[0] if gap_s > 0 else state


def _updated(predicted: MotionState, measured: PoseMeasurement, noise: MotionNoise) -> MotionState:
    return update(widened(predicted, measured, noise), measured, noise)
