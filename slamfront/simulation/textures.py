"""What surfaces look like: walls, floors, furniture, facades, roads, all painted from one seed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, TypeVar

import cv2
import numpy as np

from slamfront.errors import SourceError
from slamfront.simulation import patterns
from slamfront.types import Float32Array, Image

Style = Literal["rich", "low", "repeated"]
PainterT = TypeVar("PainterT", bound="Painter")
SKY = (120, 165, 225)
_PHOTO_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp"}


@dataclass
class Painter:
    """Paints surfaces of a size in metres; the same seed and the same calls give the same textures.

    texels_per_m  resolution
    style         "rich" in corners of every scale, "low" (plain walls), or "repeated" (one motif over and over)
    photos        files that posters show instead of painted pictures
    """

    seed: int | tuple[int, ...]
    texels_per_m: float = 256.0
    style: Style = "rich"
    photos: tuple[Path, ...] = ()
    _rng: np.random.Generator = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._rng = np.random.default_rng(self.seed)

    def fork(self: PainterT, key: int) -> PainterT:
        """Return a painter with a seed of its own that depends on this one's seed and `key` alone."""
        seed = self.seed if isinstance(self.seed, tuple) else (self.seed,)
        return replace(self, seed=(*seed, key))

    def wall(self, width_m: float, height_m: float) -> Image:
        """Return an inner wall: plaster, wallpaper or brick, with pictures hung on it."""
        rng, shape = self._rng, self._shape(width_m, height_m)
        tone = patterns.colour(rng, (0.05, 0.3), (0.65, 0.9))
        if self.style == "low":
            picture = patterns.mottled(rng, *shape, tone, self._px(0.8), 0.01)
            self._hang_pictures(picture, per_m2=1.2)
        elif self.style == "repeated":
            picture = self._tiles(shape, 0.3)
        else:
            kind = rng.integers(3)
            if kind == 0:
                picture = patterns.mottled(rng, *shape, tone, self._px(0.8), 0.07)
            elif kind == 1:
                picture = self._wallpaper(shape, tone)
            else:
                picture = self._bricks(shape, patterns.colour(rng, (0.3, 0.55), (0.5, 0.75), (8, 35)))
            self._hang_pictures(picture, per_m2=16)
        return self._finish(picture, corner_m=0.35)

    def floor(self, width_m: float, height_m: float) -> Image:
        """Return a floor: planks or tiles."""
        rng, shape = self._rng, self._shape(width_m, height_m)
        tone = patterns.colour(rng, (0.25, 0.5), (0.5, 0.7), (15, 45))
        if self.style == "low":
            picture = patterns.plain(*shape, tone)
        elif self.style == "repeated":
            picture = self._tiles(shape, 0.4)
        elif rng.random() < 0.6:
            picture = self._planks(shape, tone)
        else:
            unit = self._px(0.33)
            joint = self._px(0.012)
            picture = patterns.masonry(rng, *shape, (unit, unit), tone, tone * 0.45, joint, 0.2, shifted=False)
            picture *= (1 + 0.09 * patterns.noise(rng, *shape, (unit / 3, unit / 3), 5))[..., None]
        return self._finish(picture, corner_m=0.3)

    def ceiling(self, width_m: float, height_m: float) -> Image:
        """Return a ceiling of panels with speckles."""
        rng, shape = self._rng, self._shape(width_m, height_m)
        tone = patterns.colour(rng, (0.0, 0.08), (0.75, 0.9))
        if self.style != "rich":
            return self._finish(patterns.plain(*shape, tone), corner_m=0.4)
        unit = self._px(0.6)
        picture = patterns.masonry(rng, *shape, (unit, unit), tone, tone * 0.6, self._px(0.015), 0.04, shifted=False)
        picture *= (1 + 0.05 * patterns.noise(rng, *shape, (self._px(0.3),) * 2, 6))[..., None]
        speckles = patterns.noise(rng, *shape, (self._px(0.04),) * 2, 2) > 2.2
        picture[speckles] *= 0.6
        return self._finish(picture, corner_m=0.4)

    def furniture(self, width_m: float, height_m: float) -> Image:
        """Return one side of a piece of furniture: wood, print or painted patterns."""
        rng, shape = self._rng, self._shape(width_m, height_m)
        tone = patterns.colour(rng, (0.3, 0.7), (0.35, 0.85))
        if self.style == "low":
            return self._finish(patterns.plain(*shape, tone), corner_m=0.1)
        if self.style == "repeated":
            return self._finish(self._tiles(shape, 0.15), corner_m=0.1)
        if min(width_m, height_m) < 0.15:
            return self._finish(patterns.wood(rng, *shape, tone, self._px(0.03)), corner_m=0.02)
        picture = self._planks(shape, tone) if rng.random() < 0.4 else self._picture(shape)
        picture *= (1 + 0.05 * patterns.noise(rng, *shape, (self._px(0.1),) * 2, 4))[..., None]
        self._frame(picture, self._px(0.02), tone * 0.5)
        return self._finish(picture, corner_m=0.06)

    def shelves(self, width_m: float, height_m: float) -> Image:
        """Return a side of a bookcase."""
        if self.style != "rich" or width_m < 0.5 or height_m < 0.5:
            return self.furniture(width_m, height_m)
        return self._finish(patterns.books(self._rng, *self._shape(width_m, height_m), self._px(0.33)), corner_m=0.05)

    def facade(self, width_m: float, height_m: float) -> Image:
        """Return a house front: masonry with rows of windows, and a shop below."""
        rng, shape = self._rng, self._shape(width_m, height_m)
        tone = patterns.colour(rng, (0.1, 0.45), (0.5, 0.85), (5, 60))
        if self.style == "low":
            picture = patterns.plain(*shape, tone)
        elif self.style == "repeated":
            tone = rgb(190, 170, 150)
            picture = patterns.plain(*shape, tone)
        elif rng.random() < 0.5:
            picture = self._bricks(shape, tone, scale=2.5)
        else:
            picture = patterns.mottled(rng, *shape, tone, self._px(2.0), 0.08)
        self._windows(picture)
        return self._finish(picture, corner_m=0.3)

    def vehicle(self, width_m: float, height_m: float) -> Image:
        """Return a side of a car: lacquer with windows or trim, and print on vans."""
        rng, shape = self._rng, self._shape(width_m, height_m)
        tone = patterns.colour(rng, (0.2, 0.8), (0.3, 0.9))
        if self.style == "low":
            return self._finish(patterns.plain(*shape, tone), corner_m=0.1)
        picture = self._picture(shape) * 0.35 + 0.65 * tone
        self._frame(picture, self._px(0.06), tone * 0.4)
        return self._finish(picture, corner_m=0.1)

    def road(self, width_m: float, height_m: float) -> Image:
        """Return asphalt with patches, cracks and, along its longer side, a dashed line."""
        rng, shape = self._rng, self._shape(width_m, height_m)
        tone = rgb(105, 105, 110)
        if self.style == "rich":
            picture = patterns.mottled(rng, *shape, tone, self._px(3.0), 0.1)
            for _ in range(int(width_m * height_m / 8)):
                y, x = rng.integers(0, shape[0]), rng.integers(0, shape[1])
                h, w = rng.integers(self._px(0.15), self._px(1.2), 2)
                picture[y : y + h, x : x + w] *= rng.uniform(0.7, 1.25)
        else:
            picture = patterns.plain(*shape, tone)
        along = picture if width_m >= height_m else picture.transpose(1, 0, 2)
        middle, half = along.shape[0] // 2, max(1, self._px(0.08))
        dashes = (np.arange(along.shape[1]) // self._px(1.5)) % 2 == 0
        along[middle - half : middle + half, dashes] = 225
        return self._finish(picture, corner_m=0.0)

    def paving(self, width_m: float, height_m: float) -> Image:
        """Return a pavement of slabs."""
        rng, shape = self._rng, self._shape(width_m, height_m)
        tone, unit = patterns.colour(rng, (0.05, 0.15), (0.5, 0.65)), self._px(0.5)
        variety = 0.12 if self.style == "rich" else 0.0
        picture = patterns.masonry(rng, *shape, (unit, unit), tone, tone * 0.6, max(1, self._px(0.03)), variety)
        if self.style == "rich":
            picture *= (1 + 0.1 * patterns.noise(rng, *shape, (unit, unit), 4))[..., None]
        return self._finish(picture, corner_m=0.0)

    def sky(self, width_m: float, height_m: float) -> Image:
        """Return clouds under `SKY`, the clear sky's colour; coarse, for it is far away."""
        shape = (256, 1024)
        clouds = np.clip(patterns.noise(self._rng, *shape, (40, 120), 5), -0.8, 2)[..., None]
        height = np.linspace(0, 1, shape[0], dtype=np.float32)[:, None, None]
        haze = rgb(*SKY) * (1 - height) + rgb(205, 220, 235) * height
        return rounded(haze + 22 * clouds * np.clip(3 * height, 0, 1))

    def meadow(self, width_m: float, height_m: float) -> Image:
        """Return open land, as coarse as the sky."""
        return rounded(patterns.mottled(self._rng, 1024, 1024, rgb(110, 125, 80), 200, 0.12))

    def _wallpaper(self, shape: tuple[int, int], tone: Float32Array) -> Float32Array:
        rng = self._rng
        picture = patterns.mottled(rng, *shape, tone, self._px(0.8), 0.05)
        side = self._px(0.28)
        motif = patterns.shapes(rng, side, side)
        repeats = (shape[0] // side + 1, shape[1] // side + 1, 1)
        return 0.75 * picture + 0.25 * np.tile(motif, repeats)[: shape[0], : shape[1]]

    def _bricks(self, shape: tuple[int, int], tone: Float32Array, scale: float = 1.0) -> Float32Array:
        rng, unit = self._rng, (self._px(0.075 * scale), self._px(0.23 * scale))
        joint = rgb(200, 195, 185)
        picture = patterns.masonry(rng, *shape, unit, tone, joint, max(1, self._px(0.01 * scale)), 0.16)
        return picture * (1 + 0.1 * patterns.noise(rng, *shape, (unit[0], unit[0]), 4))[..., None]

    def _planks(self, shape: tuple[int, int], tone: Float32Array) -> Float32Array:
        rng, unit = self._rng, (self._px(0.14), self._px(1.3))
        boards = patterns.masonry(rng, *shape, unit, tone, tone * 0.3, max(1, self._px(0.006)), 0.2)
        streaks = patterns.noise(rng, *shape, (self._px(0.02), self._px(0.3)), 4)
        return boards * (1 + 0.1 * streaks + 0.05 * patterns.noise(rng, *shape, (5, 5), 2))[..., None]

    def _tiles(self, shape: tuple[int, int], side_m: float) -> Float32Array:
        """Return one tile with a motif, again and again: the same on every surface."""
        side = self._px(side_m)
        tile = patterns.shapes(np.random.default_rng(0), side, side)
        self._frame(tile, max(1, side // 24), rgb(60, 60, 60))
        return np.tile(tile, (shape[0] // side + 1, shape[1] // side + 1, 1))[: shape[0], : shape[1]]

    def _hang_pictures(self, wall: Float32Array, per_m2: float) -> None:
        """Hang pictures that do not overlap: of `per_m2` tries a square metre, those that fit."""
        rng, taken = self._rng, np.zeros(wall.shape[:2], bool)
        for _ in range(int(per_m2 * wall.shape[0] * wall.shape[1] / self.texels_per_m**2)):
            height, width = (int(v) for v in rng.uniform(0.18, 0.8, 2) * self.texels_per_m)
            if height + 8 >= wall.shape[0] or width + 8 >= wall.shape[1]:
                continue
            y, x = int(rng.integers(4, wall.shape[0] - height - 4)), int(rng.integers(4, wall.shape[1] - width - 4))
            gap = self._px(0.06)
            if taken[max(0, y - gap) : y + height + gap, max(0, x - gap) : x + width + gap].any():
                continue
            taken[y : y + height, x : x + width] = True
            wall[y + 3 : y + height + self._px(0.02), x + 3 : x + width + self._px(0.02)] *= 0.7
            picture = self._picture((height, width))
            self._frame(picture, self._px(rng.uniform(0.004, 0.03)), patterns.colour(rng, (0.1, 0.7), (0.1, 0.6)))
            wall[y : y + height, x : x + width] = picture

    def _picture(self, shape: tuple[int, int]) -> Float32Array:
        rng = self._rng
        if self.photos:
            return _photo(self.photos[rng.integers(len(self.photos))], shape)
        picture = patterns.PICTURES[int(rng.integers(len(patterns.PICTURES)))](rng, *shape)
        return picture * (1 + 0.04 * patterns.noise(rng, *shape, (shape[0] / 3, shape[1] / 3), 3))[..., None]

    def _windows(self, front: Float32Array) -> None:
        rng = self._rng if self.style == "rich" else np.random.default_rng(0)
        width, height, storey = self._px(rng.uniform(0.9, 1.3)), self._px(rng.uniform(1.3, 1.8)), self._px(3.0)
        gap = int(width * rng.uniform(0.6, 1.2))
        frame = patterns.colour(rng, (0.0, 0.3), (0.8, 1.0)) if self.style == "rich" else rgb(240, 240, 240)
        for top in range(self._px(0.8), front.shape[0] - height, storey):
            if self.style == "rich" and top + storey >= front.shape[0] - height:
                self._shop_sign(front[top : top + self._px(0.7)])
                top += self._px(0.8)
            for left in range(gap // 2, front.shape[1] - width, width + gap):
                self._window(rng, front[top : top + height, left : left + width], frame)

    def _shop_sign(self, strip: Float32Array) -> None:
        rng = self._rng
        strip[:] = patterns.colour(rng, (0.4, 0.9), (0.2, 0.7))
        dot = max(1, strip.shape[0] // 11)
        text = np.kron(patterns.print_line(rng, strip.shape[1] // dot), np.ones((dot, dot), bool))
        top = max(0, (strip.shape[0] - text.shape[0]) // 2)
        part = strip[top : top + text.shape[0], : text.shape[1]]
        part[text[: part.shape[0]]] = 240

    def _window(self, rng: np.random.Generator, pane: Float32Array, frame: Float32Array) -> None:
        border = max(1, pane.shape[1] // 12)
        glass = patterns.colour(rng, (0.1, 0.4), (0.15, 0.5), (180, 230))
        pane[:] = glass
        if self.style == "rich" and pane.size:
            curtain = int(pane.shape[1] * rng.uniform(0.1, 0.45))
            pane[:, :curtain] = patterns.colour(rng, (0.0, 0.5), (0.5, 0.9))
            pane *= (1 + 0.12 * patterns.noise(rng, pane.shape[0], pane.shape[1], (20, 20), 3))[..., None]
        self._frame(pane, border, frame)
        pane[pane.shape[0] // 3 :][:border] = frame
        pane[:, pane.shape[1] // 2 :][:, : max(1, border // 2)] = frame

    def _frame(self, picture: Float32Array, width_px: int, tone: Float32Array) -> None:
        for side in (picture, picture.transpose(1, 0, 2)):
            side[:width_px] = tone
            side[-width_px:] = tone

    def _finish(self, picture: Float32Array, corner_m: float) -> Image:
        """Darken towards the edges, where less light arrives, and round to uint8."""
        if corner_m > 0:
            reach = corner_m * self.texels_per_m
            for axis, length in enumerate(picture.shape[:2]):
                near = np.minimum(np.arange(length), np.arange(length)[::-1]).astype(np.float32)
                shade = 1 - 0.28 * np.exp(-near / reach)
                picture *= shade[:, None, None] if axis == 0 else shade[:, None]
        return rounded(picture)

    def _shape(self, width_m: float, height_m: float) -> tuple[int, int]:
        return max(4, self._px(height_m)), max(4, self._px(width_m))

    def _px(self, length_m: float) -> int:
        return max(1, round(length_m * self.texels_per_m))


def list_photos(folder: Path) -> tuple[Path, ...]:
    """Return a folder's image files in order of name; SourceError when there are none."""
    if not folder.is_dir():
        raise SourceError(f"photos: '{folder}' is no folder")
    files = tuple(sorted(path for path in folder.iterdir() if path.suffix.lower() in _PHOTO_SUFFIXES))
    if not files:
        raise SourceError(f"photos: '{folder}' holds no image ({', '.join(sorted(_PHOTO_SUFFIXES))})")
    return files


def _photo(path: Path, shape: tuple[int, int]) -> Float32Array:
    """Return a photograph, cut about its middle to the wanted proportions, in the wanted size."""
    photo = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if photo is None:
        raise SourceError(f"photos: '{path}' is no readable image")
    height, width = photo.shape[:2]
    scale = min(height / shape[0], width / shape[1])
    h, w = max(1, int(shape[0] * scale)), max(1, int(shape[1] * scale))
    top, left = (height - h) // 2, (width - w) // 2
    cut = np.ascontiguousarray(photo[top : top + h, left : left + w, ::-1])
    interpolation = cv2.INTER_AREA if scale > 1 else cv2.INTER_CUBIC
    return cv2.resize(cut, shape[::-1], interpolation=interpolation).astype(np.float32)


def rounded(picture: Float32Array) -> Image:
    """Return a picture in whole grey levels."""
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def rgb(red: float, green: float, blue: float) -> Float32Array:
    """Return a colour (3,)."""
    return np.array([red, green, blue], np.float32)
