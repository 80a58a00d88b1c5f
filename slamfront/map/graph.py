"""The map as a graph of keyframes, by which loops are closed, and the answer written back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_matrix, triu
from scipy.sparse.csgraph import minimum_spanning_tree

from slamfront.geometry.pose import Pose, Sim3
from slamfront.map.keyframe_map import KeyframeMap
from slamfront.types import FloatArray, GraphCorrection, IntArray, PoseGraph

LoopEdge = tuple[int, int, Sim3]
"""Ids of two keyframes, and the similarity first_from_second that was measured between them."""


def essential_graph(world: KeyframeMap, loops: Sequence[LoopEdge], scaled: bool) -> PoseGraph:
    """Return the keyframes joined by the strongest tree, strong covisibility, succession in time, and loops.

    The edges but the loops are as the map has them now (Mur-Artal et al., "ORB-SLAM", TRO 2015, section III-D).
    """
    ids, shared = world.shared_landmarks()
    pairs = np.unique(
        np.concatenate([_essential(shared, world.covisibility.strong_landmarks), _successive(len(ids))]), axis=0
    )
    rotations = np.array([world.keyframes[i].world_from_camera.rotation for i in ids.tolist()])
    positions = np.array([world.keyframes[i].world_from_camera.translation_m for i in ids.tolist()])
    a, b = pairs.T
    inverse = rotations[a].transpose(0, 2, 1)
    relative = np.einsum("eij,ej->ei", inverse, positions[b] - positions[a])
    ends = np.searchsorted(ids, np.array([edge[:2] for edge in loops], np.int64).reshape(-1, 2))
    return PoseGraph(
        keyframe_ids=ids,
        rotations=rotations,
        positions_m=positions,
        edges=np.concatenate([pairs, ends]),
        relative_rotations=np.concatenate([inverse @ rotations[b], *([edge[2].rotation[None] for edge in loops])]),
        relative_positions_m=np.concatenate([relative, *([edge[2].translation[None] for edge in loops])]),
        relative_scales=np.array([1.0] * len(pairs) + [edge[2].scale for edge in loops]),
        loops=np.arange(len(pairs) + len(loops)) >= len(pairs),
        scaled=scaled,
        seen_m=world.landmarks.typical_distance_m,
    )


def apply_graph(world: KeyframeMap, correction: GraphCorrection) -> None:
    """Write the answer to a pose graph into the map.

    Every keyframe moves as the graph says, from where it is by now; newer ones move with the graph's last. Landmarks
    move with the keyframe in which they are anchored, and so does what else hangs on a keyframe. An answer to the graph
    of a map that was begun anew since is ignored.
    """
    if not world.knows(int(correction.keyframe_ids[-1])):
        return
    motions = _motions(correction)
    last = motions[int(correction.keyframe_ids[-1])]
    for record in world.keyframes.values():
        record.world_from_camera = motions.get(record.id, last).apply_to_pose(record.world_from_camera)
    marks = world.landmarks
    rows = np.flatnonzero(marks.alive)
    anchors, inverse = np.unique(marks.anchor_ids[rows], return_inverse=True)
    moved_by = [motions.get(world.heir(int(anchor)), last) for anchor in anchors]
    scales = np.array([motion.scale for motion in moved_by])[inverse]
    rotations = np.array([motion.rotation for motion in moved_by]).reshape(-1, 3, 3)[inverse]
    offsets = np.array([motion.translation for motion in moved_by]).reshape(-1, 3)[inverse]
    marks.positions_m[rows] = scales[:, None] * _turned(rotations, marks.positions_m[rows]) + offsets
    marks.view_directions[rows] = _turned(rotations, marks.view_directions[rows])
    marks.anchor_distances_m[rows] *= scales
    world.stretch({i: motions.get(i, last).scale for i in world.keyframes})


def _motions(correction: GraphCorrection) -> dict[int, Sim3]:
    """Return for each keyframe of the graph the similarity new_world_from_former_world."""
    motions = {}
    for row, keyframe_id in enumerate(correction.keyframe_ids.tolist()):
        former = Pose(correction.former_rotations[row], correction.former_positions_m[row])
        new = Sim3(float(correction.scales[row]), correction.rotations[row], correction.positions_m[row])
        motions[keyframe_id] = new @ Sim3.from_pose(former.inverse())
    return motions


def _turned(rotations: FloatArray, vectors: FloatArray) -> FloatArray:
    return np.asarray(np.einsum("nij,nj->ni", rotations, vectors))


def _essential(shared: csr_matrix, strong_landmarks: int) -> IntArray:
    """Return pairs of rows (E,2), ascending in each, of the strongest spanning forest and of strong covisibility."""
    upper = triu(shared, k=1).tocoo()
    tree = minimum_spanning_tree(csr_matrix((1.0 / upper.data, (upper.row, upper.col)), shared.shape)).tocoo()
    strong = upper.data >= strong_landmarks
    pairs = np.column_stack([np.r_[tree.row, upper.row[strong]], np.r_[tree.col, upper.col[strong]]])
    return np.sort(pairs.astype(np.int64), axis=1)


def _successive(count: int) -> IntArray:
    return np.column_stack([np.arange(count - 1), np.arange(1, count)])
