from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from slamfront.config import ExtractorConfig
from slamfront.errors import FrameError, WeightsError
from slamfront.features.superpoint import SuperPointExtractor
from slamfront.matching.nearest import Nearest
from slamfront.models.superglue import SuperGlue
from slamfront.models.superpoint import DenseExtractor, OpenSuperPoint, SuperPoint
from tests.features.warps import assert_well_formed, precision, recall, textured
from tests.models.reference import seeded

CONFIG = ExtractorConfig(max_keypoints=200, threshold=0.017, grid=0, subpixel=False)


def small() -> SuperPoint:
    return seeded(SuperPoint(channels=(8, 8, 16, 16, 32), descriptor_dim=32))


def extractor(dtype: torch.dtype = torch.float32, **changes: object) -> SuperPointExtractor:
    return SuperPointExtractor(replace(CONFIG, **changes), "cpu", network=small(), dtype=dtype)  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [(160, 120), (165, 123)])
@pytest.mark.parametrize("subpixel", [False, True])
@pytest.mark.parametrize("network", [small, lambda: seeded(OpenSuperPoint((8, 8, 16, 16, 32), 32))])
@pytest.mark.parametrize("grid", [0, 8])
def test_the_features_are_the_networks_own(
    size: tuple[int, int], subpixel: bool, network: Callable[[], DenseExtractor], grid: int
) -> None:
    image = textured(*size)
    config = replace(CONFIG, subpixel=subpixel, grid=grid, max_keypoints=60)
    features = SuperPointExtractor(config, "cpu", network=network(), dtype=torch.float32).extract(image)
    batch = torch.from_numpy(image)[None, None].float() / 255
    (expected,) = network().extract(batch, 60, config.threshold, config.nms_radius, subpixel=subpixel, columns=grid)
    assert_well_formed(features, image)
    assert len(features) == len(expected.scores) > 20
    # Equal scores may come in another order, and nothing else may differ
    for found, wanted in zip(
        (features.scores, features.keypoints_xy, features.descriptors),
        (expected.scores, expected.keypoints_xy, expected.descriptors),
    ):
        np.testing.assert_allclose(found, wanted.numpy(), atol=1e-5)


def test_keypoints_and_descriptors_move_with_the_image() -> None:
    wide = textured(360, 240)
    # A shift by a whole number of cells gives the network the same input away from the edges
    first, second = (extractor(max_keypoints=1000).extract(wide[:, left : left + 320]) for left in (0, 32))
    matches = Nearest(ratio=1.0).match(first, second)
    shift = np.array([[1.0, 0, -32], [0, 1, 0], [0, 0, 1]])
    # Only keypoints near the edges, about a tenth, see something else
    assert recall(first, second, matches, shift, 0.1) > 0.9
    # Those that left the image or came into it are matched by chance: 64 of 320 columns
    assert precision(first, second, matches, shift, 0.1) > 0.75


