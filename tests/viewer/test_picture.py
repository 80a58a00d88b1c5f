"""Stills, the image with its tracks, and the panel."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from slamfront.errors import OutputError
from slamfront.types import State
from slamfront.viewer.picture import PICTURE_SIZE, compose, draw_panel, draw_tracks, picture, status
from slamfront.viewer.scene import STATE_COLOURS, Follower
from tests.viewer.snapshots import empty_snapshot, snapshot


def has_colour(rgb: np.ndarray, colour: tuple[int, int, int]) -> bool:
    return bool((rgb == colour).all(axis=-1).any())


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("colour", [False, True])
def test_a_picture_shows_map_image_and_state(state: State, colour: bool) -> None:
    rgb = compose(snapshot(state=state, colour=colour), Follower(), 30.0)
    assert rgb.shape == (PICTURE_SIZE[1], PICTURE_SIZE[0], 3)
    assert has_colour(rgb, STATE_COLOURS[state])
    assert len(np.unique(rgb.astype(np.int64) @ (1 << 16, 1 << 8, 1))) > 1000


def test_the_reason_why_there_is_no_pose_stands_in_picture_and_panel() -> None:
    silent = snapshot(state=State.LOST)
    told = replace(silent, reason="3 landmarks agree with the pose, 15 are needed; " * 4)
    for draw in (lambda shown: compose(shown, Follower(), 30.0), lambda shown: draw_panel(shown, 400, 30.0)):
        with_reason, without = draw(told), draw(silent)
        assert with_reason.shape == without.shape, "nothing jumps"
        assert (with_reason != without).any()


def test_a_picture_is_made_before_anything_is_known() -> None:
    assert has_colour(compose(empty_snapshot(), Follower()), STATE_COLOURS[State.INITIALIZING])


def test_a_still_is_a_png_file(tmp_path: Path) -> None:
    path = tmp_path / "new" / "still.png"
    picture(snapshot(), path)
    image = cv2.imread(str(path))
    assert image is not None
    assert image.shape[1::-1] == PICTURE_SIZE


def test_a_still_that_cannot_be_written_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="file"):
        picture(snapshot(), tmp_path / "file" / "still.png")


def test_tracks_are_marked_where_they_are_in_the_resampled_image() -> None:
    image, tracks = np.zeros((100, 200), np.uint8), np.array([(60.0, 40.0), (np.nan, 3.0)], np.float32)
    marked = draw_tracks(image, tracks, 400)
    assert marked.shape == (200, 400, 3)
    centre = np.argwhere(marked.any(axis=2)).mean(axis=0)[::-1]
    np.testing.assert_allclose(
        centre, (120.5, 80.5), atol=0.3
    )  # pixel centres move by half a pixel; marks are discrete


def test_the_status_counts_what_the_snapshot_holds() -> None:
    figures = dict(status(snapshot(40, landmarks=4000), 31.4))
    assert figures == {"frame": "40", "keyframes": "9", "landmarks": "4,000", "tracks": "120", "fps": "31"}


def test_the_panel_tells_that_the_run_is_paused() -> None:
    running, paused = (draw_panel(snapshot(), 440, 30.0, paused) for paused in (False, True))
    assert running.shape == paused.shape
    assert (running != paused).any()
