"""Keyframes around a cloud of landmarks, put into a map without any image."""

from __future__ import annotations

import numpy as np

from slamfront.geometry.camera import Camera
from slamfront.geometry.pose import Pose
from slamfront.geometry.shutter import Shutter
from slamfront.map import KeyframeMap, KeyframeRecord
from slamfront.patches import PATCH_SIZE
from slamfront.types import Features, IntArray

CAMERA = Camera("pinhole", 320, 240, 250.0, 250.0, 160.0, 120.0, (), 0.1)
NONE = np.zeros(0, np.int64)


def features(count: int, rng: np.random.Generator) -> Features:
    """Return keypoints anywhere in the image with random bits."""
    return Features(
        rng.uniform([5, 5], [315, 235], (count, 2)).astype(np.float32),
        np.ones(count, np.float32),
        rng.integers(0, 256, (count, 32), np.uint8),
        (CAMERA.width, CAMERA.height),
        np.ones(count, np.float32),
    )


def empty_map() -> KeyframeMap:
    return KeyframeMap(CAMERA, np.zeros((0, 32), np.uint8))


def add_keyframe(
    world: KeyframeMap, count: int = 30, landmark_rows: IntArray = NONE, x_m: float = 0.0, seed: int = 0
) -> KeyframeRecord:
    """Add a keyframe at x whose first features observe the given landmarks, and the others none."""
    rng = np.random.default_rng(seed)
    rows = np.full(count, -1, np.int64)
    rows[: len(landmark_rows)] = landmark_rows
    pose = Pose(np.eye(3), np.array([x_m, 0.0, 0.0]))
    right_x = np.full(count, np.nan, np.float32)
    sigmas_px, shutter = np.ones(count, np.float32), Shutter(CAMERA, np.zeros(3))
    return world.add_keyframe(
        1000 * len(world.keyframes), pose, features(count, rng), right_x, sigmas_px, rows, None, shutter
    )


def add_landmarks(
    world: KeyframeMap, keyframe: KeyframeRecord, keypoint_rows: IntArray, depth_m: float = 4.0
) -> IntArray:
    """Add landmarks at a depth along the rays of features of a keyframe."""
    rays = world.camera.unproject(keyframe.features.keypoints_xy[keypoint_rows])
    patches = np.zeros((len(keypoint_rows), PATCH_SIZE, PATCH_SIZE), np.uint8)
    return world.add_landmarks(keyframe, keypoint_rows, keyframe.world_from_camera.apply(rays * depth_m), patches)


def chain(length: int, count: int = 30, shared: int = 20) -> tuple[KeyframeMap, list[KeyframeRecord]]:
    """Return a map of keyframes in a row, each of which sees `shared` landmarks of the one before and adds others."""
    world = empty_map()
    records: list[KeyframeRecord] = []
    seen = NONE
    for i in range(length):
        record = add_keyframe(world, count, seen[-shared:] if i else NONE, 0.1 * i, seed=i)
        free = np.flatnonzero(record.landmark_rows < 0)
        new = add_landmarks(world, record, free)
        seen = np.r_[record.landmark_rows[record.landmark_rows >= 0][: -len(new)], new]
        records.append(record)
    return world, records


def observers(world: KeyframeMap) -> dict[int, list[int]]:
    """Return for every living landmark's row the keyframes that see it, once for each observation."""
    found: dict[int, list[int]] = {int(row): [] for row in np.flatnonzero(world.landmarks.alive)}
    for record in world.keyframes.values():
        for row in record.landmark_rows[record.landmark_rows >= 0]:
            found[int(row)].append(record.id)
    return found


def assert_consistent(world: KeyframeMap) -> None:
    """Observations are of living landmarks, one a keyframe, and the counts are theirs."""
    found = observers(world)  # a KeyError tells an observation of a dead landmark
    for row, ids in found.items():
        assert len(set(ids)) == len(ids), "a keyframe sees a landmark once"
        assert world.landmarks.observations[row] == len(ids)
    assert len(world.landmarks) == len(found) == world.landmarks.alive.sum()
