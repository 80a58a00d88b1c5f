"""Bundle adjustment of the map: the problem copied out, and its solution written back."""

from __future__ import annotations

import numpy as np

from slamfront.config import BundleConfig
from slamfront.geometry.camera import MAX_DISPARITY_OFFSET_PX
from slamfront.geometry.pose import Pose
from slamfront.map.keyframe_map import KeyframeMap
from slamfront.types import BoolArray, BundleAdjustmentProblem, Correction, IntArray


def local_ba_problem(
    world: KeyframeMap,
    keyframe_id: int,
    size: int,
    disparity_sigma_px: float,
    shared: bool = True,
    offset_sigma_px: float = 0.0,
    *,
    config: BundleConfig,
) -> BundleAdjustmentProblem:
    """Return the local bundle adjustment about a keyframe: a window of the `size` keyframes most covisible with it,
    free, and those that hold them, fixed.

    Where nothing outside the window sees its landmarks, its oldest keyframe is fixed. With `shared`, landmarks that one
    keyframe alone sees, and that tell nothing about the others, stay out.
    """
    centre = world.keyframes[keyframe_id]
    free = np.sort(np.r_[world.covisible(centre)[: size - 1], keyframe_id])
    landmark_rows = world.observed_by(free)
    if shared:
        landmark_rows = landmark_rows[world.landmarks.observations[landmark_rows] > 1]
    ids, _ = world.keyframes_seeing(landmark_rows)
    outside = np.setdiff1d(ids[~np.isin(ids, free)][: config.max_fixed], free)
    ids = np.sort(np.r_[free, outside])
    if len(outside) == 0 or (world.camera.baseline_m is None and not _holds_scale(world, outside, ids, config)):
        outside = ids[:1]
    return _problem(world, ids, outside, landmark_rows, disparity_sigma_px, offset_sigma_px)


def _holds_scale(world: KeyframeMap, fixed: IntArray, ids: IntArray, config: BundleConfig) -> bool:
    """Return whether fixed keyframes tell the unit of length of a window: they are not much nearer to each other than
    it is long. A short way between them is known less well, as a share, than the long one that it would stretch.
    """
    whole, held = (
        np.array([world.keyframes[i].world_from_camera.translation_m for i in some.tolist()]) for some in (ids, fixed)
    )
    extents = [float(np.linalg.norm(one - one[0], axis=1).max()) for one in (held, whole)]
    return extents[0] > config.min_fixed_extent * extents[1]


def full_ba_problem(
    world: KeyframeMap, disparity_sigma_px: float, offset_sigma_px: float = 0.0
) -> BundleAdjustmentProblem:
    """Return the full bundle adjustment: the whole map with the first keyframe fixed."""
    ids = np.array(sorted(world.keyframes), np.int64)
    landmark_rows = world.observed_by(ids)
    landmark_rows = landmark_rows[world.landmarks.observations[landmark_rows] > 1]
    return _problem(world, ids, ids[:1], landmark_rows, disparity_sigma_px, offset_sigma_px)


def apply(world: KeyframeMap, correction: Correction) -> None:
    """Write a correction into the map.

    Only keyframes and landmarks that still live are touched. Keyframes newer than the problem's move rigidly with its
    last one, and landmarks that were not in it with the keyframe in which they are anchored. A correction of a map that
    was begun anew since is ignored.
    """
    if len(correction.keyframe_ids) == 0 or not world.knows(int(correction.keyframe_ids[-1])):
        return
    before = {record.id: record.world_from_camera for record in world.keyframes.values()}
    for i, keyframe_id in enumerate(correction.keyframe_ids.tolist()):
        if keyframe_id in world.keyframes:
            pose = Pose(correction.rotations[i], correction.positions_m[i]).normalized()
            world.keyframes[keyframe_id].world_from_camera = pose
    # The last one may have been culled since
    last = max((i for i in correction.keyframe_ids.tolist() if i in world.keyframes), default=None)
    if last is not None:
        moved = world.keyframes[last].world_from_camera @ before[last].inverse()
        for record in world.keyframes.values():
            if record.id > correction.keyframe_ids[-1]:
                record.world_from_camera = (moved @ record.world_from_camera).normalized()
    marks = world.landmarks
    rows = marks.rows(correction.landmark_ids)
    known = rows >= 0
    others = marks.alive.copy()
    others[rows[known]] = False
    _carry_along(world, before, others)
    marks.positions_m[rows[known]] = correction.landmarks_m[known]
    if abs(correction.disparity_offset_px) < MAX_DISPARITY_OFFSET_PX:
        world.lower_disparities(correction.disparity_offset_px - world.camera.disparity_offset_px)
    _drop(world, correction.outliers)


