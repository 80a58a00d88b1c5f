"""Placing a view in the map: landmarks found in it, and its pose."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from slamfront.config import TrackerConfig
from slamfront.geometry.balance import balanced, cells_covered
from slamfront.geometry.camera import Camera
from slamfront.geometry.pose import Pose
from slamfront.geometry.shutter import Shutter
from slamfront.map import KeyframeMap, KeyframeRecord
from slamfront.patches import align_patches
from slamfront.protocols import Matcher
from slamfront.solve.motion import MotionState, PoseMeasurement
from slamfront.solve.pnp import (
    PixelObservations,
    PoseEstimate,
    TurningEstimate,
    TurningPrior,
    ransac_pose,
    refine_pose,
    refine_turning_pose,
)
from slamfront.tracking.motion import MotionFilter
from slamfront.tracking.projection import match_projection, project
from slamfront.tracking.view import ALIGNED_SIGMA_PX, FLOW_LEVELS, FLOW_SIGMA_PX, FLOW_WINDOW, View
from slamfront.tracking.warps import landmark_warps
from slamfront.types import BoolArray, Features, Float32Array, FloatArray, IntArray

# Landmarks followed from frame to frame; they only need to place the view within reach of alignment
_FOLLOWED = 150
_FLOW_STOP = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 15, 0.03)
_COLUMNS = 16
# Frames in which a landmark must be found to count for a quarter of one that has been in its place for ever
_PROVEN_AFTER = 10.0
# A pose further from its prediction than this is one of a thousand true ones: the 99.9 % quantile for six components
_CHI_SQUARE_POSE = 22.46
# How far a hand's turning is from what it was on average since the frame before, after a leap, rad/s
_TURN_DOUBT, _TURN_KNOWN = 1.0, 1e-3
# The matches that tell it, and by what factor they must agree better than without: fewer, some of them wrong, agree
# with any turning, which then takes the place of motion
_TURN_LEAST, _TURN_BETTER = 40, 1.2
_NOT_APART = Pose.identity()


@dataclass(frozen=True, slots=True, eq=False)
class Sighting:
    """Where a camera stands by the landmarks of a place, rows (M,), which it shows at its keypoints, rows (M,)."""

    camera_from_world: Pose
    landmark_rows: IntArray
    keypoint_rows: IntArray


def local_landmarks(world: KeyframeMap, reference: KeyframeRecord, config: TrackerConfig) -> IntArray:
    """Return rows of the landmarks that the reference keyframe and those covisible with it observe."""
    ids = np.r_[reference.id, world.covisible(reference, minimum=5)[: config.local_keyframes - 1]]
    return world.observed_by(ids)


def follow(view: View, last: View, world: KeyframeMap, predicted: Pose) -> None:
    """Find the landmarks that the last, settled view showed by optical flow, starting where the predicted pose puts
    them.

    Pyramidal Lucas-Kanade (Bouguet 2001).
    """
    last_rows = world.landmarks.rows(last.landmark_ids)
    rows = np.flatnonzero(last_rows >= 0)
    rows = rows[_spread(last.xy[rows], world.landmarks.observations[last_rows[rows]], world.camera.width, _FOLLOWED)]
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
        winSize=FLOW_WINDOW,
        maxLevel=FLOW_LEVELS,
        criteria=_FLOW_STOP,
        flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
    )
    found = found[:, 0].astype(np.float64)
    good = (good.ravel() > 0) & world.camera.contains(found, 2.0)
    rows, xy = rows[good], view.shutter.to_middle(found[good])
    usable = view.usable(xy)
    view.observe(last_rows[rows[usable]], xy[usable], FLOW_SIGMA_PX)


def match_by_projection(view: View, world: KeyframeMap, rows: IntArray, radius_px: float, predicted: Pose) -> None:
    """Find landmarks `rows` among the view's features near where the predicted pose puts them."""
    projection = project(world.landmarks, rows, predicted, world.camera)
    keypoints, owners = match_projection(projection, world.landmarks, view.features, view.tree, radius_px)
    view.observe(projection.rows[owners], view.features.keypoints_xy[keypoints], view.features.scales[keypoints])


