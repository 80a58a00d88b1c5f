from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from slamfront.errors import FrameError
from slamfront.image_files import clean_depth, read_depth, read_image
from tests.sources.datasets import picture, save


def test_grey_stays_grey_and_colour_is_rgb(tmp_path: Path) -> None:
    assert read_image(save(tmp_path / "a.png", picture(0))).ndim == 2
    red = np.zeros((8, 8, 3), np.uint8)
    red[..., 0] = 255
    np.testing.assert_array_equal(read_image(save(tmp_path / "b.png", red)), red)


def test_sixteen_bits_become_eight_and_alpha_is_dropped(tmp_path: Path) -> None:
    wide = save(tmp_path / "a.png", np.full((8, 8), 0x4000, np.uint16))
    assert read_image(wide).dtype == np.uint8
    assert read_image(wide)[0, 0] == 0x40
    assert cv2.imwrite(str(tmp_path / "b.png"), np.full((8, 8, 4), 7, np.uint8))
    assert read_image(tmp_path / "b.png").shape == (8, 8, 3)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
@pytest.mark.parametrize("share", [0.0, 0.05, 0.5, 0.95])
def test_truncated_file_is_an_error_and_never_half_a_picture(tmp_path: Path, suffix: str, share: float) -> None:
    path = save(tmp_path / f"a{suffix}", picture(0))
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(FrameError, match=path.name):
        read_image(path)


def test_folder_and_text_are_no_pictures(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("a picture of a cat")
    for path in (tmp_path, tmp_path / "a.png", tmp_path / "none.png"):
        with pytest.raises(FrameError):
            read_image(path)


def test_depth_without_meaning_is_zero() -> None:
    raw = np.array([[np.nan, -1.0, np.inf, 2.0]], np.float32)
    assert clean_depth(raw).tolist() == [[0.0, 0.0, 0.0, 2.0]]
    assert clean_depth(np.array([[0, 65535, 1500]], np.uint16), 0.001, invalid=65535)[0] == pytest.approx(
        [0.0, 0.0, 1.5]
    )


def test_colour_picture_is_no_depth(tmp_path: Path) -> None:
    with pytest.raises(FrameError, match="16 bits"):
        read_depth(save(tmp_path / "a.png", picture(0, colour=True)), 0.001)
