"""Bundle adjustment by Levenberg-Marquardt, twice: before and after outliers are dropped."""

from __future__ import annotations

import logging
from dataclasses import replace

import gtsam
import numpy as np

from slamfront.backend.factors import (
    add_gauge,
    depth_priors,
    insert_landmarks,
    insert_poses,
    landmark_key,
    observation_factors,
    pose_key,
)
from slamfront.backend.residuals import (
    chi_square,
    chi_square_limits,
    correction_between,
    determined,
    expected_offset,
    has_disparity,
    huber_threshold,
    offset_slope,
)
from slamfront.config import BackendConfig
from slamfront.errors import BackendError
from slamfront.types import BoolArray, BundleAdjustmentProblem, Correction, FloatArray

_LOG = logging.getLogger(__name__)
_WEAK_PRIOR = 0.1
"""Sigma of the prior that helps an indeterminate system, as a share of a landmark's mean distance."""


def for_whole_map(config: BackendConfig) -> BackendConfig:
    """Return the configuration of the final adjustment: bundle adjustment with `final_iterations`."""
    return replace(config, kind="gtsam", max_iterations=config.final_iterations)


class BundleAdjustment:
    """Robust bundle adjustment, local or full; stateless, so that equal problems give equal corrections."""

    def __init__(self, config: BackendConfig) -> None:
        self._config = config

    def solve(self, problem: BundleAdjustmentProblem, /) -> Correction:
        """Return the optimum of a problem; fixed poses, and what the observations do not decide, stay as they were.

        Half of the iterations see every observation. Those beyond the 95 % quantile of the chi-square distribution, or
        behind their camera, are then left out of the rest; the ones that still do not fit at the end are the outliers.
        Errors are taken over the inliers. Raises BackendError when the system cannot be solved.

        Where it is asked for, what all disparities are off by is an unknown too. Rectification that is not exact moves
        all of them alike, which makes far points the nearer the farther they are, so that near and far ones tell
        different motions.
        """
        huber = huber_threshold(problem, self._config.huber_px, config=self._config.bundle)
        bundle = self._config.bundle
        optimization = _Optimization(problem, huber, bundle.known_depth)
        limits = chi_square_limits(problem)
        first = max(1, self._config.max_iterations // 2)
        optimization.optimize(optimization.finite, first, bundle.first_tolerance)
        fits = optimization.finite & (optimization.chi_square() <= limits)
        optimization.optimize(fits, self._config.max_iterations - first, bundle.tolerance)
        if problem.offset_sigma_px <= 0 or not has_disparity(problem).any():
            return correction_between(problem, optimization.state)
        offset_px, solved = self._solve_offset(optimization.state, fits, huber)
        correction = correction_between(_shifted(problem, offset_px), solved)
        return replace(correction, disparity_offset_px=problem.camera.disparity_offset_px + offset_px)

    def _solve_offset(
        self, solved: BundleAdjustmentProblem, chosen: BoolArray, huber: float
    ) -> tuple[float, BundleAdjustmentProblem]:
        """Return what all disparities of a solved problem are still too large by, and its solution without that.

        At the optimum the error changes with the offset as if all else stood still. How that changes in turn is told by
        the optimum at another offset: one step of the secant method. What one landmark's disparities are wrong by is
        alike wherever it is seen from, so that they count as one.
        """
        slope, probe_px = offset_slope(solved, chosen, huber), self._config.bundle.offset_probe_px
        probe = self._improved(_shifted(solved, probe_px), chosen, huber)
        measured = chosen & has_disparity(solved)
        alike = max(measured.sum(), 1) / max(len(np.unique(solved.landmark_rows[measured])), 1)
        curvature = max((offset_slope(probe, chosen, huber) - slope) / probe_px, 1e-9)
        known_px, prior_px = solved.camera.disparity_offset_px, solved.offset_sigma_px
        total_px = expected_offset(known_px - slope / curvature, np.sqrt(alike / curvature), prior_px)
        offset_px = float(np.clip(total_px, -3 * prior_px, 3 * prior_px)) - known_px
        return offset_px, self._improved(_shifted(probe, offset_px - probe_px), chosen, huber)

    def _improved(self, problem: BundleAdjustmentProblem, chosen: BoolArray, huber: float) -> BundleAdjustmentProblem:
        optimization = _Optimization(problem, huber, self._config.bundle.known_depth)
        optimization.optimize(chosen, self._config.max_iterations, self._config.bundle.tolerance)
        return optimization.state


def _shifted(problem: BundleAdjustmentProblem, offset_px: float) -> BundleAdjustmentProblem:
    """Return a problem whose disparities are all lowered."""
    return replace(problem, right_x=problem.right_x + offset_px)


class _Optimization:
    """A problem while it is being optimised: its present state, and the factor of each observation."""

    def __init__(self, problem: BundleAdjustmentProblem, huber: float, known_depth: float) -> None:
        self.state, self._known_depth = problem, known_depth
        self.finite = np.asarray(np.isfinite(problem.pixels_xy).all(axis=1))
        self._factors = np.empty(len(problem.pixels_xy), object)
        self._factors[:] = observation_factors(problem, np.arange(len(problem.pixels_xy)), huber)

    def chi_square(self) -> FloatArray:
        """Return the chi-square (M,) of every observation in the present state."""
        return chi_square(self.state)

    def optimize(self, chosen: BoolArray, iterations: int, tolerance: float) -> None:
        """Improve the state by at most so many iterations on the chosen observations (M,)."""
        problem = self.state
        landmarks, _ = determined(problem, chosen)
        used = chosen & landmarks[problem.landmark_rows]
        if iterations < 1 or not used.any():
            return
        graph, values = gtsam.NonlinearFactorGraph(), gtsam.Values()
        insert_poses(values, problem, np.arange(len(problem.keyframe_ids)))
        insert_landmarks(values, problem, landmarks)
        held = add_gauge(graph, problem, used)
        for factor in self._factors[used].tolist():
            graph.add(factor)
        if not has_disparity(problem).any():
            for factor in depth_priors(problem, landmarks, self._known_depth):
                graph.add(factor)
        parameters = gtsam.LevenbergMarquardtParams.CeresDefaults()
        parameters.setMaxIterations(iterations)
        parameters.setRelativeErrorTol(tolerance)
        parameters.setLinearSolverType("SEQUENTIAL_CHOLESKY")  # a tree of cliques this small costs more than it saves
        parameters.setOrdering(_landmarks_first(problem, landmarks))
        try:
            result = gtsam.LevenbergMarquardtOptimizer(graph, values, parameters).optimize()
        except RuntimeError as error:
            _LOG.debug("the problem is indeterminate, and is solved with weak priors: %s", error)
            _add_weak_priors(graph, problem, landmarks)
            result = _optimize_again(graph, values, parameters)
        self._take(result, ~held, landmarks)

    def _take(self, result: gtsam.Values, free: BoolArray, landmarks: BoolArray) -> None:
        """Read the free poses (K,) and optimised landmarks (L,) from GTSAM's values, unless they are not finite."""
        problem = self.state
        rotations, positions = problem.rotations.copy(), problem.positions_m.copy()
        for row in np.flatnonzero(free).tolist():
            pose = result.atPose3(pose_key(problem.keyframe_ids[row]))
            rotations[row], positions[row] = pose.rotation().matrix(), pose.translation()
        if not (np.isfinite(rotations).all() and np.isfinite(positions).all()):
            raise BackendError("bundle adjustment diverged: the map is kept as it was")
        points = problem.landmarks_m.copy()
        points[landmarks] = [result.atPoint3(landmark_key(i)) for i in problem.landmark_ids[landmarks].tolist()]
        points = np.where(np.isfinite(points).all(axis=1, keepdims=True), points, problem.landmarks_m)
        self.state = replace(problem, rotations=rotations, positions_m=positions, landmarks_m=points)


def _optimize_again(
    graph: gtsam.NonlinearFactorGraph, values: gtsam.Values, parameters: gtsam.LevenbergMarquardtParams
) -> gtsam.Values:
    """Return the optimum; BackendError when the system is still indeterminate."""
    try:
        return gtsam.LevenbergMarquardtOptimizer(graph, values, parameters).optimize()
    except RuntimeError as error:
        raise BackendError(f"the problem cannot be solved: {' '.join(str(error).split())[:200]}") from error


def _landmarks_first(problem: BundleAdjustmentProblem, landmarks: BoolArray) -> gtsam.Ordering:
    """Return the order of elimination of the Schur complement: the chosen landmarks (L,), then all poses."""
    ordering = gtsam.Ordering()
    for landmark_id in problem.landmark_ids[landmarks].tolist():
        ordering.push_back(landmark_key(landmark_id))
    for keyframe_id in problem.keyframe_ids.tolist():
        ordering.push_back(pose_key(keyframe_id))
    return ordering


def _add_weak_priors(graph: gtsam.NonlinearFactorGraph, problem: BundleAdjustmentProblem, landmarks: BoolArray) -> None:
    """Tie each chosen landmark (L,) loosely to where it is, so that every direction is decided."""
    centre = problem.positions_m.mean(axis=0)
    for landmark_id, point in zip(problem.landmark_ids[landmarks].tolist(), problem.landmarks_m[landmarks]):
        sigma = _WEAK_PRIOR * max(float(np.linalg.norm(point - centre)), 1e-3)
        graph.addPriorPoint3(landmark_key(landmark_id), point, gtsam.noiseModel.Isotropic.Sigma(3, sigma))
