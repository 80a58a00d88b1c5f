"""Finding where one map lies in another, and making one map of both."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from slamfront.config import MapMergingConfig, ProjectionConfig, RunConfig
from slamfront.geometry.align import align
from slamfront.geometry.pose import Pose, Sim3
from slamfront.map import KeyframeMap, KeyframeRecord
from slamfront.map.covisibility import landmarks_around
from slamfront.map.joining import absorb
from slamfront.map.places import PlaceIndex
from slamfront.mapping.landmarks import observe_again
from slamfront.protocols import Matcher
from slamfront.tracking.projection import match_projection, project
from slamfront.types import BoolArray, FloatArray, IntArray

# Rounds in which the maps are brought together, each with half the radius of the one before
_ROUNDS = 3


@dataclass(frozen=True, slots=True, eq=False)
class MapAlignment:
    """How two maps lie to each other.

    world_from_other    similarity; its scale is 1 unless a single camera made the maps
    pairs               landmarks that both maps have, as far as they agree on it
    keyframes           keyframes of the other map that show them
    """

    world_from_other: Sim3
    pairs: int
    keyframes: int


def find_joint(
    world: KeyframeMap, other: KeyframeMap, matcher: Matcher, places: PlaceIndex, scaled: bool, *, config: RunConfig
) -> MapAlignment | None:
    """Return how the other map lies in the world of the first, or None where they show no common place.

    Keyframes that look alike are matched, and the similarity (`scaled`) or rigid transform between their landmarks is
    found by RANSAC; then all keyframes of the other map look for the landmarks of the first where they should be.
    """
    places.update(world)
    rng, merging = np.random.default_rng(config.seed), config.maps.merging
    best, start = 0, None
    for record in other.keyframes.values():
        candidates = places.query(record.features, merging.candidates, world) or sorted(world.keyframes)
        for keyframe_id in candidates:
            found = _between(world, world.keyframes[keyframe_id], other, record, matcher, scaled, rng, merging)
            if found is not None and found[1] > best:
                start, best = found
    if start is None:
        return None
    return refined(world, other, other.keyframes.values(), start, scaled, config=config)


def join(world: KeyframeMap, other: KeyframeMap, joint: MapAlignment, *, config: RunConfig) -> int:
    """Make the other map, which is empty afterwards, part of the first; return how many landmarks were fused."""
    first, second = list(world.keyframes.values()), list(other.keyframes.values())
    absorb(world, other, joint.world_from_other)
    count = len(world.landmarks)
    fuse_across(world, first, second, config=config)
    fuse_across(world, second, first, config=config)
    return count - len(world.landmarks)


def fuse_across(
    world: KeyframeMap, records: Sequence[KeyframeRecord], others: Sequence[KeyframeRecord], *, config: RunConfig
) -> None:
    """Let keyframes observe the landmarks of others about them, with which nothing connected them so far."""
    merging = config.maps.merging
    for record in records:
        strangers = landmarks_around(world, record, others, merging.keyframes, merging.min_facing_cosine)
        if len(strangers):
            observe_again(world, record, strangers, config=config)


def _between(
    world: KeyframeMap,
    keyframe: KeyframeRecord,
    other: KeyframeMap,
    record: KeyframeRecord,
    matcher: Matcher,
    scaled: bool,
    rng: np.random.Generator,
    config: MapMergingConfig,
) -> tuple[Sim3, int] | None:
    """Return world_from_other by the landmarks that a keyframe of each map shows, and how many agree; None for few."""
    matches = matcher.match(keyframe.features, record.features).indices
    mine, theirs = keyframe.landmark_rows[matches[:, 0]], record.landmark_rows[matches[:, 1]]
    known = (mine >= 0) & (theirs >= 0)
    if known.sum() < config.min_pair:
        return None
    target, source = world.landmarks.positions_m[mine[known]], other.landmarks.positions_m[theirs[known]]
    views = (
        (keyframe.world_from_camera, keyframe.features.keypoints_xy[matches[known, 0]]),
        (record.world_from_camera, record.features.keypoints_xy[matches[known, 1]]),
    )

    def agreeing(similarity: Sim3) -> BoolArray:
        """Return which landmarks of each map lie where the other map's keyframe shows them."""
        (here, here_xy), (there, there_xy) = views
        forth = world.camera.project(here.inverse().apply(similarity.apply(source))) - here_xy
        back = world.camera.project(there.inverse().apply(similarity.inverse().apply(target))) - there_xy
        with np.errstate(invalid="ignore"):
            near = np.maximum(np.linalg.norm(forth, axis=1), np.linalg.norm(back, axis=1)) < config.max_error_px
        return np.asarray(near)

    inliers = np.zeros(len(target), bool)
    for _ in range(config.samples):
        chosen = rng.choice(len(target), 3, replace=False)
        near = agreeing(_aligned(source[chosen], target[chosen], scaled))
        if near.sum() > inliers.sum():
            inliers = near
    if inliers.sum() < config.min_pair:
        return None
    for _ in range(3):
        similarity = _aligned(source[inliers], target[inliers], scaled)
        inliers = agreeing(similarity)
        if inliers.sum() < config.min_pair:
            return None
    return similarity, int(inliers.sum())


