"""How well matches tell where points went and how the camera moved, on pairs of images with a known truth."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from annotated_types import Interval

from slamfront.config import Settings
from slamfront.evaluation.matching.features import AUC_THRESHOLDS_PX, MatchingProtocol, estimated_homography
from slamfront.evaluation.matching.homographies import HomographyPair
from slamfront.evaluation.matching.methods import MatchedPair, known_mean
from slamfront.evaluation.matching.metrics import (
    POSE_THRESHOLDS_DEG,
    MatchMetrics,
    error_auc,
    homography_corner_error,
    relative_pose_error,
    warped_match_metrics,
)
from slamfront.evaluation.matching.pairs import PairReference, PosedPair
from slamfront.geometry.camera import Camera
from slamfront.geometry.pose import Pose
from slamfront.types import BoolArray, FloatArray

PoseEstimator = Callable[[FloatArray, FloatArray, Camera, Camera, float], "tuple[Pose, int] | None"]
"""Matched pixels (N,2) twice, both cameras, and the threshold in px to second_from_first and its inliers."""

KnownPair = HomographyPair | PosedPair

NOTHING_IN_COMMON = "nothing in common"
"""Group of pairs whose images show nothing of each other, where every match is wrong."""

DIFFICULTIES: Mapping[str, float] = {"easy": 2 / 3, "medium": 1 / 3, "hard": 0.0}
"""Least overlap of each difficulty, from the easiest on."""


@dataclass(frozen=True)
class PoseProtocol(Settings, section="pose"):
    """How relative poses are estimated and scored."""

    ransac_px: Annotated[float, Interval(ge=1e-6, le=1000)] = 1.0
    """Threshold of the robust estimates of the essential matrix."""
    least_baseline: Annotated[float, Interval(ge=0, le=1000)] = 0.05
    """The direction of a translation counts where it is at least this share of the median depth, or that is unknown:
    below, an error of one pixel at a focal length of 500 px turns it by more than 2 degrees."""
    epipolar: Annotated[float, Interval(ge=1e-12, le=1)] | None = None
    """Largest squared symmetric epipolar distance, at a focal length of 1, of a match that counts as right among the
    epipolar precision; None takes the distance to the epipolar lines in pixels at which matches are right."""

    def describe(self, estimators: Sequence[str]) -> str:
        """Return the protocol in sentences."""
        epipolar = ""
        if self.epipolar is not None:
            epipolar = (
                " The epipolar precision is the share of matches at a squared symmetric epipolar distance below "
                f"{self.epipolar:g}, at a focal length of 1."
            )
        return (
            f"Relative poses are those of the essential matrix by {' and by '.join(estimators)} at {self.ransac_px:g} "
            "px; the error is the larger of the angles of rotation and of the direction of translation. The direction "
            f"counts where the true translation is at least {self.least_baseline:g} of the median depth (or depth is "
            f"unknown): a camera that only turns has none. The rotation alone is scored beside.{epipolar}"
        )


PUBLISHED = PoseProtocol(ransac_px=1.0, least_baseline=0.0, epipolar=5e-4)
"""As on ScanNet since Sarlin et al., "SuperGlue" (CVPR 2020): the direction of every pair counts."""


@dataclass(frozen=True, slots=True)
class PoseError:
    """Angles between an estimated relative pose and the true one; infinite where the estimate failed.

    direction_deg   of the translation; None where it does not count
    """

    rotation_deg: float
    direction_deg: float | None

    @property
    def pose_deg(self) -> float:
        """The larger of those that count."""
        return self.rotation_deg if self.direction_deg is None else max(self.rotation_deg, self.direction_deg)


@dataclass(frozen=True, slots=True)
class MatchingResult:
    """The figures of one pair of images; nan where the truth does not tell.

    overlap             the smaller of the shares of either image that is seen in the other; difficulty follows from it,
                        and is empty without
    keypoints           mean number in an image that count
    precision, recall   by where points of the first image lie in the second, see `matching.MatchMetrics`
    epipolar_precision  share of the matches that are near to each other's epipolar line
    corner_error_px     of the estimated homography; infinite without one
    poses               by the name of the estimator
    layers              that the matcher ran, where it tells
    """

    name: str
    group: str
    overlap: float
    difficulty: str
    keypoints: float
    matches: int
    precision: float
    recall: float
    epipolar_precision: float
    corner_error_px: float
    poses: Mapping[str, PoseError]
    processor_ms: float
    wall_ms: float
    layers: float


@dataclass(frozen=True, slots=True)
class MatchFigures:
    """Figures of many pairs: means, areas under the curves of errors up to the thresholds, and medians of times.

    homography_auc  up to 1, 3, 5 px; empty without homographies
    pose_auc        up to 5, 10, 20 degrees, by estimator; rotation_auc  of the rotation alone
    directions      share of the posed pairs of which the direction of the translation counts
    """

    pairs: int
    keypoints: float
    matches: float
    precision: float
    recall: float
    epipolar_precision: float
    homography_auc: tuple[float, ...]
    pose_auc: Mapping[str, tuple[float, ...]]
    rotation_auc: Mapping[str, tuple[float, ...]]
    directions: float
    processor_ms: float
    wall_ms: float
    layers: float


def matching_result(
    matched: MatchedPair[KnownPair],
    reference: PairReference[KnownPair],
    protocol: MatchingProtocol,
    pose: PoseProtocol,
    estimators: Mapping[str, PoseEstimator],
) -> MatchingResult:
    """Return the figures of a matched pair."""
    pair, found, overlap = matched.pair, matched.found, matched.pair.overlap
    related = overlap is None or overlap > 0
    metrics = _metrics(matched, protocol.max_distance_px) if related else None
    points = matched.matches.pixels(matched.first, matched.second)
    epipolar, corner_error_px, poses = float("nan"), float("nan"), {}
    if isinstance(pair, HomographyPair):
        estimate = estimated_homography(*points, protocol.ransac_px)
        corner_error_px = homography_corner_error(estimate, pair.second_from_first, matched.first.image_size)
    elif related:
        near = _near_lines(pair, points, protocol, pose)
        epipolar = float(near.sum()) / max(len(near), 1)
        poses = {name: pose_error(estimate, points, pair, pose) for name, estimate in estimators.items()}
    return MatchingResult(
        name=reference.name,
        group=reference.group if related else NOTHING_IN_COMMON,
        overlap=float("nan") if overlap is None else overlap,
        difficulty=difficulty(overlap) if related else "",
        keypoints=(len(matched.first) + len(matched.second)) / 2,
        matches=len(matched.matches),
        precision=float("nan") if metrics is None else metrics.precision,
        recall=float("nan") if metrics is None else metrics.recall,
        epipolar_precision=epipolar,
        corner_error_px=corner_error_px,
        poses=poses,
        processor_ms=found.processor_ms,
        wall_ms=found.wall_ms,
        layers=float("nan") if found.layers is None else float(found.layers),
    )


def _near_lines(
    pair: PosedPair, points: tuple[FloatArray, FloatArray], protocol: MatchingProtocol, pose: PoseProtocol
) -> BoolArray:
    """Return which matched points (N,2) lie near to each other's epipolar line."""
    if pose.epipolar is None:
        return np.asarray(pair.epipolar_distance_px(*points) <= protocol.max_distance_px)
    return np.asarray(pair.symmetric_epipolar(*points) < pose.epipolar)


