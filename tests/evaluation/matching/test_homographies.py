"""Pairs made from photographs: the homography is that of the images, and chance is seeded."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from slamfront.errors import ConfigError
from slamfront.evaluation.matching.homographies import (
    LightChange,
    PhotographProtocol,
    changed_light,
    counted,
    photograph_pair,
    random_homography,
    resampled,
    resampling,
    scaled_pair,
    turned_pair,
)
from slamfront.evaluation.matching.metrics import warp_points
from tests.features.warps import textured

PROTOCOL = PhotographProtocol(short_side_px=240)
SIZE = (320, 240)


def blobs(width: int = 320, height: int = 240, step: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Return an image with bright round blobs, and their centres."""
    x, y = np.meshgrid(np.arange(step, width - step + 1, step), np.arange(step, height - step + 1, step))
    centres = np.column_stack([x.ravel(), y.ravel()]).astype(float)
    grid_y, grid_x = np.mgrid[:height, :width]
    image = np.zeros((height, width))
    for cx, cy in centres:
        image += 200 * np.exp(-((grid_x - cx) ** 2 + (grid_y - cy) ** 2) / (2 * 3.0**2))
    return np.rint(image + 20).clip(0, 255).astype(np.uint8), centres


def centre_of_light(image: np.ndarray, at_xy: np.ndarray, radius: int = 9) -> np.ndarray:
    column, row = np.rint(at_xy).astype(int)
    patch = image[row - radius : row + radius + 1, column - radius : column + radius + 1].astype(float)
    patch -= np.median(patch)
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    patch[patch < 20] = 0
    return np.array([column + (x * patch).sum() / patch.sum(), row + (y * patch).sum() / patch.sum()])


@pytest.mark.parametrize("index", range(4))
def test_what_is_seen_in_the_first_image_is_where_the_homography_carries_it(index: int) -> None:
    image, centres = blobs()
    pair = photograph_pair(image, PROTOCOL, index, "viewpoint")
    carried = warp_points(pair.second_from_first, centres)
    inside = ((carried > 15) & (carried < np.array(SIZE) - 16)).all(axis=1)
    inside[inside] = [pair.usable[int(y), int(x)] for x, y in carried[inside]]
    found = np.array([centre_of_light(pair.second, at) for at in carried[inside]])
    # Perspective moves a blob's centre of light by a few hundredths of a pixel, the grey levels' rounding by as much
    np.testing.assert_allclose(found, carried[inside], atol=0.15)
    assert len(found) > 5


def test_the_same_index_gives_the_same_pair_whatever_comes_before_it() -> None:
    image, _ = blobs()
    one, same = (photograph_pair(image, PROTOCOL, 7, "viewpoint and illumination") for _ in range(2))
    np.testing.assert_array_equal(one.second, same.second)
    other = photograph_pair(image, PROTOCOL, 8, "viewpoint and illumination")
    reseeded = photograph_pair(image, replace(PROTOCOL, seed=1), 7, "viewpoint and illumination")
    for different in (other, reseeded):
        assert not np.allclose(one.second_from_first, different.second_from_first)


def test_viewpoint_and_illumination_alone_are_the_parts_of_both() -> None:
    image, _ = blobs()
    both, viewpoint, light = (
        photograph_pair(image, PROTOCOL, 3, group)
        for group in ("viewpoint and illumination", "viewpoint", "illumination")
    )
    np.testing.assert_array_equal(both.second_from_first, viewpoint.second_from_first)
    np.testing.assert_array_equal(light.second_from_first, np.eye(3))
    assert light.usable is not None and light.usable.all()
    assert not np.array_equal(light.second, light.first)
    assert not np.array_equal(both.second, viewpoint.second)


def test_the_void_is_black_and_its_surroundings_do_not_count() -> None:
    bright = np.full((240, 320), 200, np.uint8)
    shrunk = replace(PROTOCOL, scale=(0.5, 0.5), rotation_deg=0.0, perspective=0.0, void_px=8)
    pair = photograph_pair(bright, shrunk, 0, "viewpoint and illumination")
    # At half the size the photograph covers 79.75..239.25 by 59.75..179.25
    assert (pair.second[:, :79] == 0).all() and (pair.second[60:180, 81:239] > 0).all()
    xy = np.array([[160.0, 120], [84, 120], [87, 120], [89, 120], [40, 120], [-50, 120], [np.nan, np.nan]])
    assert counted(xy, pair.usable).tolist() == [True, False, False, True, False, True, True]


