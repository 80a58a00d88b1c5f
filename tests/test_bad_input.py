"""What goes wrong outside: each case has a clear message and a stated behaviour, and nothing hangs.

Skipped and counted: a damaged, missing or wrongly sized image, a time that goes backwards. Borne: depth without a
value, a black frame, a truncated video, a backend process that is killed (test_pipeline.py). Ended with the results so
far: an unplugged camera, Ctrl-C (test_cli.py), a full disk. Refused before the run starts: everything about the command
line, files and folders.
"""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest

from slamfront.calibration import write_calibration
from slamfront.cli import main
from slamfront.evaluation.trajectory.results import read_result
from slamfront.sources.camera import open_camera
from slamfront.trajectories import read_tum
from slamfront.types import State
from tests.frames import COUNT, INLINE, SAMPLE, THREADED, Recorded, copy_sample, run_on
from tests.sources.test_camera import FakeDevice

FAST = ["--extractor.kind", "orb", "--extractor.max-keypoints", "300", "--no-plots", "--no-threads"]


def refusal(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Return the last line on stderr of a command that is refused with exit code 2, without a traceback."""
    assert main(words) == 2
    told = capsys.readouterr().err
    assert "Traceback" not in told
    return told.strip().splitlines()[-1]


def test_a_mask_of_another_size_is_refused_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = copy_sample(tmp_path / "sample")
    assert cv2.imwrite(str(tmp_path / "mask.png"), np.full((10, 20), 255, np.uint8))
    words = ["run", str(folder), *FAST, "--output", str(tmp_path / "out"), "--source.mask", str(tmp_path / "mask.png")]
    assert "is 20x10, the frames are 320x240" in refusal(words, capsys)


@pytest.mark.parametrize("damage", ["corrupt", "empty", "missing", "of another size"])
def test_an_image_that_cannot_be_used_is_skipped_and_counted(
    damage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = copy_sample(tmp_path / "sequence", count=8)
    path = sorted((source / "rgb").iterdir())[4]
    if damage == "corrupt":
        path.write_bytes(path.read_bytes()[:100])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "missing":
        path.unlink()
    else:
        assert cv2.imwrite(str(path), np.zeros((120, 160, 3), np.uint8))
    assert main(["run", str(source), "--output", str(tmp_path / "out"), *FAST]) == 0
    printed = capsys.readouterr()
    assert "tracked    7 of 8 frames" in printed.out
    assert "1 frames skipped" in printed.out
    assert path.name in printed.err or "frame 4" in printed.err
    assert len(read_tum(tmp_path / "out" / "final.tum")) == 7


@pytest.mark.parametrize("value", [np.nan, 0.0, -1.0])
def test_depth_without_a_value_is_borne(value: float) -> None:
    source = Recorded()
    for row in (10, 11, 12):
        source.frames[row] = replace(source.frames[row], depth_m=np.full_like(source.frames[row].depth_m, value))
    summary = run_on(source)
    assert summary.journal.tracked_count == COUNT
    assert np.isfinite(summary.trajectory.positions_m).all()


def test_a_run_waits_for_the_first_frame_with_depth() -> None:
    source = Recorded()
    for row in range(3):
        source.frames[row] = replace(source.frames[row], depth_m=np.full_like(source.frames[row].depth_m, np.nan))
    summary = run_on(source)
    assert summary.journal.tracked_count == COUNT - 3


@pytest.mark.parametrize("config", [INLINE, THREADED], ids=["inline", "threaded"])
def test_a_time_that_goes_backwards_is_skipped_and_counted(config: object, caplog: pytest.LogCaptureFixture) -> None:
    source = Recorded()
    source.frames[5] = replace(source.frames[5], time_ns=source.frames[3].time_ns)
    summary = run_on(source, config)  # type: ignore[arg-type]
    assert (summary.skipped, len(summary.journal)) == (1, COUNT - 1)
    assert "frame 5: its time" in caplog.text
    assert (np.diff(summary.trajectory.times_ns) > 0).all()


@pytest.mark.parametrize("config", [INLINE, THREADED], ids=["inline", "threaded"])
def test_a_frame_of_another_size_is_skipped_and_counted(config: object) -> None:
    source = Recorded()
    source.frames[5] = replace(source.frames[5], image=np.zeros((10, 10), np.uint8))
    summary = run_on(source, config)  # type: ignore[arg-type]
    assert (summary.skipped, summary.journal.tracked_count) == (1, COUNT - 1)


@pytest.mark.parametrize("level", [0, 255])
def test_a_covered_lens_loses_the_camera_until_it_sees_again(level: int) -> None:
    source = Recorded()
    for row in (12, 13, 14):
        source.frames[row] = replace(source.frames[row], image=np.full_like(source.frames[row].image, level))
    states = []

    class Keep:
        def write(self, tracked: object) -> None:
            states.append(tracked.state)  # type: ignore[attr-defined]

    summary = run_on(source, sinks=[Keep()])
    assert states[12:15] == [State.LOST] * 3
    assert states[-1] is State.TRACKING
    assert summary.journal.tracked_count == COUNT - 3


def test_a_truncated_video_gives_the_frames_that_it_has(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frames = Recorded().frames
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 30.0, (320, 240))
    for frame in frames:
        writer.write(frame.image[..., ::-1])
    writer.release()
    write_calibration(tmp_path / "calibration.yaml", frames[0].camera)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert main(["run", str(path), "--output", str(tmp_path / "out"), *FAST]) == 0
    printed = capsys.readouterr()
    assert "truncated" in printed.err
    result = read_result(tmp_path / "out")
    assert result.frames is not None and 0 < result.frames < COUNT


@pytest.mark.parametrize("threads", ["--threads", "--no-threads"])
def test_an_unplugged_camera_ends_the_run_with_its_results(
    threads: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    images = [frame.image for frame in Recorded().frames]

    class Webcam(FakeDevice):
        def retrieve(self) -> tuple[bool, np.ndarray]:
            return True, np.ascontiguousarray(images[self.count % len(images)][..., ::-1])

    device = Webcam(frames=40, period_s=0.02, size=(320, 240))
    monkeypatch.setattr("slamfront.sources.guess.open_camera", partial(open_camera, open_capture=lambda _: device))
    write_calibration(tmp_path / "camera.yaml", replace(Recorded().camera, baseline_m=None))
    words = ["run", "camera:0", "--source.calibration", str(tmp_path / "camera.yaml"), "--output", str(tmp_path / "o")]
    assert "camera:0 stopped after" in refusal([*words, *FAST, threads], capsys)
    result = read_result(tmp_path / "o")
    assert result.frames is not None and 0 < result.frames <= 40
    assert {"online.tum", "final.tum", "stats.csv"} <= {path.name for path in (tmp_path / "o").iterdir()}
    assert device.released


def test_an_unknown_key_of_a_configuration_is_refused_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "c.yaml").write_text("tracker: {min_inlier: 20}\n")
    line = refusal(["run", "x", "--config", str(tmp_path / "c.yaml")], capsys)
    assert "unknown key 'tracker.min_inlier': did you mean 'min_inliers'?" in line


@pytest.mark.parametrize("option", ["extractor", "matcher"])
def test_a_wrong_checkpoint_is_refused(option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = copy_sample(tmp_path / "sequence", count=3)
    (tmp_path / "wrong.pth").write_bytes(b"no checkpoint")
    kinds = ["--extractor.kind", "superpoint"] + (["--matcher.kind", "lightglue"] if option == "matcher" else [])
    words = [*kinds, f"--{option}.weights", str(tmp_path / "wrong.pth"), "--output", str(tmp_path / "out")]
    assert "wrong.pth" in refusal(["run", str(source), *words], capsys)


@pytest.mark.parametrize(
    "words",
    [
        ["run", str(SAMPLE), "--config", "PIPE"],
        ["run", str(SAMPLE), "--source.calibration", "PIPE"],
        ["run", str(SAMPLE), "--source.mask", "PIPE"],
        ["run", str(SAMPLE), "--load-map", "PIPE"],
        ["run", str(SAMPLE), "--extractor.kind", "superpoint", "--extractor.weights", "PIPE"],
        ["eval", str(SAMPLE / "groundtruth.txt"), "PIPE"],
        ["map", "info", "PIPE"],
        ["train", "PIPE"],
    ],
    ids=lambda words: " ".join(word for word in words if "/" not in word),
)
def test_a_pipe_that_nobody_writes_to_is_refused(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    line = refusal([word.replace("PIPE", str(tmp_path / "pipe.png")) for word in words], capsys)
    assert "pipe" in line


def test_choices_that_exclude_each_other_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = copy_sample(tmp_path / "sequence", count=3)
    words = ["--extractor.kind", "orb", "--matcher.kind", "lightglue", "--output", str(tmp_path / "out")]
    assert "matcher.kind lightglue needs extractor.kind superpoint" in refusal(["run", str(source), *words], capsys)


def test_a_folder_that_cannot_be_written_is_refused_before_the_source_is_opened(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("a file, and no folder")
    line = refusal(["run", str(tmp_path / "no source"), "--output", str(tmp_path / "file" / "out")], capsys)
    assert "cannot write results to" in line


def test_view_without_a_display_says_so_and_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    source = copy_sample(tmp_path / "sequence", count=3)
    assert main(["run", str(source), "--view", "--output", str(tmp_path / "out"), *FAST]) == 0
    assert "there is no display" in capsys.readouterr().err
    assert read_result(tmp_path / "out").frames == 3


def test_a_run_is_recorded_without_a_display(tmp_path: Path) -> None:
    source = copy_sample(tmp_path / "sequence", count=5)
    words = ["--record", str(tmp_path / "frames"), "--output", str(tmp_path / "out"), *FAST]
    assert main(["run", str(source), *words]) == 0
    assert len(list((tmp_path / "frames").glob("*.png"))) == 5


def test_a_recording_that_cannot_be_written_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = copy_sample(tmp_path / "sequence", count=3)
    words = ["--record", str(tmp_path / "clip.gif"), "--output", str(tmp_path / "out"), *FAST]
    assert "ends in .mp4" in refusal(["run", str(source), *words], capsys)


def test_a_disk_that_fills_up_ends_the_run_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from slamfront.errors import OutputError
    from slamfront.sinks.stats import Stats

    def full(self: Stats, tracked: object) -> None:
        raise OutputError("cannot write stats.csv: No space left on device")

    monkeypatch.setattr(Stats, "write", full)
    source = copy_sample(tmp_path / "sequence", count=5)
    assert "No space left" in refusal(["run", str(source), "--output", str(tmp_path / "out"), *FAST], capsys)
    assert len(read_tum(tmp_path / "out" / "online.tum")) == 1, "what was written stays"


def test_warnings_reach_the_log_of_a_program_too(caplog: pytest.LogCaptureFixture) -> None:
    source = Recorded(6)
    source.frames[2] = replace(source.frames[2], image=np.zeros((10, 10), np.uint8))
    with caplog.at_level(logging.WARNING):
        run_on(source)
    assert any(record.name.startswith("slamfront.") for record in caplog.records)
