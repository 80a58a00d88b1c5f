"""Where other odometry (wheels, an inertial sensor, another camera) has the camera, where images do not show it.

Only motion between frames is taken from it: its frame of reference may lie anywhere, and drift.
"""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass

import numpy as np

from slamfront.config import GuessConfig, TrackerConfig
from slamfront.geometry.pose import Pose, rotation_angle
from slamfront.geometry.se3 import adjoint
from slamfront.map import KeyframeMap
from slamfront.protocols import Matcher
from slamfront.solve.motion import MotionState, PoseMeasurement, unknown_velocity
from slamfront.solve.pnp import is_determined
from slamfront.solve.statistics import CONTRADICTION
from slamfront.tracking.local_map import match_by_appearance, match_by_projection
from slamfront.tracking.pose_estimation import likeliest_pose, reach_px, solve_pose, surprise
from slamfront.tracking.projection import project
from slamfront.tracking.view import View
from slamfront.types import FloatArray, Frame, IntArray, Sensor, Tracked

log = logging.getLogger(__name__)

# Motions from keyframe to keyframe that are compared, and the fewest that tell anything
_COMPARED, _FEWEST = 10, 4


@dataclass(frozen=True, slots=True, eq=False)
class _Anchor:
    """A frame that its image has placed, and where other odometry has it.

    odom_from_camera        by other odometry
    reference_from_camera   by the image, in the unit of length that the reference keyframe was made in
    covariance              (6,6) of that pose, as in Tracked
    """

    time_ns: int
    odom_from_camera: Pose
    reference_id: int
    reference_from_camera: Pose
    covariance: FloatArray


