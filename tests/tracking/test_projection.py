from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import cKDTree

from slamfront.config import ProjectionConfig
from slamfront.geometry.pose import Pose
from slamfront.map import KeyframeMap
from slamfront.tracking.projection import Projection, match_projection, project
from slamfront.types import Features, IntArray
from tests.map.worlds import CAMERA, add_keyframe, add_landmarks, empty_map

RADIUS_PX = 8.0


def seen_map(count: int = 60) -> tuple[KeyframeMap, IntArray, Features]:
    """Return a map with a keyframe at the origin, the rows of its landmarks, and the features that show them."""
    world = empty_map()
    keyframe = add_keyframe(world, count)
    return world, add_landmarks(world, keyframe, np.arange(count)), keyframe.features


def match(
    projection: Projection, world: KeyframeMap, features: Features, radius_px: float = RADIUS_PX
) -> dict[int, int]:
    """Return keypoint -> landmark row."""
    tree = cKDTree(features.keypoints_xy)
    keypoints, owners = match_projection(
        projection, world.landmarks, features, tree, radius_px, config=ProjectionConfig()
    )
    assert len(np.unique(keypoints)) == len(keypoints) and len(np.unique(owners)) == len(owners)
    return dict(zip(keypoints.tolist(), projection.rows[owners].tolist()))


def changed(features: Features, **values: np.ndarray) -> Features:
    parts = {
        "keypoints_xy": features.keypoints_xy,
        "scores": features.scores,
        "descriptors": features.descriptors,
        "image_size": features.image_size,
        "scales": features.scales,
    }
    return Features(**{**parts, **values})  # type: ignore[arg-type]


def test_landmarks_appear_where_the_camera_sees_them() -> None:
    world, rows, _ = seen_map()
    camera_from_world = Pose.exp([0.02, -0.05, 0.1, 0.1, 0.05, -0.2])
    projection = project(world.landmarks, rows, camera_from_world, CAMERA, config=ProjectionConfig())
    points = camera_from_world.apply(world.landmarks.positions_m[projection.rows])
    np.testing.assert_allclose(projection.xy, CAMERA.project(points), atol=1e-9)
    np.testing.assert_allclose(projection.depths_m, points[:, 2])
    assert len(projection) > 0.7 * len(rows)
    assert CAMERA.contains(projection.xy).all()


def test_landmarks_out_of_sight_do_not_appear() -> None:
    world, rows, _ = seen_map()
    assert (
        len(project(world.landmarks, rows, Pose.exp([0, np.pi, 0, 0, 0, 0]), CAMERA, config=ProjectionConfig())) == 0
    ), "behind the camera"
    assert (
        len(project(world.landmarks, rows, Pose(np.eye(3), np.array([9.0, 0, 0])), CAMERA, config=ProjectionConfig()))
        == 0
    ), "beside the image"
    assert len(project(world.landmarks, rows[:0], Pose.identity(), CAMERA, config=ProjectionConfig())) == 0


def test_landmarks_seen_from_the_other_side_do_not_appear() -> None:
    world, rows, _ = seen_map()
    # From 8 m ahead, looking back: they are inside the image, but show their backs
    back = Pose.exp([0, np.pi, 0, 0, 0, 0]) @ Pose(np.eye(3), np.array([0, 0, -8.0]))
    assert CAMERA.contains(CAMERA.project(back.apply(world.landmarks.positions_m[rows]))).any()
    assert len(project(world.landmarks, rows, back, CAMERA, config=ProjectionConfig())) == 0


def test_a_landmark_twice_as_near_has_twice_the_scale() -> None:
    world, rows, _ = seen_map()
    middle = rows[np.argmin(np.linalg.norm(world.landmarks.positions_m[rows, :2], axis=1))]
    near = world.landmarks.positions_m[middle] / 2
    projection = project(world.landmarks, np.array([middle]), Pose(np.eye(3), -near), CAMERA, config=ProjectionConfig())
    np.testing.assert_allclose(projection.scales, 2.0, rtol=1e-6)


