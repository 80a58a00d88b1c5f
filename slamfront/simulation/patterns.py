"""Procedural patterns: noise, masonry, print and pictures as float32 (H,W,3) RGB of 0..255, drawn from a generator."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from slamfront.types import BoolArray, Float32Array

Rng = np.random.Generator


def noise(rng: Rng, height: int, width: int, cell_px: tuple[float, float], octaves: int = 4) -> Float32Array:
    """Return smooth noise (H,W) of about unit deviation; cells of (y, x) texels are halved with each octave."""
    total = np.zeros((height, width), np.float32)
    power = 0.0
    for octave in range(octaves):
        cells = [max(cell / 2**octave, 1.0) for cell in cell_px]
        grid = rng.standard_normal((int(height / cells[0]) + 2, int(width / cells[1]) + 2), np.float32)
        weight = 0.7**octave
        total += weight * cv2.resize(grid, (width, height), interpolation=cv2.INTER_LINEAR)
        power += (0.6 * weight) ** 2
    return total / np.float32(np.sqrt(power))


def colour(
    rng: Rng, saturation: tuple[float, float], value: tuple[float, float], hue: tuple[float, float] = (0, 360)
) -> Float32Array:
    """Return a random RGB colour (3,) with hue (degrees), saturation and value in the given ranges."""
    hsv = np.array([[[rng.uniform(*hue), rng.uniform(*saturation), rng.uniform(*value)]]], np.float32)
    rgb: Float32Array = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0, 0]
    return 255 * rgb


def plain(height: int, width: int, tone: Float32Array) -> Float32Array:
    """Return one colour all over."""
    return np.broadcast_to(tone, (height, width, 3)).astype(np.float32)


def mottled(rng: Rng, height: int, width: int, tone: Float32Array, cell_px: float, amount: float) -> Float32Array:
    """Return a colour with coarse stains and fine grain: plaster, concrete, asphalt."""
    stains = noise(rng, height, width, (cell_px, cell_px), 5)
    grain = noise(rng, height, width, (4, 4), 2)
    shade = (1 + amount * (stains + 0.7 * grain)).astype(np.float32)
    return tone * shade[..., None]


def masonry(
    rng: Rng,
    height: int,
    width: int,
    unit_px: tuple[int, int],
    tone: Float32Array,
    joint: Float32Array,
    joint_px: int = 3,
    variety: float = 0.18,
    shifted: bool = True,
) -> Float32Array:
    """Return courses of units (height, width) in texels: bricks, tiles, or planks, each of a tone of its own."""
    unit_height, unit_width = unit_px
    rows, columns = height // unit_height + 1, width // unit_width + 2
    shift = (np.arange(rows) % 2) * (unit_width // 2) * shifted
    y, x = np.arange(height), np.arange(width)
    row = y // unit_height
    shifted_x = x[None, :] + shift[row][:, None]
    tones = (tone * (1 + variety * rng.standard_normal((rows, columns, 1)))).astype(np.float32)
    picture = tones[row[:, None], shifted_x // unit_width]
    picture[shifted_x % unit_width < joint_px] = joint
    picture[y % unit_height < joint_px] = joint
    return picture


def wood(rng: Rng, height: int, width: int, tone: Float32Array, grain_px: float) -> Float32Array:
    """Return wood whose grain runs along x."""
    streaks = noise(rng, height, width, (grain_px, grain_px * 14), 4)
    return tone * (1 + 0.13 * streaks)[..., None]


def checker(rng: Rng, height: int, width: int) -> Float32Array:
    """Return a chessboard of two random colours."""
    cells = int(rng.integers(4, 9))
    side = max(4, min(height, width) // cells)
    board = (np.arange(height)[:, None] // side + np.arange(width) // side) % 2
    return np.stack([colour(rng, (0.1, 0.8), (0.05, 0.35)), colour(rng, (0.0, 0.4), (0.75, 1.0))])[board]


def letters(rng: Rng, height: int, width: int) -> Float32Array:
    """Return a printed page: lines of made-up glyphs in a few sizes."""
    page = plain(height, width, colour(rng, (0.0, 0.15), (0.85, 1.0)))
    ink = colour(rng, (0.2, 0.9), (0.05, 0.3))
    y = margin = max(2, min(height, width) // 14)
    while y < height - margin:
        dot = int(rng.choice([1, 2, 2, 3, 4]))
        line = print_line(rng, (width - 2 * margin) // dot)
        line = np.kron(line, np.ones((dot, dot), bool))[: max(0, height - margin - y)]
        page[y : y + line.shape[0], margin : margin + line.shape[1]][line] = ink
        y += 11 * dot
    return page


def print_line(rng: Rng, dots: int) -> BoolArray:
    """Return one line of glyphs (7, at most `dots`), True where there is ink."""
    count = max(0, dots // 6)
    glyphs = rng.random((count, 7, 5)) < 0.55
    glyphs[:, :, 0] |= rng.random((count, 1)) < 0.6
    glyphs[rng.random(count) < 0.15] = False
    return np.pad(glyphs, ((0, 0), (0, 0), (0, 1))).transpose(1, 0, 2).reshape(7, 6 * count)


def shapes(rng: Rng, height: int, width: int) -> Float32Array:
    """Return a painting of overlapping polygons and discs."""
    picture = mottled(rng, height, width, colour(rng, (0.1, 0.5), (0.6, 0.95)), min(height, width) / 3, 0.08)
    size = min(height, width)
    for _ in range(int(rng.integers(10, 22))):
        centre = rng.uniform((0, 0), (width, height))
        paint = [float(c) for c in colour(rng, (0.3, 1.0), (0.15, 1.0))]
        radius = size * rng.uniform(0.05, 0.22)
        corners = int(rng.integers(3, 8))
        angles = np.sort(rng.uniform(0, 2 * np.pi, corners))
        if rng.random() < 0.25:
            angles = np.linspace(0, 2 * np.pi, 40)
        points = centre + radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        cv2.fillPoly(picture, [np.round(points * 16).astype(np.int32)], paint, cv2.LINE_8, 4)
    return picture


def stripes(rng: Rng, height: int, width: int) -> Float32Array:
    """Return bars of random widths and colours, as on a bar code or the backs of books."""
    edges = np.cumsum(rng.integers(3, max(5, width // 10), width))
    index = np.searchsorted(edges, np.arange(width), side="right")
    tones = np.stack([colour(rng, (0.2, 0.9), (0.15, 0.95)) for _ in range(int(index[-1]) + 1)])
    return np.broadcast_to(tones[index], (height, width, 3)).astype(np.float32)


def mosaic(rng: Rng, height: int, width: int) -> Float32Array:
    """Return small tiles of random tones of two colours."""
    side = max(3, int(min(height, width) * rng.uniform(0.04, 0.1)))
    tones = np.stack([colour(rng, (0.2, 0.9), (0.1, 1.0)) for _ in range(4)])
    grid = tones[rng.integers(0, 4, (height // side + 1, width // side + 1))]
    grid *= rng.uniform(0.6, 1.1, (*grid.shape[:2], 1))
    return np.kron(grid, np.ones((side, side, 1)))[:height, :width].astype(np.float32)


def landscape(rng: Rng, height: int, width: int) -> Float32Array:
    """Return a painting of hills under a sky."""
    sky = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    picture = (1 - sky) * colour(rng, (0.3, 0.8), (0.5, 0.9)) + sky * colour(rng, (0.1, 0.4), (0.9, 1.0))
    clouds = noise(rng, height, width, (height / 4, width / 3))
    picture = picture * (1 + 0.06 * clouds)[..., None]
    for layer in range(int(rng.integers(3, 6))):
        ridge = height * (0.35 + 0.13 * layer) + 0.06 * height * noise(rng, 1, width, (1, width / 3), 5)[0]
        ground = mottled(rng, height, width, colour(rng, (0.2, 0.7), (0.2, 0.75)), width / 6, 0.16)
        below = np.arange(height)[:, None] > ridge
        picture[below] = ground[below]
    return picture


def books(rng: Rng, height: int, width: int, shelf_px: int) -> Float32Array:
    """Return shelves full of books with titles on their backs."""
    picture = wood(rng, height, width, colour(rng, (0.4, 0.6), (0.25, 0.4), (15, 35)), 6)
    board = max(3, shelf_px // 12)
    for top in range(board, height - shelf_px // 2, shelf_px):
        bottom = min(top + shelf_px - board, height - board)
        picture[top:bottom, board : width - board] *= 0.25
        x = board
        while x < width - board - 4:
            thick = min(int(rng.integers(max(4, shelf_px // 12), max(6, shelf_px // 4))), width - board - x)
            high = int((bottom - top) * rng.uniform(0.65, 0.97))
            _book(rng, picture[bottom - high : bottom, x : x + thick])
            x += thick if rng.random() < 0.93 else 2 * thick
    return picture


def _book(rng: Rng, back: Float32Array) -> None:
    height, width = back.shape[:2]
    back[:] = colour(rng, (0.3, 0.9), (0.2, 0.9))
    back[:, : max(1, width // 6)] *= 0.75
    for band in rng.integers(0, max(1, height - 4), 2):
        back[band : band + max(2, height // 30)] = colour(rng, (0.1, 0.6), (0.6, 1.0))
    dot = max(1, width // 10)
    title = np.kron(print_line(rng, int(height * 0.6) // dot), np.ones((dot, dot), bool)).T[:, : width - 1]
    if title.size:
        top, left = height // 8, (width - title.shape[1]) // 2
        part = back[top : top + title.shape[0], left : left + title.shape[1]]
        part[title[: part.shape[0]]] = colour(rng, (0.0, 0.3), (0.8, 1.0))


PICTURES: tuple[Callable[[Rng, int, int], Float32Array], ...] = (
    checker,
    letters,
    shapes,
    stripes,
    mosaic,
    landscape,
    letters,
    shapes,
)
"""What hangs on a rich wall: functions of (rng, height, width)."""
