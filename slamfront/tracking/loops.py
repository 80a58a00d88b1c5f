"""Loops: a keyframe that shows a place which the camera left long ago, and what follows for the map."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np

from slamfront.config import LoopConfig, TrackerConfig
from slamfront.geometry.pose import Pose, Sim3, rotation_angle
from slamfront.map import KeyframeMap, KeyframeRecord
from slamfront.map.graph import LoopEdge
from slamfront.map.places import PlaceIndex, grouped
from slamfront.protocols import Matcher
from slamfront.solve.pnp import PixelObservations, ransac_pose, refine_pose
from slamfront.tracking.local_map import align_landmarks
from slamfront.tracking.mapping import align_observations, observe_again
from slamfront.tracking.projection import match_projection, project
from slamfront.tracking.relocalizer import MIN_SPREAD, spread
from slamfront.tracking.view import ALIGNED_SIGMA_PX
from slamfront.types import FloatArray, IntArray

log = logging.getLogger(__name__)

# Keyframes that share this many landmarks with the newest one, and those that share as many with these, are no news
_NEAR = 15
# The newest keyframes show what was just seen, whatever they share
_RECENT = 10
# Radii in which landmarks of the old place are looked for, px: about the pose by RANSAC, and about the refined one
_SEARCH_PX = (10.0, 5.0)
# Keyframes about the old place whose landmarks are looked for, and about the new one that get to observe them
_OLD_KEYFRAMES, _NEW_KEYFRAMES = 10, 4
# Landmarks of the old place whose patches are looked for
_MOST_ALIGNED = 300
_MAX_TURN_RAD = np.deg2rad(45.0)
# Landmarks seen from both sides that tell a change of the unit of length, and the largest change
_MIN_RATIOS, _MAX_SCALE = 15, 2.0


@dataclass(frozen=True, slots=True, eq=False)
class Loop:
    """A place seen again.

    keyframe_id, match_id     the newer keyframe, and the older one whose place it shows; time_ns, match_time_ns theirs
    match_from_keyframe       similarity of their camera frames by the landmarks of the old place
    landmark_ids (M,)         landmarks of the old place, at `keypoint_rows` (M,) of the newer keyframe
    error_m, way_m            how far the map had the newer keyframe from its place, and the way around the loop
    """

    keyframe_id: int
    match_id: int
    time_ns: int
    match_time_ns: int
    match_from_keyframe: Sim3
    landmark_ids: IntArray
    keypoint_rows: IntArray
    error_m: float
    way_m: float

    @property
    def edge(self) -> LoopEdge:
        """The loop as an edge of a pose graph."""
        return self.match_id, self.keyframe_id, self.match_from_keyframe

    def __str__(self) -> str:
        return (
            f"keyframe {self.keyframe_id} shows the place of keyframe {self.match_id} by {len(self.landmark_ids)} "
            f"landmarks, {self.error_m:.3g} m from where the map had it, after {self.way_m:.3g} m"
        )


class LoopDetector:
    """Looks for the place of every new keyframe among those that the camera left long ago."""

    def __init__(
        self, places: PlaceIndex, matcher: Matcher, config: LoopConfig, tracker: TrackerConfig, scaled: bool, seed: int
    ) -> None:
        self._places, self._matcher, self._config, self._tracker = places, matcher, config, tracker
        self._scaled, self._seed = scaled, seed
        self._streaks: list[tuple[set[int], int]] = []

    def look(self, world: KeyframeMap, keyframe: KeyframeRecord, disparity_sigma_px: float) -> Loop | None:
        """Return the loop that a keyframe closes, or None."""
        self._places.update(world)
        loops = (
            self._verify(world, keyframe, world.keyframes[candidate], disparity_sigma_px)
            for candidate in self._candidates(world, keyframe)
        )
        # Of places that look alike, the one nearest to where the map has the keyframe
        return min((loop for loop in loops if loop is not None), key=lambda loop: loop.error_m, default=None)

    def restart(self) -> None:
        """Forget which places the last keyframes looked like."""
        self._streaks = []

    def _candidates(self, world: KeyframeMap, keyframe: KeyframeRecord) -> list[int]:
        """Return keyframes of places that are long left, and that this keyframe and those before it look like."""
        ids, scores = self._places.scores(keyframe.features)
        known = _near(world, keyframe)
        far = ~np.isin(ids, known)
        if not far.any() or far.all():
            self._streaks = []
            return []
        likely = [i for i, _ in grouped(world, ids[far], scores[far])[: self._config.candidates]]
        groups = [{i, *world.covisible(world.keyframes[i], _NEAR).tolist()} for i in likely]
        before, self._streaks = self._streaks, []
        for group in groups:
            streak = max((n for other, n in before if group & other), default=0)
            self._streaks.append((group, streak + 1))
        needed = self._config.consistent
        return [i for i, (_, streak) in zip(likely, self._streaks) if streak >= needed]

    def _verify(
        self, world: KeyframeMap, keyframe: KeyframeRecord, match: KeyframeRecord, disparity_sigma_px: float
    ) -> Loop | None:
        """Return the loop between two keyframes if enough landmarks of the older one's place, well spread, agree."""
        pose = self._first_pose(world, keyframe, match)
        if pose is None:
            return None
        around = np.r_[match.id, world.covisible(match, _NEAR)[:_OLD_KEYFRAMES]]
        rows = np.setdiff1d(world.observed_by(around), keyframe.landmark_rows)
        found = keypoints = rows[:0]
        for radius_px in _SEARCH_PX:
            projection = project(world.landmarks, rows, pose, world.camera)
            keypoints, owners = match_projection(
                projection, world.landmarks, keyframe.features, keyframe.tree, radius_px
            )
            found = projection.rows[owners]
            xy = keyframe.features.keypoints_xy[keypoints].astype(np.float64)
            right_x = np.full(len(found), np.nan) if self._scaled else keyframe.right_x[keypoints].astype(np.float64)
            sigmas_px = keyframe.sigmas_px[keypoints].astype(np.float64)
            observations = PixelObservations(
                world.landmarks.positions_m[found], xy, right_x, sigmas_px, disparity_sigma_px
            )
            estimate = refine_pose(pose, observations, world.camera) if len(found) >= 4 else None
            if estimate is None or estimate.inliers.sum() < self._tracker.min_inliers:
                return None
            pose = estimate.camera_from_world
            found, keypoints = found[estimate.inliers], keypoints[estimate.inliers]
        aligned = _aligned_pose(world, keyframe, rows, pose)
        if aligned is None:
            return None
        pose, xy = aligned
        if len(xy) < self._config.min_inliers or spread(xy) < MIN_SPREAD * world.camera.width:
            return None
        scale = _scale(world, keyframe, pose, found, keypoints) if self._scaled else 1.0
        return None if scale is None else self._plausible(world, keyframe, match, pose, scale, found, keypoints)

    def _first_pose(self, world: KeyframeMap, keyframe: KeyframeRecord, match: KeyframeRecord) -> Pose | None:
        """Return where the newer keyframe stands by the landmarks that the older one observes, camera_from_world."""
        matches = self._matcher.match(match.features, keyframe.features)
        rows = match.landmark_rows[matches.indices[:, 0]]
        rows, keypoints = rows[rows >= 0], matches.indices[rows >= 0, 1]
        xy = keyframe.features.keypoints_xy[keypoints].astype(np.float64)
        positions = world.landmarks.positions_m[rows]
        result = ransac_pose(positions, xy, world.camera, self._tracker.max_error_px, self._seed)
        if result is None or result[1].sum() < self._tracker.min_inliers:
            return None
        return result[0]

    def _plausible(
        self,
        world: KeyframeMap,
        keyframe: KeyframeRecord,
        match: KeyframeRecord,
        camera_from_world: Pose,
        scale: float,
        found: IntArray,
        keypoints: IntArray,
    ) -> Loop | None:
        """Return the loop, unless it says that the map went wrong by more than it does on such a way."""
        new, old = camera_from_world.inverse(), keyframe.world_from_camera
        error_m = float(np.linalg.norm(new.translation_m - old.translation_m))
        way_m = _way(world, match.id, keyframe.id)
        share = self._config.max_drift * (2.0 if self._scaled else 1.0)
        turn = rotation_angle(new.rotation @ old.rotation.T)
        if error_m > share * way_m or turn > _MAX_TURN_RAD or not 1 / _MAX_SCALE < scale < _MAX_SCALE:
            log.debug("keyframe %d is not at keyframe %d, %.3g m away", keyframe.id, match.id, error_m)
            return None
        relative = match.world_from_camera.inverse() @ new
        return Loop(
            keyframe.id,
            match.id,
            keyframe.time_ns,
            match.time_ns,
            Sim3.from_pose(relative, scale),
            world.landmarks.ids(found),
            keypoints,
            error_m,
            way_m,
        )


