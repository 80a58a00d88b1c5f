"""Image files to arrays, where a damaged file is an error and never half a picture."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from slamfront.errors import FrameError, SourceError
from slamfront.types import Float32Array, Image

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".pgm", ".ppm", ".webp")

# What a complete file of a kind begins with, and what is found near its end. The decoders fill a truncated picture with
# grey and say nothing, or only on the standard error stream.
_SIGNATURES = ((b"\x89PNG", b"IEND"), (b"\xff\xd8", b"\xff\xd9"))
_TAIL_BYTES = 4096


def read_image(path: Path) -> Image:
    """Return the picture as uint8, (H,W) when the file is grey and (H,W,3) RGB when it has colour.

    16-bit pictures are reduced to 8 bits. The orientation tag is ignored: a calibration belongs to the sensor's pixels.
    Raises FrameError for a file that is missing, damaged or truncated.
    """
    return decode_image(_read_bytes(path), str(path))


def decode_image(data: NDArray[np.uint8], where: str) -> Image:
    """Return the picture in the bytes of an image file as `read_image` does; `where` names it in errors."""
    image = decode_raw(data, where, cv2.IMREAD_ANYCOLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    return cast(Image, image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2RGB))


def read_depth(path: Path, unit_m: float, invalid: int | None = None) -> Float32Array:
    """Return the depth map (H,W) in metres of a 16-bit or float picture whose values are multiples of `unit_m`.

    The value `invalid` means unknown. Raises FrameError for a file that is missing, damaged, or of another kind.
    """
    raw = decode_raw(_read_bytes(path), str(path))
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


def first_size(paths: Iterable[Path], where: Path) -> tuple[int, int]:
    """Return (width, height) of the first pictures that can be read: the size that most of the first five agree on.

    Raises SourceError when not one can be read; `where` names the source.
    """
    sizes: list[tuple[int, int]] = []
    for path in paths:
        try:
            image = read_image(path)
        except FrameError:
            continue
        sizes.append((image.shape[1], image.shape[0]))
        if len(sizes) == 5 or sizes.count(sizes[-1]) == 2:
            break
    if not sizes:
        raise SourceError(f"{where}: not one image can be read")
    return max(sizes, key=sizes.count)


def decode_raw(data: NDArray[np.uint8], where: str, flags: int = cv2.IMREAD_UNCHANGED) -> NDArray[Any]:
    """Return the picture in the bytes of an image file as OpenCV decodes it; FrameError when it is not complete."""
    tail = data[-_TAIL_BYTES:].tobytes()
    for signature, ending in _SIGNATURES:
        if data[: len(signature)].tobytes() == signature and ending not in tail:
            raise FrameError(f"{where} is truncated")
    try:
        image = cv2.imdecode(data, flags) if data.size else None
    except cv2.error:
        image = None
    if image is None:
        raise FrameError(f"{where} is not a picture that can be decoded")
    return image


def _read_bytes(path: Path) -> NDArray[np.uint8]:
    try:
        return np.fromfile(path, np.uint8)
    except OSError as error:
        raise FrameError(f"cannot read {path}: {error.strerror}") from error
