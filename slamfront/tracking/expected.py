"""The local map as features of a view that is yet to be placed, for matchers that compare two images."""

from __future__ import annotations

import numpy as np

from slamfront.config import TrackerConfig
from slamfront.geometry.balance import balanced
from slamfront.geometry.pose import Pose
from slamfront.map import KeyframeMap, KeyframeRecord
from slamfront.protocols import Matcher
from slamfront.tracking.local_map import local_keyframes
from slamfront.tracking.projection import project
from slamfront.types import Features, Float32Array, IntArray

_COLUMNS = 16


def match_local_map(
    world: KeyframeMap,
    reference: KeyframeRecord,
    predicted: Pose,
    features: Features,
    matcher: Matcher,
    config: TrackerConfig,
) -> tuple[IntArray, IntArray]:
    """Return rows of landmarks of the local map, and of a view's features that match them, (M,) each.

    All keyframes around the reference lend their landmarks, where the predicted pose, camera_from_world, puts them: so
    the view is compared with what it should show, and not with what one keyframe showed from elsewhere.
    """
    expected, rows = expected_features(world, reference, predicted, config)
    matches = matcher.match(expected, features)
    return rows[matches.indices[:, 0]], matches.indices[:, 1]


def expected_features(
    world: KeyframeMap, reference: KeyframeRecord, camera_from_world: Pose, config: TrackerConfig
) -> tuple[Features, IntArray]:
    """Return the landmarks of the local map as the features of a camera at a pose, and their rows.

    As many as the reference keyframe has features, spread over the image, the most often found first. Descriptors are
    the landmarks', scores those of the newest keypoint of each.
    """
    ids = local_keyframes(world, reference, config)
    seen = project(world.landmarks, world.observed_by(ids), camera_from_world, world.camera)
    proof = world.landmarks.observations[seen.rows]
    seen = seen.take(balanced(seen.xy, proof, world.camera.width, len(reference.features), _COLUMNS))
    found = Features(
        seen.xy.astype(np.float32),
        _newest_scores(world, ids)[seen.rows],
        world.landmarks.descriptors[seen.rows],
        reference.features.image_size,
        seen.scales.astype(np.float32),
    )
    return found, seen.rows


def _newest_scores(world: KeyframeMap, keyframe_ids: IntArray) -> Float32Array:
    """Return by row of landmark the score of its keypoint in the newest of some keyframes."""
    scores = np.zeros(world.landmarks.capacity, np.float32)
    for keyframe_id in sorted(keyframe_ids.tolist()):
        record = world.keyframes[keyframe_id]
        held = record.landmark_rows >= 0
        scores[record.landmark_rows[held]] = record.features.scores[held]
    return scores
