from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from slamfront.config import ExtractorConfig
from slamfront.features.classical import Orb, Sift
from tests.features.warps import assert_well_formed, textured

CONFIG = ExtractorConfig(max_keypoints=300)
EXTRACTORS = [Orb, Sift]


@pytest.mark.parametrize("kind", EXTRACTORS)
@pytest.mark.parametrize("size", [(320, 240), (241, 163), (90, 70), (24, 16), (1, 1)])
def test_images_of_any_size_give_well_formed_features(kind: type[Orb | Sift], size: tuple[int, int]) -> None:
    image = textured(*size)
    image.setflags(write=False)
    features = kind(CONFIG).extract(image)
    assert_well_formed(features, image)
    assert len(features) <= 300
    if size == (320, 240):
        assert len(features) == 300
    assert features.binary == (kind is Orb)
    assert features.descriptors.shape[1] == (32 if kind is Orb else 128)


@pytest.mark.parametrize("kind", EXTRACTORS)
def test_a_black_frame_has_no_keypoints(kind: type[Orb | Sift]) -> None:
    image = np.zeros((120, 160), np.uint8)
    features = kind(CONFIG).extract(image)
    assert len(features) == 0
    assert_well_formed(features, image)
    assert features.descriptors.shape[1] == (32 if kind is Orb else 128)


@pytest.mark.parametrize("kind", EXTRACTORS)
def test_keypoints_cover_an_image_whose_one_side_is_faint(kind: type[Orb | Sift]) -> None:
    image = textured()
    # The left half at a fifth of the contrast: its corners are weaker than all of the right's
    image[:, :160] = 100 + image[:, :160] // 5
    config = replace(CONFIG, max_keypoints=200, grid=4, crowding=1.0)

    def share_on_the_left(config: ExtractorConfig) -> float:
        return float((kind(config).extract(image).keypoints_xy[:, 0] < 160).mean())

    assert share_on_the_left(replace(config, grid=0)) < 0.15
    # Of the strongest twice as many, which are all that there is to choose from
    assert share_on_the_left(config) > 1.5 * share_on_the_left(replace(config, grid=0))


def test_orbs_scale_is_that_of_its_pyramid_level() -> None:
    features = Orb(CONFIG).extract(textured())
    levels = np.log(features.scales) / np.log(1.2)
    np.testing.assert_allclose(levels, np.round(levels), atol=1e-4)
    assert levels.min() == 0 and 3 < levels.max() < 8
    assert set(Orb(replace(CONFIG, levels=1)).extract(textured()).scales) == {1.0}


@pytest.mark.parametrize("kind", EXTRACTORS)
def test_the_same_image_gives_the_same_features(kind: type[Orb | Sift]) -> None:
    first, second = (kind(CONFIG).extract(textured()) for _ in range(2))
    np.testing.assert_array_equal(first.keypoints_xy, second.keypoints_xy)
    np.testing.assert_array_equal(first.descriptors, second.descriptors)
