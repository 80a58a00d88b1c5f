"""Two images in, pixels that show the same out."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

import slamfront
from slamfront.config import ExtractorConfig, MatcherConfig, RunConfig
from slamfront.errors import FrameError
from slamfront.evaluation.matching.metrics import warp_points
from tests.features.warps import textured

LEARNED = RunConfig(device="cpu")
CLASSICAL = RunConfig(extractor=ExtractorConfig(kind="orb"), matcher=MatcherConfig(kind="nearest"))
SECOND_FROM_FIRST = np.array([[0.9, -0.35, 60.0], [0.3, 0.95, -30.0], [2e-4, -1e-4, 1.0]])


@pytest.mark.parametrize("config", [LEARNED, CLASSICAL], ids=["learned", "classical"])
def test_aligned_matches_are_exact_to_a_fraction_of_a_pixel(config: RunConfig) -> None:
    first = textured(320, 240)
    second = cv2.warpPerspective(first, SECOND_FROM_FIRST, (320, 240))
    found = slamfront.ImageMatcher(config).match(first, second)
    error = np.linalg.norm(warp_points(SECOND_FROM_FIRST, found.first_xy) - found.second_xy, axis=1)
    assert found.aligned.sum() > 50
    # Keypoints lie a pixel or so apart; noise of rounding and interpolation alone is left
    assert np.median(error[found.aligned]) < 0.15
    exact = found.take(found.aligned)
    assert len(exact) == found.aligned.sum() == len(exact.scores) and exact.aligned.all()


def test_images_of_other_sizes_and_in_colour_are_matched() -> None:
    first = textured(320, 240)
    second = np.repeat(first[20:220, 10:250, None], 3, axis=2)
    found = slamfront.ImageMatcher(CLASSICAL).match(first, second)
    assert found.aligned.sum() > 50
    assert np.median(np.abs(found.first_xy - found.second_xy - (10, 20))[found.aligned]) < 0.05


def test_images_without_keypoints_have_no_matches() -> None:
    matcher = slamfront.ImageMatcher(LEARNED)
    for first, second in ((np.zeros((120, 160), np.uint8), textured(160, 120)), (np.zeros((9, 9), np.uint8),) * 2):
        found = matcher.match(first, second)
        assert len(found) == 0 and found.first_xy.shape == found.second_xy.shape == (0, 2)


@pytest.mark.parametrize(
    "wrong",
    [np.zeros((9, 9), np.float32), np.zeros(9, np.uint8), np.zeros((9, 9, 4), np.uint8), np.zeros((0, 9), np.uint8)],
)
def test_what_is_no_image_is_refused_in_one_line(wrong: np.ndarray) -> None:
    with pytest.raises(FrameError, match="the second image must be uint8"):
        slamfront.ImageMatcher(CLASSICAL).match(textured(160, 120), wrong)


def test_octaves_match_images_of_which_one_shows_things_much_larger() -> None:
    first = textured(480, 360)
    second = cv2.resize(first, (200, 150), interpolation=cv2.INTER_AREA)
    right = []
    for octaves in (1, 3):
        config = RunConfig(device="cpu", extractor=ExtractorConfig(octaves=octaves))
        found = slamfront.ImageMatcher(config).match(first, second)
        expected = (found.first_xy + 0.5) * (200 / 480) - 0.5
        right.append(int((np.linalg.norm(expected - found.second_xy, axis=1) < 2.0).sum()))
    assert right[1] > 2 * right[0] and right[1] > 40
