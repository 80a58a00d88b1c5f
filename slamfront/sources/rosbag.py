"""Bags of ROS 1 (.bag) and ROS 2 (a folder, .mcap, .db3), read without ROS by the extra `bags`.

A folder without its metadata.yaml, as a recorder leaves it that was killed, is read by its files.
"""

from __future__ import annotations

import logging
import re
from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from slamfront.calibration import Calibration, camera_from_info, rig_from_infos
from slamfront.errors import SourceError, refused_as
from slamfront.image_files import Levels
from slamfront.sources.reader import (
    Attempt,
    FrameReader,
    SensorChoice,
    choose_sensor,
    depth_delay_s,
    find_calibration,
    for_sensor,
)
from slamfront.sources.ros_messages import depth_from_message, image_from_message, stamp_ns
from slamfront.types import Frame, Sensor

log = logging.getLogger(__name__)

BAG_SUFFIXES = (".bag", ".mcap", ".db3")

_IMAGES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")
_INFO = "sensor_msgs/msg/CameraInfo"
_SIDES = (("left", "right"), ("cam0", "cam1"), ("camera0", "camera1"), ("infra1", "infra2"), ("image_0", "image_1"))
_STEREO_TOLERANCE_NS = 5_000_000
_DEPTH_TOLERANCE_NS = 20_000_000
_WAITING = 60
"""Images that may wait for their companion before they are given up."""

Message = tuple[int, Any]


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics of a bag that frames are made of; `second` is the right image, the depth map, or None for mono."""

    sensor: Sensor
    image: str
    second: str | None = None


def is_bag(path: Path) -> bool:
    """Whether a path is a bag: a file of that kind, or a ROS 2 folder, with metadata.yaml or not."""
    if path.is_dir():
        return any(any(path.glob(f"*{suffix}*")) for suffix in BAG_SUFFIXES[1:])
    return path.suffix.lower() in BAG_SUFFIXES


def open_bag(
    path: Path,
    sensor: SensorChoice = "auto",
    calibration: Path | None = None,
    topics: Mapping[str, str] | None = None,
) -> BagSource:
    """Return a bag, mono, stereo or rgbd.

    `topics` names the topics of `image`, `right` and `depth`; those that are not named are guessed (`choose_topics`).
    The calibration is the file given, else that of the camera_info topics, else calibration.yaml beside the bag. Times
    are those in the messages' headers. Raises SourceError when the bag cannot be read or holds no images.
    """
    with _reader(path) as reader:
        available = [c.topic for c in reader.connections if c.msgtype in _IMAGES]
        chosen = _with_registered_depth(reader, available, sensor, topics or {}, str(path))
        size = _first_size(reader, chosen)
        default = _calibration_in(reader, chosen, size) if calibration is None else None
        known = find_calibration(path.parent, size, calibration, default)
        length = sum(c.msgcount for c in reader.connections if c.topic == chosen.image)
    return BagSource(path, for_sensor(known, chosen.sensor), chosen, length)


def choose_topics(available: Iterable[str], sensor: SensorChoice, named: Mapping[str, str], where: str) -> Topics:
    """Return the topics to read: those `named` by role, the rest guessed from the words of their names.

    A depth topic holds the word `depth`, and one aligned with the colour image is preferred. A pair differs by left and
    right, cam0 and cam1, infra1 and infra2. Rectified topics are preferred to raw ones, and both to compressed ones.
    """
    names = sorted(set(available), key=lambda name: (not is_rectified(name), "ompressed" in name, len(name), name))
    for role, name in named.items():
        if role not in ("image", "right", "depth"):
            raise SourceError(f"{where}: unknown topic role '{role}': use image, right or depth")
        if name not in names:
            raise SourceError(f"{where} has no image topic {name}: it has {', '.join(sorted(names)) or 'none'}")
    if not names:
        raise SourceError(f"{where} holds no images (sensor_msgs/Image or CompressedImage)")
    depths = sorted((n for n in names if _is_depth(n)), key=lambda n: not _is_aligned(n))
    pictures = [name for name in names if name not in depths] or names
    depth = named.get("depth", depths[0] if depths else None)
    left, right = _find_pair(pictures)
    right = named.get("right", right)
    image = named.get("image")
    available_for: dict[Sensor, object] = {"mono": True, "stereo": right, "rgbd": depth}
    offered = [kind for kind, there in available_for.items() if there]
    chosen = choose_sensor(sensor, offered, where)
    if chosen == "stereo":
        return Topics(chosen, image or left or pictures[0], right)
    colour = next((name for name in pictures if _words(name) & {"color", "colour", "rgb"}), left or pictures[0])
    return Topics(chosen, image or colour, depth if chosen == "rgbd" else None)


def is_rectified(topic: str) -> bool:
    """Whether a topic's name says that its images are rectified: by a word of it, as in image_rect_color."""
    return bool(_words(topic) & {"rect", "rectified"})


