from __future__ import annotations

import numpy as np
import pytest

from slamfront.features.fake import Patches, Scripted
from slamfront.matching.nearest import Nearest
from tests.features.warps import TILTED, assert_well_formed, precision, textured, transferred, warped


def test_a_grid_of_patches_follows_a_shift_by_its_spacing() -> None:
    wide = textured(336, 240)
    first, second = Patches().extract(wide[:, :320]), Patches().extract(wide[:, 16:])
    assert_well_formed(first, wide[:, :320])
    matches = Nearest().match(first, second)
    shift = np.array([[1.0, 0, -16], [0, 1, 0], [0, 0, 1]])
    # One of 20 columns leaves the image
    assert len(matches) >= 0.9 * len(first)
    assert precision(first, second, matches, shift, 0.0) == 1.0


def test_given_keypoints_are_found_again_where_they_are_said_to_be() -> None:
    image = textured()
    rng = np.random.default_rng(1)
    xy = (rng.random((150, 2)) * [319, 239]).astype(np.float32)
    there = transferred(xy, TILTED).astype(np.float32)
    first, second = Patches(xy).extract(image), Patches(there).extract(warped(image, TILTED))
    matches = Nearest().match(first, second)
    # Patches do not turn, so that 10 degrees cost some
    assert len(matches) > 40
    assert precision(first, second, matches, TILTED, 0.01) > 0.9


def test_flat_and_cut_patches_are_no_keypoints() -> None:
    assert len(Patches().extract(np.full((60, 80), 77, np.uint8))) == 0
    corners = np.array([[0, 0], [79, 59], [4, 4], [75, 55], [3, 30]], np.float32)
    features = Patches(corners).extract(textured(80, 60))
    np.testing.assert_array_equal(features.keypoints_xy, [[4, 4], [75, 55]])
    assert len(Patches().extract(textured(5, 5))) == 0


def test_descriptors_forgive_brightness_and_contrast() -> None:
    faint = textured() // 3
    bright = 80 + 2 * faint
    plain, changed = Patches().extract(faint), Patches().extract(bright)
    # Whole greys, so that only float32 rounds
    np.testing.assert_allclose(changed.descriptors, plain.descriptors, atol=1e-5)
    np.testing.assert_allclose(changed.scores, 2 * plain.scores, rtol=1e-5)


def test_scripted_features_come_in_order_and_end() -> None:
    given = [Patches().extract(textured(80, 60, seed)) for seed in range(2)]
    scripted, image = Scripted(given), np.zeros((2, 2), np.uint8)
    assert [scripted.extract(image) for _ in given] == given
    with pytest.raises(StopIteration):
        scripted.extract(image)
