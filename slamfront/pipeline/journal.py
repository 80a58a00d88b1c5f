"""What a run remembers of every frame: 88 bytes, some more of keyframes, and of the newest frames what they showed."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from slamfront.config import SmoothingConfig, TrackerConfig
from slamfront.geometry.pose import Pose, rotation_exp, rotation_log
from slamfront.map import KeyframeMap
from slamfront.pipeline.smoothing import smoothed, solve_frame
from slamfront.solve.motion import PoseMeasurement
from slamfront.solve.pnp import PoseEstimate
from slamfront.solve.statistics import CHI_SQUARE_MONO
from slamfront.types import FloatArray, IntArray, LandmarkObservations, Tracked, Trajectory

_NO_REFERENCE = -1
_NO_POSE = (float("nan"),) * 7


@dataclass(frozen=True, slots=True, eq=False)
class _Link:
    """How a keyframe lay to an earlier one when it was made, reference_from_keyframe, in that one's unit of length."""

    keyframe_id: int
    reference_id: int
    rotation: FloatArray
    translation_m: FloatArray


class Journal:
    """Time, reference keyframe and relative pose of each frame, so that corrections of the map reach all of them.

    Frames hang on the keyframe before them, and the next keyframe tells what became of the way between both, as the map
    was corrected: a single camera's first lengths may be wrong by a fifth. What it tells is spread evenly over the time
    between them.
    """

    def __init__(self, config: SmoothingConfig) -> None:
        self._config = config
        self._ids, self._times_ns, self._references = array("q"), array("q"), array("q")
        self._poses = array("d")
        self._frame_ms = array("f")
        self._links: dict[int, _Link] = {}
        self._last: tuple[Tracked, float] | None = None
        self._observations: dict[int, LandmarkObservations] = {}

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, tracked: Tracked, scale: float = 1.0, observed: LandmarkObservations | None = None) -> None:
        """Take the answer to one frame, and what it shows of the landmarks; `scale` is that of its keyframe in the map,
        as `KeyframeMap.scale` has it.
        """
        if observed is not None:
            self._observations[len(self._ids)] = observed
            if len(self._observations) > self._config.frames:
                del self._observations[next(iter(self._observations))]
        if self._last is not None and tracked.is_keyframe:
            before, before_scale = self._last
            # Odometry goes on evenly where the map was corrected between the two
            ends = before.odom_from_camera, tracked.odom_from_camera
            self._link(len(self._ids), before, before_scale, tracked, *ends)
        self._last = tracked, scale
        self._ids.append(tracked.frame_id)
        self._times_ns.append(tracked.time_ns)
        self._frame_ms.append(sum(tracked.stage_ms.values()))
        pose = tracked.reference_from_camera
        if tracked.reference_id is None or pose is None:
            self._references.append(_NO_REFERENCE)
            self._poses.extend(_NO_POSE)
        else:
            self._references.append(tracked.reference_id)
            self._poses.extend((*(pose.translation_m / scale).tolist(), *pose.quaternion_xyzw().tolist()))

    def amend(self, tracked: Tracked, scale: float = 1.0) -> None:
        """Give an earlier frame, which had no pose when it was answered, the pose that was found for it later."""
        pose = tracked.reference_from_camera
        newest = len(self._ids) - 1
        if self._last is not None and self._last[0].is_keyframe and newest not in self._links:
            ends = tracked.online_world_from_camera, self._last[0].online_world_from_camera
            self._link(newest, tracked, scale, self._last[0], *ends)
        row = newest - self._ids[::-1].index(tracked.frame_id)
        assert tracked.reference_id is not None and pose is not None
        self._references[row] = tracked.reference_id
        self._set_pose(row, pose, scale)

    def solve_again(self, world: KeyframeMap, config: TrackerConfig) -> None:
        """Place the frames of a map whose observations are kept by its landmarks as they are now, and smooth them by
        the motion that they show together.

        Frames between keyframes were placed by a map that has been adjusted since, and hang on one keyframe, whose own
        error was added to theirs.
        """
        solved = [(row, one) for row, one in self._solved(world, config, list(self._observations)) if one is not None]
        measured = [
            PoseMeasurement(self._times_ns[row], one.camera_from_world, one.covariance, None, one.depth_m)
            for row, one in solved
        ]
        for (row, _), state in zip(solved, smoothed(measured, config.motion), strict=True):
            reference = self._references[row]
            pose = (state.camera_from_world @ world.world_from_keyframe(reference)).inverse()
            self._set_pose(row, pose, world.scale(reference))
            self._links.pop(row, None)

    def misfit(self, world: KeyframeMap, config: TrackerConfig) -> float:
        """Return the mean cost of a kept observation between keyframes, which no adjustment has seen: its squared
        residuals over their variances, at most the gate (MSAC); NaN without any.
        """
        adjusted = {keyframe.time_ns for keyframe in world.keyframes.values()}
        rows = [row for row in self._observations if self._times_ns[row] not in adjusted]
        chosen = rows[:: 1 + len(rows) // self._config.judged_frames]
        cost, count = 0.0, 0
        for row, one in self._solved(world, config, chosen):
            observations = len(self._observations[row])
            cost += observations * CHI_SQUARE_MONO if one is None else one.cost
            count += observations
        return cost / count if count else np.nan

    def _solved(
        self, world: KeyframeMap, config: TrackerConfig, rows: Sequence[int]
    ) -> Iterator[tuple[int, PoseEstimate | None]]:
        """Yield those of some rows that a map places, each with its pose by the landmarks as they are now."""
        poses = self.poses(world)
        for row in rows:
            pose = poses.get(self._ids[row])
            if pose is not None:
                yield row, solve_frame(world, pose, self._observations[row], config)

    def _set_pose(self, row: int, reference_from_camera: Pose, scale: float) -> None:
        translation_m, quaternion = reference_from_camera.translation_m / scale, reference_from_camera.quaternion_xyzw()
        self._poses[7 * row : 7 * row + 7] = array("d", (*translation_m.tolist(), *quaternion.tolist()))

    @property
    def frame_ids(self) -> IntArray:
        """Numbers of all frames that were answered (N,)."""
        return np.array(self._ids, np.int64)

    @property
    def times_ns(self) -> IntArray:
        """Times of all frames that were answered (N,)."""
        return np.array(self._times_ns, np.int64)

    @property
    def frame_ms(self) -> FloatArray:
        """Time that the front end took for each frame (N,), ms."""
        return np.array(self._frame_ms, np.float64)

    @property
    def tracked_count(self) -> int:
        """Number of frames that have a pose, from when they were answered or from later."""
        return len(self._references) - self._references.count(_NO_REFERENCE)

    def count_placed_by(self, world: KeyframeMap) -> int:
        """Return how many frames a map has a pose for."""
        return sum(count for reference, count in Counter(self._references).items() if world.knows(reference))

    def poses(self, world: KeyframeMap | None) -> dict[int, Pose]:
        """Return world_from_camera by frame id, as the map knows it now, in order of time.

        A frame whose keyframe belonged to a map that was given up is left out.
        """
        keyframes, scales = self._keyframe_poses(world)
        relative = np.array(self._poses).reshape(-1, 7)
        turns, shifts = self._spread(keyframes, scales)
        return {
            self._ids[row]: keyframes[reference]
            @ Pose.from_quaternion(relative[row, 3:], scales[reference] * relative[row, :3])
            @ Pose(rotation_exp(turns[row]), shifts[row])
            for row, reference in enumerate(self._references)
            if reference in keyframes
        }

    def last_pose(self, world: KeyframeMap) -> Pose | None:
        """Return world_from_camera of the newest frame, as the map knows it now; None where it has no pose."""
        if not self._references or self._references[-1] == _NO_REFERENCE:
            return None
        try:
            world_from_reference = world.world_from_keyframe(self._references[-1])
        except KeyError:
            return None  # the map was begun anew
        translation_m = world.scale(self._references[-1]) * np.array(self._poses[-7:-4])
        return world_from_reference @ Pose.from_quaternion(np.array(self._poses[-4:]), translation_m)

    def trajectory(self, world: KeyframeMap | None) -> Trajectory:
        """Return the poses that `poses` gives, with their times."""
        poses = self.poses(world)
        time_of = dict(zip(self._ids, self._times_ns))
        return Trajectory.from_poses([time_of[frame_id] for frame_id in poses], list(poses.values()))

    def positions_m(self, world: KeyframeMap | None) -> FloatArray:
        """Return the positions (T,3) of the poses that `poses` gives, fast enough to be drawn."""
        keyframes, scales = self._keyframe_poses(world)
        references = np.array(self._references, np.int64)
        known = np.fromiter(keyframes, np.int64, len(keyframes))
        rows = np.flatnonzero(np.isin(references, known))
        if not len(rows):
            return np.zeros((0, 3))
        which = np.searchsorted(known, references[rows])
        rotations = np.array([pose.rotation for pose in keyframes.values()])[which]
        origins = np.array([pose.translation_m for pose in keyframes.values()])[which]
        lengths = np.array([scales[reference] for reference in keyframes])[which]
        relative = np.array(self._poses).reshape(-1, 7)[rows]
        _, shifts = self._spread(keyframes, scales)
        offsets = lengths[:, None] * relative[:, :3] + Rotation.from_quat(relative[:, 3:]).apply(shifts[rows])
        return np.asarray(np.einsum("nij,nj->ni", rotations, offsets) + origins)

    def _link(
        self, row: int, before: Tracked, scale: float, keyframe: Tracked, start: Pose | None, end: Pose | None
    ) -> None:
        """Remember how a new keyframe, that of a row, lies to the reference of a frame before it, by the poses of both
        in one frame.
        """
        if before.reference_id is None or before.reference_from_camera is None or keyframe.reference_id is None:
            return
        if start is not None and end is not None:
            pose = before.reference_from_camera @ start.inverse() @ end
            link = _Link(keyframe.reference_id, before.reference_id, pose.rotation, pose.translation_m / scale)
            self._links[row] = link

    def _spread(self, keyframes: Mapping[int, Pose], scales: Mapping[int, float]) -> tuple[FloatArray, FloatArray]:
        """Return how each frame has to be turned (N,3), rotation vectors, and moved (N,3), in its own camera's frame,
        so that the frames that hang on a keyframe lead to the next one.
        """
        references, times_s = np.array(self._references, np.int64), 1e-9 * self.times_ns.astype(np.float64)
        turns, shifts = np.zeros((len(references), 3)), np.zeros((len(references), 3))
        starts = np.flatnonzero(np.r_[True, np.diff(references) != 0])
        for row, link in self._links.items():
            start = int(starts[np.searchsorted(starts, row - 1, side="right") - 1])
            known = link.reference_id in keyframes and link.keyframe_id in keyframes
            if not known or self._references[row - 1] != link.reference_id:
                continue
            led_to = keyframes[link.reference_id] @ Pose(link.rotation, scales[link.reference_id] * link.translation_m)
            missing = led_to.inverse() @ keyframes[link.keyframe_id]
            # The keyframe's own frame may hang on the one before, too
            end = row + int(self._references[row] == link.reference_id)
            share = (times_s[start:end] - times_s[start]) / (times_s[row] - times_s[start])
            turns[start:end] = share[:, None] * rotation_log(missing.rotation)
            shifts[start:end] = share[:, None] * missing.translation_m
        return turns, shifts

    def _keyframe_poses(self, world: KeyframeMap | None) -> tuple[dict[int, Pose], dict[int, float]]:
        """Return world_from_keyframe and scale of every reference that the map still knows, ascending."""
        found: dict[int, Pose] = {}
        if world is None:
            return found, {}
        for reference in sorted(set(self._references) - {_NO_REFERENCE}):
            try:
                found[reference] = world.world_from_keyframe(reference)
            except KeyError:
                continue  # the map was begun anew since
        return found, {reference: world.scale(reference) for reference in found}
