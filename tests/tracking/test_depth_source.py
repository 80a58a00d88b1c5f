from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from slamfront.config import DepthConfig
from slamfront.tracking.depth_source import DepthImageSource, DepthSource, NoDepth, StereoDepthSource, depth_source_of
from slamfront.types import Frame
from tests.map.worlds import CAMERA
from tests.tracking.worlds import CONFIG, Clip, clip

FB = CAMERA.disparity_times_depth


def depth_ranging(depth_m: np.ndarray) -> DepthImageSource:
    return DepthImageSource(depth_m.astype(np.float32), CAMERA, 6.0, DepthConfig())


def pixels(*xy: tuple[float, float]) -> np.ndarray:
    return np.array(xy, np.float64)


# --- one camera


def test_one_camera_tells_no_distance() -> None:
    assert np.isnan(NoDepth().right_x(pixels((10, 10), (20, 20)))).all()
    assert not NoDepth().near(np.array([0.1, 1.0])).any()


# --- depth images


def test_depth_is_a_place_in_a_virtual_right_image() -> None:
    ranging = depth_ranging(np.full((240, 320), 2.0))
    xy = pixels((100.0, 50.0), (200.25, 100.75), (0.0, 0.0), (319.0, 239.0), (319.4, 239.4))
    np.testing.assert_allclose(ranging.right_x(xy), xy[:, 0] - FB / 2.0, rtol=1e-6)


def test_depth_of_a_slanted_wall_is_that_of_the_pixel() -> None:
    y, x = np.mgrid[:240, :320]
    depth = 2.0 + 0.004 * x - 0.002 * y
    xy = pixels((100, 50), (160, 120), (300, 200))
    found = FB / (xy[:, 0] - depth_ranging(depth).right_x(xy))
    np.testing.assert_allclose(found, depth[xy[:, 1].astype(int), xy[:, 0].astype(int)], rtol=1e-4)


def test_an_edge_of_depth_is_not_taken() -> None:
    depth = np.full((240, 320), 2.0)
    depth[:, 160:] = 3.0
    found = depth_ranging(depth).right_x(pixels((150, 100), (159, 100), (160, 100), (170, 100)))
    np.testing.assert_array_equal(np.isnan(found), [False, True, True, False])


@pytest.mark.parametrize("nothing", [0.0, np.nan])
def test_missing_depth_is_told_as_such(nothing: float) -> None:
    depth = np.full((240, 320), 2.0)
    depth[100:110, 100:110] = nothing
    found = depth_ranging(depth).right_x(pixels((105, 105), (99.6, 105), (97, 105)))
    np.testing.assert_array_equal(np.isnan(found), [True, True, False])
    assert np.isnan(depth_ranging(np.full((240, 320), nothing)).right_x(pixels((5, 5), (50, 60)))).all()


def test_infinite_depth_is_no_depth() -> None:
    depth = np.full((240, 320), 2.0)
    depth[:50] = np.inf
    found = depth_ranging(depth).right_x(pixels((100, 20), (100, 50), (100, 60)))
    np.testing.assert_array_equal(np.isnan(found), [True, True, False])


@pytest.mark.parametrize("missing", [0.3, 0.6])
def test_depth_is_measured_between_missing_pixels(missing: float) -> None:
    y, x = np.mgrid[:240, :320]
    true = 2.0 / (1.0 + 0.001 * x - 0.0005 * y)  # a plane, slanted by 16 degrees
    rng = np.random.default_rng(0)
    holes = np.where(rng.random(true.shape) < missing, 0.0, true)
    xy = rng.uniform([5, 5], [314, 234], (500, 2))
    disparity = xy[:, 0] - depth_ranging(holes).right_x(xy)
    found = np.isfinite(disparity)
    expected = FB * (1.0 + 0.001 * xy[:, 0] - 0.0005 * xy[:, 1]) / 2.0
    assert found.mean() > (0.8 if missing < 0.5 else 0.4)
    # Without noise only the prior on the slope is wrong, where few pixels are left
    np.testing.assert_allclose(disparity[found], expected[found], atol=0.02)


def test_only_near_depths_start_a_landmark() -> None:
    np.testing.assert_array_equal(depth_ranging(np.ones((240, 320))).near(np.array([1.0, 5.9, 6.1])), [1, 1, 0])


def test_no_pixels_have_no_distance() -> None:
    nothing = np.zeros((0, 2))
    assert len(depth_ranging(np.ones((240, 320))).right_x(nothing)) == 0
    black = np.zeros((240, 320), np.uint8)
    assert len(StereoDepthSource(black, black, CAMERA, 60.0, DepthConfig()).right_x(nothing)) == 0
    assert len(NoDepth().right_x(nothing)) == 0


