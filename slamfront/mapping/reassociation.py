"""Landmarks of the place where a keyframe was taken, found again although the map has drifted since they were seen."""

from __future__ import annotations

import numpy as np

from slamfront.config import AlignmentConfig, RunConfig
from slamfront.map import KeyframeMap, KeyframeRecord
from slamfront.map.covisibility import connected, landmarks_around
from slamfront.mapping.landmarks import align_observations
from slamfront.solve.pnp import PixelObservations, is_determined, ransac_pose, refine_pose
from slamfront.tracking.projection import match_projection, project
from slamfront.types import IntArray


def reassociate(world: KeyframeMap, keyframe: KeyframeRecord, config: RunConfig) -> int:
    """Let a keyframe observe landmarks of older ones that stood about where it stands, and return how many.

    Drift has moved them too far to be found by their patches, so that the place is being mapped once more, although a
    few landmarks connect both times; where none do, loops are closed. They are matched by their descriptors about where
    they should be, and believed where enough of them agree on one pose and determine it. Landmarks which the
    keyframe observed there are merged into them, and adjustment then bends the map until both times agree.
    """
    tracker, again = config.tracker, config.loops.reassociation
    older = [world.keyframes[i] for i in connected(world, keyframe).tolist() if i < keyframe.id - again.recent]
    rows = landmarks_around(world, keyframe, older, again.keyframes, config.maps.merging.min_facing_cosine)
    camera_from_world = keyframe.world_from_camera.inverse()
    projection = project(world.landmarks, rows, camera_from_world, world.camera, config=tracker.projection)
    radius_px = again.max_shift * world.camera.width
    keypoints, owners = match_projection(
        projection, world.landmarks, keyframe.features, keyframe.tree, radius_px, config=tracker.projection
    )
    if len(keypoints) < again.min_landmarks:
        return 0
    rows, xy = projection.rows[owners], keyframe.features.keypoints_xy[keypoints].astype(np.float64)
    found = ransac_pose(world.landmarks.positions_m[rows], xy, world.camera, tracker.max_error_px, config.seed)
    if found is None:
        return 0
    pose, agree = found
    sigmas_px, unknown = keyframe.sigmas_px[keypoints].astype(np.float64), np.full(len(xy), np.nan)
    marks = world.landmarks
    seen = PixelObservations(marks.positions_m[rows], xy, unknown, sigmas_px, spreads_m=marks.spreads_m[rows]).take(
        agree
    )
    estimate = refine_pose(pose, seen, world.camera, config=tracker.pose)
    if agree.sum() < again.min_landmarks or estimate is None:
        return 0
    if not is_determined(estimate.covariance, estimate.depth_m, tracker):
        return 0
    observe_instead(world, keyframe, rows[agree], keypoints[agree], config=tracker.alignment)
    return int(agree.sum())


def observe_instead(
    world: KeyframeMap, keyframe: KeyframeRecord, rows: IntArray, keypoints: IntArray, *, config: AlignmentConfig
) -> None:
    """Let keypoints of a keyframe observe landmarks, which take the place of those that they observed."""
    apart = ~np.isin(rows, keyframe.landmark_rows)
    rows, keypoints = rows[apart], keypoints[apart]
    held = keyframe.landmark_rows[keypoints]
    world.add_observations(keyframe, keypoints[held < 0], rows[held < 0])
    align_observations(world, keyframe, keypoints[held < 0], config=config)
    world.merge_landmarks(rows[held >= 0], held[held >= 0])