def _is_depth(topic: str) -> bool:
    return bool(_words(topic) & {"depth", "compresseddepth"})


def _is_aligned(topic: str) -> bool:
    return bool(_words(topic) & {"aligned", "registered"})


def _words(topic: str) -> set[str]:
    return set(re.split(r"[^a-z0-9]+", topic.lower()))


def _with_registered_depth(
    reader: Any, available: list[str], sensor: SensorChoice, named: Mapping[str, str], where: str
) -> Topics:
    """Return the topics to read, whose depth belongs to the pixels of the image.

    Depth as its own lens sees it lies beside the image by centimetres. It is known by its camera_info, which has other
    numbers or another frame; a name that says aligned or registered is believed. For "auto" it is left out, with a
    warning, and refused where depth is asked for.
    """
    chosen = choose_topics(available, sensor, named, where)
    if chosen.sensor != "rgbd" or chosen.second is None or _is_aligned(chosen.second):
        return chosen
    image, depth = _info(reader, chosen.image), _info(reader, chosen.second)
    if image is None or depth is None:
        log.warning("%s: nothing says whether %s is registered to %s: it is taken to be", where, *_pair(chosen))
        return chosen
    same_lens = np.allclose(_lens(image), _lens(depth), rtol=1e-3) and image.get("frame_id") == depth.get("frame_id")
    if same_lens:
        return chosen
    problem = f"the depth of {chosen.second} is not registered to {chosen.image}: it is of another lens"
    if sensor == "rgbd":
        raise SourceError(f"{where}: {problem}; record aligned depth, or take --sensor mono")
    log.warning("%s: %s, so it is not used", where, problem)
    return choose_topics([name for name in available if not _is_depth(name)], sensor, named, where)


def _pair(topics: Topics) -> tuple[str | None, str]:
    return topics.second, topics.image


def _lens(info: Mapping[str, Any]) -> Any:
    values = next((info[key] for key in ("K", "k") if key in info), ())
    return np.asarray(values, np.float64).ravel()


class BagSource(FrameReader):
    """A bag whose images are taken as they come; the second image of a frame is the nearest in time, one to one."""

    def __init__(self, path: Path, calibration: Calibration, topics: Topics, length: int) -> None:
        super().__init__(path.stem, calibration, topics.sensor)
        self._path, self._topics, self._length = path, topics, length
        self._levels = Levels()

    @property
    def length(self) -> int:
        """Number of images, those that cannot be used included."""
        return self._length

    def _attempts(self) -> Generator[Attempt, None, None]:
        with _reader(self._path) as reader:
            tolerance_ns = _STEREO_TOLERANCE_NS if self.sensor == "stereo" else _DEPTH_TOLERANCE_NS
            pairs = pair_by_time(_messages(reader, self._topics), self._topics.second is not None, tolerance_ns)
            for number, (image, second) in enumerate(pairs):
                yield partial(self._frame, number, image, second)

    def _frame(self, number: int, image: Message, second: Message | None) -> Frame:
        time_ns, message = image
        right, depth_m, delay_s = None, None, 0.0
        size = self.camera.width, self.camera.height
        read = partial(image_from_message, size=size, levels=self._levels)
        left = read(message, self._topics.image)
        topic, second_message = self._topics.second, None if second is None else second[1]
        if topic is not None and self.sensor == "stereo":
            right = self.optional(number, "right image", second_message, partial(read, topic=topic), left)
        elif topic is not None:
            depth_m = self.optional(number, "depth", second_message, partial(depth_from_message, topic=topic), left)
            delay_s = depth_delay_s(self.camera, time_ns, None if second is None else second[0])
        return Frame(number, time_ns, left, self.camera, right, depth_m, delay_s)


def pair_by_time(
    messages: Iterable[tuple[bool, Message]], paired: bool, tolerance_ns: int
) -> Generator[tuple[Message, Message | None], None, None]:
    """Yield each first message with the second one nearest in time, or None; `messages` tell first from second.

    A first message is given out once a second one at its time or later has come, when many wait, or at the end.
    """
    firsts: deque[Message] = deque()
    seconds: deque[Message] = deque()
    for is_first, message in messages:
        (firsts if is_first else seconds).append(message)
        while firsts and (not paired or len(firsts) > _WAITING or (seconds and seconds[-1][0] >= firsts[0][0])):
            first = firsts.popleft()
            yield first, _nearest(seconds, first[0], tolerance_ns)
    for first in firsts:
        yield first, _nearest(seconds, first[0], tolerance_ns)


