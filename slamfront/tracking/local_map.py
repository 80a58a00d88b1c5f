"""Placing a view in the map: landmarks found in it, and its pose."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from slamfront.config import AlignmentConfig, FlowConfig, ProjectionConfig, TrackerConfig
from slamfront.geometry.balance import balanced, cells_covered
from slamfront.geometry.camera import Camera
from slamfront.geometry.pose import Pose
from slamfront.geometry.shutter import Shutter
from slamfront.map import KeyframeMap, KeyframeRecord
from slamfront.patches import align_patches
from slamfront.protocols import Matcher
from slamfront.solve.pnp import (
    PixelObservations,
    TurningPrior,
    ransac_pose,
    refine_pose,
)
from slamfront.tracking.motion import MotionFilter
from slamfront.tracking.projection import match_projection, project
from slamfront.tracking.view import View, exact_pose
from slamfront.tracking.warps import landmark_warps
from slamfront.types import BoolArray, Features, Float32Array, FloatArray, IntArray

# Flow ends after a step this small, px: far below its precision
_FLOW_STEP_PX = 0.03
_COLUMNS = 16
_NOT_APART = Pose.identity()


@dataclass(frozen=True, slots=True, eq=False)
class VerifiedPose:
    """Where a camera stands by the landmarks of a place, rows (M,), which it shows at its keypoints, rows (M,)."""

    camera_from_world: Pose
    landmark_rows: IntArray
    keypoint_rows: IntArray


def local_landmarks(world: KeyframeMap, reference: KeyframeRecord, config: TrackerConfig) -> IntArray:
    """Return rows of the landmarks that the reference keyframe and those covisible with it observe."""
    ids = np.r_[
        reference.id, world.covisible(reference, world.covisibility.local_landmarks)[: config.local_keyframes - 1]
    ]
    return world.observed_by(ids)


def follow(view: View, last: View, world: KeyframeMap, predicted: Pose, config: FlowConfig) -> None:
    """Find the landmarks that the last, settled view showed by optical flow, starting where the predicted pose puts
    them.

    Pyramidal Lucas-Kanade (Bouguet 2001).
    """
    last_rows = world.landmarks.rows(last.landmark_ids)
    rows = np.flatnonzero(last_rows >= 0)
    proof = world.landmarks.observations[last_rows[rows]]
    rows = rows[_spread(last.xy[rows], proof, world.camera.width, config.landmarks)]
    start = world.camera.project(predicted.apply(world.landmarks.positions_m[last_rows[rows]]))
    inside = world.camera.contains(start)
    rows, start = rows[inside], view.shutter.to_image(start[inside]).astype(np.float32)
    if len(rows) == 0:
        view.forget()
        return
    found, good, _ = cv2.calcOpticalFlowPyrLK(
        last.grey,
        view.grey,
        np.ascontiguousarray(last.shutter.to_image(last.xy[rows]), np.float32).reshape(-1, 1, 2),
        np.ascontiguousarray(start).reshape(-1, 1, 2),
        winSize=(config.window_px, config.window_px),
        maxLevel=config.levels,
        criteria=(cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, config.iterations, _FLOW_STEP_PX),
        flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
    )
    found = found[:, 0].astype(np.float64)
    good = (good.ravel() > 0) & world.camera.contains(found, 2.0)
    rows, xy = rows[good], view.shutter.to_middle(found[good])
    usable = view.usable(xy)
    view.observe(last_rows[rows[usable]], xy[usable], config.sigma_px)


def match_by_projection(
    view: View, world: KeyframeMap, rows: IntArray, radius_px: float, predicted: Pose, config: ProjectionConfig
) -> None:
    """Find landmarks `rows` among the view's features near where the predicted pose puts them."""
    projection = project(world.landmarks, rows, predicted, world.camera, config=config)
    keypoints, owners = match_projection(
        projection, world.landmarks, view.features, view.tree, radius_px, config=config
    )
    view.observe(projection.rows[owners], view.features.keypoints_xy[keypoints], view.features.scales[keypoints])


