"""Where points of one image lie in another, by pose and depth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from slamfront.evaluation.matching.homographies import HomographyPair
from slamfront.evaluation.matching.pairs import DepthView, PosedPair, depth_pair
from slamfront.geometry.camera import Camera
from slamfront.geometry.pose import Pose, rotation_exp
from slamfront.geometry.shutter import Shutter
from slamfront.types import Features

CAMERA = Camera("pinhole", 80, 60, 40.0, 40.0, 39.5, 29.5)
BLANK = np.zeros((60, 80), np.uint8)
RIGHTWARDS = Pose(np.eye(3), np.array([-0.25, 0.0, 0.0]))
STILL = Shutter(CAMERA, np.zeros(3))


def wall_and_post(post: slice) -> np.ndarray:
    """Return the depth of a wall 4 m away with a post 1 m away in some columns, and of a column without a depth."""
    depth_m = np.full((60, 80), 4.0, np.float32)
    depth_m[:, post] = 1.0
    depth_m[:, 70] = 0.0
    return depth_m


def pair(second_post: slice = slice(26, 34)) -> PosedPair:
    # 40 px m / 1 m * 0.25 m: the post moves by 10 px
    views = (
        DepthView(wall_and_post(slice(36, 44)), CAMERA, STILL),
        DepthView(wall_and_post(second_post), CAMERA, STILL),
    )
    return depth_pair((BLANK, BLANK), views, RIGHTWARDS)


def test_points_go_where_parallax_takes_them_unless_something_nearer_hides_them() -> None:
    warp = pair().warp(np.array([[20.0, 30.0], [40.0, 30.5], [32.0, 10.0], [1.0, 5.0], [70.0, 10.0]]))
    # on the wall, on the post, behind where the post moves, outside, and without a depth
    np.testing.assert_allclose(warp.points_xy[:2], [[17.5, 30.0], [30.0, 30.5]])
    assert np.isnan(warp.points_xy[2:]).all()
    np.testing.assert_array_equal(warp.known, [True, True, True, True, False])


def test_overlap_is_the_smaller_share_of_what_both_see_and_depth_is_the_median() -> None:
    found = pair()
    assert found.depth_m == 4.0
    # of 80 columns one side loses 2.5 at the edge and 10 behind the post, the other gains as many
    assert found.overlap == pytest.approx(1 - 12.5 / 80, abs=0.08)
    # of the ten columns looked at, the post, and one that comes where nothing is known
    assert pair(second_post=slice(0, 80)).overlap == pytest.approx(0.2)


def test_a_pair_without_depth_knows_of_no_point_but_of_its_line() -> None:
    posed = PosedPair(BLANK, BLANK, (CAMERA, CAMERA), RIGHTWARDS)
    points = np.array([[20.0, 30.0], [40.0, 10.0]])
    assert posed.overlap is None and not posed.warp(points).known.any()
    # a camera that moves to the right has level lines
    np.testing.assert_allclose(posed.epipolar_distance_px(points, points + [[-7.0, 0.0], [-3.0, 4.0]]), [0, 4.0])


def test_a_camera_that_only_turns_has_points_for_lines() -> None:
    turned = Pose(rotation_exp([0.0, 0.1, 0.0]), np.zeros(3))
    posed = PosedPair(BLANK, BLANK, (CAMERA, CAMERA), turned)
    points = np.array([[20.0, 30.0], [40.0, 10.0]])
    carried = CAMERA.project(turned.apply(CAMERA.unproject(points)))
    np.testing.assert_allclose(posed.epipolar_distance_px(points, carried + [3.0, 4.0]), [5.0, 5.0])


def test_keypoints_of_a_rolling_shutter_are_moved_to_the_middle_row_s_instant() -> None:
    camera = replace(CAMERA, readout_s=0.1)
    shutter = Shutter(camera, np.array([0.0, 0.5, 0.0]))
    posed = PosedPair(BLANK, BLANK, (camera, camera), RIGHTWARDS, shutters=(shutter, Shutter(camera, np.zeros(3))))
    xy = np.array([[40.0, 0.0], [40.0, 59.0]], np.float32)
    ones = np.ones(2, np.float32)
    first, second = posed.prepared(*[Features(xy, ones, np.eye(2, dtype=np.float32), (80, 60), ones)] * 2)
    # 40 px * .5 rad/s over half of .1 s is 1 px, to either side
    np.testing.assert_allclose(first.keypoints_xy[:, 0], [41.0, 39.0], atol=0.05)
    np.testing.assert_array_equal(second.keypoints_xy, xy)


def test_depth_is_read_where_the_rolling_shutter_has_seen_the_point() -> None:
    camera = replace(CAMERA, readout_s=0.1)
    shutter = Shutter(camera, np.array([0.0, 0.5, 0.0]))
    view = DepthView(wall_and_post(slice(40, 41)), camera, shutter)
    other = DepthView(np.zeros((60, 80), np.float32), camera, Shutter(camera, np.zeros(3)))
    # the post's lowest pixel lies a pixel further left at the middle row's instant
    warp = view.warp(np.array([[39.0, 59.0], [40.0, 59.0]]), other, RIGHTWARDS)
    np.testing.assert_allclose(warp.points_xy[:, 0], [29.0, 37.5], atol=0.1)


def test_planes_overlap_by_where_their_homography_leads() -> None:
    shift = np.array([[1.0, 0, 40.0], [0, 1, 0], [0, 0, 1]])
    assert HomographyPair(BLANK, BLANK, shift).overlap == 0.5
    zoom = np.array([[2.0, 0, -39.5], [0, 2.0, -29.5], [0, 0, 1]])
    assert HomographyPair(BLANK, BLANK, zoom).overlap == pytest.approx(0.25, abs=0.05)
    assert HomographyPair(BLANK, BLANK, np.eye(3)).overlap == 1.0
