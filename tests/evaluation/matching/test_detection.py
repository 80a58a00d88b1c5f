"""Detectors with known faults, and classical ones on images with known corners."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from slamfront.errors import EvaluationError
from slamfront.evaluation.matching.detection import (
    CLASSICAL,
    Detections,
    average_precision,
    corner_distances,
    detection_metrics,
    fast_score,
    strongest,
)

CORNERS = np.stack(np.meshgrid(np.arange(20.0, 141, 20), np.arange(20.0, 101, 20)), axis=-1).reshape(-1, 2)
CORNERS = CORNERS.astype(np.float32)
BLANK = np.zeros((120, 160), np.uint8)


def detections(points: object, confidences: object = None) -> Detections:
    xy = np.asarray(points, np.float32).reshape(-1, 2)
    return Detections(xy, np.asarray(np.ones(len(xy)) if confidences is None else confidences, np.float32))


def square() -> tuple[np.ndarray, np.ndarray]:
    image = np.full((120, 160), 60, np.uint8)
    image[40:80, 50:110] = 200
    # The edge runs between two pixels
    return image, np.array([[49.5, 39.5], [109.5, 39.5], [109.5, 79.5], [49.5, 79.5]], np.float32)


def test_a_perfect_detector_scores_one_without_error() -> None:
    found = detection_metrics([(BLANK, CORNERS)] * 3, lambda image: detections(CORNERS))
    assert (found.mean_average_precision, found.average_precision, found.localization_error_px) == (1.0, 1.0, 0.0)
    assert (found.corners, found.detections, found.images) == (3 * len(CORNERS), 3 * len(CORNERS), 3)


def test_a_shift_is_the_localisation_error_until_it_is_too_far() -> None:
    found = detection_metrics([(BLANK, CORNERS)], lambda image: detections(CORNERS + [1.5, 2.0]))
    assert (found.average_precision, found.localization_error_px) == (1.0, 2.5)
    lost = detection_metrics([(BLANK, CORNERS)], lambda image: detections(CORNERS + [3.0, 3.0]))
    assert lost.average_precision == 0.0 and np.isnan(lost.localization_error_px)


def test_a_random_detector_scores_next_to_nothing() -> None:
    rng = np.random.default_rng(0)

    def guessing(image: np.ndarray) -> Detections:
        return detections(rng.uniform(0, 1, (100, 2)) * [160, 120], rng.uniform(0, 1, 100))

    found = detection_metrics([(BLANK, CORNERS[:4])] * 50, guessing)
    # A guess hits one of four discs of 4 px radius once in a hundred times
    assert found.average_precision < 0.03 and found.mean_average_precision < 0.1


def test_a_second_detection_of_a_corner_is_wrong_and_the_surest_comes_first() -> None:
    found = detections([[21.0, 20], [20, 20], [60, 60]], [0.5, 0.9, 0.7])
    np.testing.assert_array_equal(corner_distances(found, CORNERS[:1]), [np.inf, 0.0, np.inf])
    both = detections([[22.0, 20], [20, 20]], [0.9, 0.8])
    near = np.array([[20.0, 20], [23.0, 20]], np.float32)
    np.testing.assert_array_equal(corner_distances(both, near), [1.0, 0.0])


def test_average_precision_of_a_known_order() -> None:
    right, sure = np.array([True, False, True]), np.array([0.9, 0.8, 0.7], np.float32)
    # Recall 1/4 at precision 1, and 2/4 at 2/3; the other two corners are never found
    assert average_precision(right, sure, 4) == pytest.approx(0.25 + 0.25 * 2 / 3)
    assert average_precision(right, sure[::-1].copy(), 4) == pytest.approx(0.25 + 0.25 * 2 / 3)
    # equally sure detections have no order
    assert average_precision(right, np.ones(3, np.float32), 4) == pytest.approx(0.5 * 2 / 3)
    assert average_precision(right[:0], sure[:0], 4) == 0.0
    assert np.isnan(average_precision(right, sure, 0))


def test_detections_in_an_image_without_corners_are_wrong_where_all_images_are_one() -> None:
    images = [(BLANK, CORNERS), (BLANK + 1, CORNERS[:0])]
    found = detection_metrics(images, lambda image: detections(CORNERS, np.full(len(CORNERS), 1 + image[0, 0])))
    assert found.mean_average_precision == 1.0
    assert found.average_precision == pytest.approx(0.5)


def test_no_images_are_refused_and_no_detections_are_not() -> None:
    with pytest.raises(EvaluationError, match="no images"):
        detection_metrics([], CLASSICAL["FAST"])
    blind = detection_metrics([(BLANK, CORNERS)], lambda image: detections([]))
    assert (blind.average_precision, blind.mean_average_precision, blind.detections) == (0.0, 0.0, 0)


@pytest.mark.parametrize("name", CLASSICAL)
def test_classical_detectors_find_the_corners_of_a_square_and_nothing_surer(name: str) -> None:
    image, corners = square()
    found = detection_metrics([(image, corners)], CLASSICAL[name])
    assert found.average_precision == 1.0
    # They answer at whole pixels, somewhat inside the corner
    assert found.localization_error_px < 2.5


@pytest.mark.parametrize("name", CLASSICAL)
@pytest.mark.parametrize("image", [BLANK, np.zeros((4, 5), np.uint8)], ids=["blank", "tiny"])
def test_classical_detectors_find_nothing_where_nothing_is(name: str, image: np.ndarray) -> None:
    assert len(CLASSICAL[name](image).points_xy) == 0


@pytest.mark.parametrize("name", CLASSICAL)
def test_no_two_detections_are_close(name: str) -> None:
    image = np.random.default_rng(0).integers(0, 256, (120, 160)).astype(np.uint8)
    found = CLASSICAL[name](cv2.GaussianBlur(image, (0, 0), 1.5))
    gaps = np.abs(found.points_xy[:, None] - found.points_xy[None]).max(axis=2)
    assert len(found.points_xy) > 20 and (gaps + 100 * np.eye(len(gaps)) > 4).all()
    assert (np.diff(found.confidences) <= 0).all()


def test_the_score_of_fast_is_the_last_threshold_at_which_opencv_finds_a_corner() -> None:
    image = cv2.GaussianBlur(np.random.default_rng(1).integers(0, 256, (60, 80)).astype(np.uint8), (0, 0), 1)
    score = fast_score(image)
    for threshold in (5, 15, 30):
        keypoints = cv2.FastFeatureDetector_create(threshold, nonmaxSuppression=False).detect(image, None)
        found = {(round(keypoint.pt[0]), round(keypoint.pt[1])) for keypoint in keypoints}
        rows, columns = np.nonzero(score > threshold)
        assert len(found) > 20 and found == set(zip(columns.tolist(), rows.tolist()))


def test_a_plateau_gives_one_detection() -> None:
    response = np.zeros((20, 20), np.float32)
    response[8:11, 8:11] = 1.0
    assert len(strongest(response, radius=4).points_xy) == 1
