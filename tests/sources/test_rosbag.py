from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from slamfront.errors import CalibrationError, FrameError, SourceError
from slamfront.geometry.camera import StereoRig
from slamfront.sources.guess import open_source
from slamfront.sources.ros_messages import depth_from_message, image_from_message
from slamfront.sources.rosbag import choose_topics, is_rectified, open_bag, pair_by_time
from tests.sources.datasets import HEIGHT, WIDTH, depth, picture

rosbag1 = pytest.importorskip("rosbags.rosbag1")
rosbag2 = pytest.importorskip("rosbags.rosbag2")
typesys = pytest.importorskip("rosbags.typesys")

PERIOD_NS = 100_000_000
START_NS = 1_600_000_000_000_000_000
K = [60.0, 0, 31.5, 0, 60.0, 23.5, 0, 0, 1]
EYE = [1.0, 0, 0, 0, 1, 0, 0, 0, 1]

Messages = list[tuple[str, str, int, Any]]


class Maker:
    """Makes messages of one ROS version."""

    def __init__(self, store: str) -> None:
        self.store = typesys.get_typestore(getattr(typesys.Stores, store))
        self.ros1 = store.startswith("ROS1")

    def type(self, name: str) -> Any:
        return self.store.types[name]

    def header(self, time_ns: int) -> Any:
        stamp = self.type("builtin_interfaces/msg/Time")(time_ns // 10**9, time_ns % 10**9)
        first = {"seq": 0} if self.ros1 else {}
        return self.type("std_msgs/msg/Header")(**first, stamp=stamp, frame_id="camera")

    def image(self, time_ns: int, image: np.ndarray, encoding: str, padding: int = 0) -> Any:
        height, width = image.shape[:2]
        rows = np.pad(np.ascontiguousarray(image).view(np.uint8).reshape(height, -1), ((0, 0), (0, padding)))
        kind = self.type("sensor_msgs/msg/Image")
        return kind(self.header(time_ns), height, width, encoding, 0, rows.shape[1], rows.ravel())

    def compressed(self, time_ns: int, image: np.ndarray, kind: str = "png", header: bytes = b"") -> Any:
        data = np.frombuffer(header + cv2.imencode(".png", image)[1].tobytes(), np.uint8)
        return self.type("sensor_msgs/msg/CompressedImage")(self.header(time_ns), kind, data)

    def info(
        self,
        baseline_m: float = 0.0,
        distortion: float = 0.0,
        binning: int = 0,
        scale: float = 1.0,
        frame: str = "camera",
    ) -> Any:
        p = [60.0, 0, 31.5, -60.0 * baseline_m, 0, 60.0, 23.5, 0, 0, 0, 1, 0]
        arrays = [np.array(v, float) for v in ([distortion, 0, 0, 0, 0], K, EYE, p)]
        roi = self.type("sensor_msgs/msg/RegionOfInterest")(0, 0, 0, 0, False)
        kind = self.type("sensor_msgs/msg/CameraInfo")
        header = self.header(START_NS)
        header.frame_id = frame
        if scale != 1:  # of the whole sensor: pixel centres lie half a pixel inside
            arrays[1] = np.array([60 * scale, 0, 32 * scale - 0.5, 0, 60 * scale, 24 * scale - 0.5, 0, 0, 1])
        height, width = int(HEIGHT * scale), int(WIDTH * scale)
        return kind(header, height, width, "plumb_bob", *arrays, binning, binning, roi)


def write_bag(path: Path, maker: Maker, messages: Messages, **options: Any) -> Path:
    """Write messages (topic, type, time, message) in order of time; without a time they come first."""
    if maker.ros1:
        writer, serialize = rosbag1.Writer(path), maker.store.serialize_ros1
    else:
        writer, serialize = rosbag2.Writer(path, version=9, **options), maker.store.serialize_cdr
    with writer:
        connections: dict[str, Any] = {}
        for topic, kind, time_ns, message in sorted(messages, key=lambda m: m[2]):
            name = f"sensor_msgs/msg/{kind}"
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, name, typestore=maker.store)
            writer.write(connections[topic], time_ns, serialize(message, name))
    return path