def match_by_appearance(
    view: View,
    world: KeyframeMap,
    keyframe: KeyframeRecord,
    matcher: Matcher,
    max_error_px: float,
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
    result = widest_pose(world.landmarks.positions_m[rows], xy, world.camera, max_error_px, seed)
    if result is None:
        return None
    pose, inliers = result
    if world.camera.readout_s > 0:
        expected = view.predicted_shutter
        if motion is not None:
            expected = Shutter(world.camera, motion.mean_angular_velocity(view.frame.time_ns, pose))
        pose, inliers = _with_shutter(view, world, rows, keypoints, pose, inliers, expected)
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
) -> Sighting | None:
    """Return where the camera of some features stands by the landmarks of a keyframe that they match and that agree, by
    RANSAC; None where too few do.
    """
    rows, keypoints = _matched(keyframe, features, matcher)
    xy = np.asarray(features.keypoints_xy[keypoints], np.float64)
    result = ransac_pose(world.landmarks.positions_m[rows], xy, world.camera, max_error_px, seed)
    if result is None:
        return None
    pose, inliers = result
    return Sighting(pose, rows[inliers], keypoints[inliers])


def _matched(keyframe: KeyframeRecord, features: Features, matcher: Matcher) -> tuple[IntArray, IntArray]:
    """Return the rows of a keyframe's landmarks, and of the keypoints that match them, (M,) each."""
    matches = matcher.match(keyframe.features, features)
    rows = keyframe.landmark_rows[matches.indices[:, 0]]
    return rows[rows >= 0], matches.indices[rows >= 0, 1]


def _with_shutter(
    view: View,
    world: KeyframeMap,
    rows: IntArray,
    keypoints: IntArray,
    pose: Pose,
    inliers: BoolArray,
    expected: Shutter,
) -> tuple[Pose, BoolArray]:
    """Refine a pose on matched landmarks and keypoints (M,) with the shutter that is expected of the view, or together
    with the shutter where they agree clearly better then, and return the pose and which agree (M,).
    """
    landmarks_m, sigmas_px = world.landmarks.positions_m[rows], view.features.scales[keypoints].astype(np.float64)
    image_xy = view.shutter.to_image(view.features.keypoints_xy[keypoints])

    def refined(doubt: float) -> TurningEstimate | None:
        return refine_turning_pose(pose, expected, landmarks_m, image_xy, sigmas_px, doubt)

    bound = refined(_TURN_KNOWN)
    if bound is None:
        return pose, inliers
    free = refined(_TURN_DOUBT) if len(rows) >= _TURN_LEAST else None
    view.turn_measured = free is not None and _clearly_better(free, bound)
    chosen = free if free is not None and view.turn_measured else bound
    view.turn(chosen.shutter)
    return chosen.camera_from_world, chosen.inliers


def _clearly_better(free: TurningEstimate, bound: TurningEstimate) -> bool:
    """Return whether enough matches agree with a turning, and many more, or much better, than with the expected one."""
    count = int(free.inliers.sum())
    more, closer = count >= _TURN_BETTER * bound.inliers.sum(), _TURN_BETTER * free.disagreement <= bound.disagreement
    return count >= _TURN_LEAST and (more or closer)


def likeliest_pose(
    view: View, world: KeyframeMap, predicted: MotionState, config: TrackerConfig, seed: int
) -> Pose | None:
    """Return the pose, near the predicted one or found by RANSAC, that the landmarks which the view shows and the
    motion before it make likelier; None where too few landmarks agree with either.

    Where many are followed wrongly, along an edge or on something that moves, refinement alone ends where they lead.
    """
    observations = _observations(view, world)
    starts = [predicted.camera_from_world]
    found = ransac_pose(observations.landmarks_m, observations.pixels_xy, world.camera, config.max_error_px, seed)
    if found is not None:
        starts.append(found[0])
    tried = [refine_pose(start, observations, world.camera, (3.0, 1.0)) for start in starts]
    enough = [one for one in tried if one is not None and one.inliers.sum() >= config.min_inliers]
    if not enough:
        return None
    return min(enough, key=lambda one: one.cost + surprise(predicted, one)).camera_from_world


def surprise(predicted: MotionState, found: PoseEstimate | PoseMeasurement) -> float:
    """Return the squared distance of a pose from a predicted one over their variances."""
    shift = (found.camera_from_world @ predicted.camera_from_world.inverse()).log()
    return float(shift @ np.linalg.solve(predicted.covariance[:6, :6] + found.covariance[:6, :6], shift))


def reach_px(predicted: MotionState, world: KeyframeMap) -> float:
    """Return how far landmarks at a typical distance may lie from where a predicted pose puts them, px: one standard
    deviation.
    """
    turn, move = (float(np.linalg.eigvalsh(predicted.covariance[k : k + 3, k : k + 3])[-1]) for k in (0, 3))
    distance_m = max(world.landmarks.typical_distance_m, 1e-9)
    return world.camera.fx * float(np.sqrt(turn + move / distance_m**2))


