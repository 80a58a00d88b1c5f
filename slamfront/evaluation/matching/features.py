"""How well extractors and matchers do on pairs of images with a known homography between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import cv2
import numpy as np
from annotated_types import Interval

from slamfront.config import Settings
from slamfront.evaluation.matching.homographies import HomographyPair
from slamfront.evaluation.matching.methods import MatchedPair, known_mean
from slamfront.evaluation.matching.metrics import error_auc, homography_corner_error, keypoint_metrics, match_metrics
from slamfront.evaluation.matching.pairs import PairReference
from slamfront.types import FloatArray

AUC_THRESHOLDS_PX = (1.0, 3.0, 5.0)
"""Corner errors at which homographies are scored."""

_MAGSAC_ITERATIONS, _MAGSAC_CONFIDENCE = 5000, 0.9999


@dataclass(frozen=True)
class MatchingProtocol(Settings, section="matching"):
    """When keypoints and matches are right, and how homographies are estimated."""

    max_distance_px: Annotated[float, Interval(ge=1e-6, le=1000)] = 3.0
    """A keypoint is found again, and a match is right, within this distance."""
    ransac_px: Annotated[float, Interval(ge=1e-6, le=1000)] = 2.0
    """Threshold of the robust estimate of the homography (MAGSAC)."""

    def describe(self, what: str = "Repeatability, localisation error, precision and recall") -> str:
        """Return the protocol of what is measured in sentences."""
        return (
            f"{what} at {self.max_distance_px:g} px; the recall is "
            "that of the first image's keypoints that have one of the second within that distance. The homography is "
            f"that of MAGSAC at {self.ransac_px:g} px, its error the mean of the four corners of the first image."
        )


@dataclass(frozen=True, slots=True)
class PairResult:
    """The figures of one pair of images; nan where there is nothing to take a mean of.

    keypoints           mean number in an image that count
    exact_recall        over pairs of keypoints that are each other's nearest, see `matching.MatchMetrics`
    corner_error_px     of the estimated homography; infinite without one
    """

    name: str
    group: str
    keypoints: float
    repeatability: float
    localization_error_px: float
    matches: int
    precision: float
    recall: float
    exact_recall: float
    corner_error_px: float


@dataclass(frozen=True, slots=True)
class FeatureFigures:
    """Means over pairs; the area under the curve of corner errors up to 1, 3, 5 px, and the share within them."""

    pairs: int
    keypoints: float
    repeatability: float
    localization_error_px: float
    matches: float
    precision: float
    recall: float
    exact_recall: float
    homography_auc: tuple[float, ...]
    solved: tuple[float, ...]


def pair_result(
    matched: MatchedPair[HomographyPair], reference: PairReference[HomographyPair], protocol: MatchingProtocol
) -> PairResult:
    """Return the figures of a matched pair."""
    first, second, truth = matched.first, matched.second, matched.pair.second_from_first
    points = (first.keypoints_xy, second.keypoints_xy)
    keypoints = keypoint_metrics(*points, truth, first.image_size, second.image_size, protocol.max_distance_px)
    matches = match_metrics(*points, matched.matches.indices, truth, protocol.max_distance_px)
    estimate = estimated_homography(*matched.matches.pixels(first, second), protocol.ransac_px)
    return PairResult(
        name=reference.name,
        group=reference.group,
        keypoints=(len(first) + len(second)) / 2,
        repeatability=keypoints.repeatability,
        localization_error_px=keypoints.localization_error_px,
        matches=matches.matches,
        precision=matches.precision,
        recall=matches.recall,
        exact_recall=matches.exact_recall,
        corner_error_px=homography_corner_error(estimate, truth, first.image_size),
    )


def estimated_homography(from_xy: FloatArray, to_xy: FloatArray, max_error_px: float) -> FloatArray | None:
    """Return the homography (3,3) between matched points (K,2) of two images, or None where they give none.

    MAGSAC++ (Barath et al., "MAGSAC++, a fast, reliable and accurate robust estimator", CVPR 2020) of OpenCV, which is
    repeatable; the estimate is made from all points that agree.
    """
    if len(from_xy) < 4:
        return None
    try:
        homography, _ = cv2.findHomography(
            from_xy, to_xy, cv2.USAC_MAGSAC, max_error_px, None, _MAGSAC_ITERATIONS, _MAGSAC_CONFIDENCE
        )
    except cv2.error:  # as for points that all coincide
        return None
    return None if homography is None else np.asarray(homography, np.float64)


def figures(results: Sequence[PairResult]) -> FeatureFigures:
    """Return the figures of many pairs; EvaluationError without any."""
    errors = np.array([result.corner_error_px for result in results])
    auc = error_auc(errors, AUC_THRESHOLDS_PX)

    def mean(name: str) -> float:
        return known_mean([getattr(result, name) for result in results])

    return FeatureFigures(
        pairs=len(results),
        keypoints=mean("keypoints"),
        repeatability=mean("repeatability"),
        localization_error_px=mean("localization_error_px"),
        matches=mean("matches"),
        precision=mean("precision"),
        recall=mean("recall"),
        exact_recall=mean("exact_recall"),
        homography_auc=auc,
        solved=tuple(float(np.mean(errors <= threshold)) for threshold in AUC_THRESHOLDS_PX),
    )
