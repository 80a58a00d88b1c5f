from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from slamfront.models import detection
from tests.models import reference


def gaussian(centre_x: float, centre_y: float, sigma: float = 1.3) -> torch.Tensor:
    y, x = torch.meshgrid(torch.arange(24.0), torch.arange(32.0), indexing="ij")
    return 0.8 * torch.exp(-((x - centre_x) ** 2 + (y - centre_y) ** 2) / (2 * sigma**2))


def test_score_map_puts_channel_8r_plus_c_at_row_r_and_column_c() -> None:
    logits = torch.randn(1, 65, 2, 3, generator=torch.Generator().manual_seed(0))
    expected = reference.keypoint_probabilities(logits[0].double().numpy())
    np.testing.assert_allclose(detection.score_map(logits)[0], expected, atol=1e-7)


def test_smoothing_is_a_binomial_filter_that_keeps_the_sum() -> None:
    scores = torch.zeros(2, 12, 15)
    scores[1, 5, 7] = 1.0
    line = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
    expected = torch.zeros(2, 12, 15)
    expected[1, 3:8, 5:10] = torch.outer(line, line)
    torch.testing.assert_close(detection.smoothed(scores), expected)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.48])
def test_a_point_spread_over_two_cells_is_found_between_them(share: float) -> None:
    """The pixels 15 and 16 belong to different cells, of which each has its share of what is one point."""
    scores = torch.zeros(1, 24, 32)
    scores[0, 10, 15], scores[0, 10, 16] = 0.6 * (1 - share), 0.6 * share
    smooth = detection.smoothed(scores)
    pixels, _ = detection.select_keypoints(detection.suppress_non_maxima(smooth, 4)[0], None, 0.005, 4)
    assert len(pixels) == 1
    # The peak of a sum of two bells is that of a Gaussian to within a twentieth of a pixel
    np.testing.assert_allclose(detection.refine_subpixel(smooth[0], pixels)[0], [15 + share, 10], atol=0.05)


@pytest.mark.parametrize("radius", [1, 2, 3, 4, 7])
def test_window_maximum_is_a_max_pool(radius: int) -> None:
    values = torch.rand(2, 21, 17, generator=torch.Generator().manual_seed(radius))
    expected = F.max_pool2d(values[:, None], 2 * radius + 1, stride=1, padding=radius)[:, 0]
    assert torch.equal(detection.window_maximum(values, radius), expected)


def test_suppression_keeps_the_stronger_of_two_near_points_and_both_of_two_far_ones() -> None:
    scores = torch.zeros(1, 30, 30)
    scores[0, 10, 10], scores[0, 10, 13], scores[0, 25, 25] = 0.9, 0.8, 0.1
    kept = detection.suppress_non_maxima(scores, radius=4)
    assert kept[0, 10, 10] == scores[0, 10, 10]
    assert kept[0, 10, 13] == 0
    assert kept[0, 25, 25] == scores[0, 25, 25]


def test_suppression_brings_back_a_point_whose_stronger_neighbour_was_suppressed() -> None:
    scores = torch.zeros(1, 9, 40)
    scores[0, 4, 10], scores[0, 4, 13], scores[0, 4, 16] = 0.9, 0.8, 0.7
    kept = detection.suppress_non_maxima(scores, radius=4)
    assert kept[0, 4, 13] == 0
    assert kept[0, 4, 16] == scores[0, 4, 16]


def test_suppression_of_radius_zero_changes_nothing() -> None:
    scores = torch.rand(1, 8, 8)
    assert torch.equal(detection.suppress_non_maxima(scores, 0), scores)


@pytest.mark.parametrize(("x", "y"), [(12.0, 9.0), (12.3, 8.8), (15.49, 10.51), (20.2, 11.9)])
def test_subpixel_refinement_finds_the_centre_of_a_gaussian(x: float, y: float) -> None:
    pixel = torch.tensor([[round(x), round(y)]])
    refined = detection.refine_subpixel(gaussian(x, y), pixel)
    np.testing.assert_allclose(refined[0], [x, y], atol=1e-3)


def test_subpixel_refinement_leaves_flat_maps_and_the_edge_alone() -> None:
    pixels = torch.tensor([[0, 0], [31, 23], [5, 5]])
    torch.testing.assert_close(detection.refine_subpixel(torch.full((24, 32), 0.2), pixels), pixels.float())
    edge = torch.tensor([[0, 9]])
    refined = detection.refine_subpixel(gaussian(0.2, 9.0), edge)
    torch.testing.assert_close(refined, edge.float())


@pytest.mark.parametrize("border", [0, 4, 20])
def test_selection_copes_with_borders_wider_than_the_map(border: int) -> None:
    pixels, scores = detection.select_keypoints(torch.rand(16, 24) + 0.1, None, 0.0, border)
    expected = max(16 - 2 * border, 0) * max(24 - 2 * border, 0)
    assert len(pixels) == len(scores) == expected


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_sampling_at_a_cell_centre_without_corners_returns_that_cell(interpolation: str) -> None:
    descriptors = F.normalize(torch.randn(8, 5, 6, generator=torch.Generator().manual_seed(1)), dim=0)
    centre = torch.tensor([[3 * 8 + 3.5, 2 * 8 + 3.5]])
    sampled = detection.sample_descriptors(descriptors, centre, corners=False, interpolation=interpolation)
    torch.testing.assert_close(sampled[0], descriptors[:, 2, 3], atol=1e-5, rtol=0)


def test_bicubic_sampling_is_the_truer_one_between_cells() -> None:
    """Descriptors that turn evenly by 30 degrees from cell to cell, asked for half way between two."""
    angle = torch.deg2rad(30.0 * torch.arange(8.0)).expand(6, 8)
    turning = torch.stack([angle.cos(), angle.sin(), 0.5 * (3 * angle).cos(), 0.5 * (3 * angle).sin()])
    halfway = torch.tensor([[3 * 8 + 7.5, 2 * 8 + 3.5]])
    angle = torch.deg2rad(torch.tensor(3.5 * 30.0))
    true = torch.stack([angle.cos(), angle.sin(), 0.5 * (3 * angle).cos(), 0.5 * (3 * angle).sin()])
    bilinear, bicubic = (
        F.cosine_similarity(detection.sample_descriptors(turning, halfway, False, interpolation)[0], true, dim=0)
        for interpolation in ("bilinear", "bicubic")
    )
    assert bicubic > bilinear and bicubic > 0.995


def test_sampling_with_corners_follows_the_original_convention() -> None:
    descriptors = F.normalize(torch.randn(8, 5, 6, generator=torch.Generator().manual_seed(1)), dim=0)
    keypoints = torch.tensor([[0.0, 0.0], [47.0, 39.0], [20.3, 11.7], [4.0, 30.0]])
    sampled = detection.sample_descriptors(descriptors, keypoints)
    for (x, y), descriptor in zip(keypoints.tolist(), sampled):
        np.testing.assert_allclose(descriptor, reference.descriptor_at(descriptors.double().numpy(), x, y), atol=1e-5)