def test_the_edge_of_the_second_image_is_no_void() -> None:
    enlarged = replace(PROTOCOL, scale=(1.3, 1.3), rotation_deg=0.0, perspective=0.0)
    pair = photograph_pair(np.full((240, 320), 200, np.uint8), enlarged, 0, "viewpoint")
    assert pair.usable is not None and pair.usable.all()


def test_random_homographies_stay_within_the_protocol() -> None:
    protocol = replace(PROTOCOL, perspective=0.0)
    centre = np.array([[159.5, 119.5], [169.5, 119.5]])
    spans = []
    for seed in range(200):
        moved = warp_points(random_homography(np.random.default_rng(seed), SIZE, protocol), centre)
        np.testing.assert_allclose(moved[0], centre[0], atol=1e-3)  # corners pass through float32
        x, y = (moved[1] - moved[0]) / 10
        spans.append((np.hypot(x, y), np.degrees(np.arctan2(y, x))))
    scales, angles = np.array(spans).T
    # 200 even draws come within 5 % of either bound
    assert 0.699 < scales.min() < 0.74 and 1.28 < scales.max() < 1.351
    assert -30.01 < angles.min() < -27 and 27 < angles.max() < 30.01


def test_light_without_strength_changes_nothing() -> None:
    image, _ = blobs()
    none = LightChange(contrast=0, brightness=0, gamma=1, blur_px=0, noise=0)
    np.testing.assert_array_equal(changed_light(image, none, np.random.default_rng(0)), image)


def test_noise_has_the_strength_that_is_asked_for() -> None:
    image = np.full((200, 200), 128, np.uint8)
    noisy = LightChange(contrast=0, brightness=0, gamma=1, blur_px=0, noise=0.1)
    deviations = [changed_light(image, noisy, np.random.default_rng(seed)).std() for seed in range(50)]
    # evenly from none to a tenth of the range
    assert max(deviations) < 26.5 and np.mean(deviations) == pytest.approx(12.75, abs=3.5)


def test_resampling_keeps_the_edges_of_the_image() -> None:
    image = np.zeros((300, 450), np.uint8)
    image[100:200, 150:300] = 255
    small = resampled(image, 100)
    assert small.shape == (100, 150)
    moved = warp_points(resampling(image, small), [[-0.5, -0.5], [449.5, 299.5], [149.5, 99.5]])
    np.testing.assert_allclose(moved, [[-0.5, -0.5], [149.5, 99.5], [49.5, 32.8333]], atol=1e-3)
    np.testing.assert_array_equal(small[34:66, 50:100], 255)
    assert cv2.countNonZero(small) < 36 * 54


@pytest.mark.parametrize(
    "values", [{"perspective": 0.3}, {"scale": (1.2, 0.8)}, {"count": 0}, {"light": {"gamma": 0.5}}], ids=str
)
def test_a_protocol_that_makes_no_pairs_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="photographs"):
        PhotographProtocol(**values)  # type: ignore[arg-type]


@pytest.mark.parametrize("scale", [1.0, 0.5, 0.35])
def test_an_image_scaled_down_shows_what_the_first_shows_where_the_homography_says(scale: float) -> None:
    pair = scaled_pair(textured(240, 180), PhotographProtocol(short_side_px=180), scale)
    assert min(pair.second.shape) == round(180 * scale)
    carried = cv2.warpPerspective(pair.first, pair.second_from_first, pair.second.shape[::-1], flags=cv2.INTER_AREA)
    inner = (slice(2, -2), slice(2, -2))
    smooth = [cv2.GaussianBlur(image, (0, 0), 2)[inner].astype(float) for image in (carried, pair.second)]
    # warpPerspective samples points where resampling takes means: smoothed, they agree to a few grey values
    assert np.abs(smooth[0] - smooth[1]).mean() < 4


def test_an_image_turned_keeps_its_centre_and_counts_no_void() -> None:
    pair = turned_pair(textured(240, 180), PhotographProtocol(short_side_px=180), 45.0)
    centre = np.array([[(240 - 1) / 2, (180 - 1) / 2]])
    np.testing.assert_allclose(pair.warp(centre).points_xy, centre, atol=1e-9)
    right = pair.warp(centre + [[10.0, 0.0]]).points_xy - centre
    np.testing.assert_allclose(np.abs(right), np.sqrt(50.0), atol=1e-9)
    assert pair.usable is not None and not pair.usable[0, 0] and pair.usable[90, 120]
    assert pair.second[0, 0] == 0