def rgbd(maker: Maker, count: int = 4) -> Messages:
    """Colour images, depth 3 ms late, and the colour camera's calibration."""
    messages: Messages = [("/cam/color/camera_info", "CameraInfo", START_NS, maker.info())]
    for number in range(count):
        time_ns = START_NS + number * PERIOD_NS
        bgr = cv2.cvtColor(picture(number, colour=True), cv2.COLOR_RGB2BGR)
        late_ns = time_ns + 3_000_000
        messages.append(("/cam/color/image_raw", "Image", time_ns, maker.image(time_ns, bgr, "bgr8", padding=5)))
        raw = maker.image(late_ns, depth(number, 1000), "16UC1")
        messages.append(("/cam/aligned_depth_to_color/image_raw", "Image", late_ns, raw))
    return messages


def stereo(maker: Maker, distortion: float = 0.0, count: int = 3) -> Messages:
    """A grey pair 0.2 m apart with both calibrations."""
    messages: Messages = [
        ("/left/camera_info", "CameraInfo", START_NS, maker.info(distortion=distortion)),
        ("/right/camera_info", "CameraInfo", START_NS, maker.info(0.2, distortion)),
    ]
    for number in range(count):
        time_ns = START_NS + number * PERIOD_NS
        for side, first in (("left", 0), ("right", 100)):
            message = maker.image(time_ns, picture(first + number), "mono8")
            messages.append((f"/{side}/image_raw", "Image", time_ns, message))
    return messages


@pytest.mark.parametrize(
    ("store", "name", "options"),
    [
        ("ROS1_NOETIC", "a.bag", {}),
        ("ROS2_HUMBLE", "a", {}),
        ("ROS2_HUMBLE", "a", {"storage_plugin": "MCAP"}),
    ],
)
def test_bag_of_either_ros_gives_colour_and_depth(
    tmp_path: Path, store: str, name: str, options: dict[str, str]
) -> None:
    if options:
        options = {"storage_plugin": rosbag2.StoragePlugin[options["storage_plugin"]]}
    maker = Maker(store)
    path = write_bag(tmp_path / name, maker, rgbd(maker), **options)
    source = open_source(str(path))
    frames = list(source)
    assert (source.sensor, source.length, len(frames), source.camera.fx) == ("rgbd", 4, 4, 60.0)
    assert [frame.time_ns for frame in frames] == [START_NS + n * PERIOD_NS for n in range(4)]
    np.testing.assert_array_equal(frames[2].image, picture(2, colour=True))
    assert frames[2].depth_m is not None
    np.testing.assert_allclose(frames[2].depth_m[1:], 3.0, rtol=1e-6)


def test_single_storage_files_are_opened_too(tmp_path: Path) -> None:
    maker = Maker("ROS2_HUMBLE")
    write_bag(tmp_path / "a", maker, rgbd(maker), storage_plugin=rosbag2.StoragePlugin.MCAP)
    (file,) = (tmp_path / "a").glob("*.mcap")
    assert len(list(open_source(str(file)))) == 4


def test_pair_is_rectified_with_the_extrinsics_of_its_calibration(tmp_path: Path) -> None:
    maker = Maker("ROS1_NOETIC")
    bag = open_bag(write_bag(tmp_path / "a.bag", maker, stereo(maker, distortion=-0.1)))
    assert bag.sensor == "stereo"
    assert isinstance(bag.calibration, StereoRig)
    np.testing.assert_allclose(bag.calibration.right_from_left.translation_m, [-0.2, 0, 0])
    frame = next(iter(bag))
    assert frame.right is not None
    np.testing.assert_array_equal(frame.right, picture(100))
    assert open_source(str(tmp_path / "a.bag")).camera.baseline_m == pytest.approx(0.2)


