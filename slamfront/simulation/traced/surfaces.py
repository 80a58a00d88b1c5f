"""What bodies are made of: grey pictures with a size, and how they reflect; a palette of them for one world."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from slamfront.errors import SourceError
from slamfront.simulation import patterns
from slamfront.types import Float32Array, Image

Finish = Literal["matt", "satin", "gloss", "metal"]
_TEXELS_PER_M = 256.0
_SMALL_TEXELS_PER_M = 700.0
_PLAIN_PX = 8
_LEAST_TONE, _MOST_TONE = 0.06, 0.9  # no paint reflects nothing or all, as shares of white on the screen


@dataclass(frozen=True, eq=False)
class Surface:
    """A picture (H,W), uint8 as on a screen, that covers `size_m` (width, height) and is mirrored beyond.

    finish: how it reflects. glow: how much light the white of the picture sends out, as a share of what white reflects
    in the sun-lit part of a room; 0 for what is no lamp.
    """

    picture: Image
    size_m: tuple[float, float]
    finish: Finish = "matt"
    glow: float = 0.0


Paint = Callable[[np.random.Generator, int, int, float, float], Float32Array]
"""(rng, height, width, tone, texels per metre) -> grey picture (H,W) of 0..1."""


def _plain(rng: np.random.Generator, height: int, width: int, tone: float, scale: float) -> Float32Array:
    return np.full((height, width), tone, np.float32)


def _mottled(rng: np.random.Generator, height: int, width: int, tone: float, scale: float) -> Float32Array:
    stains = patterns.noise(rng, height, width, (rng.uniform(0.1, 0.8) * scale,) * 2, 5)
    grain = patterns.noise(rng, height, width, (3, 3), 1)
    return np.asarray(tone * (1 + rng.uniform(0.01, 0.1) * stains + rng.uniform(0.0, 0.05) * grain), np.float32)


def _wood(rng: np.random.Generator, height: int, width: int, tone: float, scale: float) -> Float32Array:
    upright = rng.random() < 0.5
    rows, columns = (width, height) if upright else (height, width)
    cell = rng.uniform(0.004, 0.02) * scale
    streaks = patterns.noise(rng, rows, columns, (max(cell, 1.0), cell * rng.uniform(12, 40)), 4)
    rings = np.sin(patterns.noise(rng, rows, columns, (0.06 * scale, 0.9 * scale), 2) * rng.uniform(3, 9))
    picture = tone * (1 + rng.uniform(0.01, 0.1) * streaks + rng.uniform(0.0, 0.1) * rings)
    return np.asarray(picture.T if upright else picture, np.float32)


def _planks(rng: np.random.Generator, height: int, width: int, tone: float, scale: float) -> Float32Array:
    unit = round(rng.uniform(0.07, 0.2) * scale), round(rng.uniform(0.8, 1.8) * scale)
    picture = _masonry(rng, height, width, unit, tone, tone * rng.uniform(0.3, 0.7), 0.006 * scale, 0.12)
    return picture / tone * _wood(rng, height, width, tone, scale)


def _tiles(rng: np.random.Generator, height: int, width: int, tone: float, scale: float) -> Float32Array:
    side = round(rng.uniform(0.1, 0.6) * scale)
    joint = float(np.clip(tone * rng.choice([0.5, 1.4]), 0.1, 0.9))
    picture = _masonry(rng, height, width, (side, side), tone, joint, 0.006 * scale, rng.uniform(0, 0.1), False)
    if rng.random() < 0.3:
        board = (np.arange(height)[:, None] // side + np.arange(width) // side) % 2
        picture = picture * (1 - rng.uniform(0.3, 0.8) * board)
    if rng.random() < 0.4:
        picture = picture * (1 + 0.08 * patterns.noise(rng, height, width, (0.1 * scale,) * 2, 5))
    return picture


def _bricks(rng: np.random.Generator, height: int, width: int, tone: float, scale: float) -> Float32Array:
    unit = round(0.075 * scale), round(0.23 * scale)
    picture = _masonry(rng, height, width, unit, tone, rng.uniform(0.3, 0.85), 0.01 * scale, 0.14)
    return picture * (1 + 0.1 * patterns.noise(rng, height, width, (0.05 * scale,) * 2, 4))


def _wallpaper(rng: np.random.Generator, height: int, width: int, tone: float, scale: float) -> Float32Array:
    side = max(12, round(rng.uniform(0.08, 0.5) * scale))
    motif = cv2.GaussianBlur(_grey(patterns.shapes(rng, side, side)), (0, 0), 1.0)
    motif = np.block([[motif, motif[:, ::-1]], [motif[::-1], motif[::-1, ::-1]]]) - motif.mean()
    repeats = height // len(motif) + 1, width // len(motif) + 1
    return np.asarray(tone + rng.uniform(0.05, 0.35) * np.tile(motif, repeats)[:height, :width], np.float32)


def _stripes(rng: np.random.Generator, height: int, width: int, tone: float, scale: float) -> Float32Array:
    edges = np.cumsum(rng.integers(max(2, round(0.01 * scale)), max(4, round(0.12 * scale)), 12))
    tones = tone * rng.uniform(0.5, 1.4, 12)
    row = tones[np.searchsorted(edges, np.arange(max(height, width)) % edges[-1], side="right").clip(0, 11)]
    picture = np.broadcast_to(row[:width], (height, width))
    return picture * (1 - 0.4 * (row[:height, None] < tone)) if rng.random() < 0.4 else picture.astype(np.float32)


def _fabric(rng: np.random.Generator, height: int, width: int, tone: float, scale: float) -> Float32Array:
    threads = patterns.noise(rng, height, width, (1, 8), 1) + patterns.noise(rng, height, width, (8, 1), 1)
    shade = 1 + rng.uniform(0.04, 0.12) * threads + 0.05 * _mottled(rng, height, width, 1.0, scale)
    return np.asarray(tone * shade, np.float32)


def _carpet(rng: np.random.Generator, height: int, width: int, tone: float, scale: float) -> Float32Array:
    quarter = _grey(patterns.shapes(rng, height // 2 + 1, width // 2 + 1))
    top = np.concatenate([quarter, quarter[:, ::-1]], axis=1)
    picture = np.concatenate([top, top[::-1]])[:height, :width] * tone * 1.3
    edge = max(2, round(0.06 * scale))
    picture[:edge] = picture[-edge:] = tone * 0.5
    picture[:, :edge] = picture[:, -edge:] = tone * 0.5
    return picture * (1 + 0.08 * patterns.noise(rng, height, width, (2, 2), 2))


def _masonry(
    rng: np.random.Generator, height: int, width: int, unit: tuple[int, int], tone: float, joint: float,
    joint_px: float, variety: float, shifted: bool = True,
) -> Float32Array:  # fmt: skip
    unit = max(4, unit[0]), max(4, unit[1])
    tones = np.full(1, tone, np.float32), np.full(1, joint, np.float32)
    return patterns.masonry(rng, height, width, unit, *tones, max(1, round(joint_px)), variety, shifted)[..., 0]


_PAINTS: dict[str, tuple[Paint, ...]] = {
    "wall": (_plain, _plain, _plain, _mottled, _mottled, _wallpaper, _wallpaper, _bricks, _stripes),
    "floor": (_planks, _planks, _tiles, _mottled, _fabric, _plain),
    "ceiling": (_plain, _plain, _mottled, _tiles),
    "wood": (_wood, _wood, _plain, _mottled),
    "cloth": (_fabric, _fabric, _plain, _stripes, _wallpaper, _mottled),
    "plastic": (_plain,),
    "metal": (_plain, _mottled),
    "stone": (_mottled, _bricks, _bricks, _tiles),
    "ground": (_mottled, _tiles, _mottled),
}
_FINISHES: dict[str, tuple[Finish, ...]] = {
    "floor": ("matt", "satin", "gloss"),
    "wood": ("matt", "satin", "satin", "gloss"),
    "plastic": ("satin", "gloss"),
    "metal": ("metal",),
}
_VARIANTS = 3


@dataclass
class Palette:
    """The surfaces of one world: few of each kind, as in a furnished room, and pictures that hang once.

    rng     decides everything
    photos  files that pictures, posters, screens and what is seen from windows show
    """

    rng: np.random.Generator
    photos: tuple[Path, ...] = ()
    _known: dict[str, list[Surface]] = field(default_factory=dict, init=False)

    def any(self, kind: str) -> Surface:
        """Return one of the world's surfaces of a kind: wood, cloth, plastic, metal, stone."""
        known = self._known.setdefault(kind, [])
        if len(known) < _VARIANTS:
            known.append(self.painted(kind, (1.4, 1.4)))
            return known[-1]
        return known[int(self.rng.integers(len(known)))]

    def painted(self, kind: str, size_m: tuple[float, float]) -> Surface:
        """Return a new surface of a kind that covers a size without repeating: also wall, floor, ceiling, ground."""
        rng, paints = self.rng, _PAINTS[kind]
        paint = paints[int(rng.integers(len(paints)))]
        bright = {"wall": 0.45, "ceiling": 0.6}.get(kind, 0.12)
        tone = float(rng.uniform(bright, 0.85))
        scale = _TEXELS_PER_M
        height, width = (max(_PLAIN_PX, round(side * scale)) for side in size_m[::-1])
        if paint is _plain:
            height, width = _PLAIN_PX, _PLAIN_PX
        finishes = _FINISHES.get(kind, ("matt",))
        return Surface(
            _bytes(paint(rng, height, width, tone, scale)), size_m, finishes[int(rng.integers(len(finishes)))]
        )

    def carpet(self, size_m: tuple[float, float]) -> Surface:
        """Return a rug."""
        height, width = (max(_PLAIN_PX, round(side * _TEXELS_PER_M)) for side in size_m[::-1])
        return Surface(
            _bytes(_carpet(self.rng, height, width, float(self.rng.uniform(0.3, 0.8)), _TEXELS_PER_M)), size_m
        )

    def plain(self, tone: float, finish: Finish = "matt", glow: float = 0.0) -> Surface:
        """Return one tone, as a share of white, all over."""
        return Surface(_bytes(np.full((_PLAIN_PX, _PLAIN_PX), tone, np.float32)), (1.0, 1.0), finish, glow)

    def picture(self, size_m: tuple[float, float], finish: Finish = "matt", glow: float = 0.0) -> Surface:
        """Return a picture of a size: mostly a photograph, where there are such, else print or painting."""
        rng = self.rng
        height, width = (max(16, min(640, round(side * _SMALL_TEXELS_PER_M))) for side in size_m[::-1])
        if self.photos and rng.random() < 0.6:
            return Surface(_bytes(self._photo(height, width)), size_m, finish, glow)
        painted = patterns.PICTURES[int(rng.integers(len(patterns.PICTURES)))](rng, height, width)
        return Surface(_bytes(_grey(painted)), size_m, finish, glow)

    def outlook(self, size_m: tuple[float, float], glow: float) -> Surface:
        """Return what lies behind a window: a photograph, or a painted landscape, that shines."""
        height, width = 480, max(64, round(480 * size_m[0] / size_m[1]))
        rng = self.rng
        picture = self._photo(height, width) if self.photos else _grey(patterns.landscape(rng, height, width))
        return Surface(_bytes(0.25 + 0.75 * picture), size_m, "matt", glow)

    def print(self) -> Surface:
        """Return print of 0.5 x 0.4 m: labels, pages, sides of boxes; few different ones in a world."""
        kinds = patterns.letters, patterns.shapes, patterns.stripes
        return self._shared("print", lambda: _grey(kinds[int(self.rng.integers(3))](self.rng, 280, 350)), (0.5, 0.4))

    def books(self) -> Surface:
        """Return backs of books that stand in one row, 0.7 x 0.35 m; few different rows in a world."""
        return self._shared(
            "books", lambda: _grey(patterns.books(self.rng, 300, 560, 280))[22:270, 24:-24], (0.7, 0.35)
        )

    def _shared(self, kind: str, paint: Callable[[], Float32Array], size_m: tuple[float, float]) -> Surface:
        known = self._known.setdefault(kind, [])
        if len(known) < 2 * _VARIANTS:
            known.append(Surface(_bytes(paint()), size_m, "satin"))
            return known[-1]
        return known[int(self.rng.integers(len(known)))]

    def _photo(self, height: int, width: int) -> Float32Array:
        path = self.photos[int(self.rng.integers(len(self.photos)))]
        photo = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        if photo is None:
            raise SourceError(f"photos: '{path}' is no readable image")
        fit = min(photo.shape[0] / height, photo.shape[1] / width)
        cut_h, cut_w = max(1, int(height * fit)), max(1, int(width * fit))
        top, left = (int(self.rng.integers(0, room + 1)) for room in (photo.shape[0] - cut_h, photo.shape[1] - cut_w))
        cut = photo[top : top + cut_h, left : left + cut_w]
        interpolation = cv2.INTER_AREA if fit > 1 else cv2.INTER_CUBIC
        return cv2.resize(cut, (width, height), interpolation=interpolation).astype(np.float32) / 255


def _grey(picture: Float32Array) -> Float32Array:
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) / np.float32(255), np.float32)


def _bytes(picture: Float32Array) -> Image:
    return np.asarray(np.clip(np.rint(picture * 255), 255 * _LEAST_TONE, 255 * _MOST_TONE), np.uint8)