def is_credible(view: View, predicted: MotionState | None, config: TrackerConfig) -> bool:
    """Return whether a view's pose can be believed: its landmarks determine it, or it agrees with the motion so far."""
    if view.measured is None or view.determined(config):
        return view.measured is not None
    return predicted is not None and surprise(predicted, view.measured) < _CHI_SQUARE_POSE


def _trust(found: NDArray[np.int32]) -> FloatArray:
    """Return how much landmarks that were found in so many frames (N,) count for a pose, 0 to 1.

    What has stayed in its place for long is not taken along by something that moves, whose landmarks are new wherever
    it is, however many of them agree in one frame.
    """
    return np.asarray((found / (found + _PROVEN_AFTER)) ** 2)


def _observations(view: View, world: KeyframeMap) -> PixelObservations:
    """Return what the view shows of the landmarks, with how uncertain they are themselves."""
    marks, rows = world.landmarks, view.landmark_rows
    return PixelObservations(
        marks.positions_m[rows],
        view.xy,
        view.right_x,
        view.sigmas_px,
        view.ranging.disparity_sigma_px,
        marks.spreads_m[rows],
        _trust(marks.seen[rows]),
    )


def solve_pose(
    view: View,
    world: KeyframeMap,
    start: Pose,
    config: TrackerConfig,
    ranged: bool,
    turning_sigma_rad_s: float | None = None,
) -> int:
    """Refine the view's pose on the landmarks it shows, drop those that disagree, and return how many agree; 0 = no
    pose.

    With `ranged`, distances are measured as well, where the sensor has any. With a deviation of the angular velocity
    that the view's shutter has, a rolling shutter is refined too.
    """
    if len(view.xy) < config.min_inliers:
        return 0
    if ranged:
        positions = world.landmarks.positions_m[view.landmark_rows]
        view.right_x = view.find_right_x(view.xy, _expected_disparity(world, positions, start))
    observations = _observations(view, world)
    turning = None
    if turning_sigma_rad_s is not None and world.camera.readout_s > 0:
        turning = TurningPrior(view.shutter, turning_sigma_rad_s)
    # A pose without distances only has to bring landmarks within reach of alignment: it is not polished
    rounds = (3.0, 1.0, 1.0) if ranged else (3.0, 1.0)
    estimate = refine_pose(start, observations, world.camera, rounds, turning=turning)
    if estimate is None:
        return 0
    view.keep(estimate.inliers)
    if estimate.shutter is not None:
        view.turn(estimate.shutter)
    view.camera_from_world, view.covariance = estimate.camera_from_world, estimate.covariance[:6, :6]
    view.measured = PoseMeasurement(
        view.frame.time_ns,
        estimate.camera_from_world,
        estimate.covariance,
        None if estimate.shutter is None else estimate.shutter.angular_velocity,
        estimate.depth_m,
    )
    return int(estimate.inliers.sum())


def align_view(view: View, world: KeyframeMap, rows: IntArray, count: int) -> IntArray:
    """Find the landmarks `rows` by their patches where the view's pose puts them; return those that were looked for.

    At most `count` landmarks are looked for, of those that have texture, spread over the image, the best proven first.
    One that the view shows already moves to where its patch fits.
    """
    marks = world.landmarks
    projection = project(marks, rows[marks.textured[rows]], view.pose, world.camera)
    projection = projection.take(view.usable(projection.xy))
    chosen = projection.take(_spread(projection.xy, marks.observations[projection.rows], world.camera.width, count))
    shown_at = np.full(marks.capacity, -1, np.int64)
    shown_at[view.landmark_rows] = np.arange(len(view.landmark_rows))
    at = shown_at[chosen.rows]
    start_xy = chosen.xy.copy()
    start_xy[at >= 0] = view.xy[at[at >= 0]]
    xy, sigmas_px, trusted = align_landmarks(world, chosen.rows, view.pose, start_xy, view.float_image, view.shutter)
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
    )
    xy, sigmas_px, trusted = align_patches(image, marks.patches[rows], warps, shutter.to_image(start_xy))
    return shutter.to_middle(xy), np.hypot(sigmas_px, ALIGNED_SIGMA_PX), trusted & usable


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


def _expected_disparity(world: KeyframeMap, positions_m: FloatArray, camera_from_world: Pose) -> FloatArray | None:
    if world.camera.baseline_m is None:
        return None
    return world.camera.disparity_times_depth / np.maximum(camera_from_world.apply(positions_m)[:, 2], 1e-3)
