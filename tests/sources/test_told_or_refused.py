"""Inputs that could be taken for something else: each is read as what it is, or refused by name, and never half."""

from __future__ import annotations

import logging
import random
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slamfront.calibration import read_calibration, read_depth_unit, write_calibration
from slamfront.config import SourceConfig
from slamfront.errors import CalibrationError, EvaluationError, FrameError, SlamfrontError, SourceError, refused_as
from slamfront.geometry.camera import Camera
from slamfront.image_files import Levels, decode_image, read_image
from slamfront.sources.camera import open_camera
from slamfront.sources.guess import open_source
from slamfront.sources.recording import associate
from slamfront.trajectories import parse_stamp, read_trajectory, read_tum
from tests.sources.datasets import CAMERA, depth, make_euroc, make_images, make_kitti, make_tum, picture, save

PLAIN = SourceConfig(prefetch=0)


def text(folder: Path, content: str, name: str = "c.yaml") -> Path:
    path = folder / name
    path.write_text(content, encoding="utf-8")
    return path


# --- layouts and names


def associated(folder: Path, count: int = 4, first: str = "rgb") -> Path:
    """Build a sequence that has associations.txt alone, colour or depth first."""
    rows = []
    for number in range(count):
        stamps = f"100.{number}00", f"100.{number}04"
        save(folder / "rgb" / f"{number}.png", picture(number, colour=True))
        save(folder / "depth" / f"{number}.png", depth(number, 5000))
        pair = [f"{stamps[0]} rgb/{number}.png", f"{stamps[1]} depth/{number}.png"]
        rows.append(" ".join(pair if first == "rgb" else pair[::-1]))
    text(folder, "\n".join(rows), "associations.txt")
    text(folder, "\n".join(f"100.{n}00 {n} 1 0 0 0 0 1" for n in range(count)), "groundtruth.txt")
    return folder


@pytest.mark.parametrize("first", ["rgb", "depth"])
def test_paired_lists_alone_are_a_recording_of_anyones_camera(first: str, tmp_path: Path) -> None:
    folder = associated(tmp_path / "mine", first=first)
    with pytest.raises(CalibrationError, match="has no calibration"):
        open_source(str(folder), PLAIN)
    write_calibration(folder / "calibration.yaml", CAMERA)
    source = open_source(str(folder), PLAIN)
    frames = list(source)
    assert (source.sensor, source.camera.fx) == ("rgbd", 60.0)
    assert [frame.time_ns for frame in frames] == [100_000_000_000 + n * 100_000_000 for n in range(4)]
    assert frames[0].depth_delay_s == pytest.approx(0.004)
    assert source.reference is not None and source.reference.positions_m[1].tolist() == [1.0, 1.0, 0.0]


def test_a_lens_is_taken_by_a_word_of_the_folders_name_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name, known in (("rgbd_dataset_freiburg1_desk", True), ("zofr1", False), ("fr12", False), ("my-fr2-run", True)):
        folder = make_tum(tmp_path / name)
        (folder / "calibration.yaml").unlink()
        with caplog.at_level(logging.INFO), pytest.raises(CalibrationError) as refused:
            open_source(str(folder), PLAIN)  # 64x48 is not the benchmark's size
        assert ("640x480" in str(refused.value)) is known
        assert (name in caplog.text) is known


@pytest.mark.parametrize(("factor", "metres"), [("DepthMapFactor: 1000.0", 5.0), ("RGBD.DepthMapFactor: 5000", 1.0)])
def test_the_depth_factor_of_a_settings_file_is_read(factor: str, metres: float, tmp_path: Path) -> None:
    folder = make_tum(tmp_path / "s")
    lens = "Camera.fx: 60\nCamera.fy: 60\nCamera.cx: 31.5\nCamera.cy: 23.5\nCamera.width: 64\nCamera.height: 48\n"
    path = text(tmp_path, f"%YAML:1.0\n{lens}{factor}\n")
    frame = next(iter(open_source(str(folder), replace(PLAIN, calibration=path))))
    assert frame.depth_m is not None and float(frame.depth_m.max()) == pytest.approx(metres)


def test_the_depth_unit_of_the_settings_wins(tmp_path: Path) -> None:
    frame = next(iter(open_source(str(make_tum(tmp_path)), replace(PLAIN, depth_unit_m=0.001))))
    assert frame.depth_m is not None and float(frame.depth_m.max()) == pytest.approx(5.0)