def fuse_loop(world: KeyframeMap, loop: Loop) -> None:
    """Make landmarks of both sides of a loop one, once the map is bent so that they lie at the same place.

    The newer keyframe observes what was found of the old place; it and its neighbours also look for the rest of it.
    """
    if loop.keyframe_id not in world.keyframes:
        return
    keyframe = world.keyframes[loop.keyframe_id]
    rows = world.landmarks.rows(loop.landmark_ids)
    _observe(world, keyframe, rows[rows >= 0], loop.keypoint_rows[rows >= 0])
    match = world.keyframes[world.heir(loop.match_id)]
    around = world.covisible(match, _NEAR)[:_OLD_KEYFRAMES]
    old = world.observed_by(np.r_[match.id, around[around < keyframe.id]])
    neighbours = world.covisible(keyframe, _NEAR)
    for keyframe_id in [keyframe.id, *neighbours[~np.isin(neighbours, around)][:_NEW_KEYFRAMES].tolist()]:
        record = world.keyframes[keyframe_id]
        alive = old[world.landmarks.alive[old]]
        observe_again(world, record, np.setdiff1d(alive, record.landmark_rows))
        align_observations(world, record, np.flatnonzero(np.isin(record.landmark_rows, alive)))


def _aligned_pose(
    world: KeyframeMap, keyframe: KeyframeRecord, rows: IntArray, camera_from_world: Pose
) -> tuple[Pose, FloatArray] | None:
    """Return a keyframe's pose by the patches of landmarks, and where those that agree lie in it, (N,2) px."""
    if keyframe.image is None:
        return None
    projection = project(world.landmarks, rows, camera_from_world, world.camera)
    projection = projection.take(np.argsort(-world.landmarks.observations[projection.rows])[:_MOST_ALIGNED])
    image = keyframe.image.astype(np.float32)
    xy, trusted = align_landmarks(world, projection.rows, camera_from_world, projection.xy, image, keyframe.shutter)
    xy, positions = xy[trusted], world.landmarks.positions_m[projection.rows[trusted]]
    nothing, sigmas_px = np.full(len(xy), np.nan), np.full(len(xy), ALIGNED_SIGMA_PX)
    if len(xy) < 4:
        return None
    estimate = refine_pose(camera_from_world, PixelObservations(positions, xy, nothing, sigmas_px), world.camera)
    return None if estimate is None else (estimate.camera_from_world, xy[estimate.inliers])


