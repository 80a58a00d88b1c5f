from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from slamfront.config import SourceConfig
from slamfront.errors import SourceError
from slamfront.geometry.camera import Camera
from slamfront.sources.euroc import open_euroc
from slamfront.sources.guess import open_source
from slamfront.sources.masks import masked, read_mask
from slamfront.sources.recording import Recording
from slamfront.sources.rectify import Remap, rectified
from slamfront.sources.tum import open_tum
from slamfront.sources.wrappers import ChangedMask, Wrapper, resized
from slamfront.types import Frame
from tests.sources.datasets import make_euroc, make_tum

SIZE = 64, 48
"""Of the frames that tests.sources.datasets makes."""


@pytest.fixture
def recording(tmp_path: Path) -> Recording:
    return open_tum(make_tum(tmp_path))


def write(path: Path, picture: np.ndarray) -> Path:
    assert cv2.imwrite(str(path), picture)
    return path


def lower_half(size: tuple[int, int] = SIZE) -> np.ndarray:
    """Return a picture that is black in its lower half."""
    picture = np.full((size[1], size[0]), 255, np.uint8)
    picture[size[1] // 2 :] = 0
    return picture


def first(source: Wrapper | Recording) -> Frame:
    return next(iter(source))


@pytest.mark.parametrize("kind", ["grey", "colour", "16 bits"])
def test_a_mask_is_false_where_its_picture_is_black(tmp_path: Path, kind: str) -> None:
    picture = lower_half()
    picture[0, 0] = 1  # anything but black
    if kind == "colour":
        picture = np.repeat(picture[..., None], 3, 2)
    if kind == "16 bits":
        picture = picture.astype(np.uint16)
    mask = read_mask(write(tmp_path / "mask.png", picture), SIZE)
    assert mask.dtype == np.bool_ and mask[:24].all() and not mask[24:].any()


def test_a_mask_that_cannot_be_used_is_refused_in_one_line(tmp_path: Path) -> None:
    small = write(tmp_path / "small.png", lower_half((32, 24)))
    black = write(tmp_path / "black.png", np.zeros((48, 64), np.uint8))
    (tmp_path / "text.png").write_text("no picture")
    for path, reason in (
        (small, "is 32x24, the frames are 64x48"),
        (black, "is black all over"),
        (tmp_path / "text.png", "is not a picture"),
        (tmp_path / "none.png", "cannot read"),
    ):
        with pytest.raises(SourceError, match=reason) as error:
            read_mask(path, SIZE)
        assert "\n" not in str(error.value)


def test_every_frame_has_the_mask_and_its_own(recording: Recording, tmp_path: Path) -> None:
    path = write(tmp_path / "mask.png", lower_half())
    assert all(np.array_equal(frame.mask, lower_half() > 0) for frame in masked(recording, path, None))
    assert masked(recording, None, None) is recording

    class Own(Wrapper):
        def __iter__(self):  # type: ignore[no-untyped-def]
            for frame in self._source:
                own = np.ones((48, 64), bool)
                own[:, :10] = False
                yield replace(frame, mask=own)

    mask = first(masked(Own(recording), path, None)).mask
    assert mask is not None and not mask[:, :10].any() and not mask[24:].any() and mask[:24, 10:].all()


def test_a_right_mask_without_a_right_image_is_told_and_left(
    recording: Recording, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write(tmp_path / "mask.png", lower_half())
    with caplog.at_level(logging.WARNING):
        assert masked(recording, None, path) is recording
    assert "the frames are rgbd" in caplog.text


def test_masks_of_a_pair_are_rectified_with_their_images(tmp_path: Path) -> None:
    source = open_euroc(make_euroc(tmp_path / "euroc"))
    size = source.camera.width, source.camera.height
    path = write(tmp_path / "mask.png", lower_half(size))
    pair = masked(source, path, path)
    frame = first(rectified(pair, source.calibration))
    raw = Recording.__iter__(source)
    assert next(raw).mask is None
    for mask in (frame.mask, frame.right_mask):
        assert mask is not None and mask.shape == frame.image.shape[:2]
        assert mask[: size[1] // 3].all() and not mask[2 * size[1] // 3 :].any()


def test_a_mask_goes_through_a_lens_as_the_image_does() -> None:
    lens = Camera("radtan", 320, 240, 200.0, 202.0, 158.0, 121.0, (-0.28, 0.07, 0.001, -0.001))
    remap = Remap(lens, lens.pinhole(), np.eye(3))
    picture = np.zeros((240, 320), np.uint8)
    cv2.circle(picture, (200, 150), 60, 255, -1)
    mask, image = remap.mask(picture > 0), remap.image(picture)
    # Interpolated pixels lie on the rim, where the nearest is one side or the other
    assert np.array_equal(mask[image == 255], np.ones((image == 255).sum(), bool))
    assert not mask[image == 0].any()


@pytest.mark.parametrize("width", [32, 24, 128])
def test_a_resampled_pixel_is_usable_where_all_that_it_is_made_of_is(
    recording: Recording, tmp_path: Path, width: int
) -> None:
    picture = np.full((48, 64), 255, np.uint8)
    picture[20:29, 30:41] = 0
    frame = first(resized(masked(recording, write(tmp_path / "m.png", picture), None), width))  # type: ignore[arg-type]
    assert frame.mask is not None
    frame.check()
    share = cv2.resize(picture.astype(np.float32) / 255, (width, width * 48 // 64), interpolation=cv2.INTER_AREA)
    assert not frame.mask[share < 0.9].any()
    assert frame.mask[:5].all() and frame.mask[:, -5:].all()


def test_a_mask_of_all_frames_is_changed_once() -> None:
    calls = []
    change = ChangedMask(lambda mask: calls.append(1) or ~mask)  # type: ignore[func-returns-value]
    mask, other = np.ones((2, 2), bool), np.zeros((2, 2), bool)
    assert change(None) is None
    assert change(mask) is change(mask)
    assert np.array_equal(change(other), ~other) and len(calls) == 2


def test_the_configuration_masks_a_source(tmp_path: Path) -> None:
    folder = make_tum(tmp_path / "tum")
    path = write(tmp_path / "mask.png", lower_half())
    source = open_source(str(folder), SourceConfig(mask=path, width=32, prefetch=0))
    frame = first(source)  # type: ignore[arg-type]
    assert frame.mask is not None and frame.mask.shape == (24, 32) and frame.mask[:10].all()
    with pytest.raises(SourceError, match="cannot read"):
        open_source(str(folder), SourceConfig(mask=tmp_path / "none.png"))
