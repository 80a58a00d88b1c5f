"""Reprojection errors of a whole problem at once: what is an outlier, and which unknowns are decided."""

from __future__ import annotations

import numpy as np
from scipy.special import expit

from slamfront.config import BundleConfig
from slamfront.solve.statistics import CHI_SQUARE_MONO, CHI_SQUARE_STEREO, MEDIAN_MONO, MEDIAN_STEREO
from slamfront.types import BoolArray, BundleAdjustmentProblem, Correction, FloatArray

_MIN_POSE_OBSERVATIONS = 4
_RUN_OFF_M = 1e9
"""Beyond this a landmark is nowhere; what is merely far stays in the map, for it tells directions."""


def has_disparity(problem: BundleAdjustmentProblem) -> BoolArray:
    """Return which observations (M,) also measure the right image's x."""
    return np.isfinite(problem.right_x) & (problem.camera.baseline_m is not None)


def chi_square(problem: BundleAdjustmentProblem) -> FloatArray:
    """Return the squared error (M,) of each observation over its variance; infinite behind the camera.

    The errors of x and of the disparity x - right_x are independent, so that the covariance of (x, right_x, y) never
    needs to be inverted.
    """
    camera = problem.camera
    offset = problem.landmarks_m[problem.landmark_rows] - problem.positions_m[problem.keyframe_rows]
    points = np.einsum("mi,mij->mj", offset, problem.rotations[problem.keyframe_rows])
    with np.errstate(all="ignore"):
        inverse_depth = 1.0 / points[:, 2]
        errors = points[:, :2] * inverse_depth[:, None] * (camera.fx, camera.fy) + (camera.cx, camera.cy)
        errors -= problem.pixels_xy
        squares = np.einsum("mi,mi->m", errors, errors) / problem.sigmas_px**2
        measured = has_disparity(problem)
        if measured.any():
            disparity = camera.disparity_times_depth * inverse_depth - (problem.pixels_xy[:, 0] - problem.right_x)
            squares += np.where(measured, (disparity / problem.disparity_sigma_px) ** 2, 0.0)
    return np.where((points[:, 2] > 0) & np.isfinite(squares), squares, np.inf)


def huber_threshold(problem: BundleAdjustmentProblem, huber: float, *, config: BundleConfig) -> float:
    """Return where Huber's rule is to begin, in deviations as stated: at `huber` of them, or sooner in proportion where
    the median error is smaller than they say.

    In images without noise patches are aligned to a twentieth of a pixel. A few disparities that are wrong by half of
    one, at the edge of what is near, would move the camera by more than all others allow.
    """
    if not len(problem.pixels_xy):
        return huber
    medians = np.where(has_disparity(problem), MEDIAN_STEREO, MEDIAN_MONO)
    share = float(np.sqrt(np.median(chi_square(problem) / medians)))
    return huber * min(max(share, config.min_sigma_share), 1.0)


def offset_slope(problem: BundleAdjustmentProblem, chosen: BoolArray, huber: float) -> float:
    """Return how the robust error of the chosen observations (M,), half their chi-square, grows with the offset by
    which all disparities are taken to be too large, 1/px.
    """
    camera, used = problem.camera, chosen & has_disparity(problem)
    offset = problem.landmarks_m[problem.landmark_rows] - problem.positions_m[problem.keyframe_rows]
    with np.errstate(all="ignore"):
        depth = np.einsum("mi,mi->m", offset, problem.rotations[problem.keyframe_rows, :, 2])
        errors = camera.disparity_times_depth / depth - (problem.pixels_xy[:, 0] - problem.right_x)
        weights = np.minimum(1.0, huber / np.sqrt(chi_square(problem))) / problem.disparity_sigma_px**2
    return float(np.sum(weights[used] * errors[used]))


def expected_offset(measured_px: float, sigma_px: float, prior_sigma_px: float) -> float:
    """Return the expected offset of disparities by a measurement and its standard deviation: a pair of cameras is
    either rectified exactly, or off by a normal deviate of a prior, and one is as likely as the other beforehand
    (Mitchell and Beauchamp, "Bayesian variable selection in linear regression", 1988).
    """
    exact, off = sigma_px**2, sigma_px**2 + prior_sigma_px**2
    log_odds = 0.5 * (measured_px**2 * (1 / exact - 1 / off) - np.log(off / exact))
    return float(measured_px * prior_sigma_px**2 / off * expit(log_odds))


def chi_square_limits(problem: BundleAdjustmentProblem) -> FloatArray:
    """Return the largest chi-square (M,) of an inlier: 95 % of true observations stay below."""
    return np.where(has_disparity(problem), CHI_SQUARE_STEREO, CHI_SQUARE_MONO)


def determined(problem: BundleAdjustmentProblem, observations: BoolArray) -> tuple[BoolArray, BoolArray]:
    """Return which landmarks (L,) and poses (K,) the chosen observations (M,) decide.

    A landmark needs one observation with a disparity, or two without, and a finite position. A pose needs four
    observations of such landmarks.
    """
    weights = np.where(has_disparity(problem), 2, 1) * observations
    landmarks = np.bincount(problem.landmark_rows, weights, len(problem.landmark_ids)) >= 2
    landmarks &= np.isfinite(problem.landmarks_m).all(axis=1)
    used = observations & landmarks[problem.landmark_rows]
    poses = np.bincount(problem.keyframe_rows[used], minlength=len(problem.keyframe_ids)) >= _MIN_POSE_OBSERVATIONS
    return landmarks, poses


def parallax_rad(problem: BundleAdjustmentProblem) -> FloatArray:
    """Return for each landmark (L,) the largest angle between the ray of an observer and the mean of its rays."""
    rays = problem.landmarks_m[problem.landmark_rows] - problem.positions_m[problem.keyframe_rows]
    with np.errstate(all="ignore"):
        rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    count = len(problem.landmark_ids)
    mean = np.column_stack([np.bincount(problem.landmark_rows, ray, count) for ray in rays.T])
    sines = np.linalg.norm(np.cross(rays, mean[problem.landmark_rows]), axis=1)
    angles = np.zeros(count)
    np.fmax.at(
        angles, problem.landmark_rows, np.arctan2(sines, np.einsum("mi,mi->m", rays, mean[problem.landmark_rows]))
    )
    return angles


def correction_between(problem: BundleAdjustmentProblem, solved: BundleAdjustmentProblem) -> Correction:
    """Return what takes a problem to its solution: free poses, all landmarks, outliers, and the inliers' errors.

    Outliers are observations beyond the 95 % quantile of the chi-square distribution, or behind their camera. What ran
    off along its rays, where nothing holds a landmark, stays where it was.
    """
    before, after = chi_square(problem), chi_square(solved)
    inliers, free = after <= chi_square_limits(problem), ~problem.fixed
    somewhere = (np.abs(solved.landmarks_m) < _RUN_OFF_M).all(axis=1, keepdims=True)
    ids = problem.keyframe_ids[problem.keyframe_rows[~inliers]]
    return Correction(
        problem.keyframe_ids[free],
        solved.rotations[free],
        solved.positions_m[free],
        problem.landmark_ids,
        np.where(somewhere, solved.landmarks_m, problem.landmarks_m),
        np.column_stack([ids, problem.keypoint_rows[~inliers]]).astype(np.int64),
        0.5 * float(before[inliers & np.isfinite(before)].sum()),
        0.5 * float(after[inliers].sum()),
    )
