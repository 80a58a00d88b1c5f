"""Keyframes and landmarks about a keyframe, by what they share with it and where they stand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from slamfront.map.keyframe_map import KeyframeMap, KeyframeRecord
from slamfront.types import IntArray


def connected(world: KeyframeMap, keyframe: KeyframeRecord) -> IntArray:
    """Return ids of the keyframes that the map connects with a keyframe, itself among them: by landmarks that both see,
    or that both share with a third.
    """
    near = np.r_[keyframe.id, world.covisible(keyframe)]
    ids, counts = world.keyframes_seeing(world.observed_by(near))
    return np.unique(np.r_[near, ids[counts >= world.covisibility.min_landmarks]])


def landmarks_around(
    world: KeyframeMap,
    record: KeyframeRecord,
    others: Sequence[KeyframeRecord],
    count: int,
    min_facing_cosine: float,
) -> IntArray:
    """Return rows of landmarks that a keyframe does not observe, of those `count` among others that stand nearest and
    look about the same way.
    """
    place = record.world_from_camera
    distance = [float(np.linalg.norm(r.world_from_camera.translation_m - place.translation_m)) for r in others]
    facing = [float(r.world_from_camera.rotation[:, 2] @ place.rotation[:, 2]) > min_facing_cosine for r in others]
    order = [i for i in np.argsort(distance).tolist() if facing[i]][:count]
    rows = world.observed_by(np.array([others[i].id for i in order], np.int64))
    seen = np.zeros(world.landmarks.capacity + 1, bool)
    seen[record.landmark_rows] = True
    return rows[~seen[rows]]