def test_topics_can_be_named(tmp_path: Path) -> None:
    maker = Maker("ROS1_NOETIC")
    path = write_bag(tmp_path / "a.bag", maker, stereo(maker))
    source = open_source(f"{path}?image=/right/image_raw", sensor="mono")
    np.testing.assert_array_equal(next(iter(source)).image, picture(100))
    with pytest.raises(SourceError, match=r"no image topic /none: it has /left/image_raw, /right/image_raw"):
        open_source(f"{path}?image=/none")
    with pytest.raises(SourceError, match="role 'left'"):
        open_source(f"{path}?left=/left/image_raw")


def test_bag_without_calibration_is_refused(tmp_path: Path) -> None:
    maker = Maker("ROS1_NOETIC")
    path = write_bag(tmp_path / "a.bag", maker, [m for m in rgbd(maker) if m[1] != "CameraInfo"])
    with pytest.raises(CalibrationError, match="no calibration"):
        open_bag(path)


def test_damaged_bag_and_bag_without_images_are_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "a.bag").write_bytes(b"#ROSBAG V2.0\n" + bytes(100))
    with pytest.raises(SourceError, match=r"a\.bag cannot be read"):
        open_source(str(tmp_path / "a.bag"))
    maker = Maker("ROS1_NOETIC")
    path = write_bag(tmp_path / "b.bag", maker, rgbd(maker)[:1])
    with pytest.raises(SourceError, match="no images"):
        open_bag(path)
    whole = write_bag(tmp_path / "c.bag", maker, rgbd(maker)).read_bytes()
    (tmp_path / "c.bag").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SourceError, match=r"c\.bag cannot be read"):
        open_source(str(tmp_path / "c.bag"))


def test_topics_are_guessed_from_their_names() -> None:
    def topics(*names: str, sensor: Any = "auto") -> tuple[str, str, str | None]:
        chosen = choose_topics(names, sensor, {}, "bag")
        return chosen.sensor, chosen.image, chosen.second

    assert topics("/cam0/image_raw", "/cam1/image_raw") == ("stereo", "/cam0/image_raw", "/cam1/image_raw")
    raw, rect = ("/left/image_raw", "/right/image_raw"), ("/left/image_rect", "/right/image_rect")
    assert topics(*raw, *rect) == ("stereo", *rect)
    colour, aligned = "/c/color/image_raw", "/c/aligned_depth_to_color/image_raw"
    infra = ("/c/infra1/image_rect_raw", "/c/infra2/image_rect_raw")
    everything = ("/c/depth/image_rect_raw", *infra, colour, aligned)
    assert topics(*everything) == ("rgbd", colour, aligned)
    assert topics(*everything, sensor="stereo") == ("stereo", *infra)
    assert topics("/b/compressed", "/b") == ("mono", "/b", None)


@pytest.mark.parametrize(
    ("encoding", "make"),
    [
        ("mono8", lambda rgb: rgb[..., 0]),
        ("rgb8", lambda rgb: rgb),
        ("bgr8", lambda rgb: rgb[..., ::-1]),
        ("rgba8", lambda rgb: np.dstack([rgb, rgb[..., :1]])),
        ("bgra8", lambda rgb: np.dstack([rgb[..., ::-1], rgb[..., :1]])),
        ("mono16", lambda rgb: rgb[..., 0].astype(np.uint16) * 256 + 7),
    ],
)
def test_every_encoding_gives_grey_or_rgb(encoding: str, make: Callable[[np.ndarray], np.ndarray]) -> None:
    rgb = picture(0, colour=True)
    message = Maker("ROS2_HUMBLE").image(0, make(rgb), encoding, padding=3)
    image = image_from_message(message, "/a")
    np.testing.assert_array_equal(image, rgb if image.ndim == 3 else rgb[..., 0])


def test_big_endian_values_are_turned() -> None:
    raw = depth(1, 1000)
    message = Maker("ROS2_HUMBLE").image(0, raw.astype(">u2"), "16UC1")
    message.is_bigendian = 1
    np.testing.assert_allclose(depth_from_message(message, "/a"), raw / 1000.0, rtol=1e-6)


