"""Textures and their mipmap pyramids, packed into one picture."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from slamfront.types import Float32Array

LEVELS = 7
_PADDING = 2
_MAX_SIDE = 32766  # OpenCV's remap addresses its source with 16 bits.


class Atlas:
    """All textures and their mipmap levels in one picture, so that one remap samples every pixel of an image."""

    def __init__(self, textures: list[NDArray[np.uint8]]) -> None:
        pieces, sizes = [], np.zeros((LEVELS, len(textures), 2))
        for row, texture in enumerate(textures):
            for level in range(LEVELS):
                if level:
                    height, width = texture.shape[:2]
                    size = (max(1, (width + 1) // 2), max(1, (height + 1) // 2))
                    texture = cv2.resize(texture, size, interpolation=cv2.INTER_AREA)
                padded = cv2.copyMakeBorder(texture, *(_PADDING,) * 4, cv2.BORDER_REPLICATE)
                pieces.append((level, row, padded))
                sizes[level, row] = texture.shape[1::-1]
        self._picture, corners = _pack(pieces, (LEVELS, len(textures)))
        # A texel's centre lies half a texel inside its edge, and OpenCV counts from centres.
        self._offsets = (corners + _PADDING - 0.5).astype(np.float32).reshape(-1, 2).T.copy()
        self._scales = (sizes / sizes[:1]).astype(np.float32).reshape(-1, 2).T.copy()
        self._count = len(textures)

    def sample(self, rows: NDArray[Any], level: Float32Array, positions: list[tuple[Any, Any]]) -> Float32Array:
        """Return the mean colour over `positions` (texels u, v of level 0, each (M,N)), blended between two levels."""
        lower = np.minimum(level.astype(np.intp), LEVELS - 2)
        blend = level - lower.astype(np.float32)
        colours = self._sum(lower * self._count + rows, positions)
        if blend.any():
            coarser = self._sum((lower + 1) * self._count + rows, positions)
            coarser -= colours
            coarser *= blend[..., None] if coarser.ndim == 3 else blend
            colours += coarser
        colours /= np.float32(len(positions))
        return colours

    def _sum(self, index: NDArray[np.intp], positions: list[tuple[Any, Any]]) -> Float32Array:
        scale_u, scale_v = self._scales[0][index], self._scales[1][index]
        offset_u, offset_v = self._offsets[0][index], self._offsets[1][index]
        total = np.zeros((*index.shape, *self._picture.shape[2:]), np.float32)
        for u, v in positions:
            total += cv2.remap(self._picture, u * scale_u + offset_u, v * scale_v + offset_v, cv2.INTER_LINEAR)
        return total


def _pack(
    pieces: list[tuple[int, int, NDArray[np.uint8]]], shape: tuple[int, int]
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Return one picture with all (level, row, texture) pieces on shelves, tallest first, and their corners (x, y)."""
    area = sum(piece.shape[0] * piece.shape[1] for _, _, piece in pieces)
    width = max(max(piece.shape[1] for _, _, piece in pieces), int(np.sqrt(area)) + 1)
    corners = np.zeros((*shape, 2))
    x = y = shelf = 0
    ordered = sorted(pieces, key=lambda piece: -piece[2].shape[0])
    for level, row, piece in ordered:
        if x + piece.shape[1] > width:
            x, y, shelf = 0, y + shelf, 0
        corners[level, row] = x, y
        x, shelf = x + piece.shape[1], max(shelf, piece.shape[0])
    if max(width, y + shelf) > _MAX_SIDE:
        raise ValueError(f"the textures fill {width}x{y + shelf} texels, at most {_MAX_SIDE} a side fit: paint coarser")
    picture = np.zeros((y + shelf, width, *pieces[0][2].shape[2:]), np.uint8)
    for level, row, piece in ordered:
        left, top = corners[level, row].astype(int)
        picture[top : top + piece.shape[0], left : left + piece.shape[1]] = piece
    return picture, corners
