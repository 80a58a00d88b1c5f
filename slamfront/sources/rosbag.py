"""Bags of ROS 1 (.bag) and ROS 2 (a folder with metadata.yaml, .mcap, .db3), read without ROS by the extra `bags`."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from slamfront.calibration import Calibration, camera_from_info, rig_from_infos
from slamfront.errors import FrameError, SlamfrontError, SourceError
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
    """Whether a path is a bag: a file of that kind, or a ROS 2 folder."""
    if path.is_dir():
        return (path / "metadata.yaml").is_file() and any(any(path.glob(f"*{suffix}*")) for suffix in BAG_SUFFIXES)
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
        chosen = choose_topics(available, sensor, topics or {}, str(path))
        size = _first_size(reader, chosen)
        default = _calibration_in(reader, chosen) if calibration is None else None
        known = find_calibration(path.parent, size, calibration, default)
        length = sum(c.msgcount for c in reader.connections if c.topic == chosen.image)
    return BagSource(path, for_sensor(known, chosen.sensor), chosen, length)


def choose_topics(available: Iterable[str], sensor: SensorChoice, named: Mapping[str, str], where: str) -> Topics:
    """Return the topics to read: those `named` by role, the rest guessed from their names.

    A depth topic holds `depth`, and one aligned with the colour image is preferred. A pair differs by left and right,
    cam0 and cam1, infra1 and infra2. Rectified topics are preferred to raw ones, and both to compressed ones.
    """
    names = sorted(set(available), key=lambda name: ("rect" not in name, "ompressed" in name, len(name), name))
    for role, name in named.items():
        if role not in ("image", "right", "depth"):
            raise SourceError(f"{where}: unknown topic role '{role}': use image, right or depth")
        if name not in names:
            raise SourceError(f"{where} has no image topic {name}: it has {', '.join(sorted(names)) or 'none'}")
    if not names:
        raise SourceError(f"{where} holds no images (sensor_msgs/Image or CompressedImage)")
    depths = sorted((n for n in names if "depth" in n), key=lambda n: not ("aligned" in n or "registered" in n))
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
    colour = next((name for name in pictures if "color" in name or "rgb" in name), left or pictures[0])
    return Topics(chosen, image or colour, depth if chosen == "rgbd" else None)


class BagSource(FrameReader):
    """A bag whose images are taken as they come; the second image of a frame is the nearest in time, one to one."""

    def __init__(self, path: Path, calibration: Calibration, topics: Topics, length: int) -> None:
        super().__init__(path.stem, calibration, topics.sensor)
        self._path, self._topics, self._length = path, topics, length

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
        if self._topics.second is not None:
            if second is None:
                raise FrameError(f"frame {number}: no message of {self._topics.second} belongs to it")
            if self.sensor == "stereo":
                right = image_from_message(second[1], self._topics.second)
            else:
                depth_m = depth_from_message(second[1], self._topics.second)
                delay_s = depth_delay_s(self.camera, time_ns, second[0])
        left = image_from_message(message, self._topics.image)
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
    try:
        with AnyReader([path], default_typestore=get_typestore(Stores.ROS2_HUMBLE)) as reader:
            yield reader
    except SlamfrontError:
        raise
    except Exception as error:  # a damaged bag fails wherever its parser happens to be, with any exception
        raise SourceError(f"{path} cannot be read as a bag: {' '.join(str(error).split())}") from error


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


def _calibration_in(reader: Any, topics: Topics) -> Calibration | None:
    """Return the calibration in the camera_info topics beside the image topics, or None."""
    left = _info(reader, topics.image)
    if left is None:
        return None
    rectified = "rect" in topics.image
    if topics.sensor != "stereo" or topics.second is None:
        return camera_from_info(left, rectified)
    right = _info(reader, topics.second)
    if right is None:
        return None
    if not rectified:
        return rig_from_infos(left, right)
    return camera_from_info(right, rectified)


def _info(reader: Any, topic: str) -> dict[str, Any] | None:
    base = topic.removesuffix("/compressed").removesuffix("/compressedDepth").rpartition("/")[0]
    message = _first_message(reader, lambda c: c.msgtype == _INFO and c.topic == f"{base}/camera_info")
    if message is None:
        return None
    keys = ("width", "height", "distortion_model", "D", "K", "R", "P", "d", "k", "r", "p")
    return {key: getattr(message, key) for key in keys if hasattr(message, key)}


def _find_pair(names: list[str]) -> tuple[str | None, str | None]:
    for left in names:
        for left_word, right_word in _SIDES:
            right = left.replace(left_word, right_word)
            if left_word in left and right in names:
                return left, right
    return None, None