class Guesses:
    """Carries the newest pose that an image has shown on by the motion that other odometry tells since.

    How far that may be off grows with the way, with what was turned, and with time, as `config` says. With a single
    camera, whose unit of length is its own, it begins when some keyframes have shown what a metre is in it. Motions
    from keyframe to keyframe are compared: while most of them contradict the images, guesses are not used.
    """

    def __init__(
        self, config: GuessConfig, tracker: TrackerConfig, sensor: Sensor, matcher: Matcher, seed: int
    ) -> None:
        self._config, self._tracker, self._sensor = config, tracker, sensor
        self._matcher, self._seed = matcher, seed
        self.restart()

    def restart(self) -> None:
        """Forget all frames."""
        self._anchor: _Anchor | None = None
        self._keyframe: _Anchor | None = None
        self._last: Pose | None = None
        self._turned_rad = self._way_m = 0.0
        # Ways from keyframe to keyframe: in the map, in the unit of the scale they were measured with, and by odometry
        self._chords: deque[tuple[float, float]] = deque(maxlen=_COMPARED)
        self._contradicted: deque[bool] = deque(maxlen=_COMPARED)

    @property
    def contradicted(self) -> bool:
        """Whether most of the newest motions are others than the images show."""
        votes = self._contradicted
        return len(votes) >= _FEWEST and 2 * sum(votes) > len(votes)

    def observe(self, guess: Pose | None, answer: Tracked, world: KeyframeMap) -> None:
        """Take a frame that its image has placed, and where other odometry has it, if it is known."""
        pose, reference_id, covariance = answer.reference_from_camera, answer.reference_id, answer.covariance
        if guess is None or pose is None or reference_id is None or covariance is None:
            return
        own_unit = Pose(pose.rotation, pose.translation_m / world.scale(reference_id))
        anchor = _Anchor(answer.time_ns, guess, reference_id, own_unit, covariance)
        if answer.is_keyframe:
            self._compare(anchor, world)
            self._keyframe = anchor
        self._anchor, self._last = anchor, guess
        self._turned_rad = self._way_m = 0.0

    def find(self, view: View, world: KeyframeMap) -> tuple[int, MotionState] | None:
        """Place a view near its guess by the landmarks that should be in sight there; return the keyframe that sees
        most of them and the pose that was expected, or None where they are not found, or there is no guess.
        """
        expected = self.expect(view.frame, world)
        if expected is None:
            return None
        reference_id, rows = self._in_sight(expected.camera_from_world, world)
        if reference_id is None:
            return None
        for deviations in (1.0, 3.0):
            radius_px = max(self._tracker.search_radius_px, deviations * reach_px(expected, world))
            match_by_projection(view, world, rows, radius_px, expected.camera_from_world, self._tracker.projection)
            pose = likeliest_pose(view, world, expected, self._tracker, self._seed)
            if self._believed(view, world, pose, expected):
                return reference_id, expected
        keyframe = world.keyframes[reference_id]
        pose = match_by_appearance(view, world, keyframe, self._matcher, self._tracker, self._seed)
        if self._believed(view, world, pose, expected):
            return reference_id, expected
        view.forget()
        return None

    def expect(self, frame: Frame, world: KeyframeMap) -> MotionState | None:
        """Return where the camera should be by a frame's guess, with its uncertainty; None where nothing tells."""
        if frame.guess is None or self._anchor is None or self._last is None or self.contradicted:
            return None
        turned_rad, way_m = self._farther(frame.guess, self._last)
        return self._carried(self._anchor, frame.guess, frame.time_ns, turned_rad, way_m, world)

    def carry_on(self, frame: Frame, world: KeyframeMap) -> tuple[int, MotionState] | None:
        """Return where the camera should be by the guess of a frame that its image does not place, and a keyframe of
        that map; the way to it counts from now on.
        """
        expected = self.expect(frame, world)
        if expected is None or frame.guess is None or self._anchor is None or self._last is None:
            return None
        self._turned_rad, self._way_m = self._farther(frame.guess, self._last)
        self._last = frame.guess
        return self._anchor.reference_id, expected

    def _farther(self, guess: Pose, last: Pose) -> tuple[float, float]:
        """Return what was turned (rad) and gone (m) since the anchor, by the last guess and this one."""
        step = last.inverse() @ guess
        way_m = float(np.linalg.norm(step.translation_m))
        return self._turned_rad + rotation_angle(step.rotation), self._way_m + way_m

    def _carried(
        self, anchor: _Anchor, guess: Pose, time_ns: int, turned_rad: float, way_m: float, world: KeyframeMap
    ) -> MotionState | None:
        """Return the pose of an anchor carried on to a guess."""
        if not world.knows(anchor.reference_id):
            return None
        unit = self._unit(world.scale(anchor.reference_id))
        if unit is None:
            return None
        motion = anchor.odom_from_camera.inverse() @ guess
        camera_from_anchor = Pose(motion.rotation, unit * motion.translation_m).inverse()
        camera_from_world = (camera_from_anchor @ self._placed(anchor, world).inverse()).normalized()
        carry, elapsed_s = adjoint(camera_from_anchor), 1e-9 * (time_ns - anchor.time_ns)
        config = self._config
        turning = config.turning_share * turned_rad + np.deg2rad(config.turning_deg_per_s) * elapsed_s
        # What is turned wrongly leads the whole way astray
        moving = unit * (config.moving_share * way_m + config.moving_m_per_s * elapsed_s + turning * way_m)
        covariance = unknown_velocity(world.landmarks.typical_distance_m, config=self._tracker.motion)
        covariance[:6, :6] = carry @ anchor.covariance @ carry.T
        covariance[:6, :6] += np.diag(np.repeat([turning, moving], 3) ** 2)
        return MotionState(time_ns, camera_from_world, np.zeros(6), covariance)

    def _unit(self, scale: float) -> float | None:
        """Return how long a metre is in the map, where lengths have become `scale` of what they were at first; None
        while that is not known.
        """
        if self._sensor != "mono":
            return 1.0
        ways, ways_m = np.array(self._chords).reshape(-1, 2).T
        if len(ways) < _FEWEST or ways_m.sum() <= 0:
            return None
        return float(scale * ways.sum() / ways_m.sum())

    def _compare(self, anchor: _Anchor, world: KeyframeMap) -> None:
        """Compare the motion to a keyframe from the one before with what other odometry says of it."""
        before, known = self._keyframe, world.knows
        if before is None or not known(before.reference_id) or not known(anchor.reference_id):
            return
        motion = before.odom_from_camera.inverse() @ anchor.odom_from_camera
        start, end = (self._placed(one, world) for one in (before, anchor))
        way_m = float(np.linalg.norm(motion.translation_m))
        turned_rad, guess = rotation_angle(motion.rotation), anchor.odom_from_camera
        expected = self._carried(before, guess, anchor.time_ns, turned_rad, way_m, world)
        way = float(np.linalg.norm(end.translation_m - start.translation_m))
        self._chords.append((way / world.scale(anchor.reference_id), way_m))
        if expected is None:
            return
        shown, was = PoseMeasurement(anchor.time_ns, end.inverse(), anchor.covariance), self.contradicted
        self._contradicted.append(surprise(expected, shown) > CONTRADICTION[6])
        if self.contradicted and not was:
            log.warning(
                "guesses contradict what the images show, and are not used: they have to be poses of the camera, "
                "x right, y down, z forward, at the time of its frames"
            )

    @staticmethod
    def _placed(anchor: _Anchor, world: KeyframeMap) -> Pose:
        """Return world_from_camera of an anchor, as the map knows it now."""
        pose, scale = anchor.reference_from_camera, world.scale(anchor.reference_id)
        return world.world_from_keyframe(anchor.reference_id) @ Pose(pose.rotation, scale * pose.translation_m)

    def _in_sight(self, camera_from_world: Pose, world: KeyframeMap) -> tuple[int | None, IntArray]:
        """Return the keyframe that sees most of what should be in sight of a pose, and the landmarks of those like it:
        what others see there may be hidden behind something.
        """
        alive = np.flatnonzero(world.landmarks.alive)
        rows = project(world.landmarks, alive, camera_from_world, world.camera, config=self._tracker.projection).rows
        ids, _ = world.keyframes_seeing(rows)
        best = ids[: self._tracker.local_keyframes]
        return (int(best[0]) if len(best) else None), world.observed_by(best)

    def _believed(self, view: View, world: KeyframeMap, pose: Pose | None, expected: MotionState) -> bool:
        """Return whether enough landmarks agree with a pose that is where the guess may be, and both together determine
        it.
        """
        config = self._tracker
        if pose is None or not solve_pose(view, world, pose, config, ranged=False) or view.measured is None:
            return False
        shown = view.measured.covariance[:6, :6]
        both = np.linalg.inv(np.linalg.inv(shown) + np.linalg.inv(expected.covariance[:6, :6]))
        enough = len(view.landmark_rows) >= config.min_inliers
        agrees = surprise(expected, view.measured) < CONTRADICTION[6]
        return enough and agrees and is_determined(both, view.measured.depth_m, config)
