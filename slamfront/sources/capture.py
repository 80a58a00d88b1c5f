"""What a video file and a camera have in common: OpenCV's VideoCapture, as far as it is used."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, cast

import cv2

from slamfront.errors import FrameError
from slamfront.types import Image


class Capture(Protocol):
    """The part of cv2.VideoCapture that is used, so that something else can stand in for it."""

    def isOpened(self) -> bool:
        """Whether there is a device or file."""
        ...

    def grab(self) -> bool:
        """Take the next frame without decoding it; False when there is none."""
        ...

    def retrieve(self) -> tuple[bool, Any]:
        """Return whether the frame that was grabbed can be decoded, and its BGR image."""
        ...

    def get(self, propId: int) -> float:
        """Return a property."""
        ...

    def set(self, propId: int, value: float) -> bool:
        """Ask for a property."""
        ...

    def release(self) -> None:
        """Give the device or file back."""
        ...


OpenCapture = Callable[[Any], Capture]


def retrieve_rgb(capture: Capture, what: str) -> Image:
    """Return the frame that was grabbed, RGB or grey; FrameError naming `what` when it cannot be decoded."""
    good, image = capture.retrieve()
    if not good or image is None or image.size == 0:
        raise FrameError(f"{what} cannot be decoded")
    return cast(Image, image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
