"""Frames placed again by the map as it became, and smoothed by the motion that they show together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from slamfront.config import MotionConfig, TrackerConfig
from slamfront.geometry.pose import Pose
from slamfront.map import KeyframeMap
from slamfront.solve.motion import MotionNoise, MotionState, PoseMeasurement, smooth
from slamfront.solve.motion_noise import NoiseEstimator
from slamfront.solve.pnp import PixelObservations, PoseEstimate, refine_pose
from slamfront.types import LandmarkObservations


def solve_frame(
    world: KeyframeMap, world_from_camera: Pose, observed: LandmarkObservations, config: TrackerConfig
) -> PoseEstimate | None:
    """Return a frame's pose by the landmarks of a map as they are now, near where it is thought to be; None where too
    few of the landmarks that it showed are left and agree.
    """
    landmarks = world.landmarks
    rows = landmarks.rows(observed.landmark_ids)
    known = rows >= 0
    if known.sum() < config.min_inliers:
        return None
    # The offset of disparities may have been found since
    offset_px = world.camera.disparity_offset_px - observed.disparity_offset_px
    observations = PixelObservations(
        landmarks.positions_m[rows[known]],
        observed.pixels_xy[known].astype(np.float64),
        observed.right_x[known].astype(np.float64) + offset_px,
        observed.sigmas_px[known].astype(np.float64),
        observed.disparity_sigma_px,
        landmarks.spreads_m[rows[known]],
    )
    found = refine_pose(world_from_camera.inverse(), observations, world.camera, config=config.pose)
    return None if found is None or found.inliers.sum() < config.min_inliers else found


def smoothed(measured: Sequence[PoseMeasurement], config: MotionConfig) -> list[MotionState]:
    """Return the states at the times of measured poses of one map, each in the light of all others near it in time."""
    times_s = 1e-9 * np.array([one.time_ns for one in measured], np.float64)
    ends = np.flatnonzero(np.diff(times_s) > config.max_gap_s) + 1
    states: list[MotionState] = []
    for start, stop in zip([0, *ends.tolist()], [*ends.tolist(), len(measured)]):
        part = measured[start:stop]
        states += smooth(part, _noises(part, config), config=config)
    return states


def _noises(measured: Sequence[PoseMeasurement], config: MotionConfig) -> list[MotionNoise]:
    """Return the noise about each measured pose, learned in a second pass with what the first one ended with."""
    estimator = NoiseEstimator(config)
    for one in measured:
        estimator.observe(one)
    estimator.interrupt()
    noises = []
    for one in measured:
        estimator.observe(one)
        noises.append(estimator.noise)
    return noises
