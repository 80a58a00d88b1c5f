from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from slamfront.config import PoseConfig, TrackerConfig
from slamfront.geometry.camera import Camera
from slamfront.geometry.pose import Pose
from slamfront.geometry.shutter import Shutter
from slamfront.solve.pnp import (
    PixelObservations,
    PoseEstimate,
    TurningPrior,
    is_determined,
    ransac_pose,
    refine_pose,
)
from slamfront.types import FloatArray
from tests.solve.worlds import BASELINE_M, CAMERA_FROM_WORLD, MONO, STEREO, observed, points_in_view, pose_error

# A step as between two frames of a fast camera: 6 degrees and 17 cm
AWAY = Pose.exp([0.06, -0.06, 0.06, 0.1, -0.1, 0.1])
CAMERAS = pytest.mark.parametrize("camera", [MONO, STEREO], ids=["mono", "stereo"])


# --- RANSAC


def test_ransac_finds_the_pose_among_forty_percent_outliers() -> None:
    rng = np.random.default_rng(1)
    seen = observed(points_in_view(200, rng), CAMERA_FROM_WORLD, MONO, 0.3, rng)
    pixels = seen.pixels_xy.copy()
    wrong = np.arange(200) < 80
    pixels[wrong] = rng.uniform([0, 0], [640, 480], (80, 2))
    found = ransac_pose(seen.landmarks_m, pixels, MONO, 3.0)
    assert found is not None
    pose, inliers = found
    # 0.5 px on 120 points at 5 m: about half a millimetre across the view, a few along it
    angle, distance = pose_error(pose, CAMERA_FROM_WORLD)
    assert angle < 1e-3 and distance < 0.01
    assert inliers[~wrong].mean() > 0.98
    assert inliers[wrong].mean() < 0.02, "a random pixel lies within 3 px of the true one in 1 of 10000"


def test_ransac_is_repeatable() -> None:
    rng = np.random.default_rng(2)
    seen = observed(points_in_view(60, rng), CAMERA_FROM_WORLD, MONO, 1.0, rng)
    pixels = np.where(rng.random((60, 1)) < 0.3, rng.uniform(0, 480, (60, 2)), seen.pixels_xy)
    first, second = (ransac_pose(seen.landmarks_m, pixels, MONO, 4.0, seed=5) for _ in range(2))
    assert first is not None and second is not None
    np.testing.assert_array_equal(first[0].matrix(), second[0].matrix())
    np.testing.assert_array_equal(first[1], second[1])


@pytest.mark.parametrize("count", range(4))
def test_ransac_has_no_pose_for_fewer_than_four_points(count: int) -> None:
    rng = np.random.default_rng(3)
    seen = observed(points_in_view(count, rng), CAMERA_FROM_WORLD, MONO, 0.0, rng)
    assert ransac_pose(seen.landmarks_m, seen.pixels_xy, MONO, 4.0) is None


def test_ransac_has_no_pose_when_all_points_coincide() -> None:
    landmarks, pixels = np.tile([0.1, 0.2, 3.0], (20, 1)), np.tile([330.0, 250.0], (20, 1))
    found = ransac_pose(landmarks, pixels, MONO, 4.0)
    assert found is None or np.isfinite(found[0].matrix()).all()


# --- refinement


@CAMERAS
def test_refinement_converges_to_the_truth(camera: Camera) -> None:
    rng = np.random.default_rng(4)
    seen = observed(points_in_view(100, rng), CAMERA_FROM_WORLD, camera, 0.0, rng)
    estimate = refine_pose(AWAY @ CAMERA_FROM_WORLD, seen, camera, config=PoseConfig())
    assert estimate is not None
    # What Gauss-Newton leaves, which converges quadratically on exact data
    assert max(pose_error(estimate.camera_from_world, CAMERA_FROM_WORLD)) < 1e-9
    assert estimate.inliers.all()