def test_depth_in_metres_and_compressed_depth_are_read() -> None:
    maker = Maker("ROS2_HUMBLE")
    metres = np.array([[1.5, np.nan, -1.0]], np.float32)
    assert depth_from_message(maker.image(0, metres, "32FC1"), "/a").tolist() == [[1.5, 0.0, 0.0]]
    packed = maker.compressed(0, depth(1, 1000), "16UC1; compressedDepth png", bytes(12))
    assert depth_from_message(packed, "/a").max() == pytest.approx(2.0)
    np.testing.assert_array_equal(image_from_message(maker.compressed(0, picture(3)), "/a"), picture(3))


def test_message_that_cannot_be_used_is_a_frame_error() -> None:
    maker = Maker("ROS2_HUMBLE")
    short = maker.image(0, picture(0), "mono8")
    short.data = short.data[:100]
    for message in (short, maker.image(0, picture(0), "jpeg2000"), maker.image(0, picture(0), "rgb8")):
        with pytest.raises(FrameError, match="/a"):
            image_from_message(message, "/a")
    with pytest.raises(FrameError, match="depth"):
        depth_from_message(maker.image(0, picture(0), "mono8"), "/a")


def test_messages_are_paired_with_the_nearest_one_to_one() -> None:
    def pairs(firsts: list[int], seconds: list[int], order: list[int]) -> list[tuple[int, int | None]]:
        stream = sorted([(t, True) for t in firsts] + [(t, False) for t in seconds], key=lambda m: order.index(m[0]))
        found = pair_by_time(((is_first, (t, None)) for t, is_first in stream), True, 5)
        return [(first[0], None if second is None else second[0]) for first, second in found]

    in_time = sorted([10, 20, 30, 12, 19, 39])
    assert pairs([10, 20, 30], [12, 19, 39], in_time) == [(10, 12), (20, 19), (30, None)]
    late = [10, 20, 12, 30, 19, 39]
    assert pairs([10, 20, 30], [12, 19, 39], late) == [(10, 12), (20, 19), (30, None)]
    assert pairs([10, 11], [10], [10, 11]) == [(10, 10), (11, None)]


def apart(maker: Maker, topic: str = "/cam/depth/image_rect_raw", scale: float = 0.62) -> Messages:
    """Colour images, and depth as its own lens sees it."""
    messages = [(t.replace("/cam/aligned_depth_to_color/image_raw", topic), k, n, m) for t, k, n, m in rgbd(maker)]
    info = maker.info(frame="depth")
    info.k[[0, 4]] *= scale
    return [*messages, (f"{topic.rpartition('/')[0]}/camera_info", "CameraInfo", START_NS, info)]


def test_depth_of_another_lens_is_left_out_with_a_warning_or_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_bag(tmp_path / "a", Maker("ROS2_HUMBLE"), apart(Maker("ROS2_HUMBLE")))
    assert open_bag(path).sensor == "mono"
    assert "is not registered to /cam/color/image_raw" in caplog.text
    with pytest.raises(SourceError, match="not registered.*record aligned depth"):
        open_bag(path, "rgbd")
    with pytest.raises(SourceError, match="not registered"):
        open_bag(path, "rgbd", topics={"depth": "/cam/depth/image_rect_raw"})


def test_depth_that_says_that_it_is_registered_is_believed(tmp_path: Path) -> None:
    maker = Maker("ROS2_HUMBLE")
    path = write_bag(tmp_path / "a", maker, apart(maker, "/cam/depth_registered/image_raw"))
    assert open_bag(path).sensor == "rgbd"