def _nearest(seconds: deque[Message], time_ns: int, tolerance_ns: int) -> Message | None:
    """Take the message nearest to a time, within the tolerance, out of the queue with all before it."""
    while seconds and seconds[0][0] < time_ns - tolerance_ns:
        seconds.popleft()
    near = [row for row, message in enumerate(seconds) if abs(message[0] - time_ns) <= tolerance_ns]
    if not near:
        return None
    best = min(near, key=lambda row: abs(seconds[row][0] - time_ns))
    for _ in range(best):
        seconds.popleft()
    return seconds.popleft()


@contextmanager
def _reader(path: Path) -> Generator[Any, None, None]:
    """Open a bag; whatever its library raises for a bag that it cannot read becomes a SourceError."""
    try:
        from rosbags.highlevel import AnyReader
        from rosbags.typesys import Stores, get_typestore
    except ImportError as error:
        raise SourceError("reading bags needs the rosbags package: pip install 'slamfront[bags]'") from error
    with (
        refused_as(SourceError, f"{path} cannot be read as a bag"),
        AnyReader(_files_of(path), default_typestore=get_typestore(Stores.ROS2_HUMBLE)) as reader,
    ):
        yield reader


def _files_of(path: Path) -> list[Path]:
    """Return what is read: the bag, or the files of a folder that lacks its metadata."""
    if not path.is_dir() or (path / "metadata.yaml").is_file():
        return [path]
    files = [file for suffix in BAG_SUFFIXES[1:] for file in sorted(path.glob(f"*{suffix}"))]
    if not files:
        packed = min(path.iterdir()).name
        raise SourceError(f"{path} has no metadata.yaml, and {packed} cannot be read without it: `ros2 bag reindex`")
    log.warning("%s has no metadata.yaml: its %d files are read as they are", path, len(files))
    return files


def _messages(reader: Any, topics: Topics) -> Generator[tuple[bool, Message], None, None]:
    """Yield whether a message is of the first topic, its time, and the message."""
    connections = [c for c in reader.connections if c.topic in (topics.image, topics.second)]
    for connection, received_ns, data in reader.messages(connections):
        message = reader.deserialize(data, connection.msgtype)
        yield connection.topic == topics.image, (stamp_ns(message) or received_ns, message)


def _first_message(reader: Any, fits: Callable[[Any], bool]) -> Any:
    """Return the first message whose connection `fits`, or None."""
    connections = [c for c in reader.connections if fits(c)]
    if not connections:
        return None
    for connection, _, data in reader.messages(connections):
        return reader.deserialize(data, connection.msgtype)
    return None


def _first_size(reader: Any, topics: Topics) -> tuple[int, int]:
    for is_first, (_, message) in _messages(reader, topics):
        if is_first:
            height, width = image_from_message(message, topics.image).shape[:2]
            return width, height
    raise SourceError(f"the topic {topics.image} holds no message")


def _calibration_in(reader: Any, topics: Topics, size: tuple[int, int]) -> Calibration | None:
    """Return the calibration in the camera_info topics beside the image topics, or None."""
    left = _info(reader, topics.image)
    if left is None:
        return None
    rectified = is_rectified(topics.image)
    if topics.sensor != "stereo" or topics.second is None:
        return camera_from_info(left, rectified, size)
    right = _info(reader, topics.second)
    if right is None:
        return None
    if not rectified:
        return rig_from_infos(left, right, size)
    return camera_from_info(right, rectified, size)


def _info(reader: Any, topic: str) -> dict[str, Any] | None:
    base = topic.removesuffix("/compressed").removesuffix("/compressedDepth").rpartition("/")[0]
    message = _first_message(reader, lambda c: c.msgtype == _INFO and c.topic == f"{base}/camera_info")
    if message is None:
        return None
    lens = ("distortion_model", "D", "K", "R", "P", "d", "k", "r", "p")
    keys = ("width", "height", "binning_x", "binning_y", "roi", *lens)
    facts = {key: getattr(message, key) for key in keys if hasattr(message, key)}
    return {**facts, "frame_id": getattr(message.header, "frame_id", "")}


def _find_pair(names: list[str]) -> tuple[str | None, str | None]:
    for left in names:
        for left_word, right_word in _SIDES:
            right = re.sub(rf"(?<![a-z0-9]){left_word}(?![a-z0-9])", right_word, left)
            if right != left and right in names:
                return left, right
    return None, None