def match_by_appearance(
    view: View,
    world: KeyframeMap,
    keyframe: KeyframeRecord,
    matcher: Matcher,
    config: TrackerConfig,
    seed: int,
    motion: MotionFilter | None = None,
) -> Pose | None:
    """Find the landmarks of one keyframe among the view's features by appearance; return the pose by RANSAC, or
    None.

    Since a rolling shutter bends what a camera that leaps sees in a way that motion does not foretell, the view's
    shutter is refined with the pose; where the camera was before (`motion`) tells how it turned on average since.
    """
    rows, keypoints = _matched(keyframe, view.features, matcher)
    xy = np.asarray(view.features.keypoints_xy[keypoints], np.float64)
    result = widest_pose(world.landmarks.positions_m[rows], xy, world.camera, config.max_error_px, seed)
    if result is None:
        return None
    pose, inliers = result
    if world.camera.readout_s > 0 and motion is not None:
        expected, sigma_rad_s = motion.turning(exact_pose(view.frame.time_ns, pose))
        view.turn(Shutter(world.camera, expected))
        xy = view.features.keypoints_xy[keypoints].astype(np.float64)
        sigmas_px = view.features.scales[keypoints].astype(np.float64)
        seen = PixelObservations(world.landmarks.positions_m[rows], xy, np.full(len(xy), np.nan), sigmas_px)
        turning = TurningPrior(view.shutter, sigma_rad_s)
        refined = refine_pose(pose, seen, world.camera, turning=turning, config=config.pose)
        if refined is not None and refined.shutter is not None:
            pose, inliers = refined.camera_from_world, refined.inliers
            view.turn(refined.shutter)
            view.turn_measured = True
    rows, keypoints = rows[inliers], keypoints[inliers]
    view.observe(rows, view.features.keypoints_xy[keypoints], view.features.scales[keypoints])
    return pose


def widest_pose(
    landmarks_m: FloatArray, xy: FloatArray, camera: Camera, max_error_px: float, seed: int
) -> tuple[Pose, BoolArray] | None:
    """Return the pose of matched landmarks (N,3) and pixels (N,2) by RANSAC, and which agree (N,); of two motions that
    both explain matches the one that explains more of the image.

    What stays with the camera, or moves, may have more matches than the scene, which a fast motion blurs: they lie
    close together.
    """
    first = ransac_pose(landmarks_m, xy, camera, max_error_px, seed)
    if first is None:
        return None
    rest = np.flatnonzero(~first[1])
    second = ransac_pose(landmarks_m[rest], xy[rest], camera, max_error_px, seed)
    if second is None:
        return first
    agree = np.zeros(len(xy), bool)
    agree[rest[second[1]]] = True
    covered = [cells_covered(xy[mask], camera.width, _COLUMNS) for mask in (first[1], agree)]
    return (second[0], agree) if covered[1] > covered[0] else first


def pose_by_appearance(
    world: KeyframeMap, keyframe: KeyframeRecord, features: Features, matcher: Matcher, max_error_px: float, seed: int
) -> VerifiedPose | None:
    """Return where the camera of some features stands by the landmarks of a keyframe that they match and that agree, by
    RANSAC; None where too few do.
    """
    rows, keypoints = _matched(keyframe, features, matcher)
    xy = np.asarray(features.keypoints_xy[keypoints], np.float64)
    result = ransac_pose(world.landmarks.positions_m[rows], xy, world.camera, max_error_px, seed)
    if result is None:
        return None
    pose, inliers = result
    return VerifiedPose(pose, rows[inliers], keypoints[inliers])


def _matched(keyframe: KeyframeRecord, features: Features, matcher: Matcher) -> tuple[IntArray, IntArray]:
    """Return the rows of a keyframe's landmarks, and of the keypoints that match them, (M,) each."""
    matches = matcher.match(keyframe.features, features)
    rows = keyframe.landmark_rows[matches.indices[:, 0]]
    return rows[rows >= 0], matches.indices[rows >= 0, 1]


