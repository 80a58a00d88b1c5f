from __future__ import annotations

import numpy as np
import pytest

from slamfront.training.data.photometric import change_light
from slamfront.training.recipe import PhotometricConfig

NONE = PhotometricConfig(
    brightness=0, contrast=0, gamma=1, shade=0, noise=0, blur_px=0, motion_px=0, vignette=0, coarser=1, jpeg=100
)
IMAGE = np.kron(np.random.default_rng(0).integers(60, 200, (12, 16), np.uint8), np.ones((8, 8), np.uint8))


def changed(config: PhotometricConfig, count: int = 60) -> list[np.ndarray]:
    """Return the image in many draws of a change of light."""
    return [change_light(IMAGE, np.random.default_rng(seed), config) for seed in range(count)]


def test_no_change_of_light_changes_next_to_nothing() -> None:
    for image in changed(NONE):
        assert np.abs(image.astype(int) - IMAGE).max() <= 2  # the narrowest blur


def test_the_same_draw_changes_the_same() -> None:
    first, again = (change_light(IMAGE, np.random.default_rng(5), PhotometricConfig(jpeg=20)) for _ in range(2))
    np.testing.assert_array_equal(first, again)


def test_corners_are_darker_behind_a_poor_lens_and_the_middle_is_not() -> None:
    darkest = min(
        changed(PhotometricConfig(**{**vars(NONE), "vignette": 0.6})), key=lambda image: int(image[:8, :8].sum())
    )
    ratio = darkest.astype(float) / IMAGE
    assert ratio[:8, :8].mean() < 0.7 and ratio[44:52, 60:68].mean() == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("change", [{"coarser": 3.0}, {"jpeg": 10}])
def test_coarse_sensors_and_compression_lose_detail_and_keep_the_mean(change: dict[str, float]) -> None:
    images = changed(PhotometricConfig(**{**vars(NONE), **change}))  # type: ignore[arg-type]
    lost = [np.abs(image.astype(float) - IMAGE).mean() for image in images]
    assert max(lost) > 2 and min(lost) < 0.5
    assert all(abs(image.mean() - IMAGE.mean()) < 2 for image in images)
