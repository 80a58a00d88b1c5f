"""Incremental smoothing of the whole run: each problem brings only what is new.

Kaess et al., "iSAM2: Incremental smoothing and mapping using the Bayes tree", IJRR 2012.
"""

from __future__ import annotations

import logging
from dataclasses import replace

import gtsam
import numpy as np

from slamfront.backend.factors import (
    hold_poses,
    hold_scale,
    insert_landmarks,
    insert_poses,
    landmark_key,
    observation_factors,
    pose_key,
)
from slamfront.backend.gtsam_ba import BundleAdjustment
from slamfront.backend.residuals import (
    chi_square,
    chi_square_limits,
    correction_between,
    determined,
    has_disparity,
    parallax_rad,
)
from slamfront.config import BackendConfig
from slamfront.errors import BackendError
from slamfront.geometry.pose import Pose
from slamfront.solve.statistics import CHI_SQUARE_MONO
from slamfront.types import BoolArray, BundleAdjustmentProblem, Correction, FloatArray

_LOG = logging.getLogger(__name__)
_GTSAM_ERRORS = (RuntimeError, IndexError)

Observation = tuple[int, int]
"""Keyframe id and keypoint row."""


class IncrementalSmoother:
    """A backend that keeps every measurement of the run in one ISAM2.

    The first problem is solved by bundle adjustment. Afterwards a keyframe enters once four of its landmarks are in,
    and a landmark once a disparity, or two rays about one degree apart, decide it. Observations that a problem should
    show but does not (outliers, culled or fused landmarks) are taken out; keyframes that the map has dropped stay, as
    what they saw remains true. Where the system becomes indeterminate, no keyframe of the problem is known, or the map
    has moved by more than a rigid motion since, as a loop moves it, it starts again from the problem.
    """

    def __init__(self, config: BackendConfig) -> None:
        self._config = config
        self._clear()

    def solve(self, problem: BundleAdjustmentProblem, /) -> Correction:
        """Return the present estimate of the free keyframes and landmarks; those that are not in are as given.

        Raises BackendError when even a fresh start from the problem fails.
        """
        known = [i for i in problem.keyframe_ids.tolist() if i in self._keyframes]
        if not known:
            return self._start(problem)
        try:
            carried = _carried(problem, self._own_from_map(problem, known[-1]))
            estimate = self._estimate(carried)
            if _apart(carried, estimate):
                _LOG.info("the map has moved: the smoother starts again from this problem")
                return self._start(problem)
            solved = self._advance(estimate)
            # The map holds what is fixed, though the smoother may have learned since that it lies a little elsewhere
            held = [i for i in known if problem.fixed[np.searchsorted(problem.keyframe_ids, i)]] or known
            own_from_map = self._own_from_map(problem, held[-1])
            return correction_between(problem, _carried(solved, own_from_map.inverse()))
        except _GTSAM_ERRORS as error:
            _LOG.warning("the smoother starts again from this problem: %s", " ".join(str(error).split())[:200])
            return self._start(problem)

    def _clear(self) -> None:
        parameters = gtsam.ISAM2Params()
        parameters.setRelinearizeThreshold(self._config.incremental.relinearize)
        parameters.relinearizeSkip = 1
        # Gauss-Newton steps throw landmarks of wrong observations behind cameras, where nothing holds them any more.
        parameters.setOptimizationParams(gtsam.ISAM2DoglegParams())
        self._isam = gtsam.ISAM2(parameters)
        self._keyframes: dict[int, dict[int, tuple[int, int]]] = {}  # id -> keypoint row -> (factor, landmark id)
        self._observers: dict[int, dict[Observation, int]] = {}  # landmark id -> observation -> how many rays it is

    def _start(self, problem: BundleAdjustmentProblem) -> Correction:
        """Forget everything, and begin with a problem that bundle adjustment has solved."""
        self._clear()
        correction = BundleAdjustment(self._config).solve(problem)
        solved = _with(problem, correction)
        fits = _fits(solved)
        graph = gtsam.NonlinearFactorGraph()
        landmarks, poses, used = self._enterable(solved, fits)
        held = problem.fixed & poses
        if not held.any():
            held[np.flatnonzero(poses)[:1]] = True
        hold_poses(graph, solved, held)
        if held.sum() < 2 and not has_disparity(solved)[used].any():
            hold_scale(graph, solved, poses)
        try:
            self._update(solved, graph, landmarks, poses, used, [])
        except _GTSAM_ERRORS as error:
            self._clear()
            raise BackendError(f"the smoother cannot start: {' '.join(str(error).split())[:200]}") from error
        return correction

    def _advance(self, problem: BundleAdjustmentProblem) -> BundleAdjustmentProblem:
        """Add what is new in a problem of present estimates, take out what is gone, and return the new estimates."""
        removed, forgotten = self._forget(problem)
        # A key that leaves and enters in one update confuses ISAM2: the landmark may come again with the next problem.
        staying = ~np.isin(problem.landmark_ids, forgotten)[problem.landmark_rows]
        landmarks, poses, used = self._enterable(problem, staying & np.isfinite(chi_square(problem)))
        self._update(problem, gtsam.NonlinearFactorGraph(), landmarks, poses, used, removed)
        return self._estimate(problem)

    def _own_from_map(self, problem: BundleAdjustmentProblem, reference: int) -> Pose:
        """Return how the smoother's world lies to the map's by a known keyframe of the problem."""
        row = int(np.searchsorted(problem.keyframe_ids, reference))
        estimate = self._isam.calculateEstimatePose3(pose_key(reference))
        here = Pose(estimate.rotation().matrix(), estimate.translation())
        return here @ Pose(problem.rotations[row], problem.positions_m[row]).inverse()

    def _estimate(self, problem: BundleAdjustmentProblem) -> BundleAdjustmentProblem:
        """Return the problem with the smoother's poses and landmarks where it has them."""
        rotations, positions, landmarks = (
            a.copy() for a in (problem.rotations, problem.positions_m, problem.landmarks_m)
        )
        poses = [(r, i) for r, i in enumerate(problem.keyframe_ids.tolist()) if i in self._keyframes]
        points = [(r, i) for r, i in enumerate(problem.landmark_ids.tolist()) if i in self._observers]
        values = self._isam.calculateEstimate()
        for row, i in poses:
            pose = values.atPose3(pose_key(i))
            rotations[row], positions[row] = pose.rotation().matrix(), pose.translation()
        for row, i in points:
            landmarks[row] = values.atPoint3(landmark_key(i))
        if not (np.isfinite(rotations).all() and np.isfinite(positions).all()):
            raise RuntimeError("a pose is not finite")
        return replace(problem, rotations=rotations, positions_m=positions, landmarks_m=landmarks)

    def _forget(self, problem: BundleAdjustmentProblem) -> tuple[list[int], list[int]]:
        """Drop observations that the problem no longer has; return the factors and landmarks to take out.

        A problem shows all that its free keyframes see, and who of its other keyframes sees its landmarks. A landmark
        that fewer than two rays are left of goes with its last observation.
        """
        free = set(problem.keyframe_ids[~problem.fixed].tolist())
        here = set(problem.landmark_ids.tolist())
        present: dict[int, dict[int, int]] = {i: {} for i in problem.keyframe_ids.tolist()}
        for keyframe, keypoint, landmark in zip(*(column.tolist() for column in _columns(problem))):
            present[keyframe][keypoint] = landmark
        removed = []
        for keyframe in present.keys() & self._keyframes.keys():
            held, seen, all_seen = self._keyframes[keyframe], present[keyframe], keyframe in free
            stale = [k for k, (_, i) in held.items() if seen.get(k) != i and (all_seen or i in here)]
            for keypoint in stale:
                factor, landmark = held.pop(keypoint)
                removed.append(factor)
                self._observers[landmark].pop((keyframe, keypoint))
        forgotten = [i for i, rays in self._observers.items() if sum(rays.values()) < 2]
        for landmark in forgotten:
            for keyframe, keypoint in self._observers.pop(landmark):
                removed.append(self._keyframes[keyframe].pop(keypoint)[0])
        return removed, forgotten

    def _enterable(self, problem: BundleAdjustmentProblem, chosen: BoolArray) -> tuple[BoolArray, BoolArray, BoolArray]:
        """Return the landmarks (L,) and poses (K,) that may be in, and the chosen observations (M,) of both."""
        known = np.array([i in self._observers for i in problem.landmark_ids.tolist()], bool)
        known_poses = np.array([i in self._keyframes for i in problem.keyframe_ids.tolist()], bool)
        wide = np.bincount(problem.landmark_rows, has_disparity(problem), len(known)) > 0
        wide |= parallax_rad(problem) >= np.deg2rad(self._config.incremental.min_parallax_deg)
        used = chosen & (known | wide)[problem.landmark_rows]
        for _ in range(2):  # a pose that is refused takes its observations from the landmarks, and those from poses
            landmarks, poses = determined(problem, used)
            landmarks, poses = landmarks | known, poses | known_poses
            used &= landmarks[problem.landmark_rows] & poses[problem.keyframe_rows]
        return landmarks & (np.bincount(problem.landmark_rows[used], minlength=len(known)) > 0), poses, used

    def _update(
        self,
        problem: BundleAdjustmentProblem,
        graph: gtsam.NonlinearFactorGraph,
        landmarks: BoolArray,
        poses: BoolArray,
        used: BoolArray,
        removed: list[int],
    ) -> None:
        """Give ISAM2 the new part of the problem, on top of `graph`, and remember which factor is which observation."""
        values = gtsam.Values()
        new_poses = poses & ~np.array([i in self._keyframes for i in problem.keyframe_ids.tolist()], bool)
        new_landmarks = landmarks & ~np.array([i in self._observers for i in problem.landmark_ids.tolist()], bool)
        insert_poses(values, problem, np.flatnonzero(new_poses))
        insert_landmarks(values, problem, new_landmarks)
        for keyframe in problem.keyframe_ids[new_poses].tolist():
            self._keyframes[keyframe] = {}
        keyframes, keypoints, ids = _columns(problem)
        rows = np.array(
            [r for r in np.flatnonzero(used).tolist() if int(keypoints[r]) not in self._keyframes[int(keyframes[r])]],
            np.int64,
        )
        first = graph.size()
        for factor in observation_factors(problem, rows, self._config.huber_px):
            graph.add(factor)
        slots = self._isam.update(graph, values, removed).getNewFactorsIndices()[first:]
        rays = np.where(has_disparity(problem), 2, 1)
        for row, slot in zip(rows.tolist(), slots):
            keyframe, keypoint, landmark = int(keyframes[row]), int(keypoints[row]), int(ids[row])
            self._keyframes[keyframe][keypoint] = (slot, landmark)
            self._observers.setdefault(landmark, {})[keyframe, keypoint] = int(rays[row])
        for _ in range(self._config.incremental.updates - 1):
            self._isam.update()


