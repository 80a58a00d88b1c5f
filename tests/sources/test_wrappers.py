from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from slamfront.errors import ConfigError, SourceError
from slamfront.sources.recording import Recording
from slamfront.sources.tum import open_tum
from slamfront.sources.wrappers import Wrapper, prefetched, resized, taken
from slamfront.types import Frame
from tests.sources.datasets import make_tum


@pytest.fixture
def recording(tmp_path: Path) -> Recording:
    return open_tum(make_tum(tmp_path))


class Failing(Wrapper):
    """A source that fails after two frames."""

    def __iter__(self) -> Iterator[Frame]:
        for frame in self._source:
            if frame.id == 2:
                raise SourceError("the disk is gone")
            yield frame


@pytest.mark.parametrize("args", [(1, None, 1), (0, 3, 1), (0, None, 2), (1, 4, 2), (0, None, 1)])
def test_part_of_a_stream_is_the_part_of_the_recording(recording: Recording, args: tuple[int, int | None, int]) -> None:
    start, end, stride = args
    expected = list(range(5))[start:end:stride]
    for source in (recording, Wrapper(recording)):
        part = taken(source, *args)
        assert [frame.id for frame in part] == expected
        assert part.length == len(expected)


def test_part_that_cannot_be_is_refused(recording: Recording) -> None:
    for args in ((-1, None, 1), (3, 3, 1), (0, None, 0)):
        with pytest.raises(ConfigError):
            taken(recording, *args)
    with pytest.raises(SourceError, match="no frame is left"):
        taken(recording, 5)


def test_frames_left_out_are_not_read(recording: Recording, tmp_path: Path) -> None:
    (tmp_path / "rgb" / "100.100000.png").unlink()
    part = taken(recording, stride=2)
    assert [frame.id for frame in part] == [0, 2, 4]
    assert part.skipped == 0  # type: ignore[attr-defined]


def test_resized_frames_keep_what_a_pixel_looks_at(recording: Recording) -> None:
    half = resized(recording, 32)
    frame = next(iter(half))
    assert frame.image.shape == (24, 32, 3)
    assert frame.camera == half.camera == recording.camera.scaled(32, 24)
    assert frame.depth_m is not None
    np.testing.assert_allclose(np.unique(frame.depth_m), [0, 1], rtol=1e-6)
    original = next(iter(recording)).image.astype(float)
    blocks = original.reshape(24, 2, 32, 2, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(frame.image, blocks, atol=1)
    assert resized(recording, 64) is recording


def test_reading_ahead_changes_nothing(recording: Recording) -> None:
    ahead = prefetched(recording, 2)
    for frame, expected in zip(ahead, recording):
        assert frame.id == expected.id
        np.testing.assert_array_equal(frame.image, expected.image)
    assert [frame.id for frame in ahead] == [0, 1, 2, 3, 4], "and it can be done again"
    assert prefetched(recording, 0) is recording


def test_error_of_the_reader_comes_after_the_frames_before_it(recording: Recording) -> None:
    frames = iter(prefetched(Failing(recording), 4))
    assert [next(frames).id, next(frames).id] == [0, 1]
    with pytest.raises(SourceError, match="the disk is gone"):
        next(frames)


def test_closing_early_leaves_no_thread(recording: Recording) -> None:
    before = threading.active_count()
    for frame in prefetched(recording, 1):
        assert frame.id == 0
        break
    assert threading.active_count() == before