def refined(
    world: KeyframeMap,
    other: KeyframeMap,
    records: Iterable[KeyframeRecord],
    start: Sim3,
    scaled: bool,
    *,
    config: RunConfig,
) -> MapAlignment | None:
    """Return how the other map lies by the landmarks that some of its keyframes show, closer and closer from a
    similarity `start` on; None where few of them agree.
    """
    similarity, pairs = start, np.zeros((0, 2), np.int64)
    keyframes, merging = 0, config.maps.merging
    for halvings in range(_ROUNDS):
        radius_px = merging.search_px / 2**halvings
        found = [_pairs(world, other, record, similarity, radius_px, config.tracker.projection) for record in records]
        keyframes = sum(len(part) >= merging.min_pair for part in found)
        pairs = np.unique(np.concatenate(found), axis=0)
        if len(pairs) < merging.min_all or keyframes == 0:
            return None
        source, target = other.landmarks.positions_m[pairs[:, 1]], world.landmarks.positions_m[pairs[:, 0]]
        similarity = _trimmed(source, target, similarity, scaled)
    return MapAlignment(similarity, len(pairs), keyframes)


def _pairs(
    world: KeyframeMap,
    other: KeyframeMap,
    record: KeyframeRecord,
    world_from_other: Sim3,
    radius_px: float,
    config: ProjectionConfig,
) -> IntArray:
    """Return rows (K,2) of landmarks of both maps that a keyframe of the other one shows at the same features."""
    camera_from_world = _in_world(record, world_from_other).inverse()
    rows = np.flatnonzero(world.landmarks.alive)
    projection = project(world.landmarks, rows, camera_from_world, world.camera, config=config)
    if len(projection) == 0:
        return np.zeros((0, 2), np.int64)
    keypoints, owners = match_projection(
        projection, world.landmarks, record.features, record.tree, radius_px, config=config
    )
    theirs = record.landmark_rows[keypoints]
    return np.column_stack([projection.rows[owners], theirs])[theirs >= 0]


def _in_world(record: KeyframeRecord, world_from_other: Sim3) -> Pose:
    return world_from_other.apply_to_pose(record.world_from_camera)


def _trimmed(source: FloatArray, target: FloatArray, similarity: Sim3, scaled: bool) -> Sim3:
    """Return the best transform of the half of the pairs (N,3) that agree best: far landmarks are imprecise."""
    for _ in range(5):
        distance = np.linalg.norm(similarity.apply(source) - target, axis=1)
        near = distance <= np.median(distance)
        similarity = _aligned(source[near], target[near], scaled)
    return similarity


def _aligned(source: FloatArray, target: FloatArray, scaled: bool) -> Sim3:
    return align(source, target, "sim3" if scaled else "se3").target_from_source
