"""Matching landmarks to features where the landmarks should appear."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from slamfront.config import ProjectionConfig
from slamfront.descriptors import distances_to_candidates, same_landmark_distance
from slamfront.geometry.camera import Camera
from slamfront.geometry.pose import Pose
from slamfront.map import Landmarks
from slamfront.types import BoolArray, Features, FloatArray, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class Projection:
    """Landmarks as they should appear in a view: `rows` (M,), `xy` (M,2) px, `depths_m` (M,), `scales` (M,) of their
    features.
    """

    rows: IntArray
    xy: FloatArray
    depths_m: FloatArray
    scales: FloatArray

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, chosen: BoolArray | IntArray) -> Projection:
        """Return the chosen landmarks."""
        return Projection(self.rows[chosen], self.xy[chosen], self.depths_m[chosen], self.scales[chosen])


def project(
    landmarks: Landmarks, rows: IntArray, camera_from_world: Pose, camera: Camera, *, config: ProjectionConfig
) -> Projection:
    """Return those of the landmarks `rows` (L,) that should be visible: inside the image, and not seen from behind."""
    positions = landmarks.positions_m[rows]
    points = camera_from_world.apply(positions)
    xy = camera.project(points)
    to_camera = camera_from_world.inverse().translation_m - positions
    distances = np.maximum(np.linalg.norm(to_camera, axis=1), 1e-9)
    cosine = np.einsum("ij,ij->i", to_camera, landmarks.view_directions[rows]) / distances
    visible = camera.contains(xy, 4.0) & (cosine > config.min_view_cosine)
    scales = landmarks.anchor_scales[rows] * landmarks.anchor_distances_m[rows] / distances
    return Projection(rows[visible], xy[visible], points[visible, 2], scales[visible])


def match_projection(
    projection: Projection,
    landmarks: Landmarks,
    features: Features,
    tree: cKDTree,
    radius_px: float,
    *,
    config: ProjectionConfig,
) -> tuple[IntArray, IntArray]:
    """Return rows of features and rows of `projection` that match one to one.

    A landmark takes the feature of nearest descriptor within `radius_px` of where it should be and of about the
    predicted scale, if no other there comes nearly as close; a feature goes to the landmark nearest to it.
    """
    nothing = np.zeros(0, np.int64)
    if len(projection) == 0 or len(features) == 0:
        return nothing, nothing
    count = min(config.candidates, len(features))
    distances_px, candidates = tree.query(projection.xy, k=count, distance_upper_bound=radius_px)
    candidates, near = candidates.reshape(-1, count), np.isfinite(distances_px).reshape(-1, count)
    some = near.any(1)
    candidates, near, subset = candidates[some], near[some], np.flatnonzero(some)
    candidates = np.where(near, candidates, 0)
    near &= _scale_fits(features, candidates, projection.scales[subset], config.max_scale_ratio)
    descriptors = landmarks.descriptors[projection.rows[subset]]
    distances = distances_to_candidates(descriptors, features.descriptors[candidates])
    distances = np.where(near, distances, np.inf)
    lines = np.arange(len(subset))
    pick = distances.argmin(1) if len(subset) else nothing
    best = distances[lines, pick]
    distances[lines, pick] = np.inf
    second = distances.min(1) if len(subset) else best
    good = (best < same_landmark_distance(features.descriptors)) & (best < config.max_ratio * second)
    keypoints, owners, best = candidates[lines, pick][good], subset[good], best[good]
    order = np.argsort(best, kind="stable")
    _, first = np.unique(keypoints[order], return_index=True)
    kept = order[first]
    return keypoints[kept], owners[kept]


def _scale_fits(features: Features, candidates: IntArray, predicted: FloatArray, most: float) -> BoolArray:
    """Return which candidates (M,K) have about the predicted scale (M,); always, for features of a single scale."""
    largest = float(features.scales.max())
    if largest <= 1.0:
        return np.ones(candidates.shape, bool)
    ratio = features.scales[candidates] / np.clip(predicted, 1.0, largest)[:, None]
    return (ratio < most) & (ratio > 1.0 / most)
