"""Pose graph optimisation: the error of a loop is spread over all keyframes in it, unless the loop is wrong."""

from __future__ import annotations

import gtsam
import numpy as np

from slamfront.backend.factors import HOLD_SIGMA, pose_key
from slamfront.errors import BackendError
from slamfront.types import BoolArray, FloatArray, GraphCorrection, PoseGraph

# What an edge may be wrong by: a turn, a share of its scale, and a share of its length, or of the median edge's or of a
# twentieth of how far the camera sees where that is more, since one that turns on the spot drifts without travelling
_TURN_SIGMA_RAD = np.deg2rad(1.0)
_LENGTH_SIGMA = 0.1
_LEAST_LENGTH = 0.05
_SCALE_SIGMA = 0.05
# The share of that for a loop, which is measured against many landmarks at once, and drifts nowhere
_LOOP_SHARE = 0.2
# Loops beyond this quantile of what right ones show are wrong
_LOOP_PROBABILITY = 0.99


class PoseGraphOptimization:
    """Robust pose graph optimisation; stateless, so that equal graphs give equal corrections."""

    def solve(self, graph: PoseGraph, /) -> GraphCorrection:
        """Return the keyframes where all edges agree best, and the edges that were kept.

        Loops are accepted or dropped by graduated non-convexity with a truncated quadratic (Yang et al., "Graduated
        non-convexity for robust spatial perception", RA-L 2020); the other edges are trusted. With `scaled` the graph
        is one of similarities (Strasdat et al., "Scale drift-aware large scale monocular SLAM", RSS 2010). Where no
        loop is accepted, nothing moves. Raises BackendError when the graph cannot be solved.
        """
        values = _values(graph)
        try:
            accepted = _accepted(graph, values)
            if not (accepted & graph.loops).any():
                same = graph.rotations, graph.positions_m
                return GraphCorrection(graph.keyframe_ids, *same, *same, np.ones(len(graph.keyframe_ids)), accepted)
            factors = _factors(graph, accepted, _LOOP_SHARE)
            result = gtsam.LevenbergMarquardtOptimizer(factors, values, gtsam.LevenbergMarquardtParams()).optimize()
        except RuntimeError as error:
            raise BackendError(f"the pose graph cannot be solved: {' '.join(str(error).split())[:200]}") from error
        rotations, positions, scales = _read(result, graph)
        if not (np.isfinite(positions).all() and np.isfinite(rotations).all() and (scales > 0).all()):
            raise BackendError("the pose graph diverged: the map is kept as it was")
        return GraphCorrection(
            graph.keyframe_ids, graph.rotations, graph.positions_m, rotations, positions, scales, accepted
        )


def _accepted(graph: PoseGraph, values: gtsam.Values) -> BoolArray:
    """Return the edges (E,) that agree: all that are no loops, and the loops that do not contradict them."""
    parameters = gtsam.GncLMParams()
    parameters.setLossType(gtsam.GncLossType.TLS)
    parameters.setKnownInliers(np.flatnonzero(np.r_[~graph.loops, True]).tolist())
    parameters.setVerbosityGNC(gtsam.GncLMParams.Verbosity.SILENT)
    # Loops count as any edge here: were they as precise as they are, two that contradict would both lose
    factors = _factors(graph, np.ones(len(graph.edges), bool), 1.0)
    optimizer = gtsam.GncLMOptimizer(factors, values, parameters)
    optimizer.setInlierCostThresholdsAtProbability(_LOOP_PROBABILITY)
    optimizer.optimize()
    return np.asarray(optimizer.getWeights())[:-1] > 0.5


def _factors(graph: PoseGraph, chosen: BoolArray, loop_share: float) -> gtsam.NonlinearFactorGraph:
    """Return a factor for each chosen edge (E,), in their order, and at last the one that holds the first keyframe."""
    factors = gtsam.NonlinearFactorGraph()
    keys = [pose_key(i) for i in graph.keyframe_ids.tolist()]
    kind = gtsam.BetweenFactorSimilarity3 if graph.scaled else gtsam.BetweenFactorPose3
    sigmas = _sigmas(graph, loop_share)
    for row in np.flatnonzero(chosen).tolist():
        a, b = graph.edges[row].tolist()
        measured = _element(
            graph.scaled,
            graph.relative_rotations[row],
            graph.relative_positions_m[row],
            float(graph.relative_scales[row]),
        )
        factors.add(kind(keys[a], keys[b], measured, gtsam.noiseModel.Diagonal.Sigmas(sigmas[row])))
    first = _element(graph.scaled, graph.rotations[0], graph.positions_m[0], 1.0)
    prior = gtsam.PriorFactorSimilarity3 if graph.scaled else gtsam.PriorFactorPose3
    factors.add(prior(keys[0], first, gtsam.noiseModel.Isotropic.Sigma(sigmas.shape[1], HOLD_SIGMA)))
    return factors


def _sigmas(graph: PoseGraph, loop_share: float) -> FloatArray:
    """Return the standard deviations (E,6 or 7) of the edges: turns, lengths, and the scale's logarithm.

    Edges of keyframes that have many say the same thing again, because they are made of the same landmarks: their
    variances grow with their number. A chain of keyframes has two edges for each.
    """
    lengths = np.linalg.norm(graph.relative_positions_m, axis=1)
    lengths = np.maximum(lengths, np.median(lengths[~graph.loops]) if (~graph.loops).any() else 0.0)
    lengths = np.maximum(lengths, max(_LEAST_LENGTH * graph.seen_m, 1e-6))
    degrees = np.bincount(graph.edges[~graph.loops].ravel(), minlength=len(graph.keyframe_ids))
    again = np.maximum(degrees[graph.edges].mean(axis=1) / 2.0, 1.0)
    again[graph.loops] = loop_share**2
    columns = [np.full(len(lengths), _TURN_SIGMA_RAD)] * 3 + [_LENGTH_SIGMA * lengths] * 3
    if graph.scaled:
        columns.append(np.full(len(lengths), _SCALE_SIGMA))
    return np.column_stack(columns) * np.sqrt(again)[:, None]


def _values(graph: PoseGraph) -> gtsam.Values:
    values = gtsam.Values()
    for row, keyframe_id in enumerate(graph.keyframe_ids.tolist()):
        element = _element(graph.scaled, graph.rotations[row], graph.positions_m[row], 1.0)
        values.insert(pose_key(keyframe_id), element)
    return values


def _element(
    scaled: bool, rotation: FloatArray, position_m: FloatArray, scale: float
) -> gtsam.Similarity3 | gtsam.Pose3:
    """Return GTSAM's similarity, which scales after it has moved: x -> scale * (rotation x + translation), or pose."""
    if scaled:
        return gtsam.Similarity3(gtsam.Rot3(rotation), position_m / scale, scale)
    return gtsam.Pose3(gtsam.Rot3(rotation), position_m)


def _read(result: gtsam.Values, graph: PoseGraph) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return rotations (K,3,3), positions (K,3) and scales (K,) of all keyframes."""
    read = result.atSimilarity3 if graph.scaled else result.atPose3
    elements = [read(pose_key(i)) for i in graph.keyframe_ids.tolist()]
    scales = np.array([e.scale() if graph.scaled else 1.0 for e in elements])
    rotations = np.array([e.rotation().matrix() for e in elements])
    return rotations, np.array([e.translation() for e in elements]) * scales[:, None], scales
