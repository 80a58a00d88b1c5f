from __future__ import annotations

import numpy as np

from slamfront.geometry.camera import Camera
from slamfront.geometry.pose import Pose
from slamfront.training.data.correspondence import (
    IGNORED,
    UNMATCHED,
    carried_by_depth,
    carried_by_homography,
    match_labels,
    nothing_in_common,
)
from slamfront.training.data.rendered import RenderedPair

SIZE = (120, 90)
SHIFT = np.array([[1.0, 0, 10], [0, 1, 0], [0, 0, 1]])


def labels_of_shift(first: list[list[float]], second: list[list[float]], area: np.ndarray | None = None):
    area = np.ones(SIZE[::-1], bool) if area is None else area
    points = np.array(first, float).reshape(-1, 2), np.array(second, float).reshape(-1, 2)
    carried = (
        carried_by_homography(points[0], SHIFT, area),
        carried_by_homography(points[1], np.linalg.inv(SHIFT), np.ones_like(area)),
    )
    return match_labels(*points, *carried)


def test_near_is_the_same_far_is_not_and_in_between_nothing_is_said() -> None:
    first = [[20, 20], [40, 40], [60, 60], [80, 80]]
    second = [[32, 20], [54, 40], [76, 60], [90.5, 80]]  # 2, 4, 6 and .5 px off
    labels0, labels1 = labels_of_shift(first, second)
    assert labels0.tolist() == [0, IGNORED, UNMATCHED, 3]
    assert labels1.tolist() == [0, IGNORED, UNMATCHED, 3]


def test_what_leaves_the_image_is_unmatched() -> None:
    labels0, labels1 = labels_of_shift([[115, 20]], [[20, 70]])
    assert labels0.tolist() == [UNMATCHED]
    assert labels1.tolist() == [UNMATCHED]


def test_of_two_that_are_near_the_nearer_is_the_partner() -> None:
    labels0, _ = labels_of_shift([[20, 20], [21.5, 20]], [[30, 20]])
    assert labels0.tolist() == [0, IGNORED]


def test_a_point_beside_the_photograph_is_nobodys_partner() -> None:
    area = np.ones(SIZE[::-1], bool)
    area[:, :40] = False
    labels0, labels1 = labels_of_shift([[20, 20]], [[30, 20]], area)
    assert labels0.tolist() == labels1.tolist() == [IGNORED]  # by chance at the same place


def test_images_without_keypoints_and_of_other_places_are_unmatched() -> None:
    labels0, labels1 = labels_of_shift([], [[30, 20]])
    assert labels0.tolist() == [] and labels1.tolist() == [UNMATCHED]
    points = np.array([[20.0, 20.0]])
    apart = match_labels(points, points, nothing_in_common(1), nothing_in_common(1))
    assert [rows.tolist() for rows in apart] == [[UNMATCHED], [UNMATCHED]]


def depth_pair(inverse_depths: np.ndarray, second_from_first: Pose) -> RenderedPair:
    camera = Camera("pinhole", *SIZE, 100.0, 100.0, 59.5, 44.5)
    images = np.zeros(inverse_depths.shape, np.uint8)
    return RenderedPair(images, inverse_depths.astype(np.float32), (camera, camera), second_from_first)


def test_depth_carries_points_hides_them_and_without_it_nothing_is_said() -> None:
    inverse_depths = np.full((2, 90, 120), 0.5)  # a wall 2 m away
    inverse_depths[0, :, 100:] = 0.0  # unknown to the first camera
    inverse_depths[1, 60:] = 2.0  # half a metre before the second, below
    pair = depth_pair(inverse_depths, Pose(np.eye(3), np.array([0.2, 0.0, 0.0])))  # 10 px at 2 m
    first = np.array([[20.0, 20.0], [20.0, 80.0], [110.0, 20.0]])
    carried = carried_by_depth(first, pair)
    assert np.allclose(carried.points_xy[:2], first[:2] + (10, 0), atol=0.01)  # inverse depth in single precision
    assert carried.seen.tolist() == [True, False, False]
    assert carried.known.tolist() == [True, True, False]
    second = np.array([[30.0, 20.0], [90.0, 40.0]])
    labels0, _ = match_labels(first, second, carried, carried_by_depth(second, pair.reversed()))
    assert labels0.tolist() == [0, UNMATCHED, IGNORED]
