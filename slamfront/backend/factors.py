"""The factor graph of a problem, for the backend here and for any other graph that wants to take it in.

Keys: `X(keyframe id)` is a Pose3, world_from_camera; `L(landmark id)` a Point3 in the world, both as in
`gtsam.symbol_shorthand`. Factors: GenericStereoFactor3D where the right image's x (or a depth) is measured,
GenericProjectionFactorCal3_S2 where it is not, both under a Huber kernel; PriorFactorPose3 on poses that must not move.
"""

from __future__ import annotations

from collections.abc import Sequence

import gtsam
import numpy as np

from slamfront.backend.residuals import determined, has_disparity
from slamfront.config import BackendConfig
from slamfront.errors import BackendError
from slamfront.types import BoolArray, BundleAdjustmentProblem

HOLD_SIGMA = 1e-6
"""Of the prior that holds a pose, rad and m: far below what images can tell, and still well conditioned."""
_SCALE_SIGMA = 1e-3
"""Of the distance that sets a free scale, as a share of it; gauge only, so that its value changes no residual."""
_ACROSS = 100.0
"""Of a landmark of unknown depth across its ray, as a share of its distance: nothing that counts."""
_POSE, _LANDMARK = ord("x") << 56, ord("l") << 56


def pose_key(keyframe_id: int) -> int:
    """Return the key X(keyframe_id)."""
    return _POSE + int(keyframe_id)


def landmark_key(landmark_id: int) -> int:
    """Return the key L(landmark_id)."""
    return _LANDMARK + int(landmark_id)


def graph_from_problem(
    problem: BundleAdjustmentProblem, config: BackendConfig | None = None
) -> tuple[gtsam.NonlinearFactorGraph, gtsam.Values]:
    """Return the factors of a problem and its poses and landmarks as initial values.

    Fixed poses, and poses with hardly an observation, are held by a prior. Where no pose is fixed the first one is
    held, and where nothing measures the scale (no disparity, fewer than two poses held) the distance between two
    keyframes is. Landmarks that the observations do not decide are left out, with their observations.
    """
    landmarks, _ = determined(problem, np.ones(len(problem.keyframe_rows), bool))
    used = landmarks[problem.landmark_rows]
    graph, values = gtsam.NonlinearFactorGraph(), gtsam.Values()
    insert_poses(values, problem, np.arange(len(problem.keyframe_ids)))
    insert_landmarks(values, problem, landmarks)
    add_gauge(graph, problem, used)
    for factor in observation_factors(problem, np.flatnonzero(used), (config or BackendConfig()).huber_px):
        graph.add(factor)
    return graph, values


def keyframe_factors(
    problem: BundleAdjustmentProblem, keyframe_id: int, config: BackendConfig | None = None
) -> tuple[gtsam.NonlinearFactorGraph, gtsam.Values]:
    """Return what one keyframe adds to a graph that already holds the problem's earlier keyframes.

    Values: its pose, and the landmarks that are first decided by its observations. Factors: its observations of decided
    landmarks, and for the new landmarks also those of earlier keyframes. There is no prior: the gauge is for the graph
    that takes them in. Raises BackendError when the problem has no such keyframe.
    """
    if keyframe_id not in problem.keyframe_ids:
        raise BackendError(f"the problem has no keyframe {keyframe_id}: it has {problem.keyframe_ids.tolist()}")
    ids = problem.keyframe_ids[problem.keyframe_rows]
    before, _ = determined(problem, ids < keyframe_id)
    now, _ = determined(problem, ids <= keyframe_id)
    new = now & ~before
    rows = problem.landmark_rows
    used = ((ids == keyframe_id) & now[rows]) | ((ids < keyframe_id) & new[rows])
    graph, values = gtsam.NonlinearFactorGraph(), gtsam.Values()
    insert_poses(values, problem, np.flatnonzero(problem.keyframe_ids == keyframe_id))
    insert_landmarks(values, problem, new)
    for factor in observation_factors(problem, np.flatnonzero(used), (config or BackendConfig()).huber_px):
        graph.add(factor)
    return graph, values


