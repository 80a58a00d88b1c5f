"""A keyframe placed by the landmarks of another place than the map has it at, and checked closely."""

from __future__ import annotations

import numpy as np

from slamfront.config import LoopConfig, TrackerConfig, VerificationConfig
from slamfront.geometry.pose import Pose
from slamfront.map import KeyframeMap, KeyframeRecord
from slamfront.protocols import Matcher
from slamfront.solve.pnp import PixelObservations, PoseEstimate, is_determined, refine_pose
from slamfront.tracking.depth_source import disparity_sigma_px
from slamfront.tracking.local_map import VerifiedPose, align_landmarks, pose_by_appearance
from slamfront.tracking.projection import match_projection, project
from slamfront.types import IntArray, Sensor


class GeometricVerifier:
    """Places a keyframe among the landmarks of another one's surroundings, where enough of them agree and
    determine its pose."""

    def __init__(self, matcher: Matcher, config: LoopConfig, tracker: TrackerConfig, sensor: Sensor, seed: int) -> None:
        self._matcher, self._config, self._tracker = matcher, config, tracker
        self._scaled, self._seed = sensor == "mono", seed
        self._disparity_sigma_px = disparity_sigma_px(sensor, tracker.depth)

    def verify(self, world: KeyframeMap, match: KeyframeRecord, keyframe: KeyframeRecord) -> VerifiedPose | None:
        """Return where a keyframe, of this map or another, stands by what `match` and the keyframes about it observe.

        Landmarks that it observes already tell nothing, and are left out. A pose by RANSAC is refined, and then checked
        by the patches of the landmarks, in the image that the keyframe still has.
        """
        first = self._first_pose(world, keyframe, match)
        if first is None:
            return None
        pose = first.camera_from_world
        around = np.r_[match.id, world.covisible(match)[: self._config.verification.keyframes]]
        own = keyframe.landmark_rows if world.keyframes.get(keyframe.id) is keyframe else keyframe.landmark_rows[:0]
        rows = np.setdiff1d(world.observed_by(around), own)
        found = keypoints = rows[:0]
        verification, near = self._config.verification, self._tracker.projection
        for radius_px in (verification.search_px, verification.refined_search_px):
            projection = project(world.landmarks, rows, pose, world.camera, config=near)
            keypoints, owners = match_projection(
                projection, world.landmarks, keyframe.features, keyframe.tree, radius_px, config=near
            )
            found = projection.rows[owners]
            xy = keyframe.features.keypoints_xy[keypoints].astype(np.float64)
            right_x = np.full(len(found), np.nan) if self._scaled else keyframe.right_x[keypoints].astype(np.float64)
            sigmas_px = keyframe.sigmas_px[keypoints].astype(np.float64)
            observations = PixelObservations(
                world.landmarks.positions_m[found], xy, right_x, sigmas_px, self._disparity_sigma_px
            )
            if len(found) < 4:
                return None
            estimate = refine_pose(pose, observations, world.camera, config=self._tracker.pose)
            if estimate is None or estimate.inliers.sum() < self._tracker.min_inliers:
                return None
            pose = estimate.camera_from_world
            found, keypoints = found[estimate.inliers], keypoints[estimate.inliers]
        aligned = _aligned_pose(world, keyframe, rows, pose, self._tracker, verification.max_aligned)
        if aligned is None:
            return None
        if aligned.inliers.sum() < self._config.min_inliers:
            return None
        if not is_determined(aligned.covariance, aligned.depth_m, self._tracker):
            return None
        return VerifiedPose(aligned.camera_from_world, found, keypoints)

    def _first_pose(self, world: KeyframeMap, keyframe: KeyframeRecord, match: KeyframeRecord) -> VerifiedPose | None:
        """Return where the keyframe stands by the landmarks that the other one observes."""
        error_px = self._tracker.max_error_px
        found = pose_by_appearance(world, match, keyframe.features, self._matcher, error_px, self._seed)
        return None if found is None or len(found.landmark_rows) < self._tracker.min_inliers else found


def relative_scale(
    world: KeyframeMap,
    verified: VerifiedPose,
    own: KeyframeMap,
    keyframe: KeyframeRecord,
    *,
    config: VerificationConfig,
) -> float | None:
    """Return the unit of length at a keyframe of the map `own` in that of the place where it was sighted.

    It is told by depths of the same landmarks; None where too few tell.
    """
    rows = keyframe.landmark_rows[verified.keypoint_rows]
    both = rows >= 0
    here = keyframe.world_from_camera.inverse().apply(own.landmarks.positions_m[rows[both]])[:, 2]
    places = world.landmarks.positions_m[verified.landmark_rows[both]]
    there = verified.camera_from_world.apply(places)[:, 2]
    usable = (here > 0) & (there > 0)
    return float(np.median(there[usable] / here[usable])) if usable.sum() >= config.min_ratios else None


def _aligned_pose(
    world: KeyframeMap,
    keyframe: KeyframeRecord,
    rows: IntArray,
    camera_from_world: Pose,
    config: TrackerConfig,
    max_aligned: int,
) -> PoseEstimate | None:
    """Return a keyframe's pose by the patches of landmarks."""
    if keyframe.image is None:
        return None
    projection = project(world.landmarks, rows, camera_from_world, world.camera, config=config.projection)
    projection = projection.take(np.argsort(-world.landmarks.observations[projection.rows])[:max_aligned])
    image = keyframe.image.astype(np.float32)
    xy, aligned_px, trusted = align_landmarks(
        world, projection.rows, camera_from_world, projection.xy, image, keyframe.shutter, config.alignment
    )
    xy, positions = xy[trusted], world.landmarks.positions_m[projection.rows[trusted]]
    nothing, sigmas_px = np.full(len(xy), np.nan), aligned_px[trusted]
    if len(xy) < 4:
        return None
    observations = PixelObservations(positions, xy, nothing, sigmas_px)
    return refine_pose(camera_from_world, observations, world.camera, config=config.pose)