def test_every_landmark_finds_its_own_feature() -> None:
    world, rows, features = seen_map()
    projection = project(world.landmarks, rows, Pose.identity(), CAMERA, config=ProjectionConfig())
    jitter = np.random.default_rng(1).uniform(-4, 4, features.keypoints_xy.shape).astype(np.float32)
    found = match(projection, world, changed(features, keypoints_xy=features.keypoints_xy + jitter))
    expected = {int(np.flatnonzero(rows == row)[0]): int(row) for row in projection.rows}
    assert found == expected


def test_a_feature_beyond_the_radius_is_not_found() -> None:
    world, rows, features = seen_map()
    projection = project(world.landmarks, rows, Pose.identity(), CAMERA, config=ProjectionConfig())
    away = changed(features, keypoints_xy=features.keypoints_xy + np.float32([RADIUS_PX + 1, 0]))
    assert match(projection, world, away) == {}
    assert len(match(projection, world, away, RADIUS_PX + 2)) > 50


def test_a_feature_that_looks_different_is_not_taken() -> None:
    world, rows, features = seen_map()
    projection = project(world.landmarks, rows, Pose.identity(), CAMERA, config=ProjectionConfig())
    assert match(projection, world, changed(features, descriptors=~features.descriptors)) == {}


def test_two_features_that_look_alike_leave_it_open() -> None:
    world, rows, features = seen_map(1)
    projection = project(world.landmarks, rows, Pose.identity(), CAMERA, config=ProjectionConfig())
    beside = Features(
        np.repeat(features.keypoints_xy, 2, 0) + np.float32([[0, 0], [3, 0]]),
        np.ones(2, np.float32),
        np.repeat(features.descriptors, 2, 0),
        features.image_size,
        np.ones(2, np.float32),
    )
    assert match(projection, world, beside) == {}


def test_a_feature_goes_to_the_landmark_that_looks_most_like_it() -> None:
    world = empty_map()
    keyframe = add_keyframe(world, 2)
    rows = add_landmarks(world, keyframe, np.array([0, 1]))
    world.landmarks.positions_m[rows[1]] = world.landmarks.positions_m[rows[0]]
    exact = keyframe.features.descriptors[:1]
    nearly = exact.copy()
    nearly[0, 0] ^= 0b111
    world.landmarks.descriptors[rows] = np.vstack([nearly, exact])
    one = changed(keyframe.features.take(np.array([0])), descriptors=exact)
    projection = project(world.landmarks, rows, Pose.identity(), CAMERA, config=ProjectionConfig())
    assert len(projection) == 2
    assert match(projection, world, one) == {0: int(rows[1])}


def test_a_feature_of_another_scale_is_not_taken() -> None:
    world, rows, features = seen_map()
    projection = project(world.landmarks, rows, Pose.identity(), CAMERA, config=ProjectionConfig())
    scales = np.ones(len(features), np.float32)
    scales[::2] = 1.2**5
    found = match(projection, world, changed(features, scales=scales))
    assert found and all(keypoint % 2 for keypoint in found)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_features_are_matched_as_many_are(count: int) -> None:
    world, rows, features = seen_map()
    projection = project(world.landmarks, rows, Pose.identity(), CAMERA, config=ProjectionConfig())
    inside = np.flatnonzero(np.isin(rows, projection.rows))[:count]
    assert len(match(projection, world, features.take(inside))) == count


def test_no_landmarks_match_nothing() -> None:
    world, rows, features = seen_map()
    assert (
        match(project(world.landmarks, rows[:0], Pose.identity(), CAMERA, config=ProjectionConfig()), world, features)
        == {}
    )


def test_float_descriptors_match_too() -> None:
    rng = np.random.default_rng(2)
    world = KeyframeMap(CAMERA, np.zeros((0, 64), np.float32))
    unit = rng.normal(size=(30, 64)).astype(np.float32)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    rows = world.landmarks.take_rows(30)
    xy = rng.uniform([20, 20], [300, 220], (30, 2)).astype(np.float32)
    world.landmarks.positions_m[rows] = 4 * CAMERA.unproject(xy)
    world.landmarks.descriptors[rows] = unit
    world.landmarks.view_directions[rows] = [0, 0, -1]
    features = Features(xy, np.ones(30, np.float32), unit, (320, 240), np.ones(30, np.float32))
    projection = project(world.landmarks, rows, Pose.identity(), CAMERA, config=ProjectionConfig())
    assert match(projection, world, features) == dict(enumerate(rows.tolist()))
