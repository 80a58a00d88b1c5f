from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from slamfront.calibration import write_calibration
from slamfront.errors import CalibrationError, SourceError
from slamfront.sources.tum import open_tum
from slamfront.types import Frame
from tests.sources.datasets import CAMERA, HEIGHT, WIDTH, depth, make_tum, picture, save


def test_frames_carry_image_depth_time_and_calibration(tmp_path: Path) -> None:
    source = open_tum(make_tum(tmp_path))
    frames = list(source)
    assert (source.sensor, source.length, source.skipped, source.camera.baseline_m) == ("rgbd", 5, 0, 0.08)
    assert [frame.time_ns for frame in frames] == [100_000_000_000 + n * 100_000_000 for n in range(5)]
    np.testing.assert_array_equal(frames[3].image, picture(3, colour=True))
    assert frames[3].depth_m is not None
    np.testing.assert_allclose(frames[3].depth_m[1:], 4.0, rtol=1e-6)
    assert not frames[3].depth_m[0].any()
    assert [frame.depth_delay_s for frame in frames] == pytest.approx([0.004] * 5)
    assert source.reference is not None
    assert source.reference.pose(4).translation_m[0] == 4


def test_delay_of_depth_is_what_stamps_tell_and_what_the_calibration_adds(tmp_path: Path) -> None:
    path = tmp_path / "camera.yaml"
    write_calibration(path, replace(CAMERA, depth_delay_s=-0.019))
    frames = list(open_tum(make_tum(tmp_path / "sequence"), calibration=path))
    assert [frame.depth_delay_s for frame in frames] == pytest.approx([0.004 - 0.019] * 5)


def test_mono_takes_frames_without_depth_and_has_no_baseline(tmp_path: Path) -> None:
    (make_tum(tmp_path) / "depth.txt").unlink()
    source = open_tum(tmp_path)
    assert (source.sensor, source.camera, len(list(source))) == ("mono", CAMERA, 5)
    with pytest.raises(SourceError, match="offers mono, not rgbd"):
        open_tum(tmp_path, "rgbd")


def without_depth(frames: list[Frame]) -> list[int]:
    """Return the ids of the frames that came without depth."""
    return [frame.id for frame in frames if frame.depth_m is None]


def test_frame_whose_depth_is_more_than_20_ms_away_comes_without_it_and_is_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = make_tum(tmp_path)
    rows = (folder / "depth.txt").read_text().splitlines()
    rows[2] = rows[2].replace("100.104000 ", "100.121000 ")
    (folder / "depth.txt").write_text("\n".join(rows))
    source = open_tum(folder)
    with caplog.at_level(logging.WARNING):
        frames = list(source)
    assert [frame.id for frame in frames] == [0, 1, 2, 3, 4]
    assert without_depth(frames) == [1]
    assert (source.skipped, source.incomplete) == (0, 1)
    assert "frame 1 comes without its depth: there is none" in caplog.text


def test_damaged_image_is_skipped_with_one_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = make_tum(tmp_path)
    path = folder / "rgb" / "100.200000.png"
    path.write_bytes(path.read_bytes()[:500])
    source = open_tum(folder)
    with caplog.at_level(logging.WARNING):
        assert [frame.id for frame in source] == [0, 1, 3, 4]
    assert source.skipped == 1
    assert len(caplog.records) == 1
    assert "100.200000.png is truncated" in caplog.text


def test_a_missing_image_costs_the_frame_and_a_missing_depth_only_the_depth(tmp_path: Path) -> None:
    folder = make_tum(tmp_path)
    (folder / "rgb" / "100.000000.png").unlink()
    (folder / "depth" / "100.104000.png").unlink()
    source = open_tum(folder)
    frames = list(source)
    assert [frame.id for frame in frames] == [1, 2, 3, 4]
    assert without_depth(frames) == [1]
    assert (source.skipped, source.incomplete) == (1, 1)


def test_depth_that_is_damaged_or_of_another_size_is_left_out_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = make_tum(tmp_path)
    path = folder / "depth" / "100.104000.png"
    path.write_bytes(path.read_bytes()[:60])
    save(folder / "depth" / "100.304000.png", depth(3, 5000)[:24])
    source = open_tum(folder)
    with caplog.at_level(logging.WARNING):
        frames = list(source)
    assert [frame.id for frame in frames] == [0, 1, 2, 3, 4]
    assert without_depth(frames) == [1, 3]
    assert (source.skipped, source.incomplete) == (0, 2)
    assert [record.args[1] for record in caplog.records if isinstance(record.args, tuple)] == [1, 3]


