"""Keypoints, matches, homographies and relative poses with known errors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from slamfront.errors import EvaluationError
from slamfront.evaluation.matching.metrics import (
    POSE_THRESHOLDS_DEG,
    error_auc,
    homography_corner_error,
    keypoint_metrics,
    match_metrics,
    relative_pose_error,
    warp_points,
)
from slamfront.geometry.pose import rotation_exp

SIZE = (640, 480)
TILT = np.array([[0.9, 0.1, 20.0], [-0.05, 1.05, -10.0], [2e-4, -1e-4, 1.0]])


def grid_points(step: int = 40) -> np.ndarray:
    x, y = np.meshgrid(np.arange(60, 560, step), np.arange(60, 420, step))
    return np.stack([x.ravel(), y.ravel()], axis=1).astype(float)


def test_points_return_by_the_inverse_homography_and_its_sign_does_not_matter() -> None:
    points = grid_points()
    np.testing.assert_allclose(warp_points(np.linalg.inv(TILT), warp_points(TILT, points)), points, atol=1e-9)
    np.testing.assert_allclose(warp_points(-TILT, points), warp_points(TILT, points), atol=1e-12)


def test_a_point_behind_the_camera_has_no_place() -> None:
    behind = np.array([[1.0, 0, 0], [0, 1, 0], [-0.01, 0, 1]])
    warped = warp_points(behind, [[50.0, 0], [150.0, 0]])
    assert np.isfinite(warped[0]).all()
    assert np.isnan(warped[1]).all()


def test_keypoints_that_are_found_again_are_repeatable_and_their_offset_is_measured() -> None:
    first = grid_points()
    second = warp_points(TILT, first)
    exact = keypoint_metrics(first, second, TILT, SIZE, SIZE)
    assert exact.repeatability == 1.0
    assert exact.localization_error_px < 1e-9
    assert exact.visible == 2 * len(first)
    shifted = keypoint_metrics(first, first + [1.5, 2.0], np.eye(3), SIZE, SIZE)
    assert shifted.repeatability == 1.0
    assert shifted.localization_error_px == pytest.approx(2.5)


def test_half_the_keypoints_found_again_gives_their_share_in_both_directions() -> None:
    first = grid_points()
    second = np.concatenate([first[::2], first[1::2] + 20.0])
    found = keypoint_metrics(first, second, np.eye(3), SIZE, SIZE)
    assert found.repeatability == pytest.approx(len(first[::2]) / len(first))


def test_keypoints_outside_the_other_image_do_not_count() -> None:
    shift = np.array([[1.0, 0, 320], [0, 1, 0], [0, 0, 1]])
    first = np.array([[100.0, 100], [500.0, 100]])
    second = np.array([[420.0, 100], [10.0, 100]])
    found = keypoint_metrics(first, second, shift, SIZE, SIZE)
    assert (found.repeatability, found.visible) == (1.0, 2)


def test_no_keypoints_at_all_are_a_zero_and_no_crash() -> None:
    none = np.zeros((0, 2))
    for first, second in ((none, none), (none, grid_points()), (grid_points(), none)):
        found = keypoint_metrics(first, second, np.eye(3), SIZE, SIZE)
        assert found.repeatability == 0.0
        assert np.isnan(found.localization_error_px)
        matched = match_metrics(first, second, np.zeros((0, 2)), np.eye(3))
        assert (matched.precision, matched.recall, matched.correspondences) == (0.0, 0.0, 0)


def test_precision_and_recall_of_known_matches() -> None:
    first = grid_points()
    second = np.concatenate([warp_points(TILT, first), [[5.0, 5.0]]])
    count = len(first)
    right = np.stack([np.arange(count // 2)] * 2, axis=1)
    wrong = np.array([[count - 1, count], [count - 2, 0]])
    found = match_metrics(first, second, np.concatenate([right, wrong]), TILT)
    assert (found.correct, found.matches, found.correspondences) == (len(right), len(right) + 2, count)
    assert found.precision == pytest.approx(len(right) / (len(right) + 2))
    assert found.recall == found.exact_recall == pytest.approx(len(right) / count)


def test_a_true_correspondence_is_mutual() -> None:
    first, second = np.array([[10.0, 10], [11.0, 10]]), np.array([[10.2, 10.0]])
    found = match_metrics(first, second, [[1, 0]], np.eye(3))
    assert (found.correct, found.correspondences, found.exact_recall) == (1, 1, 0.0)


def test_each_keypoint_near_another_could_be_matched() -> None:
    first, second = np.array([[10.0, 10], [11.0, 10], [50.0, 50]]), np.array([[10.2, 10.0]])
    found = match_metrics(first, second, [[1, 0]], np.eye(3))
    assert (found.correct, found.matchable, found.recall) == (1, 2, 0.5)


def test_corner_error_is_the_shift_and_a_missing_estimate_is_infinite() -> None:
    shift = np.array([[1.0, 0, 3], [0, 1, 4], [0, 0, 1]])
    assert homography_corner_error(shift, np.eye(3), SIZE) == pytest.approx(5.0)
    assert homography_corner_error(2.0 * TILT, TILT, SIZE) == pytest.approx(0.0, abs=1e-9)
    assert homography_corner_error(None, np.eye(3), SIZE) == np.inf
    behind = np.array([[1.0, 0, 0], [0, 1, 0], [-0.01, 0, 1]])
    assert homography_corner_error(behind, np.eye(3), SIZE) == np.inf


@pytest.mark.parametrize("angle_deg", [1e-5, 0.5, 60.0, 179.0])
def test_relative_pose_errors_are_the_angles(angle_deg: float) -> None:
    turn = rotation_exp([0.0, np.radians(angle_deg), 0.0])
    base = rotation_exp([0.3, -0.2, 0.9])
    rotation_deg, direction_deg = relative_pose_error(
        base @ turn, 5 * base @ turn @ [0, 0, 1.0], base, base @ [0, 0, 1.0]
    )
    assert rotation_deg == pytest.approx(angle_deg, rel=1e-6)
    # a direction and its opposite are one
    assert direction_deg == pytest.approx(min(angle_deg, 180 - angle_deg), rel=1e-6)


def test_a_pose_without_translation_has_no_direction_to_be_wrong() -> None:
    assert relative_pose_error(np.eye(3), [1, 0, 0], np.eye(3), [0, 0, 0])[1] == 0.0
    assert relative_pose_error(np.eye(3), [0, 0, 0], np.eye(3), [1, 0, 0])[1] == 90.0


def test_auc_of_known_errors() -> None:
    # recall rises in a line from (0,0) to (2,.5), to (4,1), then stays: up to 10 that is .5 + 1.5 + 6
    assert error_auc([4.0, 2.0], [10.0]) == pytest.approx((0.8,))
    assert error_auc([0.0, 0.0], POSE_THRESHOLDS_DEG) == (1.0, 1.0, 1.0)
    assert error_auc([np.inf, np.nan, 50.0], POSE_THRESHOLDS_DEG) == (0.0, 0.0, 0.0)
    # beyond the last error below the threshold the recall stays what it was
    assert error_auc([1.0, 7.0], [5.0]) == pytest.approx(((0.25 + 4 * 0.5) / 5,))
    with pytest.raises(EvaluationError, match="no errors"):
        error_auc([], [5.0])


def test_auc_of_many_errors_tends_to_the_integral_of_their_distribution() -> None:
    errors = np.random.default_rng(0).uniform(0, 20, 20_000)
    # the distribution of a uniform error is t/20, whose mean up to T is T/40; 1 % is 3 deviations of the sample
    assert error_auc(errors, POSE_THRESHOLDS_DEG) == pytest.approx((5 / 40, 10 / 40, 20 / 40), abs=0.01)


def test_the_homographies_of_graffiti_carry_the_first_image_into_the_others(data: Path) -> None:
    files = sorted((data / "homography" / "graf").glob("H*"))
    if not files:
        pytest.skip("the graffiti images are not there")
    for path in files:
        homography = np.loadtxt(path)
        assert homography_corner_error(homography, homography, (800, 640)) == 0.0
        centre = warp_points(homography, [[400.0, 320.0]])[0]
        assert (centre > 0).all()
        assert (centre < [800, 640]).all()
