from __future__ import annotations

import numpy as np

from slamfront.geometry.pose import Pose, Sim3
from slamfront.tracking.motion import ConstantVelocity

STEP = Pose.exp([0.01, 0.03, -0.02, 0.05, 0.01, -0.03])
START = Pose.exp([0.5, 0.1, -0.2, 1.0, 2.0, -1.0])
FRAME_NS = 33_000_000


def moving() -> ConstantVelocity:
    """Return the motion of a camera that was at START and is a step further one frame later."""
    motion = ConstantVelocity()
    motion.observe(0, START)
    motion.observe(FRAME_NS, STEP @ START)
    return motion


def assert_same(found: Pose | None, expected: Pose) -> None:
    assert found is not None
    np.testing.assert_allclose(found.matrix(), expected.matrix(), atol=1e-9)


def test_nothing_is_predicted_from_nothing() -> None:
    assert ConstantVelocity().predict(0) is None


def test_after_one_pose_the_camera_is_thought_to_stand() -> None:
    motion = ConstantVelocity()
    motion.observe(0, START)
    assert_same(motion.predict(FRAME_NS), START)


def test_the_camera_is_thought_to_go_on_as_before() -> None:
    assert_same(moving().predict(2 * FRAME_NS), STEP @ STEP @ START)


def test_a_dropped_frame_is_reckoned_with() -> None:
    assert_same(moving().predict(3 * FRAME_NS), STEP @ STEP @ STEP @ START)
    assert_same(moving().predict(FRAME_NS + FRAME_NS // 2), Pose.exp(0.5 * STEP.log()) @ STEP @ START)


def test_after_a_long_gap_the_old_velocity_says_nothing() -> None:
    assert_same(moving().predict(30 * FRAME_NS), STEP @ START)


def test_a_frame_of_the_same_time_changes_no_velocity() -> None:
    motion = moving()
    motion.observe(FRAME_NS, STEP @ START)
    assert_same(motion.predict(FRAME_NS), STEP @ START)
    assert_same(motion.predict(2 * FRAME_NS), STEP @ STEP @ START)


def test_a_later_pose_tells_how_a_camera_turned_that_changed_its_speed() -> None:
    # Turning about one axis by angles that grow with the square of time: its speed at 0.4 s is 1.6 rad/s
    motion = ConstantVelocity()
    for time_s in (0.3, 0.4):
        motion.observe(round(1e9 * time_s), Pose.exp([0.0, 2.0 * time_s**2, 0.0, 0.0, 0.0, 0.0]))
    later = Pose.exp([0.0, 2.0 * 0.6**2, 0.0, 0.0, 0.0, 0.0])
    np.testing.assert_allclose(motion.angular_velocity_at_last(600_000_000, later), [0.0, 1.6, 0.0], atol=1e-9)


def test_a_correction_of_the_map_moves_the_prediction_along() -> None:
    new_from_old = Pose.exp([0.2, -0.1, 0.3, -0.5, 1.0, 0.4])
    motion = moving()
    motion.moved(Sim3.from_pose(new_from_old))
    # The same motion, told in the corrected world from the beginning
    assert_same(motion.predict(2 * FRAME_NS), STEP @ STEP @ START @ new_from_old.inverse())


def test_a_correction_before_the_first_pose_does_nothing() -> None:
    motion = ConstantVelocity()
    motion.moved(Sim3.from_pose(STEP))
    assert motion.predict(0) is None


def test_what_was_forgotten_is_not_predicted_from() -> None:
    motion = moving()
    motion.forget()
    assert motion.predict(2 * FRAME_NS) is None
    motion.observe(5 * FRAME_NS, START)
    assert_same(motion.predict(6 * FRAME_NS), START)


def test_rounding_does_not_grow_over_a_long_run() -> None:
    motion, pose = ConstantVelocity(), START
    for frame in range(3000):
        motion.observe(frame * FRAME_NS, pose)
        predicted = motion.predict((frame + 1) * FRAME_NS)
        assert predicted is not None
        pose = predicted.normalized() if frame else STEP @ pose
    np.testing.assert_allclose(pose.rotation @ pose.rotation.T, np.eye(3), atol=1e-12)
