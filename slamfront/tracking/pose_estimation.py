"""The pose of a view by the landmarks that it shows, and whether it can be believed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from slamfront.config import PoseConfig, TrackerConfig
from slamfront.geometry.pose import Pose
from slamfront.map import KeyframeMap
from slamfront.solve.motion import MotionState, PoseMeasurement
from slamfront.solve.pnp import (
    PixelObservations,
    PoseEstimate,
    TurningPrior,
    is_determined,
    ransac_pose,
    refine_pose,
)
from slamfront.solve.statistics import CHI_SQUARE_MONO, CONTRADICTION
from slamfront.tracking.view import View
from slamfront.types import BoolArray, FloatArray


def likeliest_pose(
    view: View, world: KeyframeMap, predicted: MotionState, config: TrackerConfig, seed: int
) -> Pose | None:
    """Return the pose, near the predicted one or found by RANSAC, that the landmarks which the view shows and the
    motion before it make likelier; None where too few landmarks agree with either.

    Where many are followed wrongly, along an edge or on something that moves, refinement alone ends where they lead.
    """
    observations = observations_of(view, world, config.pose)
    starts = [predicted.camera_from_world]
    found = ransac_pose(observations.landmarks_m, observations.pixels_xy, world.camera, config.max_error_px, seed)
    if found is not None:
        starts.append(found[0])
    tried = [refine_pose(start, observations, world.camera, (3.0, 1.0), config=config.pose) for start in starts]
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
    return predicted is not None and surprise(predicted, view.measured) < CONTRADICTION[6]


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
    turning = None
    if turning_sigma_rad_s is not None and world.camera.readout_s > 0:
        turning = TurningPrior(view.shutter, turning_sigma_rad_s)
    # A pose without distances only has to bring landmarks within reach of alignment: it is not polished
    rounds = (3.0, 1.0, 1.0) if ranged else (3.0, 1.0)
    found = _scene_pose(view, world, start, config, rounds, turning)
    if found is None:
        return 0
    estimate, scene = found
    view.moving_rows = view.landmark_rows[~scene]
    view.keep(scene)
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


def _scene_pose(
    view: View,
    world: KeyframeMap,
    start: Pose,
    config: TrackerConfig,
    rounds: tuple[float, ...],
    turning: TurningPrior | None,
) -> tuple[PoseEstimate, BoolArray] | None:
    """Return the pose near a first one by the landmarks that the view shows, and which of them are of the scene, (K,);
    None where it is not determined.

    Landmarks of the newest keyframes that lie at the pixel where they were seen first may be of the scene, or of what
    is fixed to the camera, such as a robot's arm. Which of both is likelier decides for all of them together. Older
    ones lie there where the camera has come back.
    """
    observations = observations_of(view, world, config.pose)
    together = refine_pose(start, observations, world.camera, rounds, turning=turning, config=config.pose)
    if together is None:
        return None
    everything = np.ones(len(view.xy), bool)
    shift = (view.xy - world.landmarks.anchor_xy[view.landmark_rows]) / view.sigmas_px[:, None]
    squared = np.einsum("ni,ni->n", shift, shift)
    newest = world.landmarks.anchor_ids[view.landmark_rows] >= world.next_id - config.pose.fixed_keyframes
    stay = (squared < CHI_SQUARE_MONO) & newest
    scene, better = ~stay, float(together.costs.sum() - squared[stay].sum()) - CONTRADICTION[6]
    if stay.any() and scene.sum() >= config.min_inliers and better > 0:
        alone = refine_pose(start, observations.take(scene), world.camera, rounds, turning=turning, config=config.pose)
        if alone is not None and alone.inliers.sum() >= config.min_inliers and alone.costs.sum() < better:
            together, everything = alone, scene
    return _proven_pose(view, world, observations, together, everything, config)


def _proven_pose(
    view: View,
    world: KeyframeMap,
    observations: PixelObservations,
    together: PoseEstimate,
    scene: BoolArray,
    config: TrackerConfig,
) -> tuple[PoseEstimate, BoolArray]:
    """Return the pose by the landmarks of a scene (K,) that have been in their places for long and until now, and which
    these are, where it differs from the pose by all of them by more than it can, and few of the others agree with it;
    else that pose and all of them.

    Something that moves brings new landmarks along, wherever it is, and all of them agree on one motion.
    """
    landmarks, rows = world.landmarks, view.landmark_rows
    proven = (
        scene & (landmarks.seen[rows] >= config.pose.proven_frames) & np.isin(landmarks.ids(rows), view.shown_before)
    )
    if not config.min_inliers <= proven.sum() < scene.sum():
        return together, scene
    alone = refine_pose(together.camera_from_world, observations.take(proven), world.camera, (1.0,), config=config.pose)
    if alone is None or alone.inliers.sum() < config.min_inliers:
        return together, scene
    shift = (alone.camera_from_world @ together.camera_from_world.inverse()).log()
    if shift @ np.linalg.solve(alone.covariance[:6, :6], shift) < CONTRADICTION[6]:
        return together, scene
    others = observations.take(scene & ~proven)
    young = refine_pose(alone.camera_from_world, others, world.camera, (1.0,), 0, config=config.pose)
    fit = young is None or 2 * young.inliers.sum() >= len(young.inliers)
    if fit or not is_determined(alone.covariance, alone.depth_m, config):
        return together, scene
    return alone, proven


def _trust(found: NDArray[np.int32], proven_frames: float) -> FloatArray:
    """Return how much landmarks that were found in so many frames (N,) count for a pose, 0 to 1.

    What has stayed in its place for long is not taken along by something that moves, whose landmarks are new wherever
    it is, however many of them agree in one frame.
    """
    return np.asarray((found / (found + proven_frames)) ** 2)


def observations_of(view: View, world: KeyframeMap, config: PoseConfig) -> PixelObservations:
    """Return what the view shows of the landmarks, with how uncertain they are themselves."""
    marks, rows = world.landmarks, view.landmark_rows
    return PixelObservations(
        marks.positions_m[rows],
        view.xy,
        view.right_x,
        view.sigmas_px,
        view.depth_source.disparity_sigma_px,
        marks.spreads_m[rows],
        _trust(marks.seen[rows], config.proven_frames),
    )


def _expected_disparity(world: KeyframeMap, positions_m: FloatArray, camera_from_world: Pose) -> FloatArray | None:
    if world.camera.baseline_m is None:
        return None
    return world.camera.disparity_times_depth / np.maximum(camera_from_world.apply(positions_m)[:, 2], 1e-3)
