"""Masks in files: which pixels of every frame may be used.

The convention is COLMAP's: nothing is looked for where the mask is black (0). A mask belongs to the frames as they were
recorded, and is undistorted, rectified and resampled with them.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from slamfront.errors import FrameError, SourceError
from slamfront.image_files import decode_raw, read_bytes
from slamfront.protocols import Source
from slamfront.sources.wrappers import Wrapper
from slamfront.types import BoolArray, Frame, read_only

log = logging.getLogger(__name__)


def read_mask(path: Path, size: tuple[int, int]) -> BoolArray:
    """Return the mask (H,W) in a picture, True where it is not black, for frames that are `size` = (width, height) px.

    Raises SourceError when it cannot be read, is of another size, or is black all over.
    """
    try:
        picture = decode_raw(read_bytes(path), str(path), cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION)
    except FrameError as error:
        raise SourceError(f"no mask: {error}") from error
    height, width = picture.shape[:2]
    if (width, height) != size:
        raise SourceError(
            f"the mask {path} is {width}x{height}, the frames are {size[0]}x{size[1]}: make it of a frame as recorded"
        )
    mask = picture > 0
    if not mask.any():
        raise SourceError(f"the mask {path} is black all over: nothing of the frames may be used")
    return read_only(mask)


def masked(source: Source, left: Path | None, right: Path | None) -> Source:
    """Return the source with the masks of two files, None for none, on every frame; where a frame has one of its own,
    both hold.

    Raises SourceError for a mask that cannot be used. A right one is of use for stereo only, which a warning says.
    """
    if right is not None and source.sensor != "stereo":
        log.warning("the right mask %s is not used: the frames are %s", right, source.sensor)
        right = None
    if left is None and right is None:
        return source
    size = source.camera.width, source.camera.height
    return _Masked(source, *(None if path is None else read_mask(path, size) for path in (left, right)))


class _Masked(Wrapper):
    def __init__(self, source: Source, left: BoolArray | None, right: BoolArray | None) -> None:
        super().__init__(source)
        self._left, self._right = left, right

    def take(self, frame: Frame) -> Frame:
        right = None if frame.right is None else _both(frame.right_mask, self._right)
        return replace(frame, mask=_both(frame.mask, self._left), right_mask=right)


def _both(own: BoolArray | None, given: BoolArray | None) -> BoolArray | None:
    if own is None or given is None:
        return given if own is None else own
    return np.asarray(own & given)
