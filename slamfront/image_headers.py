"""What the header of an image file says, before memory is taken for its pixels, and whether the file is all there."""

from __future__ import annotations

import io
import re
import struct

from PIL import BmpImagePlugin, PpmImagePlugin, TiffImagePlugin

from slamfront.errors import FrameError, refused_as

MOST_PIXELS = 1 << 26
"""A picture with more is of no camera that can be tracked with."""

PNG, JPEG, WEBP, BMP, TIFF, PNM = "PNG", "JPEG", "WebP", "BMP", "TIFF", "PNM"
_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", PNG),
    (b"\xff\xd8\xff", JPEG),
    (b"RIFF", WEBP),
    (b"BM", BMP),
    (b"II*\0", TIFF),
    (b"MM\0*", TIFF),
    *((b"P%d" % number, PNM) for number in range(1, 7)),
)
# Start of frame of every coding, without the tables and extensions among them (ITU-T T.81, table B.1)
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_LONE = {0x01, *range(0xD0, 0xD9)}


def kind_of(data: bytes, where: str) -> str:
    """Return which kind of image file the bytes are; FrameError when of none that is read."""
    for signature, kind in _SIGNATURES:
        if data.startswith(signature):
            return kind
    raise FrameError(f"{where} is not a picture that can be decoded")


def size_in(data: bytes, where: str) -> tuple[int, int]:
    """Return (width, height) from the header of an image file; FrameError when that is damaged."""
    kind = kind_of(data, where)
    with refused_as(FrameError, f"{where} is not a picture that can be decoded", told=False):
        width, height = _READERS[kind](data)
    if width < 1 or height < 1:
        raise FrameError(f"{where} is a picture without pixels")
    return width, height


def check_complete(data: bytes, where: str) -> None:
    """Raise FrameError for a file that was cut short, which its decoder does not tell.

    JPEG is left to libjpeg's warnings. What follows the end of a picture, such as a phone's film, is nobody's business.
    """
    kind = kind_of(data, where)
    with refused_as(FrameError, f"{where} is truncated", told=False):
        if kind == PNG:
            _walk_png(data)
        elif kind == WEBP:
            _need(8 + int.from_bytes(data[4:8], "little") <= len(data))
        elif kind in (BMP, PNM):
            opener = BmpImagePlugin.BmpImageFile if kind == BMP else PpmImagePlugin.PpmImageFile
            opener(io.BytesIO(data)).load()


def _png(data: bytes) -> tuple[int, int]:
    _need(data[12:16] == b"IHDR")
    width, height = struct.unpack(">II", data[16:24])
    return width, height


def _walk_png(data: bytes) -> None:
    position = 8
    while True:
        length, kind = struct.unpack(">I4s", data[position : position + 8])
        position += 12 + length
        _need(position <= len(data))
        if kind == b"IEND":
            return


def _jpeg(data: bytes) -> tuple[int, int]:
    position = 2
    while True:
        _need(data[position] == 0xFF)
        while data[position] == 0xFF:
            position += 1
        marker = data[position]
        if marker in _LONE:
            position += 1
            continue
        if marker in _FRAMES:
            height, width = struct.unpack(">HH", data[position + 4 : position + 8])
            return width, height
        position += 1 + int.from_bytes(data[position + 1 : position + 3], "big")


def _webp(data: bytes) -> tuple[int, int]:
    _need(data[8:12] == b"WEBP")
    kind = data[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    _need(kind == b"VP8 " and data[23:26] == b"\x9d\x01\x2a")
    width, height = struct.unpack("<HH", data[26:30])
    return width & 0x3FFF, height & 0x3FFF


def _bmp(data: bytes) -> tuple[int, int]:
    if int.from_bytes(data[14:18], "little") == 12:
        width, height = struct.unpack("<HH", data[18:22])
    else:
        width, height = struct.unpack("<ii", data[18:26])
    return width, abs(height)


def _pnm(data: bytes) -> tuple[int, int]:
    match = re.match(rb"P\d(?:\s+|#[^\n]*\n)*(\d{1,9})(?:\s+|#[^\n]*\n)+(\d{1,9})", data)
    _need(match is not None)
    assert match is not None
    return int(match[1]), int(match[2])


def _tiff(data: bytes) -> tuple[int, int]:
    width, height = TiffImagePlugin.TiffImageFile(io.BytesIO(data)).size
    return width, height


def _need(true: bool) -> None:
    if not true:
        raise ValueError


_READERS = {PNG: _png, JPEG: _jpeg, WEBP: _webp, BMP: _bmp, TIFF: _tiff, PNM: _pnm}
