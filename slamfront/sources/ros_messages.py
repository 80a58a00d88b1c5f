"""ROS image messages to arrays; the messages may be of any client library, for only their fields are used."""

from __future__ import annotations

from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from slamfront.errors import FrameError
from slamfront.sources.images_io import clean_depth, decode_image, decode_raw
from slamfront.types import Float32Array, Image

# Encoding of sensor_msgs/Image: type of a value, channels, conversion to grey or RGB.
_ENCODINGS: dict[str, tuple[str, int, int | None]] = {
    "mono8": ("u1", 1, None),
    "8UC1": ("u1", 1, None),
    "rgb8": ("u1", 3, None),
    "8UC3": ("u1", 3, cv2.COLOR_BGR2RGB),
    "bgr8": ("u1", 3, cv2.COLOR_BGR2RGB),
    "rgba8": ("u1", 4, cv2.COLOR_RGBA2RGB),
    "bgra8": ("u1", 4, cv2.COLOR_BGRA2RGB),
    "mono16": ("u2", 1, None),
    "16UC1": ("u2", 1, None),
    "32FC1": ("f4", 1, None),
}
_COMPRESSED_DEPTH_HEADER_BYTES = 12


def stamp_ns(message: Any) -> int:
    """Return the time in a message's header, in nanoseconds; 0 when it was not set."""
    return int(message.header.stamp.sec) * 1_000_000_000 + int(message.header.stamp.nanosec)


def image_from_message(message: Any, topic: str) -> Image:
    """Return the picture, uint8 (H,W) or (H,W,3) RGB, of an Image or CompressedImage; FrameError when it is neither."""
    if hasattr(message, "format"):
        return decode_image(np.asarray(message.data, np.uint8), f"a compressed image of {topic}")
    values, conversion = _values(message, topic)
    if values.dtype == np.uint16:
        values = (values >> 8).astype(np.uint8)
    if values.dtype != np.uint8:
        raise FrameError(f"{topic}: the encoding '{message.encoding}' is no picture")
    return cast(Image, values if conversion is None else cv2.cvtColor(values, conversion))


def depth_from_message(message: Any, topic: str) -> Float32Array:
    """Return the depth map (H,W) in metres: 16 bits are millimetres and floats metres (REP 118)."""
    if hasattr(message, "format"):
        data = np.asarray(message.data, np.uint8)
        header = _COMPRESSED_DEPTH_HEADER_BYTES if "compressedDepth" in message.format else 0
        raw = decode_raw(data[header:], f"a compressed depth map of {topic}")
    else:
        raw, _ = _values(message, topic)
    if raw.ndim != 2 or raw.dtype not in (np.uint16, np.float32):
        raise FrameError(f"{topic}: a depth map must be 16UC1 or 32FC1")
    return clean_depth(raw, 0.001 if raw.dtype == np.uint16 else 1.0)


def _values(message: Any, topic: str) -> tuple[NDArray[Any], int | None]:
    """Return the values of an Image, (H,W) or (H,W,C) in the machine's byte order, and the conversion they need."""
    if message.encoding not in _ENCODINGS:
        raise FrameError(f"{topic}: the encoding '{message.encoding}' is not read; known are {', '.join(_ENCODINGS)}")
    kind, channels, conversion = _ENCODINGS[message.encoding]
    item = np.dtype(kind).newbyteorder(">" if message.is_bigendian else "<")
    height, width, step = int(message.height), int(message.width), int(message.step)
    row_bytes = width * channels * item.itemsize
    data = np.asarray(message.data, np.uint8)
    if step < row_bytes or data.size < height * step:
        raise FrameError(f"{topic}: the message holds {data.size} bytes for {width}x{height} {message.encoding}")
    rows = data[: height * step].reshape(height, step)[:, :row_bytes]
    values = np.ascontiguousarray(rows).view(item).astype(item.newbyteorder("="))
    return values if channels == 1 else values.reshape(height, width, channels), conversion
