from __future__ import annotations

import numpy as np
import pytest

from slamfront.config import MotionConfig
from slamfront.geometry.pose import Pose
from slamfront.geometry.se3 import adjoint
from slamfront.solve.motion import (
    MotionNoise,
    PoseMeasurement,
    first_state,
    predict,
    process_covariance,
    smooth,
    update,
    widened,
)
from slamfront.solve.motion_noise import NoiseEstimator
from slamfront.types import FloatArray

INTERVAL_S = 1 / 30
FRAMES = 600
WARM = 60  # frames until the noise is known


class Walk:
    """A camera under white noise on acceleration, and poses measured of it with known errors."""

    def __init__(
        self, turning_psd: float, moving_psd: float, sigma_m: float, stamp_s: float, stated: float = 1.0, seed: int = 0
    ) -> None:
        rng = np.random.default_rng(seed)
        velocity, pose = np.array([0.3, 0.8, -0.2, 0.1, 0.0, 0.05]), Pose.identity()
        steps = 10
        spread = np.sqrt(np.repeat([turning_psd, moving_psd], 3) * INTERVAL_S / steps)
        covariance = np.diag([1e-8] * 3 + [sigma_m**2] * 3)
        self.truth: list[Pose] = []
        self.measured: list[PoseMeasurement] = []
        for frame in range(FRAMES):
            for _ in range(steps):
                velocity = 0.999 * velocity + rng.normal(0, spread)
                pose = Pose.exp(velocity * INTERVAL_S / steps) @ pose
            error = np.r_[rng.normal(0, 1e-4, 3), rng.normal(0, sigma_m, 3)]
            seen = Pose.exp(rng.normal(0, stamp_s) * velocity) @ Pose.exp(error) @ pose
            self.truth.append(pose)
            time_ns = round(1e9 * frame * INTERVAL_S)
            self.measured.append(PoseMeasurement(time_ns, seen, covariance / stated))

    def learned(self) -> MotionNoise:
        estimator = NoiseEstimator(MotionConfig())
        for one in self.measured:
            estimator.observe(one)
        return estimator.noise

    def errors(self, poses: list[Pose]) -> FloatArray:
        pairs = zip(poses[WARM:], self.truth[WARM:])
        return np.array([(pose @ true.inverse()).log() for pose, true in pairs])


def rms_m(errors: FloatArray) -> float:
    return float(np.sqrt((errors[:, 3:] ** 2).mean()))


def test_the_adjoint_carries_a_twist_through_a_pose() -> None:
    pose, twist = Pose.exp([0.4, -0.3, 0.2, 1.0, -2.0, 0.5]), np.array([0.01, 0.02, -0.01, 0.03, 0.01, 0.02])
    carried = pose @ Pose.exp(twist) @ pose.inverse()
    np.testing.assert_allclose(Pose.exp(adjoint(pose) @ twist).matrix(), carried.matrix(), atol=1e-12)


def test_white_noise_on_acceleration_grows_with_the_cube_of_time() -> None:
    noise = MotionNoise(2.0, 3.0)
    short, long = process_covariance(0.1, noise), process_covariance(0.2, noise)
    np.testing.assert_allclose(long[:6, :6], 8 * short[:6, :6])
    np.testing.assert_allclose(long[6:, 6:], 2 * short[6:, 6:])
    assert short[0, 0] == pytest.approx(2.0 * 0.1**3 / 3) and short[3, 3] == pytest.approx(3.0 * 0.1**3 / 3)


# Second differences of 600 frames give a variance to about 10 %, errors and roughness apart to about a third
@pytest.mark.parametrize(("turning", "moving", "sigma_m"), [(1.0, 0.05, 0.002), (0.02, 1.0, 0.01), (5.0, 0.5, 0.003)])
def test_roughness_and_errors_are_learned_from_the_poses_alone(turning: float, moving: float, sigma_m: float) -> None:
    noise = Walk(turning, moving, sigma_m, 0.0, stated=4.0).learned()
    assert noise.turning_psd == pytest.approx(turning, rel=0.35)
    assert noise.moving_psd == pytest.approx(moving, rel=0.6)
    assert noise.pose_scale == pytest.approx(4.0, rel=0.4)


def test_time_stamps_that_are_off_are_told_from_a_rough_motion() -> None:
    noise = Walk(2.0, 0.05, 0.001, 0.005).learned()
    assert noise.stamp_sigma_s == pytest.approx(0.005, rel=0.35)
    assert noise.turning_psd == pytest.approx(2.0, rel=0.5)


def test_a_rough_motion_is_not_taken_for_time_stamps_that_are_off() -> None:
    assert Walk(20.0, 1.0, 0.002, 0.0).learned().stamp_sigma_s < 1e-3