def align_view(view: View, world: KeyframeMap, rows: IntArray, config: TrackerConfig) -> IntArray:
    """Find the landmarks `rows` by their patches where the view's pose puts them; return those that were looked for.

    At most `max_landmarks` are looked for, of those that have texture, spread over the image, the best proven first.
    One that the view shows already moves to where its patch fits.
    """
    marks = world.landmarks
    projection = project(marks, rows[marks.textured[rows]], view.pose, world.camera, config=config.projection)
    projection = projection.take(view.usable(projection.xy))
    proof, count = marks.observations[projection.rows], config.max_landmarks
    chosen = projection.take(_spread(projection.xy, proof, world.camera.width, count))
    shown_at = np.full(marks.capacity, -1, np.int64)
    shown_at[view.landmark_rows] = np.arange(len(view.landmark_rows))
    at = shown_at[chosen.rows]
    start_xy = chosen.xy.copy()
    start_xy[at >= 0] = view.xy[at[at >= 0]]
    xy, sigmas_px, trusted = align_landmarks(
        world, chosen.rows, view.pose, start_xy, view.float_image, view.shutter, config.alignment
    )
    trusted &= view.usable(xy)
    better, new = trusted & (at >= 0), trusted & (at < 0)
    view.xy[at[better]], view.sigmas_px[at[better]] = xy[better], sigmas_px[better]
    view.observe_also(chosen.rows[new], xy[new], sigmas_px[new])
    return chosen.rows


def align_landmarks(
    world: KeyframeMap,
    rows: IntArray,
    camera_from_world: Pose,
    start_xy: FloatArray,
    image: Float32Array,
    shutter: Shutter,
    config: AlignmentConfig,
) -> tuple[FloatArray, FloatArray, BoolArray]:
    """Return where landmarks `rows` (M,) lie in a float32 image by their patches, (M,2), the standard deviation of each
    coordinate, (M,) px, and which are trusted, (M,).
    """
    marks = world.landmarks
    anchors, inverse = np.unique(marks.anchor_ids[rows], return_inverse=True)
    rotations, positions_m = _poses(world, anchors)
    warps, usable = landmark_warps(
        marks,
        rows,
        rotations[inverse],
        positions_m[inverse],
        camera_from_world.rotation,
        camera_from_world.translation_m,
        world.camera,
        config.max_magnification,
    )
    xy, sigmas_px, trusted = align_patches(image, marks.patches[rows], warps, shutter.to_image(start_xy), config=config)
    return shutter.to_middle(xy), np.hypot(sigmas_px, config.sigma_px), trusted & usable


def _poses(world: KeyframeMap, keyframe_ids: IntArray) -> tuple[FloatArray, FloatArray]:
    """Return rotations (K,3,3) and positions (K,3), world_from_camera, of keyframes, also of those that were culled."""
    ids = keyframe_ids.tolist()
    heirs = [world.keyframes[world.heir(i)].world_from_camera for i in ids]
    apart = [world.retired[i][1] if i in world.retired else _NOT_APART for i in ids]
    rotations = np.array([pose.rotation for pose in heirs]).reshape(-1, 3, 3)
    positions_m = np.array([pose.translation_m for pose in heirs]).reshape(-1, 3)
    turned = np.array([pose.rotation for pose in apart]).reshape(-1, 3, 3)
    offsets_m = np.array([pose.translation_m for pose in apart]).reshape(-1, 3, 1)
    return rotations @ turned, positions_m + (rotations @ offsets_m)[:, :, 0]


def _spread(xy: FloatArray, proof: np.ndarray, width: int, count: int) -> IntArray:
    """Return at most `count` of the pixels (M,2), ascending, spread over the image, those of most proof first."""
    return np.sort(balanced(xy, proof, width, count, _COLUMNS))
