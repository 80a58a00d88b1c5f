from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from slamfront.errors import CalibrationError, SourceError
from slamfront.sources.images import open_images
from tests.sources.datasets import make_images, picture


def test_names_are_sorted_as_people_number_them(tmp_path: Path) -> None:
    folder = make_images(tmp_path, ["a2.png", "a10.png", "a1.png"])
    frames = list(open_images(folder, fps=10))
    for frame, number in zip(frames, (2, 0, 1)):
        np.testing.assert_array_equal(frame.image, picture(number))
    assert [frame.time_ns for frame in frames] == [0, 100_000_000, 200_000_000]


@pytest.mark.parametrize(
    ("names", "times_ns"),
    [
        (["1403715273262142976.png", "1403715273312143104.png"], [1403715273262142976, 1403715273312143104]),
        (["1305031229.528748.png", "1305031229.564425.png"], [1305031229528748000, 1305031229564425000]),
        (["000001.png", "000002.png"], [0, 33333333]),
    ],
)
def test_times_are_read_from_names_that_look_like_times(tmp_path: Path, names: list[str], times_ns: list[int]) -> None:
    assert [frame.time_ns for frame in open_images(make_images(tmp_path, names))] == times_ns


def test_glob_and_single_image_use_the_calibration_beside_them(tmp_path: Path) -> None:
    folder = make_images(tmp_path, ["a1.png", "a2.png", "b1.png"])
    assert [len(list(open_images(folder / name))) for name in ("a*.png", "b1.png")] == [2, 1]


def test_images_are_mono_and_need_a_calibration(tmp_path: Path) -> None:
    folder = make_images(tmp_path, ["a1.png"])
    with pytest.raises(SourceError, match="mono"):
        open_images(folder, "stereo")
    (folder / "calibration.yaml").unlink()
    with pytest.raises(CalibrationError, match="no calibration"):
        open_images(folder)
    with pytest.raises(SourceError, match="no images"):
        open_images(folder / "*.jpg")
