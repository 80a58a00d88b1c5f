from __future__ import annotations

import numpy as np

from slamfront.tracking.local_map import Picture, align_in_pictures, align_landmarks
from tests.tracking.worlds import clip, run_on


def test_landmarks_are_found_in_many_pictures_where_they_are_found_in_each() -> None:
    world = run_on(clip("room-loop", "rgbd", 24)).front.world
    records = [record for record in world.keyframes.values() if record.image is not None]
    assert len(records) >= 2
    sought = []
    for record in records:
        assert record.image is not None
        keypoints = np.flatnonzero(record.landmark_rows >= 0)
        start = record.features.keypoints_xy[keypoints] + np.array([0.4, -0.3])
        picture = Picture(record.world_from_camera.inverse(), record.image, record.shutter)
        sought.append((picture, record.landmark_rows[keypoints], start))
    xy, trusted = align_in_pictures(world, sought)
    one_by_one = [align_landmarks(world, rows, p.camera_from_world, at, p.image, p.shutter) for p, rows, at in sought]
    np.testing.assert_array_equal(trusted, np.concatenate([each for _, each in one_by_one]))
    assert trusted.mean() > 0.5
    # A row of the stacked image is a larger number, of which float32 keeps fewer digits
    np.testing.assert_allclose(xy[trusted], np.concatenate([each for each, _ in one_by_one])[trusted], atol=5e-3)
