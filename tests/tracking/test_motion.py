from __future__ import annotations

import numpy as np
import pytest

from slamfront.config import MotionConfig
from slamfront.geometry.pose import Pose, Sim3
from slamfront.solve.motion import MotionState, PoseMeasurement
from slamfront.tracking.motion import MotionFilter

STEP = Pose.exp([0.01, 0.03, -0.02, 0.05, 0.01, -0.03])
START = Pose.exp([0.5, 0.1, -0.2, 1.0, 2.0, -1.0])
FRAME_NS = 33_000_000
EXACT = 1e-12 * np.eye(6)


def at(time_ns: int, pose: Pose) -> PoseMeasurement:
    return PoseMeasurement(time_ns, pose, EXACT)


def moving() -> MotionFilter:
    """Return the motion of a camera that was at START and is a step further one frame later."""
    motion = MotionFilter(MotionConfig())
    motion.observe(at(0, START))
    motion.observe(at(FRAME_NS, STEP @ START))
    return motion


def assert_same(found: MotionState | None, expected: Pose) -> None:
    assert found is not None
    # The acceleration between two exact poses is unknown too, so that the velocity after them is known to a thousandth
    np.testing.assert_allclose(found.camera_from_world.matrix(), expected.matrix(), atol=1e-4)


def test_nothing_is_predicted_from_nothing() -> None:
    assert MotionFilter(MotionConfig()).predict(0) is None


def test_after_one_pose_the_camera_is_thought_to_stand() -> None:
    motion = MotionFilter(MotionConfig())
    motion.observe(at(0, START))
    assert_same(motion.predict(FRAME_NS), START)


def test_the_camera_is_thought_to_go_on_as_before() -> None:
    assert_same(moving().predict(2 * FRAME_NS), STEP @ STEP @ START)


def test_a_dropped_frame_is_reckoned_with() -> None:
    assert_same(moving().predict(3 * FRAME_NS), STEP @ STEP @ STEP @ START)
    assert_same(moving().predict(FRAME_NS + FRAME_NS // 2), Pose.exp(0.5 * STEP.log()) @ STEP @ START)


def test_after_a_long_gap_the_old_velocity_says_nothing() -> None:
    assert_same(moving().predict(30 * FRAME_NS), STEP @ START)


def test_a_prediction_is_the_less_certain_the_further_ahead() -> None:
    motion = moving()
    variances = [state.covariance[:6, :6].diagonal() for n in (2, 3, 5) if (state := motion.predict(n * FRAME_NS))]
    assert (np.diff(variances, axis=0) > 0).all()


def test_a_correction_of_the_map_moves_the_prediction_along() -> None:
    new_from_old = Pose.exp([0.2, -0.1, 0.3, -0.5, 1.0, 0.4])
    motion = moving()
    motion.moved(Sim3.from_pose(new_from_old))
    # The same motion, in the corrected world from the beginning
    assert_same(motion.predict(2 * FRAME_NS), STEP @ STEP @ START @ new_from_old.inverse())


def test_a_change_of_the_unit_of_length_scales_the_motion() -> None:
    motion = moving()
    before = motion.predict(2 * FRAME_NS)
    motion.moved(Sim3(2.0, np.eye(3), np.zeros(3)))
    after = motion.predict(2 * FRAME_NS)
    assert before is not None and after is not None
    np.testing.assert_allclose(after.velocity, before.velocity * np.repeat([1.0, 2.0], 3))
    expected = 2.0 * before.camera_from_world.inverse().translation_m
    np.testing.assert_allclose(after.camera_from_world.inverse().translation_m, expected, atol=1e-9)


def test_after_a_reset_nothing_is_known_of_the_motion() -> None:
    motion = moving()
    motion.reset()
    assert motion.predict(2 * FRAME_NS) is None
    velocity, sigma = motion.angular_velocity(2 * FRAME_NS)
    assert not velocity.any() and sigma > 0.5


def test_a_jittering_pose_is_drawn_towards_a_smooth_motion() -> None:
    """A camera that moves evenly is measured with errors of a milliradian and a millimetre."""
    motion, pose = MotionFilter(MotionConfig()), START
    rng = np.random.default_rng(0)
    errors = []
    for frame in range(120):
        pose = STEP @ pose
        measured = Pose.exp(rng.normal(0, 1e-3, 6)) @ pose
        state = motion.observe(PoseMeasurement(frame * FRAME_NS, measured, 1e-6 * np.eye(6)))
        errors.append([(one @ pose.inverse()).log() for one in (measured, state.camera_from_world)])
    before, after = np.sqrt((np.array(errors)[60:] ** 2).mean(axis=(0, 2)))
    assert after < 0.85 * before


def test_how_a_camera_turns_is_seen_from_the_pose_before() -> None:
    motion = MotionFilter(MotionConfig())
    motion.observe(at(0, START))
    later = Pose.exp([0.0, 0.2, 0.0, 0.0, 0.0, 0.0]) @ START
    velocity, sigma_rad_s = motion.turning(at(100_000_000, later))
    # Evenly it is 2 rad/s; a hand that is as rough as is taken for granted lets it vary by some tenths
    assert velocity == pytest.approx([0.0, 2.0, 0.0], abs=0.1)
    assert 0.1 < sigma_rad_s < 0.5
