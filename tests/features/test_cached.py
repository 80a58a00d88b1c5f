from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from slamfront.config import ExtractorConfig
from slamfront.errors import OutputError
from slamfront.features.cached import Cached
from slamfront.features.classical import Orb, Sift
from slamfront.features.fake import Patches
from slamfront.types import Features, Image
from tests.features.warps import assert_well_formed, textured

CONFIG = ExtractorConfig(max_keypoints=50)


class Counting:
    """An extractor that counts how often it is asked."""

    def __init__(self, extractor: Orb | Sift | Patches) -> None:
        self._extractor, self.fingerprint, self.asked = extractor, extractor.fingerprint, 0

    def extract(self, image: Image) -> Features:
        self.asked += 1
        return self._extractor.extract(image)


def assert_equal(first: Features, second: Features) -> None:
    assert first.image_size == second.image_size
    for name in ("keypoints_xy", "scores", "descriptors", "scales"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name), strict=True)


@pytest.mark.parametrize("kind", [Orb, Sift])
def test_the_second_run_gives_equal_features_without_asking_the_extractor(
    tmp_path: Path, kind: type[Orb | Sift]
) -> None:
    images = [textured(160, 120, seed) for seed in range(3)]
    first = Counting(kind(CONFIG))
    kept = [Cached(first, tmp_path / "cache").extract(image) for image in images]
    second = Counting(kind(CONFIG))
    again = [Cached(second, tmp_path / "cache").extract(image) for image in images]
    assert first.asked == 3 and second.asked == 0
    for image, one, other in zip(images, kept, again):
        assert_equal(one, other)
        assert_equal(one, kind(CONFIG).extract(image))
        assert_well_formed(other, image)


def test_no_keypoints_are_kept_as_well(tmp_path: Path) -> None:
    counting = Counting(Orb(CONFIG))
    cached, black = Cached(counting, tmp_path), np.zeros((60, 80), np.uint8)
    assert_equal(cached.extract(black), cached.extract(black))
    assert counting.asked == 1 and cached.extract(black).binary


def test_one_folder_serves_many_extractors_and_shapes(tmp_path: Path) -> None:
    image = textured(160, 120)
    for _ in range(2):
        for extractor in (Orb(CONFIG), Sift(CONFIG), Patches(), Patches(spacing_px=20)):
            assert_equal(Cached(extractor, tmp_path).extract(image), extractor.extract(image))
    # The same bytes as another shape are another image
    turned = image.reshape(160, 120)
    assert Cached(Orb(CONFIG), tmp_path).extract(turned).image_size == (120, 160)
    assert len(list(tmp_path.iterdir())) == 5


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "text", "pickle", "foreign"])
def test_a_damaged_file_is_computed_and_written_anew(tmp_path: Path, damage: str) -> None:
    counting, image = Counting(Orb(CONFIG)), textured(160, 120)
    cached = Cached(counting, tmp_path)
    expected = cached.extract(image)
    (path,) = tmp_path.iterdir()
    content = bytearray(path.read_bytes())
    if damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "flipped":
        content[len(content) // 2] ^= 255
        path.write_bytes(content)
    elif damage == "pickle":
        np.savez(path, keypoints_xy=np.array([{}], object))
    elif damage == "foreign":
        np.savez(path, other=np.zeros(3))
    else:
        path.write_bytes(b"" if damage == "empty" else b"not features")
    assert_equal(cached.extract(image), expected)
    assert counting.asked == 2
    assert_equal(cached.extract(image), expected)
    assert counting.asked == 2 and list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_made_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file/cache: cannot be made"):
        Cached(Orb(CONFIG), tmp_path / "file" / "cache")


def test_a_folder_that_vanishes_is_an_error_that_names_it(tmp_path: Path) -> None:
    cached = Cached(Orb(CONFIG), tmp_path / "cache")
    (tmp_path / "cache").rmdir()
    with pytest.raises(OutputError, match="cache: features cannot be kept"):
        cached.extract(textured(160, 120))