def _observe(world: KeyframeMap, keyframe: KeyframeRecord, rows: IntArray, keypoints: IntArray) -> None:
    """Let keypoints of a keyframe observe landmarks, which take the place of those that they observed."""
    apart = ~np.isin(rows, keyframe.landmark_rows)
    rows, keypoints = rows[apart], keypoints[apart]
    held = keyframe.landmark_rows[keypoints]
    world.add_observations(keyframe, keypoints[held < 0], rows[held < 0])
    world.merge_landmarks(rows[held >= 0], held[held >= 0])


def _near(world: KeyframeMap, keyframe: KeyframeRecord) -> IntArray:
    """Return ids of keyframes that the map connects with a keyframe, or that came just before it."""
    near = np.r_[keyframe.id, world.covisible(keyframe, _NEAR)]
    ids, counts = world.keyframes_seeing(world.observed_by(near))
    return np.unique(np.r_[near, ids[counts >= _NEAR], sorted(world.keyframes)[-_RECENT:]])


def _way(world: KeyframeMap, first_id: int, last_id: int) -> float:
    """Return the length of the way from one keyframe to a later one, m."""
    ids = [i for i in sorted(world.keyframes) if first_id <= i <= last_id]
    positions = np.array([world.keyframes[i].world_from_camera.translation_m for i in ids])
    return float(np.linalg.norm(np.diff(positions, axis=0), axis=1).sum())


def _scale(
    world: KeyframeMap, keyframe: KeyframeRecord, camera_from_world: Pose, found: IntArray, keypoints: IntArray
) -> float | None:
    """Return the unit of length at the keyframe in that of the old place, by depths of the same landmarks; None
    where too few tell.
    """
    own = keyframe.landmark_rows[keypoints]
    both = own >= 0
    positions: FloatArray = world.landmarks.positions_m
    here = keyframe.world_from_camera.inverse().apply(positions[own[both]])[:, 2]
    there = camera_from_world.apply(positions[found[both]])[:, 2]
    usable = (here > 0) & (there > 0)
    return float(np.median(there[usable] / here[usable])) if usable.sum() >= _MIN_RATIOS else None
