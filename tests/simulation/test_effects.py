from __future__ import annotations

import numpy as np
import pytest

from slamfront.simulation.effects import Effects

GREY = np.full((120, 160), 100.0, np.float32)


def test_perfect_image_is_only_rounded() -> None:
    np.testing.assert_array_equal(Effects().image(GREY + 0.4, 0, 0.0), np.full((120, 160), 100, np.uint8))


def test_noise_repeats_for_the_same_seed_and_frame_and_for_no_other() -> None:
    effects = Effects(seed=5, noise=1.0)
    first = effects.image(GREY, 7, 0.1)
    np.testing.assert_array_equal(first, Effects(seed=5, noise=1.0).image(GREY, 7, 0.1))
    for other in (
        effects.image(GREY, 8, 0.1),
        effects.image(GREY, 7, 0.1, side=1),
        Effects(seed=6, noise=1.0).image(GREY, 7, 0.1),
    ):
        assert (other != first).mean() > 0.5


def test_noise_grows_with_light_as_the_model_says() -> None:
    for level, deviation in ((0.0, 1.2), (100.0, np.sqrt(1.44 + 4.0)), (225.0, np.sqrt(1.44 + 9.0))):
        # An offset keeps black from being cut off at 0; it adds .04 * 20 to the variance.
        noisy = Effects(noise=1.0).image(np.full((200, 200), level + 20, np.float32), 0, 0.0).astype(float)
        expected = np.sqrt(deviation**2 + 0.04 * 20 + 1 / 12)  # 1/12 is the variance of rounding
        assert noisy.std() == pytest.approx(expected, rel=0.03)  # 40000 samples: 0.35 % standard error


def test_exposure_drifts_slowly_and_within_its_share() -> None:
    effects = Effects(exposure=0.3)
    levels = np.array([effects.image(GREY, i, i / 30).mean() for i in range(300)])
    assert levels.min() >= 69
    assert levels.max() <= 131
    assert np.ptp(levels) > 30
    assert np.abs(np.diff(levels)).max() < 3


def test_gamma_leaves_black_and_white_alone() -> None:
    ends = np.array([[0.0, 255.0]], np.float32)
    np.testing.assert_array_equal(Effects(gamma=0.3).image(ends, 0, 0.7), [[0, 255]])
    assert Effects(gamma=0.3).image(GREY, 0, 0.7).mean() != 100


def test_vignette_darkens_the_corners_by_its_share_in_colour_and_grey() -> None:
    for image in (GREY, np.repeat(GREY[..., None], 3, axis=2)):
        result = Effects(vignette=0.5).image(image, 0, 0.0)
        assert result[60, 80].max() == 100
        assert result[0, 0].max() == 50


def test_depth_noise_has_the_sensors_deviation_and_keeps_unknown_depth_unknown() -> None:
    depth = np.full((200, 200), 3.0, np.float32)
    depth[:10] = 0
    noisy = Effects(depth_noise=1.0).depth(depth, 0)
    assert (noisy[:10] == 0).all()
    assert noisy[10:].std() == pytest.approx(0.0012 + 0.0019 * 2.6**2, rel=0.03)


def test_depth_holes_take_their_share_and_the_silhouettes() -> None:
    depth = np.full((240, 320), 2.0, np.float32)
    depth[:, 160:] = 4.0
    holed = Effects(depth_holes=0.2).depth(depth, 3)
    assert (holed == 0).mean() == pytest.approx(0.2, abs=0.05)  # the quantile is taken on every 16th pixel
    assert (holed[:, 159:161] == 0).all()
    np.testing.assert_array_equal(holed, Effects(depth_holes=0.2).depth(depth, 3))
