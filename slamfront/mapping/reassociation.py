"""Landmarks of the place where a keyframe was taken, found again although the map has drifted since they were seen."""

from __future__ import annotations

import numpy as np

from slamfront.config import TrackerConfig
from slamfront.map import KeyframeMap, KeyframeRecord
from slamfront.map.covisibility import connected, landmarks_around
from slamfront.mapping.landmarks import align_observations
from slamfront.solve.pnp import PixelObservations, is_determined, ransac_pose, refine_pose
from slamfront.tracking.projection import match_projection, project
from slamfront.types import IntArray

# The newest keyframes need no reassociate: what they show has just been tracked
_RECENT = 5
# Keyframes about the place whose landmarks are looked for
_AROUND = 40
# How far drift may have moved what is looked for, as a share of the image's width
_REACH = 0.03
# Fewest landmarks that tell a place
_LEAST = 40


def reassociate(world: KeyframeMap, keyframe: KeyframeRecord, config: TrackerConfig, seed: int) -> int:
    """Let a keyframe observe landmarks of older ones that stood about where it stands, and return how many.

    Drift has moved them too far to be found by their patches, so that the place is being mapped once more, although a
    few landmarks connect both times; where none do, loops are closed. They are matched by their descriptors about where
    they should be, and believed where enough of them agree on one pose and determine it. Landmarks which the
    keyframe observed there are merged into them, and adjustment then bends the map until both times agree.
    """
    older = [world.keyframes[i] for i in connected(world, keyframe).tolist() if i < keyframe.id - _RECENT]
    rows = landmarks_around(world, keyframe, older, _AROUND)
    projection = project(world.landmarks, rows, keyframe.world_from_camera.inverse(), world.camera)
    radius_px = _REACH * world.camera.width
    keypoints, owners = match_projection(projection, world.landmarks, keyframe.features, keyframe.tree, radius_px)
    if len(keypoints) < _LEAST:
        return 0
    rows, xy = projection.rows[owners], keyframe.features.keypoints_xy[keypoints].astype(np.float64)
    found = ransac_pose(world.landmarks.positions_m[rows], xy, world.camera, config.max_error_px, seed)
    if found is None:
        return 0
    pose, agree = found
    sigmas_px, unknown = keyframe.sigmas_px[keypoints].astype(np.float64), np.full(len(xy), np.nan)
    marks = world.landmarks
    seen = PixelObservations(marks.positions_m[rows], xy, unknown, sigmas_px, spreads_m=marks.spreads_m[rows]).take(
        agree
    )
    estimate = refine_pose(pose, seen, world.camera)
    if agree.sum() < _LEAST or estimate is None:
        return 0
    if not is_determined(estimate.covariance, estimate.depth_m, config):
        return 0
    observe_instead(world, keyframe, rows[agree], keypoints[agree])
    return int(agree.sum())


def observe_instead(world: KeyframeMap, keyframe: KeyframeRecord, rows: IntArray, keypoints: IntArray) -> None:
    """Let keypoints of a keyframe observe landmarks, which take the place of those that they observed."""
    apart = ~np.isin(rows, keyframe.landmark_rows)
    rows, keypoints = rows[apart], keypoints[apart]
    held = keyframe.landmark_rows[keypoints]
    world.add_observations(keyframe, keypoints[held < 0], rows[held < 0])
    align_observations(world, keyframe, keypoints[held < 0])
    world.merge_landmarks(rows[held >= 0], held[held >= 0])