def insert_poses(values: gtsam.Values, problem: BundleAdjustmentProblem, rows: np.ndarray) -> None:
    """Insert the poses of the given rows under their keys."""
    for row in rows.tolist():
        values.insert(pose_key(problem.keyframe_ids[row]), pose3(problem, row))


def insert_landmarks(values: gtsam.Values, problem: BundleAdjustmentProblem, chosen: BoolArray) -> None:
    """Insert the chosen landmarks (L,) under their keys."""
    for landmark_id, point in zip(problem.landmark_ids[chosen].tolist(), problem.landmarks_m[chosen]):
        values.insert(_LANDMARK + landmark_id, point)


def pose3(problem: BundleAdjustmentProblem, row: int) -> gtsam.Pose3:
    """Return world_from_camera of one row of the problem."""
    return gtsam.Pose3(gtsam.Rot3(problem.rotations[row]), problem.positions_m[row])


def add_gauge(graph: gtsam.NonlinearFactorGraph, problem: BundleAdjustmentProblem, used: BoolArray) -> BoolArray:
    """Hold the poses that the used observations (M,) must not or cannot move, and set the scale where it is free.

    Returns which poses (K,) are held.
    """
    _, decided = determined(problem, used)
    held = problem.fixed | ~decided
    if not held.any():
        held[:1] = True
    hold_poses(graph, problem, held)
    if not has_disparity(problem)[used].any() and (held & decided).sum() < 2:
        hold_scale(graph, problem, decided)
    return held


def hold_poses(graph: gtsam.NonlinearFactorGraph, problem: BundleAdjustmentProblem, held: BoolArray) -> None:
    """Add priors that keep the marked poses (K,) where they are."""
    model = gtsam.noiseModel.Isotropic.Sigma(6, HOLD_SIGMA)
    for row in np.flatnonzero(held).tolist():
        graph.addPriorPose3(pose_key(problem.keyframe_ids[row]), pose3(problem, row), model)


def hold_scale(graph: gtsam.NonlinearFactorGraph, problem: BundleAdjustmentProblem, decided: BoolArray) -> None:
    """Keep the distance between the first decided pose (K,) and the one farthest from it."""
    rows = np.flatnonzero(decided)
    if len(rows) < 2:
        return
    distances = np.linalg.norm(problem.positions_m[rows] - problem.positions_m[rows[0]], axis=1)
    far = int(np.argmax(distances))
    if distances[far] > 0:
        keys = pose_key(problem.keyframe_ids[rows[0]]), pose_key(problem.keyframe_ids[rows[far]])
        sigma = gtsam.noiseModel.Isotropic.Sigma(1, _SCALE_SIGMA * distances[far])
        graph.add(gtsam.RangeFactorPose3(*keys, distances[far], sigma))