def test_counts_are_those_of_the_newest_iteration(tmp_path: Path) -> None:
    folder = make_tum(tmp_path)
    (folder / "rgb" / "100.000000.png").unlink()
    (folder / "depth" / "100.104000.png").unlink()
    source = open_tum(folder)
    assert len(list(source)) == len(list(source)) == 4
    assert (source.skipped, source.incomplete) == (1, 1)


def test_of_many_frames_without_depth_a_few_are_named_and_all_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = make_tum(tmp_path, count=8)
    for path in (folder / "depth").iterdir():
        path.unlink()
    with caplog.at_level(logging.WARNING):
        assert len(without_depth(list(open_tum(folder)))) == 8
    assert len(caplog.records) == 6
    assert "8 frames came without their right image or depth" in caplog.records[-1].getMessage()


def test_single_frame_of_another_size_is_skipped(tmp_path: Path) -> None:
    folder = make_tum(tmp_path)
    save(folder / "rgb" / "100.200000.png", picture(2, colour=True, width=32, height=24))
    source = open_tum(folder)
    assert [frame.id for frame in source] == [0, 1, 3, 4]


def test_first_frame_of_another_size_does_not_decide(tmp_path: Path) -> None:
    folder = make_tum(tmp_path)
    save(folder / "rgb" / "100.000000.png", picture(0, colour=True, width=32, height=24))
    assert [frame.id for frame in open_tum(folder)] == [1, 2, 3, 4]


def test_calibration_of_another_resolution_is_refused(tmp_path: Path) -> None:
    folder = make_tum(tmp_path)
    other = tmp_path / "other.yaml"
    other.write_text((folder / "calibration.yaml").read_text().replace(f"width: {WIDTH}", f"width: {2 * WIDTH}"))
    with pytest.raises(CalibrationError, match=f"{2 * WIDTH}x{HEIGHT} but the frames are {WIDTH}x{HEIGHT}"):
        open_tum(folder, calibration=other)


def test_unknown_camera_without_calibration_is_refused(tmp_path: Path) -> None:
    (make_tum(tmp_path) / "calibration.yaml").unlink()
    with pytest.raises(CalibrationError, match=r"calibration\.yaml"):
        open_tum(tmp_path)


def test_depth_of_eight_bits_is_no_depth(tmp_path: Path) -> None:
    folder = make_tum(tmp_path)
    save(folder / "depth" / "100.104000.png", picture(1))
    source = open_tum(folder)
    frames = list(source)
    assert [frame.id for frame in frames] == [0, 1, 2, 3, 4]
    assert without_depth(frames) == [1]
    assert source.incomplete == 1


def test_broken_list_names_its_line(tmp_path: Path) -> None:
    (make_tum(tmp_path) / "rgb.txt").write_text("# images\n100.0 rgb/a.png\nnonsense\n")
    with pytest.raises(SourceError, match=r"rgb\.txt, line 3"):
        open_tum(tmp_path)


def test_sequence_without_one_readable_image_is_refused(tmp_path: Path) -> None:
    folder = make_tum(tmp_path)
    for path in (folder / "rgb").iterdir():
        path.write_bytes(b"nothing")
    with pytest.raises(SourceError, match="not one image"):
        open_tum(folder)


def test_real_sequence_is_read_whole(data: Path) -> None:
    source = open_tum(data / "tum" / "rgbd_dataset_freiburg1_rpy")
    assert (source.sensor, source.length) == ("rgbd", 250)
    assert (source.camera.model, source.camera.fx, source.camera.baseline_m) == ("radtan", 517.3, 0.08)
    frames = [frame for frame, _ in zip(source, range(3))]
    assert [frame.time_ns for frame in frames] == [1305031229528748000, 1305031229564425000, 1305031229596600000]
    depth_m = frames[0].depth_m
    assert depth_m is not None
    assert frames[0].image.shape == (480, 640, 3)
    # A desk in an office: the camera is never closer than the sensor's 0.4 m.
    assert 0.4 < np.median(depth_m[depth_m > 0]) < 4.0
    assert source.reference is not None
    assert len(source.reference) > 1000