def test_refinement_converges_with_depth_for_few_pixels() -> None:
    """As with a depth camera, whose depth is an x in a virtual right image."""
    rng = np.random.default_rng(5)
    points = points_in_view(3, rng)
    seen = observed(points, CAMERA_FROM_WORLD, STEREO, 0.0, rng)
    right_x = seen.pixels_xy[:, 0] - STEREO.fx * BASELINE_M / points[:, 2]
    ranged = PixelObservations(seen.landmarks_m, seen.pixels_xy, right_x, seen.sigmas_px, np.full(3, 0.3))
    estimate = refine_pose(AWAY @ CAMERA_FROM_WORLD, ranged, STEREO, config=PoseConfig())
    assert estimate is not None
    assert max(pose_error(estimate.camera_from_world, CAMERA_FROM_WORLD)) < 1e-9


def test_distances_make_the_pose_along_the_view_more_certain() -> None:
    """On average over 20 views, for how large residuals come out scales each by chance."""
    rng = np.random.default_rng(6)
    ratios = []
    for _ in range(20):
        points = points_in_view(40, rng, near_m=3.0, far_m=3.5)
        exact = observed(points, CAMERA_FROM_WORLD, STEREO, 0.5, rng)
        disparity = STEREO.disparity_times_depth / points[:, 2] + rng.normal(0, 0.02, 40)
        right_x = exact.pixels_xy[:, 0] - disparity
        both = replace(exact, right_x=right_x, disparity_sigma_px=np.full(40, 0.02))
        pixels_only = PixelObservations(both.landmarks_m, both.pixels_xy, np.full(40, np.nan), both.sigmas_px)
        one, two = (refine_pose(CAMERA_FROM_WORLD, o, STEREO, config=PoseConfig()) for o in (pixels_only, both))
        assert one is not None and two is not None
        ratios.append(two.covariance[5, 5] / one.covariance[5, 5])
    assert np.mean(ratios) < 0.9


def test_what_landmarks_do_not_determine_is_reported_as_unknown() -> None:
    """Landmarks a million kilometres away show how a camera is turned, and nothing of where it is."""
    rng = np.random.default_rng(11)
    points = points_in_view(200, rng) * 1e9
    estimate = refine_pose(
        CAMERA_FROM_WORLD, observed(points, CAMERA_FROM_WORLD, MONO, 0.5, rng), MONO, config=PoseConfig()
    )
    assert estimate is not None
    turn, place = (np.sqrt(np.diag(estimate.covariance)[k : k + 3]) for k in (0, 3))
    assert (turn < np.deg2rad(0.1)).all()
    assert (place > 1e6).all()


def test_landmarks_on_one_small_object_do_not_determine_a_pose() -> None:
    """Fifty of them within two degrees, ten metres away, fit a camera that turns as well as one that moves."""
    rng = np.random.default_rng(12)
    points = np.column_stack([rng.uniform(-0.17, 0.17, (50, 2)), rng.uniform(9.9, 10.1, 50)])
    spread = points_in_view(50, rng)
    for seen_points, determined in ((points, False), (spread, True)):
        seen = observed(seen_points, CAMERA_FROM_WORLD, MONO, 0.5, rng)
        estimate = refine_pose(CAMERA_FROM_WORLD, seen, MONO, config=PoseConfig())
        assert estimate is not None
        assert is_determined(estimate.covariance, estimate.depth_m, TrackerConfig()) == determined


def test_many_landmarks_that_are_followed_wrongly_do_not_draw_the_camera() -> None:
    """A third of the landmarks slides along an edge, by 20 to 40 px the same way."""
    rng = np.random.default_rng(13)
    seen = observed(points_in_view(120, rng), CAMERA_FROM_WORLD, MONO, 0.5, rng)
    pixels = seen.pixels_xy.copy()
    pixels[:40, 0] += rng.uniform(20, 40, 40)
    estimate = refine_pose(CAMERA_FROM_WORLD, replace(seen, pixels_xy=pixels), MONO, config=PoseConfig())
    assert estimate is not None
    assert not estimate.inliers[:40].any()
    twist = (estimate.camera_from_world @ CAMERA_FROM_WORLD.inverse()).log()
    assert (np.abs(twist) < 5 * np.sqrt(np.diag(estimate.covariance))).all()


