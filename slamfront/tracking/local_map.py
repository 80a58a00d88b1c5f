"""Placing a view in the map: associations, alignment, pose."""

from __future__ import annotations

import numpy as np

from slamfront.config import TrackerConfig
from slamfront.geometry.pose import Pose
from slamfront.map import KeyframeMap, KeyframeRecord
from slamfront.protocols import Matcher
from slamfront.solve.pnp import PixelObservations, ransac_pose, refine_pose
from slamfront.tracking.patches import align_patches, landmark_warps
from slamfront.tracking.projection import Projection, match_projection, project
from slamfront.tracking.view import ALIGNED_SIGMA_PX, View
from slamfront.types import FloatArray, IntArray

_RANSAC_ERROR_PX = 4.0


def local_landmarks(world: KeyframeMap, reference: KeyframeRecord, config: TrackerConfig) -> IntArray:
    """Return rows of the landmarks that the reference keyframe and those covisible with it observe."""
    ids = np.r_[reference.id, world.covisible(reference, minimum=5)[: config.local_keyframes - 1]]
    return world.observed_by(ids)


def match_by_projection(
    view: View, world: KeyframeMap, rows: IntArray, radius_px: float, camera_from_world: Pose
) -> Projection:
    """Associate landmarks `rows` with the view's features near where they should appear; return all that should appear.

    Associations made before are replaced.
    """
    projection = project(world.landmarks, rows, camera_from_world, world.camera)
    keypoints, owners = match_projection(projection, world.landmarks, view.features, view.tree, radius_px)
    view.landmark_rows[:] = -1
    view.landmark_rows[keypoints] = projection.rows[owners]
    return projection


def match_by_appearance(
    view: View, world: KeyframeMap, keyframe: KeyframeRecord, matcher: Matcher, seed: int
) -> Pose | None:
    """Associate the view with the landmarks of one keyframe by their features alone; return the pose by RANSAC, or None."""
    matches = matcher.match(keyframe.features, view.features)
    rows = keyframe.landmark_rows[matches.indices[:, 0]]
    seen = rows >= 0
    rows, keypoints = rows[seen], matches.indices[seen, 1]
    result = ransac_pose(
        world.landmarks.positions_m[rows], view.features.keypoints_xy[keypoints], world.camera, _RANSAC_ERROR_PX, seed
    )
    if result is None:
        return None
    pose, inliers = result
    view.landmark_rows[:] = -1
    view.landmark_rows[keypoints[inliers]] = rows[inliers]
    return pose


def solve_pose(view: View, world: KeyframeMap, start: Pose, config: TrackerConfig, ranged: bool) -> int:
    """Refine the view's pose on its associations, drop those that disagree, and return how many agree; 0 = no pose.

    With `ranged`, distances are measured as well, where the sensor has any.
    """
    keypoints = np.flatnonzero(view.landmark_rows >= 0)
    if len(keypoints) < config.min_inliers:
        return 0
    positions = world.landmarks.positions_m[view.landmark_rows[keypoints]]
    if ranged:
        view.right_x[keypoints] = view.ranging.right_x(
            view.xy[keypoints], _expected_right_x(view, world, positions, start, keypoints)
        )
    observations = PixelObservations(
        positions,
        view.xy[keypoints],
        view.right_x[keypoints],
        view.sigmas_px[keypoints],
        view.ranging.disparity_sigma_px,
    )
    estimate = refine_pose(start, observations, world.camera)
    if estimate is None:
        return 0
    view.landmark_rows[keypoints[~estimate.inliers]] = -1
    view.camera_from_world, view.covariance = estimate.camera_from_world, estimate.covariance
    return int(estimate.inliers.sum())


def align_view(view: View, world: KeyframeMap, rows: IntArray, count: int) -> IntArray:
    """Find the landmarks `rows` by their patches where the view's pose puts them; return those that were looked for.

    At most `count` landmarks are looked for, spread over the image, the best proven first. A keypoint that is associated already
    moves to where its landmark's patch fits; a landmark that no keypoint was associated with gets a feature of its own.
    """
    assert view.camera_from_world is not None
    marks = world.landmarks
    projection = project(marks, rows, view.camera_from_world, world.camera)
    chosen = projection.take(_spread(projection.xy, marks.observations[projection.rows], world.camera.width, count))
    xy, trusted = align_landmarks(world, chosen.rows, view.camera_from_world, chosen.xy, view.float_image)
    keypoint_of = np.full(marks.capacity + 1, -1, np.int64)
    keypoint_of[view.landmark_rows] = np.arange(len(view.landmark_rows))
    keypoint_of[-1] = -1
    keypoints = keypoint_of[chosen.rows]
    moved, found = trusted & (keypoints >= 0), trusted & (keypoints < 0)
    view.xy[keypoints[moved]] = xy[moved]
    view.sigmas_px[keypoints[moved]] = ALIGNED_SIGMA_PX
    new = chosen.rows[found]
    scales = np.clip(chosen.scales[found], 1.0, float(view.features.scales.max(initial=1.0)))
    view.extend(xy[found], new, marks.descriptors[new], scales)
    return chosen.rows


def _spread(xy: FloatArray, proof: np.ndarray, width: int, count: int) -> IntArray:
    """Return at most `count` of the pixels (M,2), cells of a grid taking turns, those of most proof first."""
    if len(xy) <= count:
        return np.arange(len(xy))
    side = width / 16
    cells = (xy[:, 1] // side).astype(np.int64) * 16 + (xy[:, 0] // side).astype(np.int64)
    order = np.lexsort((-proof, cells))
    starts = np.flatnonzero(np.r_[True, np.diff(cells[order]) != 0])
    turn = np.arange(len(order)) - np.repeat(starts, np.diff(np.r_[starts, len(order)]))
    return np.sort(order[np.lexsort((-proof[order], turn))[:count]])


def align_landmarks(
    world: KeyframeMap, rows: IntArray, camera_from_world: Pose, start_xy: FloatArray, image: np.ndarray
) -> tuple[FloatArray, np.ndarray]:
    """Return where landmarks `rows` (M,) lie in a float32 image by their patches, (M,2), and which are trusted, (M,)."""
    marks = world.landmarks
    anchors, inverse = np.unique(marks.anchor_ids[rows], return_inverse=True)
    poses = [world.world_from_keyframe(int(i)) for i in anchors]
    rotations = np.array([p.rotation for p in poses]).reshape(-1, 3, 3)[inverse]
    positions = np.array([p.translation_m for p in poses]).reshape(-1, 3)[inverse]
    warps, usable = landmark_warps(
        marks, rows, rotations, positions, camera_from_world.rotation, camera_from_world.translation_m, world.camera
    )
    xy, trusted = align_patches(image, marks.patches[rows], warps, start_xy)
    return xy, trusted & usable


def _expected_right_x(
    view: View, world: KeyframeMap, positions: FloatArray, pose: Pose, keypoints: IntArray
) -> FloatArray | None:
    if world.camera.baseline_m is None:
        return None
    depth = np.maximum(pose.apply(positions)[:, 2], 1e-3)
    return view.xy[keypoints, 0] - world.camera.disparity_times_depth / depth
