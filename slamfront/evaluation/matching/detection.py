"""How well detectors find exact corners, and classical detectors to compare with.

A detection is right within 4 px of a corner; average precision and localisation error are those of DeTone et al.,
"Toward Geometric Deep SLAM", 2017, section 5.1 (MagicPoint), on synthetic shapes whose corners are known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from slamfront.errors import EvaluationError
from slamfront.types import BoolArray, Float32Array, FloatArray, Image

MAX_DISTANCE_PX = 4.0
"""A detection is right within this distance of a corner."""

NMS_RADIUS = 4
"""No two detections of a classical detector lie within this square radius, px."""

_HARRIS_K = 0.04
_BLOCK_PX, _SOBEL_PX = 3, 3  # of the structure tensor
_FAST_THRESHOLD = 5
_FAST_RADIUS = 3
_FAST_CIRCLE = (
    *((0, -3), (1, -3), (2, -2), (3, -1), (3, 0), (3, 1), (2, 2), (1, 3)),
    *((0, 3), (-1, 3), (-2, 2), (-3, 1), (-3, 0), (-3, -1), (-2, -2), (-1, -3)),
)


class Detections(NamedTuple):
    """Points float32 (N,2), px, and their confidences float32 (N,), higher is surer."""

    points_xy: Float32Array
    confidences: Float32Array


Detector = Callable[[Image], Detections]
"""Image uint8 (H,W) to detections."""


@dataclass(frozen=True, slots=True)
class DetectionMetrics:
    """How well corners were found.

    mean_average_precision  mean over the images with corners of each one's average precision; nan without any
    average_precision       of all images' detections in one order of confidence: false ones in images without corners
                            count too, and confidences must mean the same in every image; nan without corners
    localization_error_px   mean distance of right detections from their corners; nan without any
    """

    mean_average_precision: float
    average_precision: float
    localization_error_px: float
    corners: int
    detections: int
    images: int


def detection_metrics(
    images: Iterable[tuple[Image, Float32Array]], detector: Detector, max_distance_px: float = MAX_DISTANCE_PX
) -> DetectionMetrics:
    """Return the metrics of a detector on images uint8 (H,W) with their corners (C,2), px.

    Raises EvaluationError without images.
    """
    counts: list[int] = []
    distances: list[FloatArray] = []
    confidences: list[Float32Array] = []
    for image, corners_xy in images:
        found = detector(image)
        counts.append(len(corners_xy))
        distances.append(corner_distances(found, corners_xy, max_distance_px))
        confidences.append(found.confidences)
    if not counts:
        raise EvaluationError("there are no images to detect corners in")
    every = np.concatenate(distances)
    right = np.isfinite(every)
    each = [
        average_precision(np.isfinite(of_image), sure, count)
        for of_image, sure, count in zip(distances, confidences, counts, strict=True)
        if count
    ]
    return DetectionMetrics(
        mean_average_precision=float(np.mean(each)) if each else float("nan"),
        average_precision=average_precision(right, np.concatenate(confidences), sum(counts)),
        localization_error_px=float(every[right].mean()) if right.any() else float("nan"),
        corners=sum(counts),
        detections=len(every),
        images=len(counts),
    )


def corner_distances(
    found: Detections, corners_xy: Float32Array, max_distance_px: float = MAX_DISTANCE_PX
) -> FloatArray:
    """Return for each detection the distance (N,) to its corner, px; infinite for a wrong one.

    The surest detections choose first, each the nearest corner within `max_distance_px` that is left: a second one on
    the same corner is wrong.
    """
    distances = np.full(len(found.points_xy), np.inf)
    corners = np.asarray(corners_xy, np.float64).reshape(-1, 2)
    if not len(corners) or not len(distances):
        return distances
    near = cKDTree(corners).query_ball_point(np.asarray(found.points_xy, np.float64), max_distance_px)
    free = np.ones(len(corners), np.bool_)
    for row in np.argsort(-found.confidences, kind="stable"):
        candidates = [corner for corner in near[row] if free[corner]]
        if candidates:
            gaps = np.linalg.norm(corners[candidates] - found.points_xy[row], axis=1)
            nearest = int(gaps.argmin())
            distances[row], free[candidates[nearest]] = gaps[nearest], False
    return distances


def average_precision(right: BoolArray, confidences: Float32Array, corners: int) -> float:
    """Return the area under the curve of precision over recall of detections (N,) in order of confidence.

    The precision at a recall is the greatest at that or a higher one, and detections of equal confidence come together
    (Everingham et al., "The Pascal Visual Object Classes Challenge", IJCV 2015, section 4.2). nan without corners.
    """
    if not corners:
        return float("nan")
    order = np.argsort(-confidences, kind="stable")
    sure, hits = confidences[order], np.cumsum(right[order])
    last_of_equals = np.flatnonzero(np.r_[sure[1:] != sure[:-1], True]) if len(sure) else np.zeros(0, np.int64)
    recall, precision = hits[last_of_equals] / corners, hits[last_of_equals] / (last_of_equals + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * envelope))


def fast(image: Image) -> Detections:
    """Return FAST-9 corners (Rosten and Drummond, ECCV 2006) by their score, from 5 grey levels on.

    The score is the greatest threshold at which a pixel still is a corner, as OpenCV has it; but OpenCV's own
    suppression drops neighbours of equal score altogether.
    """
    return strongest(fast_score(image), least=_FAST_THRESHOLD)


def fast_score(image: Image) -> Float32Array:
    """Return float32 (H,W): by how many grey levels 9 pixels in a row on the circle around a pixel differ from it."""
    radius, (height, width) = _FAST_RADIUS, image.shape
    score = np.zeros(image.shape, np.float32)
    if min(height, width) <= 2 * radius:
        return score
    wide = image.astype(np.int16)
    inner = (slice(radius, height - radius), slice(radius, width - radius))
    circle = [
        wide[radius + y : height - radius + y, radius + x : width - radius + x] - wide[inner] for x, y in _FAST_CIRCLE
    ]
    differences = np.stack([*circle, *circle[:8]])
    brightest = np.max([differences[arc : arc + 9].min(axis=0) for arc in range(16)], axis=0)
    darkest = np.min([differences[arc : arc + 9].max(axis=0) for arc in range(16)], axis=0)
    score[inner] = np.maximum(brightest, -darkest)
    return score


def harris(image: Image) -> Detections:
    """Return Harris corners (Harris and Stephens 1988), with k = .04 and a window of 3x3 px."""
    return strongest(cv2.cornerHarris(_unit(image), _BLOCK_PX, _SOBEL_PX, _HARRIS_K))


def shi_tomasi(image: Image) -> Detections:
    """Return corners by the smaller eigenvalue of the structure tensor (Shi and Tomasi, CVPR 1994), window 3x3 px."""
    return strongest(cv2.cornerMinEigenVal(_unit(image), _BLOCK_PX, ksize=_SOBEL_PX))


CLASSICAL: dict[str, Detector] = {"FAST": fast, "Harris": harris, "Shi-Tomasi": shi_tomasi}
"""The classical detectors, with non-maximum suppression in a square of radius `NMS_RADIUS`."""


def strongest(response: NDArray[Any], radius: int = NMS_RADIUS, least: float = 0.0) -> Detections:
    """Return the pixels of a response (H,W) above `least` that none within a square radius passes, surest first."""
    response = np.asarray(response, np.float32)
    highest = cv2.dilate(response, np.ones((2 * radius + 1,) * 2, np.uint8))
    rows, columns = np.nonzero((response == highest) & (response > least))
    confidences = response[rows, columns]
    order = np.argsort(-confidences, kind="stable")
    points = np.column_stack([columns, rows])[order].astype(np.float32)
    kept = _apart(points, radius)  # a plateau has many equal maxima, of which the first stays
    return Detections(points[kept], confidences[order][kept])


def _apart(points_xy: Float32Array, radius: int) -> BoolArray:
    """Return which points (N,2) keep their distance from those that come before them and are kept."""
    kept = np.ones(len(points_xy), np.bool_)
    if len(points_xy) > 1:
        for first, second in sorted(cKDTree(points_xy).query_pairs(radius, p=np.inf)):
            if kept[first]:
                kept[second] = False
    return kept


def _unit(image: Image) -> Float32Array:
    return np.asarray(image, np.float32) / np.float32(255)