def test_landmarks_of_more_weight_decide_where_two_motions_explain_the_image() -> None:
    """Half of the landmarks move together, the others stay; those that stay have been known for longer."""
    rng = np.random.default_rng(14)
    points = points_in_view(100, rng)
    moved = np.vstack([points[:50] + (0.3, 0.0, 0.0), points[50:]])
    seen = observed(moved, CAMERA_FROM_WORLD, MONO, 0.5, rng)
    world = CAMERA_FROM_WORLD.inverse().apply(points)
    weights = np.r_[np.full(50, 0.05), np.ones(50)]
    estimate = refine_pose(
        CAMERA_FROM_WORLD, replace(seen, landmarks_m=world, weights=weights), MONO, config=PoseConfig()
    )
    assert estimate is not None
    twist = (estimate.camera_from_world @ CAMERA_FROM_WORLD.inverse()).log()
    assert (np.abs(twist) < 5 * np.sqrt(np.diag(estimate.covariance))).all()


def test_how_a_rolling_shutter_turned_is_estimated_with_the_pose() -> None:
    rng = np.random.default_rng(15)
    camera = replace(MONO, readout_s=0.03)
    true, expected = Shutter(camera, np.array([0.2, 1.0, -0.3])), Shutter(camera, np.zeros(3))
    seen = observed(points_in_view(150, rng), CAMERA_FROM_WORLD, camera, 0.5, rng)
    pixels = expected.to_middle(true.to_image(seen.pixels_xy))
    turning = TurningPrior(expected, 1.0)
    estimate = refine_pose(
        CAMERA_FROM_WORLD, replace(seen, pixels_xy=pixels), camera, turning=turning, config=PoseConfig()
    )
    assert estimate is not None and estimate.shutter is not None
    # 150 landmarks of half a pixel, which a turning of 1 rad/s moves by up to 8 px
    np.testing.assert_allclose(estimate.shutter.angular_velocity, true.angular_velocity, atol=0.05)
    deviations = np.sqrt(np.diag(estimate.covariance))
    twist = (estimate.camera_from_world @ CAMERA_FROM_WORLD.inverse()).log()
    errors = np.r_[twist, estimate.shutter.angular_velocity - true.angular_velocity]
    assert (np.abs(errors) < 5 * deviations).all()


@CAMERAS
def test_refinement_drops_gross_outliers_and_keeps_the_rest(camera: Camera) -> None:
    rng = np.random.default_rng(7)
    seen = observed(points_in_view(150, rng), CAMERA_FROM_WORLD, camera, 0.5, rng)
    pixels = seen.pixels_xy.copy()
    pixels[:30] += rng.choice([-1, 1], (30, 2)) * rng.uniform(15, 40, (30, 2))
    noisy = PixelObservations(seen.landmarks_m, pixels, seen.right_x, seen.sigmas_px, seen.disparity_sigma_px)
    estimate = refine_pose(
        Pose.exp([0.01, 0.01, 0, 0.02, 0, 0.02]) @ CAMERA_FROM_WORLD, noisy, camera, config=PoseConfig()
    )
    assert estimate is not None
    assert not estimate.inliers[:30].any()
    assert estimate.inliers[30:].mean() > 0.88, "the gate keeps 95 %, and the sample is 120"
    # Five standard deviations, as the estimate itself tells them
    twist = (estimate.camera_from_world @ CAMERA_FROM_WORLD.inverse()).log()
    assert (np.abs(twist) < 5 * np.sqrt(np.diag(estimate.covariance))).all()


def test_a_few_wrong_pixels_in_a_clean_image_move_the_camera_little() -> None:
    """Noise is a tenth of what sigmas say, and 20 of 300 pixels, on one side, are off by a pixel, as sigmas allow."""
    errors_m = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        seen = observed(points_in_view(300, rng), CAMERA_FROM_WORLD, MONO, 0.05, rng)
        pixels = seen.pixels_xy.copy()
        pixels[np.flatnonzero(pixels[:, 0] > 500)[:20], 0] += 1.0
        clean = replace(seen, pixels_xy=pixels, sigmas_px=np.full(300, 0.5))
        estimate = refine_pose(CAMERA_FROM_WORLD, clean, MONO, config=PoseConfig())
        assert estimate is not None and estimate.inliers.all()
        errors_m.append(pose_error(estimate.camera_from_world, CAMERA_FROM_WORLD)[1])
    # With gates as wide as sigmas allow it is 1.4 mm, and half of that is gained
    assert np.mean(errors_m) < 0.9e-3