@pytest.mark.parametrize("value", ["0", "-1e9", "nan", "[1]", "much"])
def test_a_depth_factor_without_meaning_is_refused(value: str, tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match="DepthMapFactor must be"):
        read_depth_unit(text(tmp_path, f"DepthMapFactor: {value}\n"))


def test_kitti_without_times_is_read_at_ten_hertz_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = make_kitti(tmp_path)
    (folder / "times.txt").unlink()
    save(folder / "image_0" / "².png", picture(0))  # its name is a digit to Python, and no number
    frames = list(open_source(str(folder), PLAIN))
    assert [frame.time_ns for frame in frames] == [n * 100_000_000 for n in range(5)]
    assert "has no times.txt" in caplog.text


# --- times


@pytest.mark.parametrize("unit", [1, 10**3, 10**6, 10**9])
def test_names_that_are_times_tell_their_unit(unit: int, tmp_path: Path) -> None:
    times_ns = [1_700_000_000_000_000_000 + n * 1_000_000_000 for n in range(3)]
    make_images(tmp_path, [f"{time_ns // unit}.png" for time_ns in times_ns])
    assert [frame.time_ns for frame in open_source(str(tmp_path), PLAIN)] == times_ns


@given(st.integers(10**17, 2**62))
def test_a_stamp_of_1973_or_later_is_read_in_any_unit(time_ns: int) -> None:
    for unit in (1, 10**3, 10**6):
        assert parse_stamp(str(time_ns // unit)) == time_ns // unit * unit
    assert parse_stamp(f"{time_ns // 10**9}.{time_ns % 10**9:09d}") == time_ns


@pytest.mark.parametrize("wrong", ["nan", "inf", "1e400", "", "x", "9" * 30, "1e19", "²"])
def test_what_is_no_stamp_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="is no time"):
        parse_stamp(wrong)


@pytest.mark.parametrize("form", ["{t}.000000 {n} 0 {m} 0 0 0 1", "{t} {n} 0 {m} 0 0 0 1", "{u} {n} 0 {m} 0 0 0 1"])
def test_trajectories_in_whole_nano_or_microseconds_keep_tums_order(form: str, tmp_path: Path) -> None:
    times = [1403636579763555584 // 1000 * 1000 + n * 50_000_000 for n in range(5)]
    lines = [form.format(t=t, u=t // 1000, n=n, m=n * n) for n, t in enumerate(times)]
    trajectory = read_trajectory(text(tmp_path, "\n".join(lines), "est.txt"))
    assert trajectory.times_ns.tolist() == times
    assert trajectory.quaternions_xyzw[0].tolist() == [0.0, 0.0, 0.0, 1.0]


def test_positions_beyond_any_world_are_refused(tmp_path: Path) -> None:
    path = text(tmp_path, "\n".join(f"{n} {n}e308 0 0 0 0 0 1" for n in range(5)), "est.tum")
    with pytest.raises(EvaluationError, match="farther than any camera goes"):
        read_tum(path)


@pytest.mark.parametrize("stamp", ["99999999999999999999", "1.5", "²", "0x10", ""])
def test_a_time_in_a_list_that_is_none_names_its_line(stamp: str, tmp_path: Path) -> None:
    folder = make_euroc(tmp_path)
    path = folder / "mav0" / "cam0" / "data.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], f"{stamp},{lines[1].partition(',')[2]}", *lines[2:]]))
    with pytest.raises(SourceError, match=r"data\.csv, line 2"):
        open_source(str(folder), PLAIN)


@given(st.lists(st.integers(0, 60), max_size=25), st.lists(st.integers(0, 60), max_size=25), st.integers(0, 8))
def test_association_takes_the_closest_pairs_first(first: list[int], second: list[int], tolerance: int) -> None:
    rows = associate(first, second, tolerance)
    pairs = [(abs(first[i] - second[j]), i, j) for i, j in enumerate(rows) if j >= 0]
    assert len({j for _, _, j in pairs}) == len(pairs)
    expected: list[int] = []
    free_first, free_second = set(range(len(first))), set(range(len(second)))
    candidates = sorted((abs(a - b), i, j) for i, a in enumerate(first) for j, b in enumerate(second))
    for apart, i, j in candidates:
        if apart <= tolerance and i in free_first and j in free_second:
            free_first.remove(i)
            free_second.remove(j)
            expected.append(apart)
    assert sum(1 for apart, _, _ in pairs if apart == 0) == expected.count(0)
    assert all(apart <= tolerance for apart, _, _ in pairs)


def test_thousands_of_nearly_equal_times_are_paired_at_once() -> None:
    start_s = time.process_time()
    times = 5_000_000_000 + np.arange(20_000) * 1000
    rows = associate(times, times[::-1], 20_000_000)
    assert sorted(rows.tolist()) == list(range(20_000))
    assert time.process_time() - start_s < 5.0  # a list of all pairs would hold 4 * 10^8


# --- calibrations

LENS = "fx: 517.3\nfy: 516.5\ncx: 318.6\ncy: 255.3\n"
OWN = f"width: 640\nheight: 480\n{LENS}"
ROS = "image_width: 640\nimage_height: 480\ncamera_matrix: {data: [517, 0, 318, 0, 516, 255, 0, 0, 1]}\n"
ORB = "Camera.fx: 517\nCamera.fy: 516\nCamera.cx: 318\nCamera.cy: 255\nCamera.width: 640\nCamera.height: 480\n"


@pytest.mark.parametrize("focal", ["4.2", "0.8", "1e-3", "1e7", "65000"])
def test_a_focal_length_that_cannot_be_pixels_is_refused(focal: str, tmp_path: Path) -> None:
    for content in (OWN.replace("517.3", focal), ROS.replace("517", focal), ORB.replace("517", focal)):
        with pytest.raises(CalibrationError, match="cannot be the focal length"):
            read_calibration(text(tmp_path, content))


@pytest.mark.parametrize(
    ("change", "told"),
    [("cx: 318.6", "cx: 1e6"), ("width: 640", "width: 1000000000"), ("height: 480", "height: 40000")],
)
def test_an_image_that_no_camera_takes_is_refused(change: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(CalibrationError):
        read_calibration(text(tmp_path, OWN.replace(change, told)))


@pytest.mark.parametrize(
    ("content", "model"),
    [
        (ROS + "fisheye_model: 1\ndistortion_coefficients: {data: [0.1, 0.01, 0, 0]}\n", "kb4"),
        (ROS + "fisheye_model: 0\ndistortion_coefficients: {data: [0.1, 0.01, 0, 0, 0]}\n", "radtan"),
        (ROS + "dist_coeff: {data: [0.1, 0.01, 0, 0, 0]}\n", "radtan"),
        (ORB + 'Camera.model: "fisheye"\nCamera.k1: 0.1\nCamera.k2: 0\nCamera.k3: 0\nCamera.k4: 0\n', "kb4"),
        (ORB + 'Camera.model: "perspective"\nCamera.k1: 0.1\n', "radtan"),
        (ORB + 'Camera.type: "Rectified"\n', "pinhole"),
        ("\ufeff" + OWN, "pinhole"),
    ],
)
def test_keys_that_change_the_lens_are_read(content: str, model: str, tmp_path: Path) -> None:
    camera = read_calibration(text(tmp_path, content))
    assert isinstance(camera, Camera) and camera.model == model


@pytest.mark.parametrize(
    "content",
    [
        ROS + "lens_distortion: [1, 2]\n",
        ROS + "k1: 0.3\n",
        ROS + "distortion_model: fov\n",
        ROS + "xi: 1.2\n",
        ORB + "Camera.k6: 0.1\n",
        ORB + "Camera.imageScale: 0.5\n",
        ORB + 'Camera.model: "equirectangular"\n',
        ORB + "Camera.type: [1]\n",
        "cam0: {camera_model: omni, intrinsics: [1, 458, 457, 367, 248], distortion_model: radtan, "
        "distortion_coeffs: [0, 0, 0, 0], resolution: [752, 480]}\n",
    ],
)
def test_keys_that_may_change_the_lens_and_are_not_read_are_refused_by_name(content: str, tmp_path: Path) -> None:
    with pytest.raises(CalibrationError) as refused:
        read_calibration(text(tmp_path, content))
    assert len(str(refused.value)) < 400 + len(str(tmp_path))


@pytest.mark.parametrize("number", [".inf", "-.inf", ".nan", "1e400"])
def test_a_transform_that_is_not_finite_is_refused_at_once(number: str, tmp_path: Path) -> None:
    camera = "{width: 640, height: 480, fx: 517, fy: 516, cx: 318, cy: 255}"
    rows = f"[[1, 0, 0, -0.1], [{number}, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]"
    with pytest.raises(CalibrationError):
        read_calibration(text(tmp_path, f"left: {camera}\nright: {camera}\nright_from_left: {rows}\n"))


def test_a_binned_region_of_a_sensor_is_told_apart_from_the_whole(tmp_path: Path) -> None:
    binned = ROS + "binning_x: 2\nbinning_y: 2\n"
    camera = read_calibration(text(tmp_path, binned), (320, 240))
    assert isinstance(camera, Camera)
    assert (camera.width, camera.height, camera.fx) == (320, 240, 258.5)
    assert camera.cx == pytest.approx((318 + 0.5) / 2 - 0.5)
    told_at_once = read_calibration(text(tmp_path, binned), (640, 480))
    assert isinstance(told_at_once, Camera) and told_at_once.fx == 517
    region = read_calibration(text(tmp_path, ROS + "roi: {x_offset: 100, y_offset: 50, width: 400, height: 300}\n"))
    assert isinstance(region, Camera)
    assert (region.width, region.height, region.cx, region.cy) == (400, 300, 218, 205)


# --- pictures


def jpeg(image: np.ndarray) -> bytes:
    return cv2.imencode(".jpg", image)[1].tobytes()


def test_a_jpeg_damaged_in_its_middle_is_found() -> None:
    photograph = cv2.GaussianBlur(picture(3, colour=True, width=320, height=240), (0, 0), 3)
    data, rng = jpeg(photograph), random.Random(3)
    decode_image(np.frombuffer(data, np.uint8), "good")
    for _ in range(20):
        damaged = bytearray(data)
        start = rng.randrange(len(data) // 4, len(data) * 3 // 4)
        damaged[start : start + 512] = bytes(512)
        with pytest.raises(FrameError, match="damaged or truncated"):
            decode_image(np.frombuffer(bytes(damaged), np.uint8), "x")


def test_what_comes_after_a_complete_picture_is_left_alone() -> None:
    for suffix in (".jpg", ".png"):
        data = cv2.imencode(suffix, picture(1))[1].tobytes() + bytes(range(256)) * 400
        assert decode_image(np.frombuffer(data, np.uint8), "a motion photo").shape == (48, 64)


def test_warnings_of_the_decoder_do_not_swallow_what_others_say(capfd: pytest.CaptureFixture[str]) -> None:
    data = jpeg(cv2.GaussianBlur(picture(3), (0, 0), 3))
    import os

    os.write(2, b"before\n")
    decode_image(np.frombuffer(data, np.uint8), "x")
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "before\nafter\n"


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tif", ".pgm", ".webp"])
def test_a_picture_of_another_size_is_refused_before_it_is_unpacked(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(tmp_path / f"a{suffix}", picture(0))
    assert read_image(path, (64, 48)).shape[:2] == (48, 64)
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("it was unpacked"))
    with pytest.raises(FrameError, match="is 64x48, its calibration is for 32x48"):
        read_image(path, (32, 48))


def test_a_picture_larger_than_any_cameras_is_refused_by_its_header(tmp_path: Path) -> None:
    data = bytearray(save(tmp_path / "a.png", picture(0)).read_bytes())
    data[16:24] = (20000).to_bytes(4, "big") * 2
    (tmp_path / "a.png").write_bytes(bytes(data))
    with pytest.raises(FrameError, match="20000x20000, larger than any picture"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_pictures_of_a_sensor_with_fewer_than_16_bits_keep_their_brightness(bits: int, tmp_path: Path) -> None:
    images = [picture(number).astype(np.uint16) << (bits - 8) for number in range(5)]
    images[0] >>= 3  # a dark beginning
    for number, image in enumerate(images):
        save(tmp_path / f"{number}.png", image)
    write_calibration(tmp_path / "calibration.yaml", CAMERA)
    frames = list(open_source(str(tmp_path), PLAIN))
    np.testing.assert_array_equal(frames[1].image, picture(1))
    np.testing.assert_array_equal(frames[0].image, picture(0) >> 3)


def test_levels_grow_with_what_is_seen_and_floats_are_no_picture() -> None:
    levels = Levels()
    assert levels.bytes_of(np.array([[1000]], np.uint16), "a")[0, 0] == 250
    assert levels.bytes_of(np.array([[4000]], np.uint16), "a")[0, 0] == 250
    with pytest.raises(FrameError, match="no picture of 8 or 16 bits"):
        levels.bytes_of(np.zeros((1, 1), np.float32), "a")


def test_a_video_that_is_to_be_turned_is_read_as_it_is(tmp_path: Path) -> None:
    image = np.zeros((48, 64, 3), np.uint8)
    image[:10] = 255
    writer = cv2.VideoWriter(str(tmp_path / "a.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 30.0, (64, 48))
    for _ in range(3):
        writer.write(image)
    writer.release()
    data = (tmp_path / "a.mp4").read_bytes()
    at = data.find(b"tkhd")
    at += 8 + (20 if data[at + 4] == 0 else 32) + 16
    half_turn = b"".join(
        n.to_bytes(4, "big", signed=True) for n in (-65536, 0, 0, 0, -65536, 0, 64 << 16, 48 << 16, 1 << 30)
    )
    (tmp_path / "b.mp4").write_bytes(data[:at] + half_turn + data[at + 36 :])
    write_calibration(tmp_path / "calibration.yaml", CAMERA)
    frame = next(iter(open_source(str(tmp_path / "b.mp4"), PLAIN)))
    assert frame.image[:8].mean() > 200 > 50 > frame.image[-8:].mean()


# --- whatever is raised


@pytest.mark.parametrize("spec", ["a" * 5000, "~nosuchuser/x", "a\0b", "camera:²", "camera:" + "9" * 20, "\x1b[31m"])
def test_a_source_that_cannot_be_is_one_line(spec: str, tmp_path: Path) -> None:
    calibration = tmp_path / "c.yaml"
    write_calibration(calibration, CAMERA)
    with pytest.raises(SlamfrontError) as refused:
        open_source(spec, SourceConfig(calibration=calibration))
    told = str(refused.value)
    assert told.isprintable() and len(told) < 5200


@pytest.mark.parametrize("name", ["a\0b.png", "..", "", "x" * 400 + ".png", "/dev/null"])
def test_a_file_name_in_a_list_may_be_anything(name: str, tmp_path: Path) -> None:
    folder = make_tum(tmp_path)
    lines = (folder / "rgb.txt").read_text().splitlines()
    lines[2] = f"{lines[2].split()[0]} {name}"
    (folder / "rgb.txt").write_text("\n".join(lines))
    if not name:
        with pytest.raises(SourceError, match=r"rgb\.txt, line 3"):
            open_source(str(folder), PLAIN, "mono")
        return
    source = open_source(str(folder), PLAIN, "mono")
    assert [frame.id for frame in source] == [0, 2, 3, 4]


def test_an_exception_of_a_reader_becomes_an_error_of_its_kind_in_one_short_line() -> None:
    for error in (
        RuntimeError("a\nb\x1b[31m" + "x" * 999),
        KeyError("k"),
        MemoryError(),
        RecursionError("deep"),
        OSError(28, "no"),
    ):
        with pytest.raises(SourceError) as refused, refused_as(SourceError, "p" * 500 + "/room.yaml cannot be read"):
            raise error
        told = str(refused.value)
        assert len(told) <= 200 and told.isprintable() and "room.yaml cannot be read" in told
    with pytest.raises(KeyboardInterrupt), refused_as(SourceError, "x"):
        raise KeyboardInterrupt


def test_a_camera_that_cannot_be_asked_is_one_line(tmp_path: Path) -> None:
    write_calibration(tmp_path / "c.yaml", CAMERA)

    def broken(_: Any) -> Any:
        raise cv2.error("driver\nfailed")

    with pytest.raises(SourceError, match="camera:0 cannot be opened: driver failed"):
        open_camera("0", "auto", tmp_path / "c.yaml", broken)


def test_a_frame_that_cannot_be_read_is_skipped_whatever_its_reader_raises(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = open_source(str(make_tum(tmp_path)), PLAIN, "mono")
    from slamfront.sources import recording

    read = recording.read_image

    def sometimes(path: Path, *rest: Any) -> Any:
        if "100.2" in path.name:
            raise ZeroDivisionError("mine")
        return read(path, *rest)

    monkeypatch.setattr(recording, "read_image", sometimes)
    assert [frame.id for frame in source] == [0, 1, 3, 4]