def unchanged(problem: BundleAdjustmentProblem) -> Correction:
    """Return the correction that takes a map back to where a problem was copied out of it."""
    free = ~problem.fixed
    return Correction(
        problem.keyframe_ids[free],
        problem.rotations[free],
        problem.positions_m[free],
        problem.landmark_ids,
        problem.landmarks_m,
        np.zeros((0, 2), np.int64),
        initial_error=np.nan,
        final_error=np.nan,
        disparity_offset_px=problem.camera.disparity_offset_px,
    )


def _carry_along(world: KeyframeMap, before: dict[int, Pose], others: BoolArray) -> None:
    """Move landmarks of a mask (L,) rigidly with the keyframes in which they are anchored, or their heirs."""
    marks = world.landmarks
    moved = {record.id for record in world.keyframes.values() if record.world_from_camera is not before[record.id]}
    rows = np.flatnonzero(others)
    anchors, inverse = np.unique(marks.anchor_ids[rows], return_inverse=True)
    for i, anchor in enumerate(anchors.tolist()):
        heir = world.heir(anchor)
        if heir in moved:
            theirs = rows[inverse == i]
            new_from_old = world.keyframes[heir].world_from_camera @ before[heir].inverse()
            marks.positions_m[theirs] = new_from_old.apply(marks.positions_m[theirs])


def _drop(world: KeyframeMap, outliers: IntArray) -> None:
    for keyframe_id in np.unique(outliers[:, 0]).tolist():
        if keyframe_id in world.keyframes:
            rows = outliers[outliers[:, 0] == keyframe_id, 1]
            world.remove_observations(world.keyframes[keyframe_id], rows)


def _problem(
    world: KeyframeMap,
    ids: IntArray,
    fixed: IntArray,
    landmark_rows: IntArray,
    disparity_sigma_px: float,
    offset_sigma_px: float,
) -> BundleAdjustmentProblem:
    """Collect the observations of `landmark_rows` (ascending) by the keyframes `ids` (ascending)."""
    position = np.full(world.landmarks.capacity + 1, -1, np.int64)
    position[landmark_rows] = np.arange(len(landmark_rows))
    records = [world.keyframes[int(i)] for i in ids]
    keypoints = [np.flatnonzero(position[r.landmark_rows] >= 0) for r in records]
    counts = [len(k) for k in keypoints]

    def gather(values: list[np.ndarray]) -> np.ndarray:
        return np.concatenate([v[k] for v, k in zip(values, keypoints, strict=True)])

    return BundleAdjustmentProblem(
        keyframe_ids=ids,
        rotations=np.array([r.world_from_camera.rotation for r in records]),
        positions_m=np.array([r.world_from_camera.translation_m for r in records]),
        fixed=np.isin(ids, fixed),
        landmark_ids=world.landmarks.ids(landmark_rows),
        landmarks_m=world.landmarks.positions_m[landmark_rows],
        keyframe_rows=np.repeat(np.arange(len(ids)), counts),
        landmark_rows=position[gather([r.landmark_rows for r in records])],
        keypoint_rows=np.concatenate(keypoints),
        pixels_xy=gather([r.features.keypoints_xy for r in records]).astype(np.float64),
        right_x=gather([r.right_x for r in records]).astype(np.float64),
        sigmas_px=gather([r.sigmas_px for r in records]).astype(np.float64),
        disparity_sigma_px=np.full(sum(counts), disparity_sigma_px),
        camera=world.camera,
        offset_sigma_px=offset_sigma_px,
    )
