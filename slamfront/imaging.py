"""What is done to images everywhere."""

from __future__ import annotations

import cv2

from slamfront.types import Image


def grey(image: Image) -> Image:
    """Return an image, RGB (H,W,3) or grey (H,W) uint8, as a grey one (H,W) by the luma of ITU-R BT.601."""
    return image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