def test_crowded_keypoints_make_room_for_others_until_all_cells_have_some() -> None:
    image = textured()
    spread = extractor(grid=8, crowding=5.0, max_keypoints=96).extract(image)
    cells = np.unique((spread.keypoints_xy // 40).astype(int), axis=0)
    strongest = extractor(max_keypoints=96).extract(image)
    assert len(spread) == len(strongest) == 96
    assert len(cells) == 48  # 8 x 6 cells of 40 pixels, in all of which the random detector finds something
    assert len(np.unique((strongest.keypoints_xy // 40).astype(int), axis=0)) < 48
    assert strongest.scores.mean() > spread.scores.mean()


def test_subpixel_steps_stay_within_half_a_pixel() -> None:
    whole, refined = (extractor(subpixel=subpixel).extract(textured()).keypoints_xy for subpixel in (False, True))
    np.testing.assert_array_equal(whole, np.round(whole))
    steps = np.abs(refined - whole)
    assert steps.max() <= 0.5 and (steps > 0).mean() > 0.9


def test_threshold_count_and_distance_are_obeyed() -> None:
    image = textured()
    assert len(extractor(max_keypoints=7).extract(image)) == 7
    strict = extractor(threshold=0.02, max_keypoints=5000).extract(image)
    assert 0 < len(strict) < len(extractor(max_keypoints=5000).extract(image))
    assert strict.scores.min() > 0.02
    xy = extractor(nms_radius=6, max_keypoints=5000).extract(image).keypoints_xy
    apart = np.abs(xy[:, None] - xy[None]).max(axis=2) + 100 * np.eye(len(xy))
    assert apart.min() > 6


def test_an_image_above_whose_threshold_nothing_lies_has_no_keypoints() -> None:
    for image, threshold in ((np.zeros((60, 80), np.uint8), 0.99), (textured(8, 8), 0.0)):
        features = extractor(threshold=threshold, grid=8).extract(image)
        assert len(features) == 0
        assert_well_formed(features, image)
        assert features.descriptors.shape == (0, 32)


def test_an_image_smaller_than_a_cell_is_refused() -> None:
    with pytest.raises(FrameError, match="7x30"):
        extractor().extract(np.zeros((30, 7), np.uint8))


def test_read_only_and_strided_images_are_taken() -> None:
    wide = textured(400, 120)
    wide.setflags(write=False)
    strided, plain = extractor().extract(wide[:, 40:200]), extractor().extract(wide[:, 40:200].copy())
    np.testing.assert_array_equal(strided.keypoints_xy, plain.keypoints_xy)


def test_bfloat16_finds_nearly_the_same_keypoints() -> None:
    image = textured()
    exact, half = (extractor(dtype).extract(image) for dtype in (torch.float32, torch.bfloat16))
    assert_well_formed(half, image)
    pairs = Nearest(ratio=1.0).match(exact, half)
    # A random detector's scores lie close together, so that 8 bits of mantissa swap some maxima
    assert precision(exact, half, pairs, np.eye(3), 1.5) > 0.7


def test_weights_are_loaded_from_a_file(tmp_path: Path) -> None:
    network = small()
    save_file(network.state_dict(), tmp_path / "points.safetensors")
    config = replace(CONFIG, weights=str(tmp_path / "points.safetensors"))
    loaded = SuperPointExtractor(config, "cpu", dtype=torch.float32)
    given = extractor()
    np.testing.assert_array_equal(loaded.extract(textured()).descriptors, given.extract(textured()).descriptors)


def test_a_matchers_weights_and_missing_ones_are_refused(tmp_path: Path) -> None:
    save_file(SuperGlue(dim=32, layers=2).state_dict(), tmp_path / "glue.safetensors")
    with pytest.raises(WeightsError, match=r"glue\.safetensors holds a SuperGlue, the extractor needs SuperPoint"):
        SuperPointExtractor(replace(CONFIG, weights=str(tmp_path / "glue.safetensors")))
    with pytest.raises(WeightsError, match="no such checkpoint"):
        SuperPointExtractor(replace(CONFIG, weights=str(tmp_path / "absent.pth")))


def test_an_octave_finds_what_the_image_made_smaller_shows() -> None:
    image = textured(320, 240)
    half = cv2.resize(image, (160, 120), interpolation=cv2.INTER_AREA)
    alone = extractor(max_keypoints=2000).extract(half)
    both = extractor(max_keypoints=2000, octaves=2).extract(image)
    assert_well_formed(both, image)
    assert set(both.scales) == {1.0, 2.0}
    # Strongest first, over all octaves
    assert (np.diff(both.scores) <= 0).all()
    coarse = both.take(both.scales == 2)
    order = [np.lexsort(features.keypoints_xy.T) for features in (coarse, alone)]
    np.testing.assert_allclose(coarse.keypoints_xy[order[0]], 2 * alone.keypoints_xy[order[1]] + 0.5, atol=1e-4)
    np.testing.assert_allclose(coarse.descriptors[order[0]], alone.descriptors[order[1]], atol=1e-5)


def test_octaves_match_an_image_with_one_half_its_size() -> None:
    image = textured(320, 240)
    half = cv2.resize(image, (160, 120), interpolation=cv2.INTER_AREA)
    shrunk = np.array([[0.5, 0, -0.25], [0, 0.5, -0.25], [0, 0, 1]])
    found = []
    for octaves in (1, 3):
        features = [extractor(max_keypoints=1000, octaves=octaves).extract(one) for one in (image, half)]
        matches = Nearest(ratio=1.0).match(*features)
        found.append(recall(*features, matches, shrunk, error_px=3))
    assert found[1] > 2 * found[0]


def test_octaves_too_small_for_the_network_are_left_out() -> None:
    image = textured(80, 40)
    scales = extractor(max_keypoints=500, octaves=5, threshold=0.0).extract(image).scales
    # An eighth would have 5 rows, all within the border
    assert {1.0, 2.0} <= set(scales.tolist()) <= {1.0, 2.0, 4.0}
