"""What a run remembers of every frame: 88 bytes, whatever the length of the run."""

from __future__ import annotations

from array import array
from collections import Counter

import numpy as np

from slamfront.geometry.pose import Pose
from slamfront.map import KeyframeMap
from slamfront.types import FloatArray, IntArray, Tracked, Trajectory

_NO_REFERENCE = -1
_NO_POSE = (float("nan"),) * 7


class Journal:
    """Time, reference keyframe and relative pose of each frame, so that corrections of the map reach all of them."""

    def __init__(self) -> None:
        self._ids, self._times_ns, self._references = array("q"), array("q"), array("q")
        self._poses = array("d")
        self._frame_ms = array("f")

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, tracked: Tracked, scale: float = 1.0) -> None:
        """Take the answer to one frame; `scale` is that of its keyframe in the map, as `KeyframeMap.scale` tells it."""
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
        row = len(self._ids) - 1 - self._ids[::-1].index(tracked.frame_id)
        assert tracked.reference_id is not None and pose is not None
        self._references[row] = tracked.reference_id
        self._poses[7 * row : 7 * row + 7] = array("d", (*(pose.translation_m / scale), *pose.quaternion_xyzw()))

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
        return {
            self._ids[row]: keyframes[reference]
            @ Pose.from_quaternion(relative[row, 3:], scales[reference] * relative[row, :3])
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
        relative = lengths[:, None] * np.array(self._poses).reshape(-1, 7)[rows, :3]
        return np.asarray(np.einsum("nij,nj->ni", rotations, relative) + origins)

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