@CAMERAS
def test_covariance_is_that_of_the_errors(camera: Camera) -> None:
    """Normalised estimation error squared, whose mean is 6 for six parameters (Bar-Shalom et al. 2001, section 5.4).

    Errors of neighbouring patches are alike, and count by half: for errors that are all independent, as here, it is 3.
    """
    rng = np.random.default_rng(8)
    squares = []
    for _ in range(200):
        seen = observed(points_in_view(80, rng), CAMERA_FROM_WORLD, camera, 0.5, rng)
        estimate = refine_pose(Pose.exp(rng.normal(0, 0.01, 6)) @ CAMERA_FROM_WORLD, seen, camera, config=PoseConfig())
        assert estimate is not None
        twist = (estimate.camera_from_world @ CAMERA_FROM_WORLD.inverse()).log()
        squares.append(twist @ np.linalg.solve(estimate.covariance, twist))
    # The mean of 200 has a standard deviation of sqrt(12 / 200) / 2 = 0.12. Rejecting 5 % of good observations makes
    # errors a little larger than their least squares share, and the residuals of those that are left smaller.
    assert 2.6 < np.mean(squares) < 4.5


def test_landmarks_of_unknown_depth_do_not_draw_the_camera_to_where_they_tell_nothing() -> None:
    """A camera turns by 2 degrees and moves by thousandths of the depths, which no one knows; its rows are .4 % too
    far apart, as a rolling shutter leaves them whose turning is misjudged.
    """
    angles = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        points, truth = points_in_view(250, rng, 0.7, 1.5), Pose.exp([0.02, -0.03, 0.01, 0.002, 0.001, -0.001])
        pixels = MONO.project(truth.apply(points)) + rng.normal(0, 0.7, (250, 2))
        pixels[:, 1] += 0.004 * (pixels[:, 1] - MONO.cy)
        guessed = points / points[:, 2:]
        unknown = np.full(250, np.nan)
        seen = PixelObservations(guessed, pixels, unknown, np.full(250, 0.5), spreads_m=guessed)
        found = refine_pose(Pose.identity(), seen, MONO, config=PoseConfig())
        assert found is not None
        angles.append(pose_error(found.camera_from_world, truth)[0])
    # .07 degrees; .14 where nothing but the fit counts
    assert np.median(angles) < np.deg2rad(0.1)


@pytest.mark.parametrize("count", range(3))
def test_refinement_has_no_pose_for_fewer_than_three_points(count: int) -> None:
    rng = np.random.default_rng(9)
    seen = observed(points_in_view(count, rng), CAMERA_FROM_WORLD, MONO, 0.0, rng)
    assert refine_pose(CAMERA_FROM_WORLD, seen, MONO, config=PoseConfig()) is None


def test_refinement_has_no_pose_for_points_behind_the_camera() -> None:
    rng = np.random.default_rng(10)
    seen = observed(points_in_view(20, rng), CAMERA_FROM_WORLD, MONO, 0.0, rng)
    about_face = Pose.exp([0, np.pi, 0, 0, 0, 0]) @ CAMERA_FROM_WORLD
    assert refine_pose(about_face, seen, MONO, config=PoseConfig()) is None


def test_points_behind_the_camera_do_not_disturb_those_in_front() -> None:
    rng = np.random.default_rng(11)
    seen = observed(points_in_view(60, rng), CAMERA_FROM_WORLD, MONO, 0.0, rng)
    landmarks = seen.landmarks_m.copy()
    behind = np.arange(60) % 6 == 0
    in_camera = CAMERA_FROM_WORLD.apply(landmarks[behind])
    landmarks[behind] = CAMERA_FROM_WORLD.inverse().apply(-in_camera)
    estimate = refine_pose(
        AWAY @ CAMERA_FROM_WORLD,
        PixelObservations(landmarks, seen.pixels_xy, seen.right_x, seen.sigmas_px),
        MONO,
        config=PoseConfig(),
    )
    assert estimate is not None
    assert max(pose_error(estimate.camera_from_world, CAMERA_FROM_WORLD)) < 1e-9
    np.testing.assert_array_equal(estimate.inliers, ~behind)


