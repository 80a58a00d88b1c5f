"""How precisely keyframes determine the depths of landmarks."""

from __future__ import annotations

import numpy as np

from slamfront.config import TriangulationConfig
from slamfront.map.keyframe_map import KeyframeMap
from slamfront.types import FloatArray, IntArray


def measure_depths(
    world: KeyframeMap, disparity_sigma_px: float, rows: IntArray | None = None, *, config: TriangulationConfig
) -> None:
    """Write into landmarks of a map, all or those of rows, how far they may lie along their rays from where they are.

    Keyframes at distances b from their mean, across the rays of a landmark d away, determine its inverse depth with
    information sum(b^2) / sigma^2, so that its relative deviation is sigma d / sqrt(sum(b^2)); inverse depth stays
    Gaussian where depth does not (Civera, Davison and Montiel, "Inverse depth parametrization for monocular SLAM",
    2008). A disparity adds its square over its variance, once: what one landmark's disparities are wrong by is alike
    wherever it is seen from. A landmark that only one place of a single camera has seen is a direction, at a depth that
    may be any.

    It is to be called for landmarks whose positions have just been worked out from all their keyframes: a new keyframe
    says nothing about a position that it did not change.
    """
    marks, size = world.landmarks, world.landmarks.capacity
    chosen = np.flatnonzero(marks.alive) if rows is None else rows
    owners, seen = world.sightings(chosen)
    if len(seen) == 0:
        return
    ids = np.array(list(world.keyframes), np.int64)
    centres = np.array([record.world_from_camera.translation_m for record in world.keyframes.values()]).reshape(-1, 3)
    order = np.argsort(ids)
    seen_from = centres[order[np.searchsorted(ids[order], owners)]]
    count = np.maximum(np.bincount(seen, minlength=size), 1)[:, None]
    mean = np.column_stack([np.bincount(seen, c, size) for c in seen_from.T]) / count
    offset = marks.positions_m - mean
    distance = np.maximum(np.linalg.norm(offset, axis=1), 1e-9)
    aside = seen_from - mean[seen]
    along = np.einsum("ij,ij->i", aside, offset[seen]) / distance[seen]
    squares = np.bincount(seen, np.maximum(np.einsum("ij,ij->i", aside, aside) - along**2, 0.0), size)
    information = squares / distance**2 * (world.camera.fx / config.direction_sigma_px) ** 2
    if world.camera.baseline_m is not None:
        information += (_largest_disparities_px(world, np.unique(owners)) / disparity_sigma_px) ** 2
    marks.spreads_m[chosen] = (offset / np.sqrt(information + config.unknown_depth_sigma**-2)[:, None])[chosen]


def _largest_disparities_px(world: KeyframeMap, keyframe_ids: IntArray) -> FloatArray:
    """Return for each landmark (L,) the largest disparity that some keyframes measured of it; nought where none did."""
    largest = np.zeros(world.landmarks.capacity)
    for keyframe_id in keyframe_ids.tolist():
        record = world.keyframes[keyframe_id]
        observing = record.landmark_rows >= 0
        disparities = (record.features.keypoints_xy[:, 0] - record.right_x)[observing]
        np.fmax.at(largest, record.landmark_rows[observing], disparities)
    return largest
