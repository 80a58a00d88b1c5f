"""Two maps as one: everything of the second, carried into the world of the first."""

from __future__ import annotations

import numpy as np

from slamfront.geometry.pose import Pose, Sim3
from slamfront.map.keyframe_map import KeyframeMap, KeyframeRecord
from slamfront.types import IntArray


def absorb(world: KeyframeMap, other: KeyframeMap, world_from_other: Sim3) -> IntArray:
    """Take all of another map, which is empty afterwards, into a map, and return the new rows of its landmarks (L,).

    What `world` had keeps its ids and rows. Keyframes of `other` keep their ids too, unless both maps use the same
    ones: then they grow by `world.next_id`. Landmarks that are in both maps are there twice, to be fused. Both have the
    same camera and kind of descriptors; ValueError otherwise.
    """
    mine, theirs = world.landmarks.descriptors, other.landmarks.descriptors
    if (mine.shape[1], mine.dtype) != (theirs.shape[1], theirs.dtype):
        raise ValueError("maps of different descriptors cannot be joined")
    clash = any(world.knows(i) for i in (*other.keyframes, *other.retired))
    shift = world.next_id if clash else 0
    other.lower_disparities(world.camera.disparity_offset_px - other.camera.disparity_offset_px)
    world.void_ids(other.next_id + shift, other.landmarks.most_uses)
    rows = _carry_landmarks(world, other, world_from_other, shift)
    records = [_carried(record, world_from_other, rows, shift) for record in other.keyframes.values()]
    scale = world_from_other.scale
    retired = {
        gone + shift: (heir + shift, Pose(pose.rotation, scale * pose.translation_m))
        for gone, (heir, pose) in other.retired.items()
    }
    scales = {i + shift: scale * other.scale(i) for i in (*other.keyframes, *other.retired)}
    other.clear()
    world.adopt(records, retired, scales)
    return rows


def _carry_landmarks(world: KeyframeMap, other: KeyframeMap, similarity: Sim3, shift: int) -> IntArray:
    """Copy the other map's landmarks, and return the row of each of its rows (L,), -1 for those without one."""
    theirs, marks = np.flatnonzero(other.landmarks.alive), world.landmarks
    rows = marks.take_rows(len(theirs))
    source = other.landmarks.values()
    for name, values in marks.values().items():
        values[rows] = source[name][theirs]
    marks.set_patches(rows, marks.patches[rows])
    marks.positions_m[rows] = similarity.apply(marks.positions_m[rows])
    marks.view_directions[rows] = marks.view_directions[rows] @ similarity.rotation.T
    marks.anchor_distances_m[rows] *= np.float32(similarity.scale)
    marks.anchor_ids[rows] += shift
    marks.created_by[rows] += shift
    new_rows = np.full(other.landmarks.capacity, -1, np.int64)
    new_rows[theirs] = rows
    return new_rows


def _carried(record: KeyframeRecord, similarity: Sim3, rows: IntArray, shift: int) -> KeyframeRecord:
    """Return the keyframe itself, changed to the other world, with the new rows of its landmarks."""
    record.id += shift
    record.world_from_camera = similarity.apply_to_pose(record.world_from_camera)
    record.landmark_rows = np.where(record.landmark_rows >= 0, rows[record.landmark_rows], -1)
    return record