# --- stereo pairs


@pytest.fixture(scope="module")
def pair() -> Clip:
    return clip("room", "stereo")


@pytest.fixture(scope="module")
def truth(pair: Clip) -> np.ndarray:
    """The exact depth of the pair's first left image."""
    depth = clip("room", "rgbd").frames[0].depth_m
    assert depth is not None
    return depth


def corners(frame: Frame, depth_m: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return pixels (N,2) with texture that both cameras see, away from silhouettes, and disparities (N,)."""
    found = cv2.goodFeaturesToTrack(frame.image, 400, 0.02, 6)[:, 0].astype(np.float64)
    column, row = found.astype(int).T
    flat = cv2.dilate(depth_m, np.ones((17, 17))) - cv2.erode(depth_m, np.ones((17, 17))) < 0.15 * depth_m
    disparity = frame.camera.disparity_times_depth / depth_m[row, column]
    inside = (found[:, 0] - disparity > 8) & (column < 312) & (row > 8) & (row < 232)
    chosen = flat[row, column] & inside
    return found[chosen], disparity[chosen]


def stereo_ranging(frame: Frame) -> DepthSource:
    ranging = depth_source_of(frame, frame.camera, "stereo", CONFIG.tracker)
    assert isinstance(ranging, StereoDepthSource)
    return ranging


@pytest.mark.parametrize("expected", ["nothing", "truth", "half of them"])
def test_stereo_disparity_is_exact_to_a_fifth_of_a_pixel(pair: Clip, truth: np.ndarray, expected: str) -> None:
    xy, disparity = corners(pair.frames[0], truth)
    guess = None
    if expected != "nothing":
        guess = xy[:, 0] - disparity + 1.0
        guess[:: 2 if expected == "half of them" else len(guess)] = np.nan
    found = xy[:, 0] - stereo_ranging(pair.frames[0]).right_x(xy, guess)
    known = np.isfinite(found)
    error = np.abs(found - disparity)[known]
    assert len(xy) > 60
    assert known.mean() > 0.8
    assert np.median(error) < 0.1
    assert np.percentile(error, 90) < 0.2


def test_disparities_are_lowered_by_what_they_are_known_to_be_off_by(pair: Clip, truth: np.ndarray) -> None:
    frame = pair.frames[0]
    xy, disparity = corners(frame, truth)
    lowering = depth_source_of(frame, replace(frame.camera, disparity_offset_px=0.5), "stereo", CONFIG.tracker)
    plain = stereo_ranging(frame)
    guess = xy[:, 0] - disparity
    # A search that begins where the point is ends there, whatever is taken off afterwards
    np.testing.assert_allclose(lowering.right_x(xy, guess + 0.5), plain.right_x(xy, guess) + 0.5, atol=1e-4)


def test_stereo_finds_nothing_in_a_right_image_that_shows_something_else(pair: Clip) -> None:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, pair.frames[0].image.shape, np.uint8)
    other = replace(pair.frames[0], right=noise)
    xy = rng.uniform([40, 20], [300, 220], (200, 2))
    assert np.isfinite(stereo_ranging(other).right_x(xy, None)).mean() < 0.05


def test_stereo_finds_nothing_in_a_black_right_image(pair: Clip) -> None:
    black = replace(pair.frames[0], right=np.zeros_like(pair.frames[0].image))
    xy = np.random.default_rng(1).uniform([40, 20], [300, 220], (100, 2))
    assert np.isfinite(stereo_ranging(black).right_x(xy, None)).mean() < 0.05


# --- which it is


def test_a_frame_without_its_second_image_counts_as_monocular(pair: Clip) -> None:
    frame = pair.frames[0]
    assert isinstance(depth_source_of(replace(frame, right=None), frame.camera, "stereo", CONFIG.tracker), NoDepth)
    assert isinstance(depth_source_of(frame, frame.camera, "mono", CONFIG.tracker), NoDepth)
    assert isinstance(depth_source_of(frame, frame.camera, "rgbd", CONFIG.tracker), NoDepth)


def test_colour_pairs_are_ranged_as_grey_ones(pair: Clip, truth: np.ndarray) -> None:
    frame = pair.frames[0]
    assert frame.right is not None
    colour = replace(frame, image=np.stack([frame.image] * 3, -1), right=np.stack([frame.right] * 3, -1))
    xy, _ = corners(frame, truth)
    grey, rgb = (stereo_ranging(f).right_x(xy, None) for f in (frame, colour))
    np.testing.assert_allclose(rgb, grey, atol=0.05)