def test_a_sensor_that_is_binned_has_the_camera_of_its_images(tmp_path: Path) -> None:
    maker = Maker("ROS2_HUMBLE")
    messages: Messages = [("/cam/camera_info", "CameraInfo", START_NS, maker.info(binning=2, scale=2.0))]
    messages += [("/cam/image_raw", "Image", START_NS, maker.image(START_NS, picture(0), "mono8"))]
    source = open_bag(write_bag(tmp_path / "a", maker, messages))
    assert (source.camera.width, source.camera.fx, source.camera.cx) == (WIDTH, 60.0, 31.5)
    assert len(list(source)) == 1


@pytest.mark.parametrize("plugin", ["MCAP", "SQLITE3"])
def test_a_folder_without_metadata_is_read_by_its_files(
    plugin: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    maker = Maker("ROS2_HUMBLE")
    path = write_bag(tmp_path / "a", maker, rgbd(maker), storage_plugin=rosbag2.StoragePlugin[plugin])
    (path / "metadata.yaml").unlink()
    source = open_source(str(path))
    assert len(list(source)) == 4
    assert "has no metadata.yaml" in caplog.text


def test_depth_in_floats_is_unpacked_by_the_numbers_in_its_header() -> None:
    maker, metres = Maker("ROS2_HUMBLE"), np.array([[0.5, 1.0, 2.5, 7.0, 0.0]], np.float32)
    a = 100.0 * 101
    b = 1 - a / 10
    packed = np.where(metres > 0, a / np.maximum(metres, 0.1) + b, 0).astype(np.uint16)
    message = maker.compressed(0, packed, "32FC1; compressedDepth png", struct.pack("<iff", 1, a, b))
    found = depth_from_message(message, "/d")
    np.testing.assert_allclose(found, metres, rtol=2e-3)  # steps of inverse depth: 0.005 m at 7 m
    message.format = "32FC1; compressedDepth rvl"
    with pytest.raises(FrameError, match="RVL"):
        depth_from_message(message, "/d")


def test_raw_patterns_and_yuv_become_colour() -> None:
    maker = Maker("ROS2_HUMBLE")
    red = np.zeros((8, 8), np.uint8)
    for pattern, place in (("rggb", (0, 0)), ("bggr", (1, 1)), ("gbrg", (1, 0)), ("grbg", (0, 1))):
        raw = red.copy()
        raw[place[0] :: 2, place[1] :: 2] = 255
        rgb = image_from_message(maker.image(0, raw, f"bayer_{pattern}8"), "/a")[2:6, 2:6].reshape(-1, 3).mean(0)
        assert rgb[0] > 200 > 20 > rgb[1:].max(), pattern
        wide = raw.astype(np.uint16) << 4  # 12 bits
        np.testing.assert_array_equal(
            image_from_message(maker.image(0, wide, f"bayer_{pattern}16"), "/a")[2:6, 2:6].reshape(-1, 3).mean(0), rgb
        )
    bgr = np.full((8, 8, 3), (40, 90, 200), np.uint8)
    planar = cv2.cvtColor(bgr, cv2.COLOR_BGR2YUV_I420)
    message = maker.image(0, planar, "i420")
    message.height = 8
    assert np.abs(image_from_message(message, "/a").astype(int) - bgr[..., ::-1]).max() < 12
    y, u, v = planar.reshape(-1)[[0, 64, 80]]
    for encoding, pair in (("yuv422", ((u, y), (v, y))), ("yuv422_yuy2", ((y, u), (y, v)))):
        packed = np.tile(np.array(pair, np.uint8), (8, 4, 1))
        assert (
            np.abs(image_from_message(maker.image(0, packed, encoding), "/a").astype(int) - bgr[..., ::-1]).max() < 12
        )


@pytest.mark.parametrize(
    ("topic", "rectified"),
    [
        ("/camera/image_rect", True),
        ("/camera/image_rect_color", True),
        ("/camera/direct/image_raw", False),
        ("/rectangle/image_raw", False),
        ("/camera/rectified/image", True),
    ],
)
def test_rectified_is_a_word_and_no_part_of_one(topic: str, rectified: bool) -> None:
    assert is_rectified(topic) is rectified
