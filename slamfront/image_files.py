"""Image files to arrays, where a damaged file is an error and never half a picture."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from slamfront.decoder_warnings import with_jpeg_warnings
from slamfront.errors import FrameError, SourceError, refused_as
from slamfront.image_headers import JPEG, MOST_PIXELS, check_complete, kind_of, size_in
from slamfront.reading import check_is_file
from slamfront.types import Float32Array, Image

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".pgm", ".ppm", ".webp")

Size = tuple[int, int]

_MOST_BYTES = 1 << 30
_BITS = (8, 10, 12, 14, 16)
"""What sensors have; a file has 8 or 16."""


class Levels:
    """How many of the 16 bits of a file are the sensor's: the fewest of 8, 10, 12, 14 or 16 that hold all it has seen.

    One for all pictures of a source: a brightness that changed from picture to picture would lose what is followed.
    """

    def __init__(self) -> None:
        self._bits = 0

    def bytes_of(self, values: NDArray[Any], where: str) -> NDArray[np.uint8]:
        """Return 8 or 16 bit values as 8 bits; FrameError for others."""
        if values.dtype == np.uint8:
            return values
        if values.dtype != np.uint16:
            raise FrameError(f"{where} is no picture of 8 or 16 bits, but of {values.dtype}")
        self.see(values)
        return (values >> (self._bits - 8)).astype(np.uint8)

    def see(self, values: NDArray[Any]) -> None:
        """Take note of the brightest value."""
        if values.dtype == np.uint16:
            needed = int(values.max(initial=0)).bit_length()
            self._bits = max(self._bits, next(bits for bits in _BITS if bits >= needed))


def read_image(path: Path, size: Size | None = None, levels: Levels | None = None) -> Image:
    """Return the picture as uint8, (H,W) when the file is grey and (H,W,3) RGB when it has colour.

    16-bit pictures are reduced to 8 bits by `levels`, by default those of this picture alone. The orientation tag is
    ignored: a calibration belongs to the sensor's pixels. Raises FrameError for a file that is missing, damaged or
    truncated, and before its pixels are unpacked for one that is not `size` (width, height), where that is given.
    """
    return decode_image(read_bytes(path), str(path), size, levels)


def read_raw(path: Path) -> NDArray[Any]:
    """Return the picture with the values of its file; FrameError as `read_image`."""
    return decode_raw(read_bytes(path), str(path), cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH)


def decode_image(data: NDArray[np.uint8], where: str, size: Size | None = None, levels: Levels | None = None) -> Image:
    """Return the picture in the bytes of an image file as `read_image` does; `where` names it in errors."""
    flags = cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION
    image = (levels or Levels()).bytes_of(decode_raw(data, where, flags, size), where)
    return cast(Image, image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2RGB))


def read_depth(path: Path, unit_m: float, invalid: int | None = None, size: Size | None = None) -> Float32Array:
    """Return the depth map (H,W) in metres of a 16-bit or float picture whose values are multiples of `unit_m`.

    The value `invalid` means unknown. Raises FrameError for a file that is missing, damaged, or of another kind or
    size.
    """
    raw = decode_raw(read_bytes(path), str(path), size=size)
    if raw.ndim != 2 or raw.dtype not in (np.uint16, np.float32):
        raise FrameError(f"{path}: a depth map must have one channel of 16 bits or float, got {raw.dtype} {raw.shape}")
    return clean_depth(raw, unit_m, invalid)


def clean_depth(raw: NDArray[Any], unit_m: float = 1.0, invalid: int | None = None) -> Float32Array:
    """Return raw depth (H,W) as float32 metres, with 0 wherever it is `invalid`, negative, NaN or infinite."""
    depth_m = np.multiply(raw, np.float32(unit_m), dtype=np.float32)
    if invalid is not None:
        depth_m[raw == invalid] = 0.0
    if raw.dtype.kind == "f":
        depth_m[~(np.isfinite(depth_m) & (depth_m > 0))] = 0.0
    return depth_m


def first_size(paths: Iterable[Path], where: Path) -> Size:
    """Return (width, height) of the first pictures that can be read: the size that most of the first five agree on.

    Raises SourceError when not one can be read; `where` names the source.
    """
    sizes: list[Size] = []
    for path in paths:
        try:
            data = read_bytes(path)
            size = size_in(data.tobytes(), str(path))
            decode_raw(data, str(path))
        except FrameError:
            continue
        sizes.append(size)
        if len(sizes) == 5 or sizes.count(sizes[-1]) == 2:
            break
    if not sizes:
        raise SourceError(f"{where}: not one image can be read")
    return max(sizes, key=sizes.count)


def decode_raw(
    data: NDArray[np.uint8], where: str, flags: int = cv2.IMREAD_UNCHANGED, size: Size | None = None
) -> NDArray[Any]:
    """Return the picture in the bytes of an image file as OpenCV decodes it.

    Raises FrameError when it is not complete, of another `size`, or larger than any camera's.
    """
    content = data.tobytes()
    width, height = size_in(content, where)
    if size is not None and (width, height) != size:
        raise FrameError(f"{where} is {width}x{height}, its calibration is for {size[0]}x{size[1]}")
    if width * height > MOST_PIXELS:
        raise FrameError(f"{where} is {width}x{height}, larger than any picture of a camera")
    check_complete(content, where)
    with refused_as(FrameError, f"{where} is not a picture that can be decoded", told=False):
        image, warning = _decode(data, flags, kind_of(content, where) == JPEG)
    if warning:
        raise FrameError(f"{where} is damaged or truncated: {warning}")
    if image is None:
        raise FrameError(f"{where} is not a picture that can be decoded")
    return image


def _decode(data: NDArray[np.uint8], flags: int, jpeg: bool) -> tuple[NDArray[Any] | None, str]:
    if jpeg:
        return with_jpeg_warnings(lambda: cv2.imdecode(data, flags))
    return cv2.imdecode(data, flags), ""


def read_bytes(path: Path) -> NDArray[np.uint8]:
    """Return the bytes of an image file; FrameError when it cannot be read."""
    with refused_as(FrameError, f"cannot read {path}"):
        check_is_file(path, FrameError)
        if path.stat().st_size > _MOST_BYTES:
            raise FrameError(f"{path} is larger than any picture of a camera")
        return np.fromfile(path, np.uint8)
