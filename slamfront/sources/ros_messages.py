"""ROS image messages to arrays; the messages may be of any client library, for only their fields are used."""

from __future__ import annotations

import struct
from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from slamfront.errors import FrameError
from slamfront.image_files import Levels, clean_depth, decode_image, decode_raw
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
    "rgb16": ("u2", 3, None),
    "bgr16": ("u2", 3, cv2.COLOR_BGR2RGB),
    "16UC1": ("u2", 1, None),
    "32FC1": ("f4", 1, None),
    # OpenCV names a pattern by its second row and columns: the sensor's RGGB is its BG
    **{
        f"bayer_{pattern}{bits}": (kind, 1, code)
        for pattern, code in (
            ("rggb", cv2.COLOR_BayerBG2RGB),
            ("bggr", cv2.COLOR_BayerRG2RGB),
            ("gbrg", cv2.COLOR_BayerGR2RGB),
            ("grbg", cv2.COLOR_BayerGB2RGB),
        )
        for bits, kind in ((8, "u1"), (16, "u2"))
    },
    "yuv422": ("u1", 2, cv2.COLOR_YUV2RGB_UYVY),
    "uyvy": ("u1", 2, cv2.COLOR_YUV2RGB_UYVY),
    "yuv422_yuy2": ("u1", 2, cv2.COLOR_YUV2RGB_YUY2),
    "yuyv": ("u1", 2, cv2.COLOR_YUV2RGB_YUY2),
}
# Brightness in full, and after it both colours of every second pixel of every second row
_PLANAR = {"nv12": cv2.COLOR_YUV2RGB_NV12, "nv21": cv2.COLOR_YUV2RGB_NV21, "i420": cv2.COLOR_YUV2RGB_I420}
_COMPRESSED_DEPTH_HEADER_BYTES = 12
# compressed_depth_image_transport knows one kind of header: that of inverse depth
_INVERSE_DEPTH = 1


def stamp_ns(message: Any) -> int:
    """Return the time in a message's header, in nanoseconds; 0 when it was not set."""
    return int(message.header.stamp.sec) * 1_000_000_000 + int(message.header.stamp.nanosec)


def image_from_message(
    message: Any, topic: str, size: tuple[int, int] | None = None, levels: Levels | None = None
) -> Image:
    """Return the picture, uint8 (H,W) or (H,W,3) RGB, of an Image or CompressedImage; FrameError when it is neither.

    Bayer patterns and YUV become RGB; 16 bits become 8 by `levels`, by default those of this picture alone. A picture
    of another `size` (width, height) is refused before it is unpacked.
    """
    if hasattr(message, "format"):
        return decode_image(np.asarray(message.data, np.uint8), f"a compressed image of {topic}", size, levels)
    found = int(message.width), int(message.height)
    if size is not None and found != size:
        raise FrameError(f"{topic}: an image is {found[0]}x{found[1]}, its calibration is for {size[0]}x{size[1]}")
    if message.encoding in _PLANAR:
        return _from_planes(message, topic)
    values, conversion = _values(message, topic)
    values = (levels or Levels()).bytes_of(values, f"{topic}: the encoding '{message.encoding}'")
    return cast(Image, values if conversion is None else cv2.cvtColor(values, conversion))


def depth_from_message(message: Any, topic: str) -> Float32Array:
    """Return the depth map (H,W) in metres: 16 bits are millimetres and floats metres (REP 118)."""
    if not hasattr(message, "format"):
        raw, _ = _values(message, topic)
    elif "compressedDepth" in message.format:
        return _from_compressed_depth(message, topic)
    else:
        raw = decode_raw(np.asarray(message.data, np.uint8), f"a compressed depth map of {topic}")
    if raw.ndim != 2 or raw.dtype not in (np.uint16, np.float32):
        raise FrameError(f"{topic}: a depth map must be 16UC1 or 32FC1")
    return clean_depth(raw, 0.001 if raw.dtype == np.uint16 else 1.0)


def _from_compressed_depth(message: Any, topic: str) -> Float32Array:
    """Return the depth of compressed_depth_image_transport: millimetres, or for floats their inverse in steps.

    Its header says by which two numbers: a value v is a depth of a / (v - b) metres, 0 is unknown.
    """
    data, where = np.asarray(message.data, np.uint8), f"a compressed depth map of {topic}"
    if "rvl" in message.format.lower():
        raise FrameError(f"{where} is packed by RVL, which is not read: record it as png")
    if data.size <= _COMPRESSED_DEPTH_HEADER_BYTES:
        raise FrameError(f"{where} is truncated")
    kind, a, b = struct.unpack("<iff", data[:_COMPRESSED_DEPTH_HEADER_BYTES].tobytes())
    raw = decode_raw(data[_COMPRESSED_DEPTH_HEADER_BYTES:], where)
    if raw.ndim != 2 or raw.dtype != np.uint16:
        raise FrameError(f"{where} must have one channel of 16 bits, got {raw.dtype} {raw.shape}")
    if not message.format.strip().startswith("32FC1"):
        return clean_depth(raw, 0.001)
    if kind != _INVERSE_DEPTH and kind != 0:
        raise FrameError(f"{where} holds floats packed in the way {kind}, which is not known")
    steps = raw.astype(np.float64) - b
    depth_m = np.where((raw > 0) & (steps > 0), a / np.where(steps > 0, steps, 1.0), 0.0)
    return clean_depth(depth_m.astype(np.float32))


def _from_planes(message: Any, topic: str) -> Image:
    height, width, step = int(message.height), int(message.width), int(message.step)
    data = np.asarray(message.data, np.uint8)
    if width % 2 or height % 2 or step < width or data.size < 3 * height // 2 * step:
        raise FrameError(f"{topic}: the message holds {data.size} bytes for {width}x{height} {message.encoding}")
    planes = np.ascontiguousarray(data[: 3 * height // 2 * step].reshape(-1, step)[:, :width])
    return cast(Image, cv2.cvtColor(planes, _PLANAR[message.encoding]))


def _values(message: Any, topic: str) -> tuple[NDArray[Any], int | None]:
    """Return the values of an Image, (H,W) or (H,W,C) in the machine's byte order, and the conversion they need."""
    if message.encoding not in _ENCODINGS:
        known = ", ".join((*_ENCODINGS, *_PLANAR))
        raise FrameError(f"{topic}: the encoding '{message.encoding[:40]}' is not read; known are {known}")
    kind, channels, conversion = _ENCODINGS[message.encoding]
    item = np.dtype(kind).newbyteorder(">" if message.is_bigendian else "<")
    height, width, step = int(message.height), int(message.width), int(message.step)
    row_bytes = width * channels * item.itemsize
    data = np.asarray(message.data, np.uint8)
    if min(height, width) < 1 or step < row_bytes or data.size < height * step:
        raise FrameError(f"{topic}: the message holds {data.size} bytes for {width}x{height} {message.encoding}")
    rows = data[: height * step].reshape(height, step)[:, :row_bytes]
    values = np.ascontiguousarray(rows).view(item).astype(item.newbyteorder("="))
    return values if channels == 1 else values.reshape(height, width, channels), conversion
