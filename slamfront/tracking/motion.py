"""Where the camera should be next."""

from __future__ import annotations

import numpy as np

from slamfront.geometry.pose import Pose, Sim3, rotation_log
from slamfront.types import FloatArray

# After a gap longer than this many frame intervals the old velocity says nothing
_MAX_GAP = 5.0


class ConstantVelocity:
    """The camera goes on turning and moving as it did between the last two poses."""

    def __init__(self) -> None:
        self._last: tuple[int, Pose] | None = None
        self._step: tuple[int, Pose] | None = None

    def predict(self, time_ns: int) -> Pose | None:
        """Return camera_from_world expected at a time, or None when nothing is known."""
        if self._last is None:
            return None
        last_ns, pose = self._last
        if self._step is None:
            return pose
        interval_ns, motion = self._step
        share = (time_ns - last_ns) / interval_ns
        if share > _MAX_GAP:
            return pose
        return (motion if abs(share - 1) < 0.05 else Pose.exp(share * motion.log())) @ pose

    def angular_velocity(self, time_ns: int, camera_from_world: Pose | None = None) -> FloatArray:
        """Return how the camera turns at a time, (3,) rad/s, from the last pose to the given one, or else as it
        turned before that.

        Points in the camera frame move by the cross product of this vector with themselves.
        """
        if camera_from_world is not None and self._last is not None and time_ns > self._last[0]:
            motion = camera_from_world @ self._last[1].inverse()
            return rotation_log(motion.rotation) / (1e-9 * (time_ns - self._last[0]))
        return np.zeros(3) if self._step is None else rotation_log(self._step[1].rotation) / (1e-9 * self._step[0])

    def angular_velocity_at_last(self, time_ns: int, camera_from_world: Pose) -> FloatArray:
        """Return how the camera turned at the time of the last pose, (3,) rad/s, given a pose that came later.

        The mean velocities before and after it hold for the middles of their intervals, and are interpolated.
        """
        assert self._last is not None
        after, after_ns = self.angular_velocity(time_ns, camera_from_world), time_ns - self._last[0]
        if self._step is None:
            return after
        before, before_ns = self.angular_velocity(time_ns), self._step[0]
        return (before * after_ns + after * before_ns) / (before_ns + after_ns)

    def observe(self, time_ns: int, camera_from_world: Pose) -> None:
        """Learn the pose at a time."""
        if self._last is not None and time_ns > self._last[0]:
            self._step = (time_ns - self._last[0], camera_from_world @ self._last[1].inverse())
        self._last = (time_ns, camera_from_world)

    def moved(self, new_from_old_world: Sim3) -> None:
        """Follow a correction of the map about the camera, which may also change the unit of length."""
        if self._last is not None:
            time_ns, camera_from_world = self._last
            self._last = time_ns, new_from_old_world.apply_to_pose(camera_from_world.inverse()).inverse()
        if self._step is not None:
            interval_ns, motion = self._step
            self._step = interval_ns, Pose(motion.rotation, new_from_old_world.scale * motion.translation_m)

    def forget(self) -> None:
        """Know nothing, as after tracking is lost."""
        self._last = self._step = None
