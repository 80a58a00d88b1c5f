"""Reading of image files, under the name by which programs import it."""

from __future__ import annotations

from slamfront.image_files import decode_image

__all__ = ["decode_image"]
