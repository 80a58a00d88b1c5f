from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from slamfront.config import DepthConfig
from slamfront.tracking.surface import SurfaceDepth
from tests.tracking.worlds import clip, run_on

FB, FOCAL, NOISE_PX = 40.0, 500.0, 0.06


def wall(shape: tuple[int, int] = (120, 160), slope_px: float = 0.0, disparity_px: float = 20.0) -> np.ndarray:
    """Return disparities (H,W) of a wall whose disparity grows along x by `slope_px` a pixel."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    return disparity_px + slope_px * (x - shape[1] / 2) + 0.0 * y


def measured(disparity: np.ndarray, xy: np.ndarray, noise_px: float = NOISE_PX) -> tuple[np.ndarray, np.ndarray]:
    """Return what is told of the disparities at pixels by the depth image of a wall; 0 = missing."""
    with np.errstate(divide="ignore"):
        depth_m = np.where(disparity > 0, FB / disparity, 0.0).astype(np.float32)
    return SurfaceDepth(depth_m, FB, FOCAL, DepthConfig(rgbd_noise_px=noise_px)).at(xy)


def places(count: int = 400, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform([4, 4], [155, 115], (count, 2))


@pytest.mark.parametrize("missing", [0.0, 0.3, 0.6])
def test_stated_deviations_are_those_of_the_errors(missing: float) -> None:
    slope_px = 0.06  # a slant of 56 degrees
    rng = np.random.default_rng(1)
    noisy = wall(slope_px=slope_px) + rng.normal(0, NOISE_PX, (120, 160))
    noisy[rng.random(noisy.shape) < missing] = 0.0
    xy = places(2000)
    found, sigma_px = measured(noisy, xy)
    known = np.isfinite(found)
    error = (found - (20.0 + slope_px * (xy[:, 0] - 80)))[known]
    # Pixels off by more than three deviations lose their weight, and neighbouring places share pixels
    assert 0.85 < np.sqrt(np.mean((error / sigma_px[known]) ** 2)) < 1.2
    assert np.median(sigma_px[known]) < NOISE_PX


def test_fewer_pixels_tell_a_depth_less_precisely() -> None:
    whole = wall()
    holes = np.where(np.random.default_rng(2).random(whole.shape) < 0.6, 0.0, whole)
    few, all_ = measured(holes, places())[1], measured(whole, places())[1]
    known = np.isfinite(few)
    assert np.median(few[known]) > 1.2 * np.median(all_[known])
    assert np.array_equal(np.isfinite(measured(holes, places())[0]), known)


def test_a_single_wrong_value_is_left_out() -> None:
    spoilt = wall()
    spoilt[60, 80] = 35.0
    xy = np.array([[80.0, 60.0], [80.4, 59.7], [82.0, 61.0]])
    np.testing.assert_allclose(measured(spoilt, xy)[0], 20.0, atol=0.02)


@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_a_place_beside_an_edge_has_no_depth(missing: float) -> None:
    step = wall()
    step[:, 80:] = 24.0
    step[np.random.default_rng(3).random(step.shape) < missing] = 0.0
    y = np.arange(10, 110, 0.5)
    at = {x: np.isfinite(measured(step, np.stack([np.full(len(y), x), y], 1))[0]).mean() for x in (70, 79.5, 80, 90)}
    assert at[79.5] < 0.1 and at[80] < 0.25
    assert at[70] > 0.8 and at[90] > 0.8


def test_depth_is_not_carried_over_the_rim_of_a_hole() -> None:
    holed = wall()
    holed[40:80, 60:100] = 0.0
    xy = np.array([[58.6, 60.0], [60.0, 60.0], [80.0, 60.0], [59.4, 39.4], [57.0, 60.0], [80.0, 37.0]])
    np.testing.assert_array_equal(np.isfinite(measured(holed, xy)[0]), [False, False, False, False, True, True])


def test_an_image_that_is_noisier_than_stated_is_still_of_use() -> None:
    noisy = wall(disparity_px=40.0) + np.random.default_rng(4).normal(0, 0.5, (120, 160))
    found, sigma_px = measured(noisy, places())
    known = np.isfinite(found)
    assert known.mean() > 0.95
    assert 0.85 < np.sqrt(np.mean(((found - 40.0) / sigma_px)[known] ** 2)) < 1.2


def test_nothing_is_told_where_nothing_is_known() -> None:
    for empty in (np.zeros((120, 160)), np.zeros((3, 4))):
        found, sigma_px = measured(empty, places())
        assert np.isnan(found).all() and np.isnan(sigma_px).all()
    lonely = np.zeros((120, 160))
    lonely[60, 80] = 20.0
    assert np.isnan(measured(lonely, np.array([[80.0, 60.0]]))[0]).all()
    assert len(measured(wall(), np.zeros((0, 2)))[0]) == 0


def test_places_outside_the_image_have_no_depth() -> None:
    found, _ = measured(wall(), np.array([[-50.0, 60.0], [80.0, 1e5], [400.0, -3.0]]))
    assert np.isnan(found).all()


@pytest.mark.parametrize("missing", [0.3, 0.6])
def test_a_map_begins_with_missing_depth_and_is_as_exact(missing: float) -> None:
    whole = clip("room", "rgbd")
    rng = np.random.default_rng(5)
    frames = []
    for frame in whole.frames:
        assert frame.depth_m is not None
        holes = np.where(rng.random(frame.depth_m.shape) < missing, 0.0, frame.depth_m).astype(np.float32)
        frames.append(replace(frame, depth_m=holes))
    run = run_on(whole, frames=frames)
    assert len(run.tracked) == len(frames)
    assert run.errors_m().max() < 0.01  # 1.5 mm without holes, 30 frames over half a metre