def _columns(problem: BundleAdjustmentProblem) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return keyframe id, keypoint row and landmark id of each observation, three arrays (M,)."""
    return (
        problem.keyframe_ids[problem.keyframe_rows],
        problem.keypoint_rows,
        problem.landmark_ids[problem.landmark_rows],
    )


def _carried(problem: BundleAdjustmentProblem, new_from_old: Pose) -> BundleAdjustmentProblem:
    """Return the problem moved as a whole."""
    return replace(
        problem,
        rotations=new_from_old.rotation @ problem.rotations,
        positions_m=new_from_old.apply(problem.positions_m),
        landmarks_m=new_from_old.apply(problem.landmarks_m),
    )


def _apart(carried: BundleAdjustmentProblem, estimate: BundleAdjustmentProblem) -> bool:
    """Return whether a keyframe stands elsewhere than the smoother has it, of two problems that agree in one of them.

    What its landmarks would move by in its image is compared with how precisely it measures them: below that the
    smoother has only learned more. Most of them must move by more than 95 % of measurements do.
    """
    points_m = carried.landmarks_m[carried.landmark_rows]
    before, after = _projected(carried, points_m), _projected(estimate, points_m)
    visible = np.isfinite(before).all(axis=1)
    # One that comes to lie behind its camera has moved far
    stays = visible & (((after - before) ** 2).sum(axis=1) <= CHI_SQUARE_MONO * carried.sigmas_px**2)
    seen, staying = (
        np.bincount(carried.keyframe_rows[rows], minlength=len(carried.fixed)) for rows in (visible, stays)
    )
    return bool(np.any(2 * staying < seen))


def _projected(problem: BundleAdjustmentProblem, points_m: FloatArray) -> FloatArray:
    """Return where the observing keyframes of a problem would see points (M,3), px; NaN behind them."""
    offset = points_m - problem.positions_m[problem.keyframe_rows]
    return problem.camera.project(np.einsum("mi,mij->mj", offset, problem.rotations[problem.keyframe_rows]))


def _fits(problem: BundleAdjustmentProblem) -> BoolArray:
    return np.asarray(chi_square(problem) <= chi_square_limits(problem))


def _with(problem: BundleAdjustmentProblem, correction: Correction) -> BundleAdjustmentProblem:
    """Return the problem with corrected poses and landmarks."""
    rotations, positions = problem.rotations.copy(), problem.positions_m.copy()
    rotations[~problem.fixed], positions[~problem.fixed] = correction.rotations, correction.positions_m
    return replace(problem, rotations=rotations, positions_m=positions, landmarks_m=correction.landmarks_m)
