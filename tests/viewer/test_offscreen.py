"""Recordings: videos and folders of pictures."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from slamfront.errors import OutputError, ViewerError
from slamfront.viewer.offscreen import VIDEO_FRAMES_PER_S, Recorder
from slamfront.viewer.picture import PICTURE_SIZE
from slamfront.viewer.rate import Rate
from tests.viewer.snapshots import snapshot

MS = 1_000_000


def record(path: Path, times_ms: list[int]) -> None:
    recorder = Recorder(path)
    for frame_id, time_ms in enumerate(times_ms):
        assert recorder.show(snapshot(frame_id, landmarks=50, time_ns=time_ms * MS))
    recorder.close()


def frames_of(path: Path) -> list[np.ndarray]:
    capture = cv2.VideoCapture(str(path))
    frames = []
    while True:
        there, frame = capture.read()
        if not there:
            capture.release()
            return frames
        frames.append(frame)


def test_a_folder_gets_a_picture_of_each_snapshot(tmp_path: Path) -> None:
    record(tmp_path / "frames", [0, 10, 500])
    names = sorted(path.name for path in (tmp_path / "frames").glob("*.png"))
    assert names == ["000000.png", "000001.png", "000002.png"]


@pytest.mark.parametrize(
    ("times_ms", "pictures"),
    [
        ([0, 34, 67, 100], 4),  # as fast as the video
        ([0, 100, 200], 7),  # slower: pictures stay on
        ([0, 8, 17, 25, 34], 2),  # faster: pictures are left out
        ([0, 60_000, 60_034], 1 + VIDEO_FRAMES_PER_S + 1),  # a gap is a second at most
    ],
)
def test_time_in_a_video_runs_as_before_the_camera(tmp_path: Path, times_ms: list[int], pictures: int) -> None:
    record(tmp_path / "run.mp4", times_ms)
    frames = frames_of(tmp_path / "run.mp4")
    assert len(frames) == pictures
    assert frames[0].shape[1::-1] == PICTURE_SIZE
    assert [path.name for path in tmp_path.iterdir()] == ["run.mp4"]


def test_the_same_snapshot_again_is_not_recorded_again(tmp_path: Path) -> None:
    recorder, still = Recorder(tmp_path / "frames"), snapshot(3)
    path = tmp_path / "frames" / "000003.png"
    recorder.show(still)
    path.unlink()
    recorder.show(still)
    assert not path.exists()
    recorder.show(dataclasses.replace(still))
    assert path.exists()


def test_a_recording_without_snapshots_leaves_no_video(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "run.mp4")
    recorder.close()
    recorder.close()
    assert list(tmp_path.iterdir()) == []


def test_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ViewerError, match=r"run\.gif.*\.mp4"):
        Recorder(tmp_path / "run.gif")


@pytest.mark.parametrize("name", ["run.mp4", "frames"])
def test_a_place_that_cannot_be_written_is_an_output_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="file"):
        Recorder(tmp_path / "file" / name)


def test_a_video_that_lost_frames_is_an_output_error_and_an_older_one_stays(tmp_path: Path) -> None:
    path = tmp_path / "run.mp4"
    path.write_bytes(b"older")
    recorder = Recorder(path)
    recorder.show(snapshot(0, landmarks=50))
    partial = next(file for file in tmp_path.iterdir() if file != path)
    os.remove(partial)  # what OpenCV writes from now on is gone, as on a disk that is full
    with pytest.raises(OutputError, match="disk full"):
        recorder.close()
    assert path.read_bytes() == b"older"
    assert list(tmp_path.iterdir()) == [path]


def test_the_rate_counts_frames_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 0.1, 0.2, 10.0])
    monkeypatch.setattr("slamfront.viewer.rate.time.perf_counter", lambda: next(clock))
    rate = Rate()
    assert rate.count(0) is None
    assert rate.count(3) == pytest.approx(30.0)
    assert rate.count(6) == pytest.approx(30.0)
    assert rate.count(7) == pytest.approx(1 / 9.8)  # old frames no longer count


def test_a_folder_of_other_pictures_is_not_recorded_into(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "000003.png").write_bytes(b"mine")
    with pytest.raises(OutputError, match="pictures that no recording made"):
        Recorder(tmp_path / "mine")
    for _ in range(2):  # a recording may replace one
        recorder = Recorder(tmp_path / "film")
        recorder.show(snapshot(3))
        recorder.close()
    assert (tmp_path / "film" / "000003.png").is_file()


def test_a_clock_that_is_set_back_does_not_stop_the_film(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "run.mp4")
    for number, time_ns in enumerate([10**12, 10**12 + 10**8, 10**9, 10**9 + 10**8, 10**9 + 2 * 10**8]):
        recorder.show(snapshot(number, time_ns=time_ns))
    recorder.close()
    capture = cv2.VideoCapture(str(tmp_path / "run.mp4"))
    assert int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) >= 8
