"""How good keypoints, matches and what is estimated from them are; plain arrays in, figures out.

Homographies `second_from_first` (3,3) carry pixels (x, y, 1) of the first image into the second; sizes are
(width, height).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial import cKDTree

from slamfront.errors import EvaluationError
from slamfront.types import BoolArray, FloatArray, IntArray

POSE_THRESHOLDS_DEG = (5.0, 10.0, 20.0)
"""Thresholds at which pose AUC is reported (Sarlin et al., "SuperGlue", CVPR 2020, section 5.2)."""


@dataclass(frozen=True, slots=True)
class KeypointMetrics:
    """How well keypoints are found again.

    repeatability        share of the keypoints visible in both images that have one of the other image near them
    localization_error_px   mean distance of those that have; nan without any
    visible              keypoints of both images that lie in the other one as well
    """

    repeatability: float
    localization_error_px: float
    visible: int


@dataclass(frozen=True, slots=True)
class MatchMetrics:
    """How right and how complete matches are.

    precision       correct matches over matches; 0 without matches
    recall          correct matches over matchable keypoints; 0 without those
    exact_recall    correspondences among the matches, over correspondences; 0 without those
    matchable       keypoints of the first image that have one of the second near them
    correspondences pairs of keypoints that are near and each other's nearest. Where a detector puts several keypoints
                    on one corner, as pyramids do, a right match often is none of these pairs
    """

    precision: float
    recall: float
    exact_recall: float
    correct: int
    matches: int
    matchable: int
    correspondences: int


def warp_points(second_from_first: ArrayLike, points_xy: ArrayLike) -> FloatArray:
    """Return points (N,2) carried by a homography (3,3); those that it sends behind the camera become nan."""
    points, homography = np.asarray(points_xy, np.float64).reshape(-1, 2), np.asarray(second_from_first, np.float64)
    carried = points @ homography[:, :2].T + homography[:, 2]
    # H and -H are the same map: the one is meant that has the pixel (0, 0) in front of the camera
    w = carried[:, 2:] * np.sign(homography[2, 2] or 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(w > 0, carried[:, :2] / carried[:, 2:], np.nan)


def keypoint_metrics(
    first_xy: ArrayLike,
    second_xy: ArrayLike,
    second_from_first: ArrayLike,
    first_size: tuple[int, int],
    second_size: tuple[int, int],
    max_distance_px: float = 3.0,
) -> KeypointMetrics:
    """Return repeatability and localisation error of keypoints (N,2), (M,2) of two images of a plane.

    Both directions count, each measured in the image that is warped to, over the keypoints that lie in both images
    (DeTone et al., "SuperPoint", CVPR Workshops 2018, section 6.2 and appendix A).
    """
    first, second = _points(first_xy), _points(second_xy)
    first_from_second = np.linalg.inv(np.asarray(second_from_first, np.float64))
    first_warped, second_warped = warp_points(second_from_first, first), warp_points(first_from_second, second)
    first_seen, second_seen = _inside(first_warped, second_size), _inside(second_warped, first_size)
    distances = np.concatenate(
        [
            _nearest_distance(first_warped[first_seen], second[second_seen]),
            _nearest_distance(second_warped[second_seen], first[first_seen]),
        ]
    )
    repeated = distances[distances <= max_distance_px]
    error = float(repeated.mean()) if len(repeated) else float("nan")
    return KeypointMetrics(len(repeated) / max(len(distances), 1), error, len(distances))


def match_metrics(
    first_xy: ArrayLike,
    second_xy: ArrayLike,
    indices: ArrayLike,
    second_from_first: ArrayLike,
    max_distance_px: float = 3.0,
) -> MatchMetrics:
    """Return precision and recall of matches `indices` (K,2) between keypoints (N,2), (M,2) of two images of a plane.

    A match is correct, and a keypoint near another, when the warped one lies within `max_distance_px` of the other. The
    exact recall is that of Sarlin et al. 2020, section 5.1.
    """
    return warped_match_metrics(warp_points(second_from_first, first_xy), second_xy, indices, max_distance_px)


def warped_match_metrics(
    warped_xy: ArrayLike, second_xy: ArrayLike, indices: ArrayLike, max_distance_px: float = 3.0
) -> MatchMetrics:
    """Return precision and recall of matches `indices` (K,2) as `match_metrics` does, wherever the warp comes from.

    `warped_xy` (N,2) is where the keypoints of the first image lie in the second; nan for those that are not there.
    """
    warped, second = _points(warped_xy), _points(second_xy)
    pairs = np.asarray(indices, np.int64).reshape(-1, 2)
    distances = np.linalg.norm(warped[pairs[:, 0]] - second[pairs[:, 1]], axis=1)
    correct = int(np.sum(distances <= max_distance_px))
    truth = true_correspondences(warped, second, max_distance_px)
    found = int(np.sum(truth[pairs[:, 0]] == pairs[:, 1])) if len(truth) else 0
    total = int(np.sum(truth >= 0))
    usable = warped[np.isfinite(warped).all(axis=1)]
    matchable = int(np.sum(_nearest_distance(usable, second) <= max_distance_px))
    precision, recall = correct / max(len(pairs), 1), correct / max(matchable, 1)
    return MatchMetrics(precision, recall, found / max(total, 1), correct, len(pairs), matchable, total)


def true_correspondences(warped_xy: FloatArray, second_xy: FloatArray, max_distance_px: float) -> IntArray:
    """Return for each warped keypoint (N,2) the row of its mutual nearest in `second_xy` (M,2), or -1 (N,)."""
    rows = np.full(len(warped_xy), -1, np.int64)
    usable = np.flatnonzero(np.isfinite(warped_xy).all(axis=1))
    if not len(usable) or not len(second_xy):
        return rows
    distances, nearest = cKDTree(second_xy).query(warped_xy[usable])
    _, back = cKDTree(warped_xy[usable]).query(second_xy)
    mutual = (back[nearest] == np.arange(len(usable))) & (distances <= max_distance_px)
    rows[usable[mutual]] = nearest[mutual]
    return rows


def homography_corner_error(estimated: ArrayLike | None, truth: ArrayLike, size: tuple[int, int]) -> float:
    """Return the mean distance in px between the corners of the first image as both homographies carry them.

    Infinite where there is no estimate, or where it sends a corner behind the camera.
    """
    if estimated is None:
        return float("inf")
    width, height = size
    corners = np.array([[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]], np.float64)
    error = np.linalg.norm(warp_points(estimated, corners) - warp_points(truth, corners), axis=1).mean()
    return float(error) if np.isfinite(error) else float("inf")


def relative_pose_error(
    rotation: ArrayLike, translation: ArrayLike, true_rotation: ArrayLike, true_translation: ArrayLike
) -> tuple[float, float]:
    """Return the errors in degrees of a relative rotation (3,3) and of the direction of a translation (3,).

    The sign of a translation from an essential matrix is open, so that its error is at most 90 degrees; without a true
    translation there is no direction, and the error is 0.
    """
    turn = np.asarray(rotation, np.float64).T @ np.asarray(true_rotation, np.float64)
    # by the sine and the cosine, since the cosine alone cannot tell small angles
    axis = np.array([turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1]])
    rotation_deg = np.degrees(np.arctan2(np.linalg.norm(axis), np.trace(turn) - 1.0))
    found, true = np.asarray(translation, np.float64), np.asarray(true_translation, np.float64)
    if np.linalg.norm(true) == 0:
        return float(rotation_deg), 0.0
    direction_deg = np.degrees(np.arctan2(np.linalg.norm(np.cross(found, true)), abs(found @ true)))
    return float(rotation_deg), float(direction_deg) if np.linalg.norm(found) > 0 else 90.0


def error_auc(errors: ArrayLike, thresholds: Sequence[float]) -> tuple[float, ...]:
    """Return the area under the recall curve up to each threshold, divided by the threshold: in [0, 1].

    `errors` (N,) holds one value for each pair of images, infinite (or nan) for a failed one. The curve joins the
    points (error, share of errors up to it) by straight lines from (0, 0), as in SuperGlue's evaluation. For poses the
    error is the larger of the two angles of `relative_pose_error`; for homographies that of `homography_corner_error`.
    Raises EvaluationError without errors.
    """
    ordered = np.sort(np.nan_to_num(np.asarray(errors, np.float64), nan=np.inf))
    if not len(ordered):
        raise EvaluationError("there are no errors to take the area of")
    recall = np.arange(1, len(ordered) + 1) / len(ordered)
    areas = []
    for threshold in thresholds:
        below = int(np.searchsorted(ordered, threshold))
        x = np.concatenate([[0.0], ordered[:below], [threshold]])
        y = np.concatenate([[0.0], recall[:below], [recall[below - 1] if below else 0.0]])
        areas.append(float(np.sum(np.diff(x) * (y[1:] + y[:-1]) / 2.0) / threshold))
    return tuple(areas)


def _points(points_xy: ArrayLike) -> FloatArray:
    return np.asarray(points_xy, np.float64).reshape(-1, 2)


def _inside(points_xy: FloatArray, size: tuple[int, int]) -> BoolArray:
    """Whether each point (N,2) lies within the pixels of an image; nan does not."""
    low, high = points_xy >= -0.5, points_xy < np.array(size) - 0.5
    return np.asarray((low & high).all(axis=1), np.bool_)


def _nearest_distance(from_xy: FloatArray, to_xy: FloatArray) -> FloatArray:
    """Return the distance of each point (N,2) to the nearest of the others (M,2); infinite without any."""
    if not len(from_xy) or not len(to_xy):
        return np.full(len(from_xy), np.inf)
    return np.asarray(cKDTree(to_xy).query(from_xy)[0], np.float64)
