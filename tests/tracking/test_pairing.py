"""Pairs that are swapped or out of step are told, and pairs in order are not."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from slamfront.config import SourceConfig
from slamfront.imaging import grey
from slamfront.sources.guess import open_source
from slamfront.tracking.pairing import PairCheck
from slamfront.types import Frame, State
from tests.tracking.worlds import clip, front_for

Pairs = list[tuple[np.ndarray, np.ndarray]]
SCENES = ["street", "room-loop", "fast"]
"""A drive straight on, a walk, and quick turns of 20 px a frame."""


def pairs_of(frames: Sequence[Frame]) -> Pairs:
    return [(grey(f.image), grey(f.right)) for f in frames if f.right is not None]


def late(pairs: Pairs) -> Pairs:
    """Return pairs whose right image is that of the next frame."""
    return [(now[0], after[1]) for now, after in pairwise(pairs)]


def early(pairs: Pairs) -> Pairs:
    return [(now[0], before[1]) for before, now in pairwise(pairs)]


def swapped(pairs: Pairs) -> Pairs:
    return [(right, left) for left, right in pairs]


def checked(pairs: Pairs) -> PairCheck:
    check = PairCheck()
    for left, right in pairs:
        check.look(left, right)
    return check


@pytest.fixture(params=SCENES)
def pairs(request: pytest.FixtureRequest) -> Pairs:
    return pairs_of(clip(request.param, "stereo", 30).frames)


def test_pairs_in_order_are_soon_known_to_be(pairs: Pairs) -> None:
    check = checked(pairs)
    assert check.finding == "" and check.done


def test_swapped_pairs_are_told_with_the_evidence(pairs: Pairs, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        check = checked(swapped(pairs))
    assert check.finding.startswith("the left and right images seem to be swapped: ")
    assert check.finding.endswith("matches have negative disparity")
    assert [record.getMessage() for record in caplog.records] == [check.finding], "once"


def test_right_images_of_another_frame_are_told_with_the_evidence(pairs: Pairs) -> None:
    # A street seen at 10 Hz moves unevenly from frame to frame
    for wrong, word in ((late(pairs), "later"), (early(pairs), "earlier")):
        finding = checked(wrong).finding
        assert f"frames {word} than the left ones" in finding
        assert 0.7 < float(finding.split(" taken ")[1].split()[0]) < 1.4


@pytest.mark.parametrize("change", [list, late, early])
def test_a_camera_that_stands_still_gives_no_reason_to_doubt(change) -> None:  # type: ignore[no-untyped-def]
    check = checked(change(pairs_of(clip("still", "stereo", 30).frames)))
    assert check.finding == ""


def test_images_that_show_nothing_are_no_evidence() -> None:
    rng = np.random.default_rng(0)
    black = np.zeros((240, 320), np.uint8)
    noise = [rng.integers(0, 256, (240, 320), np.uint8) for _ in range(24)]
    assert checked([(black, black)] * 8).finding == ""
    assert checked([(image[:20, :30].copy(), image[:20, :30].copy()) for image in noise]).finding == ""
    assert checked(list(zip(noise[::2], noise[1::2]))).finding == ""


def test_one_wrong_pair_among_right_ones_is_no_reason_to_warn() -> None:
    pairs = pairs_of(clip("street", "stereo", 30).frames)
    pairs[2] = pairs[2][0], pairs[3][1]
    assert checked(pairs).finding == ""


@pytest.mark.parametrize("rows_px", [-1, 1])
def test_a_pair_that_is_not_quite_rectified_is_not_out_of_step(rows_px: int) -> None:
    pairs = [(left, np.roll(right, rows_px, axis=0)) for left, right in pairs_of(clip("street", "stereo", 30).frames)]
    assert checked(pairs).finding == ""


def test_a_front_end_says_why_swapped_pairs_make_no_map() -> None:
    whole = clip("street", "stereo", 30)
    front = front_for(whole)
    frames = [replace(f, image=f.right, right=f.image) for f in whole.frames[:12] if f.right is not None]
    answers = [front.step(frame) for frame in frames]
    assert answers[-1].state is State.INITIALIZING
    assert "0 keypoints with depth" in answers[-1].reason and "seem to be swapped" in answers[-1].reason


@pytest.mark.parametrize(
    ("folder", "count"), [("kitti/sequences/00", 60), ("kitti/sequences/01", 12), ("euroc/V1_01_easy", 20)]
)
def test_real_pairs_are_in_order(data: Path, folder: str, count: int) -> None:
    source = open_source(str(data / folder), SourceConfig(end=count, prefetch=0), "stereo")
    pairs = pairs_of(tuple(source))
    assert checked(pairs).finding == ""
    assert "seem to be swapped" in checked(swapped(pairs)).finding
    if folder.endswith("00"):
        assert "later" in checked(late(pairs)).finding and "earlier" in checked(early(pairs)).finding
