"""Matches whose right and wrong ones are known, so that every figure is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from slamfront.errors import ConfigError
from slamfront.evaluation.matching.features import MatchingProtocol
from slamfront.evaluation.matching.homographies import HomographyPair
from slamfront.evaluation.matching.methods import MatchedPair, Method
from slamfront.evaluation.matching.pairs import PairReference, PosedPair, Warp
from slamfront.evaluation.matching.quality import (
    NOTHING_IN_COMMON,
    MatchingResult,
    PoseError,
    PoseProtocol,
    difficulty,
    matching_figures,
    matching_result,
    pose_error,
)
from slamfront.evaluation.matching.times import matching_times, strongest
from slamfront.geometry.camera import Camera
from slamfront.geometry.pose import Pose, rotation_exp
from slamfront.types import Features, FloatArray, Image
from tests.evaluation.matching.test_features import POINTS, SIZE, TILTED, ByNumber, Known
from tests.evaluation.matching.test_features import pair as plane_pair

CAMERA = Camera("pinhole", *SIZE, 300.0, 300.0, 159.5, 119.5)
BLANK = np.zeros((240, 320), np.uint8)
MOVED = Pose(rotation_exp([0.0, 0.02, 0.01]), np.array([-0.3, 0.05, 0.0]))
DEPTHS = 2.0 + np.random.default_rng(0).uniform(0, 2, len(POINTS))
TRUTH = {"true": lambda *_: (MOVED, 99)}


def carried(points_xy: FloatArray, depths: FloatArray = DEPTHS) -> FloatArray:
    return CAMERA.project(MOVED.apply(CAMERA.unproject(points_xy) * depths[: len(points_xy), None]))


class Seen:
    """Finds the points in the first image, and where the camera's motion carries them in the second."""

    def __init__(self, first: Image) -> None:
        self.first = first

    def extract(self, image: Image) -> Features:
        points = (POINTS if image is self.first else carried(POINTS)).astype(np.float32)
        ones = np.ones(len(points), np.float32)
        return Features(points, ones, np.eye(len(points), 99, dtype=np.float32), SIZE, ones)


def scene_pair(known: int = len(POINTS), overlap: float | None = 0.8) -> PosedPair:
    """Return a pair of views of points, the depth of the first so many of which is known."""

    def surface(points_xy: FloatArray) -> Warp:
        rows = np.argmin(np.linalg.norm(points_xy[:, None] - POINTS[None], axis=2), axis=1)
        return Warp(np.where((rows < known)[:, None], carried(POINTS)[rows], np.nan), rows < known)

    found = surface if overlap is not None else None
    return PosedPair(BLANK, BLANK.copy(), (CAMERA, CAMERA), MOVED, found, overlap, None if found is None else 3.0)


def result_of(posed: PosedPair | HomographyPair, wrong: int = 0, **changes: float) -> MatchingResult:
    if isinstance(posed, HomographyPair):
        extractor: Seen | Known = Known(posed.first, POINTS, TILTED, np.zeros(2))
    else:
        extractor = Seen(posed.first)
    protocol = MatchingProtocol(**changes)
    reference: PairReference[PosedPair | HomographyPair] = PairReference("a-b", "scene", lambda: posed)
    matched: MatchedPair[PosedPair | HomographyPair] = Method("known", extractor, ByNumber(wrong)).match(
        posed, protocol.max_distance_px
    )
    return matching_result(matched, reference, protocol, PoseProtocol(), TRUTH)


def test_right_matches_of_a_scene_have_perfect_figures() -> None:
    found = result_of(scene_pair())
    assert (found.precision, found.recall, found.epipolar_precision) == (1.0, 1.0, 1.0)
    assert (found.group, found.difficulty, found.matches) == ("scene", "easy", len(POINTS))
    assert found.poses["true"].pose_deg == pytest.approx(0.0, abs=1e-6)
    assert np.isnan(found.corner_error_px) and np.isnan(found.layers)
    assert found.wall_ms >= 0 and found.processor_ms >= 0


def test_wrong_matches_lower_precision_and_recall() -> None:
    found = result_of(scene_pair(), wrong=21)
    assert found.precision == found.recall == pytest.approx(1 - 21 / len(POINTS))
    # some wrong ones lie near the line nevertheless
    assert found.precision <= found.epipolar_precision < 1.0