def test_points_in_one_place_give_no_certain_pose() -> None:
    seen = PixelObservations(
        np.tile([0.0, 0.0, 4.0], (10, 1)), np.tile([320.0, 240.0], (10, 1)), np.full(10, np.nan), np.ones(10)
    )
    estimate = refine_pose(Pose.identity(), seen, MONO, config=PoseConfig())
    assert estimate is None or np.isfinite(estimate.camera_from_world.matrix()).all()


def test_refined_rotation_is_a_rotation() -> None:
    rng = np.random.default_rng(12)
    seen = observed(points_in_view(30, rng), CAMERA_FROM_WORLD, MONO, 1.0, rng)
    estimate = refine_pose(AWAY @ CAMERA_FROM_WORLD, seen, MONO, config=PoseConfig())
    assert estimate is not None
    rotation = estimate.camera_from_world.rotation
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-14)


# --- a rolling shutter

ROLLING = replace(MONO, readout_s=0.026)
TURNING = np.array([0.5, -1.0, 0.3])


def refined_turning(
    start: Pose, expected: Shutter, seen: PixelObservations, image_xy: FloatArray, sigma_rad_s: float
) -> PoseEstimate | None:
    """Return the pose by pixels of an image (N,2) that a rolling shutter has taken."""
    straight = replace(seen, pixels_xy=expected.to_middle(image_xy))
    return refine_pose(start, straight, MONO, turning=TurningPrior(expected, sigma_rad_s), config=PoseConfig())


def test_a_pose_is_found_together_with_how_the_camera_turned() -> None:
    rng = np.random.default_rng(4)
    seen = observed(points_in_view(150, rng), CAMERA_FROM_WORLD, MONO, 0.5, rng)
    image_xy = Shutter(ROLLING, TURNING).to_image(seen.pixels_xy)
    image_xy[:30] = rng.uniform([0, 0], [640, 480], (30, 2))
    start, still = Pose.exp([0.01, -0.01, 0.01, 0.03, -0.02, 0.03]) @ CAMERA_FROM_WORLD, Shutter(ROLLING, np.zeros(3))
    found = refined_turning(start, still, seen, image_xy, 1.0)
    assert found is not None and found.shutter is not None
    assert 30 * 5 < found.cost < 30 * 6 + 120 * 3, "the wrong ones in full, the others by their two degrees of freedom"
    assert found.inliers[30:].mean() > 0.9 and found.inliers[:30].mean() < 0.1
    # 1 rad/s moves pixels by up to 7 px, and .5 px on 120 points leave a hundredth of that
    np.testing.assert_allclose(found.shutter.angular_velocity, TURNING, atol=0.1)
    angle, distance = pose_error(found.camera_from_world, CAMERA_FROM_WORLD)
    assert angle < 2e-3 and distance < 0.015


def test_few_pixels_do_not_outweigh_the_velocity_that_is_expected() -> None:
    rng = np.random.default_rng(5)
    seen = observed(points_in_view(6, rng), CAMERA_FROM_WORLD, MONO, 1.0, rng)
    image_xy = Shutter(ROLLING, TURNING).to_image(seen.pixels_xy)
    found = refined_turning(CAMERA_FROM_WORLD, Shutter(ROLLING, TURNING), seen, image_xy, 0.05)
    assert found is not None and found.shutter is not None
    np.testing.assert_allclose(found.shutter.angular_velocity, TURNING, atol=0.05)


@pytest.mark.parametrize("count", range(3))
def test_too_few_pixels_give_no_pose_and_no_velocity(count: int) -> None:
    rng = np.random.default_rng(6)
    seen = observed(points_in_view(count, rng), CAMERA_FROM_WORLD, MONO, 0.0, rng)
    assert refined_turning(CAMERA_FROM_WORLD, Shutter(ROLLING, TURNING), seen, seen.pixels_xy, 1.0) is None