def depth_priors(
    problem: BundleAdjustmentProblem, chosen: BoolArray, known_depth: float
) -> list[gtsam.NonlinearFactor]:
    """Return one factor for each of the chosen landmarks (L,) of a single camera whose depth no parallax tells: it is
    about that of the others.

    Inverse depth is Gaussian about its median, and its deviation is the median itself, so that a landmark may well be
    infinitely far, and hardly nearer than a third (Civera, Davison and Montiel 2008, section III). One that is known to
    the share `known_depth` of it needs none. As a factor of the point it is linear about where the landmark is. Without
    it, noise of a camera that hardly moves draws landmarks towards it, which then hold it in place.
    """
    rows, size = problem.landmark_rows, len(problem.landmark_ids)
    count = np.maximum(np.bincount(rows, minlength=size), 1)[:, None]
    seen_from = problem.positions_m[problem.keyframe_rows]
    mean = np.column_stack([np.bincount(rows, axis, size) for axis in seen_from.T]) / count
    offset = problem.landmarks_m - mean
    distance = np.maximum(np.linalg.norm(offset, axis=1), 1e-9)
    rays = offset / distance[:, None]
    if not chosen.any():
        return []
    typical = float(np.median(1.0 / distance[chosen]))
    across = np.cross(seen_from - mean[rows], rays[rows]) / problem.sigmas_px[:, None] * problem.camera.fx
    information = np.bincount(rows, np.einsum("ij,ij->i", across, across), size)
    unknown = np.flatnonzero(chosen & (information * (known_depth * typical) ** 2 < 1.0))
    distance, rays = distance[unknown], rays[unknown]
    sigmas = typical * distance**2
    expected = problem.landmarks_m[unknown] + rays * (distance - typical * distance**2)[:, None]
    along = rays[:, :, None] * rays[:, None, :]
    # Across its ray next to nothing is known
    roots = along / sigmas[:, None, None] + (np.eye(3) - along) / (_ACROSS * distance)[:, None, None]
    keys = (_LANDMARK + problem.landmark_ids[unknown]).tolist()
    model = gtsam.noiseModel.Gaussian.SqrtInformation
    return [gtsam.PriorFactorPoint3(k, p, model(r)) for k, p, r in zip(keys, expected, roots, strict=True)]


def observation_factors(
    problem: BundleAdjustmentProblem, rows: np.ndarray, huber: float
) -> list[gtsam.NonlinearFactor]:
    """Return one factor for each of the given observations (row numbers), in their order."""
    camera = problem.camera
    mono = gtsam.Cal3_S2(camera.fx, camera.fy, 0.0, camera.cx, camera.cy)
    stereo = gtsam.Cal3_S2Stereo(camera.fx, camera.fy, 0.0, camera.cx, camera.cy, camera.baseline_m or 1.0)
    with_disparity = has_disparity(problem)[rows]
    models = _noise_models(problem.sigmas_px[rows], problem.disparity_sigma_px[rows], with_disparity, huber)
    poses = (_POSE + problem.keyframe_ids[problem.keyframe_rows[rows]]).tolist()
    landmarks = (_LANDMARK + problem.landmark_ids[problem.landmark_rows[rows]]).tolist()
    pixels, right = problem.pixels_xy[rows], problem.right_x[rows].tolist()
    u, v = pixels[:, 0].tolist(), pixels[:, 1].tolist()
    project, project_stereo, point = (
        gtsam.GenericProjectionFactorCal3_S2,
        gtsam.GenericStereoFactor3D,
        gtsam.StereoPoint2,
    )
    return [
        project_stereo(point(u[m], right[m], v[m]), models[m], poses[m], landmarks[m], stereo)
        if is_stereo
        else project(pixels[m], models[m], poses[m], landmarks[m], mono)
        for m, is_stereo in enumerate(with_disparity.tolist())
    ]


def _noise_models(
    sigmas_px: np.ndarray, disparity_sigmas_px: np.ndarray, with_disparity: BoolArray, huber: float
) -> Sequence[gtsam.noiseModel.Base]:
    """Return the noise model of each observation; equal ones are shared, because making them is what costs.

    With the left x of variance s^2 and a disparity of independent variance d^2, right_x = x - disparity has variance
    s^2 + d^2 and covariance s^2 with x.
    """
    kernel = gtsam.noiseModel.mEstimator.Huber.Create(huber)
    pairs = sigmas_px + 1j * np.where(with_disparity, disparity_sigmas_px, 0.0)
    distinct, which = np.unique(pairs, return_inverse=True)
    models = []
    for pair in distinct.tolist():
        s2, d2 = pair.real**2, pair.imag**2
        if d2 > 0:
            model = gtsam.noiseModel.Gaussian.Covariance(np.array([[s2, s2, 0.0], [s2, s2 + d2, 0.0], [0.0, 0.0, s2]]))
        else:
            model = gtsam.noiseModel.Isotropic.Sigma(2, pair.real)
        models.append(gtsam.noiseModel.Robust.Create(kernel, model))
    return [models[index] for index in which.tolist()]