def test_a_shaking_camera_is_not_taken_for_one_whose_time_stamps_are_off() -> None:
    """Its orientation is another by a few milliradians in every frame, in all directions alike."""
    rng, estimator, pose = np.random.default_rng(3), NoiseEstimator(MotionConfig()), Pose.identity()
    step = Pose.exp([0.01, 0.03, 0.0, 0.005, 0.0, 0.002])
    for frame in range(FRAMES):
        pose = step @ pose
        shaken = Pose.exp(np.r_[rng.normal(0, 0.004, 3), rng.normal(0, 0.002, 3)]) @ pose
        time_ns = round(1e9 * frame * INTERVAL_S)
        estimator.observe(PoseMeasurement(time_ns, shaken, np.diag([1e-8] * 3 + [1e-6] * 3)))
    # Taken along the motion of about 1 rad/s alone, it would be 4 ms
    assert estimator.noise.stamp_sigma_s < 2e-3


def test_a_push_leaves_the_poses_before_it_where_they_were() -> None:
    noise, covariance = MotionNoise(1e-3, 1e-4), 1e-6 * np.eye(6)
    jump = Pose.exp([0, 0, 0, 0.1, 0, 0])
    poses = [Pose.identity()] * 30 + [jump] * 30
    times_ns = [round(1e9 * frame * INTERVAL_S) for frame in range(60)]
    states = smooth(
        [PoseMeasurement(t, pose, covariance) for t, pose in zip(times_ns, poses)], [noise] * 60, config=MotionConfig()
    )
    errors_m = [abs(s.camera_from_world.translation_m[0] - p.translation_m[0]) for s, p in zip(states, poses)]
    # A few millimetres of the poses' own deviation of 1 mm, where the jump taken as even motion makes 3 cm
    assert max(errors_m) < 0.01


def test_filtering_and_then_smoothing_bring_poses_nearer_to_the_truth() -> None:
    walk = Walk(1.0, 0.05, 0.005, 0.0, stated=4.0)
    noise = walk.learned()
    state = first_state(walk.measured[0], noise, config=MotionConfig())
    filtered = [state.camera_from_world]
    for one in walk.measured[1:]:
        state = update(predict(state, one.time_ns, noise)[0], one, noise)
        filtered.append(state.camera_from_world)
    smoothed = [state.camera_from_world for state in smooth(walk.measured, [noise] * FRAMES, config=MotionConfig())]
    raw = rms_m(walk.errors([one.camera_from_world for one in walk.measured]))
    assert rms_m(walk.errors(filtered)) < 0.85 * raw
    assert rms_m(walk.errors(smoothed)) < 0.6 * raw


@pytest.mark.parametrize("stamp_s", [0.0, 0.004])
def test_smoothed_covariances_are_consistent_with_the_errors(stamp_s: float) -> None:
    walk = Walk(1.0, 0.05, 0.005, stamp_s, stated=4.0)
    states = smooth(walk.measured, [walk.learned()] * FRAMES, config=MotionConfig())
    errors = walk.errors([state.camera_from_world for state in states])
    nees = [e @ np.linalg.solve(s.covariance[:6, :6], e) for e, s in zip(errors, states[WARM:])]
    # Six on average; neighbouring errors are alike, so that 540 frames are worth some dozens
    assert 3.0 < np.mean(nees) < 9.0


def test_a_push_is_followed_at_once() -> None:
    """After two seconds of even motion the camera jumps by 10 cm: a filter that takes it for an error lags behind."""
    noise, covariance = MotionNoise(1e-3, 1e-4), np.diag([1e-6] * 3 + [1e-6] * 3)
    state = first_state(PoseMeasurement(0, Pose.identity(), covariance), noise, config=MotionConfig())
    for frame in range(1, 60):
        time_ns = round(1e9 * frame * INTERVAL_S)
        state = update(predict(state, time_ns, noise)[0], PoseMeasurement(time_ns, Pose.identity(), covariance), noise)
    jumped = Pose.exp([0, 0, 0, 0.1, 0, 0])
    time_ns = round(1e9 * 60 * INTERVAL_S)
    measured = PoseMeasurement(time_ns, jumped, covariance)
    state = update(widened(predict(state, time_ns, noise)[0], measured, noise), measured, noise)
    assert abs(state.camera_from_world.translation_m[0] - 0.1) < 0.005


def test_a_measured_angular_velocity_is_used_at_once() -> None:
    covariance = np.diag([1e-8] * 6 + [1e-6] * 3)
    turning = np.array([0.0, 1.0, 0.0])
    state = first_state(
        PoseMeasurement(0, Pose.identity(), covariance, turning), MotionNoise(1.0, 0.05), config=MotionConfig()
    )
    predicted, _ = predict(state, 100_000_000, MotionNoise(1.0, 0.05))
    np.testing.assert_allclose(predicted.camera_from_world.log()[:3], [0.0, 0.1, 0.0], atol=1e-9)


def test_nothing_is_smoothed_of_nothing() -> None:
    assert smooth([], [], config=MotionConfig()) == []