def test_matches_of_points_without_depth_are_not_judged() -> None:
    found = result_of(scene_pair(known=30), wrong=21)
    assert (found.precision, found.recall) == (1.0, 1.0)
    assert found.epipolar_precision < 1.0


def test_without_depth_there_is_the_epipolar_precision_alone_and_no_difficulty() -> None:
    found = result_of(scene_pair(overlap=None), wrong=21)
    assert np.isnan([found.precision, found.recall, found.overlap]).all() and found.difficulty == ""
    assert 0.5 < found.epipolar_precision < 1.0
    assert found.poses["true"].direction_deg == pytest.approx(0.0, abs=1e-6)


def test_images_with_nothing_in_common_are_a_group_of_their_own_without_a_pose() -> None:
    found = result_of(scene_pair(overlap=0.0))
    assert (found.group, found.poses, found.difficulty) == (NOTHING_IN_COMMON, {}, "")
    assert found.matches == len(POINTS) and np.isnan(found.precision)


def test_a_plane_has_a_homography_and_no_pose() -> None:
    found = result_of(plane_pair(), wrong=21)
    assert found.corner_error_px < 1e-3 and found.poses == {}
    assert found.precision == found.recall == pytest.approx(1 - 21 / len(POINTS))
    assert np.isnan(found.epipolar_precision)
    assert matching_figures([found]).homography_auc == pytest.approx((1.0, 1.0, 1.0), abs=1e-3)


def test_the_direction_of_a_short_baseline_does_not_count() -> None:
    sideways = Pose(MOVED.rotation, np.array([0.0, 1.0, 0.0]))
    for depth_m, counts in ((None, True), (3.0, True), (30.0, False)):
        posed = replace(scene_pair(), depth_m=depth_m)
        error = pose_error(lambda *_: (sideways, 99), (POINTS, POINTS), posed, PoseProtocol())
        assert error.rotation_deg == pytest.approx(0.0, abs=1e-6)
        # the true direction is (-.3, .05, 0): 80.5 degrees from the estimate's, whose sign is open
        assert error.direction_deg == (pytest.approx(80.54, abs=0.01) if counts else None)
        assert error.pose_deg == pytest.approx(80.54 if counts else 0.0, abs=0.01)
        failed = pose_error(lambda *_: None, (POINTS, POINTS), posed, PoseProtocol())
        assert failed.pose_deg == failed.rotation_deg == np.inf


def test_figures_take_areas_over_the_pairs_that_have_a_pose_and_medians_of_times() -> None:
    base = result_of(scene_pair())
    results = [
        replace(base, poses={"a": PoseError(1.0, 6.0)}, wall_ms=1.0, layers=3.0),
        replace(base, poses={"a": PoseError(1.0, None)}, wall_ms=2.0, layers=5.0),
        replace(base, poses={}, wall_ms=9.0),
    ]
    found = matching_figures(results)
    # the curve climbs to a half in a line, and then at once to 1, at 1 of 5 degrees
    assert found.rotation_auc["a"][0] == pytest.approx((0.5 * 0.5 + 4) / 5)
    assert found.pose_auc["a"][0] == pytest.approx((0.5 * 0.5 + 4 * 0.5) / 5)
    assert (found.pairs, found.directions, found.wall_ms, found.layers) == (3, 0.5, 2.0, 4.0)


def test_difficulty_follows_from_overlap() -> None:
    assert [difficulty(value) for value in (1.0, 0.67, 0.5, 0.1, None)] == ["easy", "easy", "medium", "hard", ""]


def test_no_threshold_is_refused() -> None:
    with pytest.raises(ConfigError, match="ransac_px"):
        PoseProtocol(ransac_px=0.0)


def test_times_are_of_the_strongest_keypoints_of_each_number() -> None:
    posed = scene_pair()
    features = Seen(posed.first).extract(posed.first)
    graded = replace(features, scores=np.arange(len(features), dtype=np.float32))
    np.testing.assert_array_equal(strongest(graded, 3).keypoints_xy, features.keypoints_xy[-3:])
    method = Method("known", Seen(posed.first), ByNumber(), layers=lambda: 4)
    ((ten, every),) = matching_times([PairReference("a", "scene", lambda: posed)] * 2, [method], [10, 1000])
    assert (ten.asked, ten.keypoints, ten.pairs, ten.layers) == (10, 10.0, 2, 4.0)
    assert (every.asked, every.keypoints) == (1000, len(POINTS))
    assert ten.wall_ms > 0