def pose_error(
    estimate: PoseEstimator, points: tuple[FloatArray, FloatArray], pair: PosedPair, protocol: PoseProtocol
) -> PoseError:
    """Return how wrong the pose is that matched points (N,2) of both images give."""
    truth = pair.second_from_first
    baseline_m = float(np.linalg.norm(truth.translation_m))
    counts = baseline_m > 0 and (pair.depth_m is None or baseline_m >= protocol.least_baseline * pair.depth_m)
    found = estimate(*points, *pair.cameras, protocol.ransac_px)
    if found is None:
        return PoseError(float("inf"), float("inf") if counts else None)
    rotation_deg, direction_deg = relative_pose_error(
        found[0].rotation, found[0].translation_m, truth.rotation, truth.translation_m
    )
    return PoseError(rotation_deg, direction_deg if counts else None)


def difficulty(overlap: float | None) -> str:
    """Return how difficult a pair of an overlap is; empty where that is not known."""
    return "" if overlap is None else next(name for name, least in DIFFICULTIES.items() if overlap >= least)


def matching_figures(results: Sequence[MatchingResult]) -> MatchFigures:
    """Return the figures of many pairs; areas of errors are those of the pairs that have such an error."""

    def mean(name: str) -> float:
        return known_mean([getattr(result, name) for result in results])

    corners = [result.corner_error_px for result in results if not np.isnan(result.corner_error_px)]
    posed = [result.poses for result in results if result.poses]
    estimators = list(posed[0]) if posed else []
    return MatchFigures(
        pairs=len(results),
        keypoints=mean("keypoints"),
        matches=mean("matches"),
        precision=mean("precision"),
        recall=mean("recall"),
        epipolar_precision=mean("epipolar_precision"),
        homography_auc=error_auc(corners, AUC_THRESHOLDS_PX) if corners else (),
        pose_auc={name: error_auc([one[name].pose_deg for one in posed], POSE_THRESHOLDS_DEG) for name in estimators},
        rotation_auc={
            name: error_auc([one[name].rotation_deg for one in posed], POSE_THRESHOLDS_DEG) for name in estimators
        },
        directions=known_mean([one[name].direction_deg is not None for one in posed for name in estimators[:1]]),
        processor_ms=float(np.median([result.processor_ms for result in results])),
        wall_ms=float(np.median([result.wall_ms for result in results])),
        layers=mean("layers"),
    )


def _metrics(matched: MatchedPair[KnownPair], max_distance_px: float) -> MatchMetrics | None:
    """Return precision and recall as far as points are known to lie somewhere; None where that is of no keypoint."""
    warp = matched.pair.warp(np.asarray(matched.first.keypoints_xy, np.float64))
    if len(warp.known) and not warp.known.any():
        return None
    judged = matched.matches.indices[matched.judged]
    return warped_match_metrics(warp.points_xy, matched.second.keypoints_xy, judged, max_distance_px)
