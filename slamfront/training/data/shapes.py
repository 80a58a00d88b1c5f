"""Synthetic shapes with exact corners, drawn on the fly: what MagicPoint learns its corners from.

After DeTone et al., "Toward Geometric Deep SLAM" (2017), section 3, and "SuperPoint" (2018), section 4.1. Corners are
where outlines turn (L), where faces, stripes or cells meet (T, Y, X), and the ends of lines. Lines of different
segments never cross or touch, and round things never overlap, so that no point is a corner in one image and none in
another. Where a polygon covers a part of another, the points where their outlines meet belong to no object and are no
corners.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from slamfront.errors import TrainingError
from slamfront.training.data.shape_canvas import Canvas, coverage, texture_layer
from slamfront.training.data.shape_noise import DEFAULT_EFFECTS, ShapeEffects, augment
from slamfront.types import Float32Array, Image

Array = NDArray[np.float64]

MIN_SEPARATION_PX = 6.0
_MIN_ANGLE_DEG, _MAX_ANGLE_DEG = 25.0, 150.0
_TRIES = 30


@dataclass(frozen=True, slots=True)
class ShapeImage:
    """A grey image and its corners.

    image        uint8 (H,W)
    corners_xy   float32 (N,2), px; the centre of the top left pixel is (0, 0)
    kind         one of `KINDS`
    """

    image: Image
    corners_xy: Float32Array
    kind: str


def draw_shapes(
    rng: np.random.Generator,
    size: tuple[int, int] = (160, 120),
    kind: str | None = None,
    effects: ShapeEffects | None = DEFAULT_EFFECTS,
) -> ShapeImage:
    """Return an image of `size` (width, height) with shapes of a kind, or of any; without effects it is clean.

    All corners inside the image are told; their contrast is at least `Canvas.MIN_CONTRAST` before effects.
    Raises TrainingError for an unknown kind.
    """
    kind = KINDS[rng.integers(len(KINDS))] if kind is None else kind
    if kind not in _DRAW:
        raise TrainingError(f"the shapes '{kind}' are unknown: use one of {', '.join(KINDS)}")
    while True:
        canvas = Canvas(rng, size)
        _DRAW[kind](rng, canvas)
        if canvas.painted or kind == "noise":
            image, corners = canvas.finish()
            if effects is not None:
                image = augment(image, rng, effects)
            return ShapeImage(image, corners, kind)


def _lines(rng: np.random.Generator, canvas: Canvas) -> None:
    segments: list[Array] = []
    for _ in range(int(rng.integers(2, 16))):
        width = rng.uniform(1.0, 3.5)
        ends = rng.uniform(-0.1, 1.1, (2, 2)) * canvas.size
        close = any(_segment_distance(ends, other) < MIN_SEPARATION_PX + 4 for other in segments)
        if np.linalg.norm(ends[1] - ends[0]) < 15 or close:
            continue
        if canvas.paint(coverage(_bar(ends, width), canvas.size), ends):
            segments.append(ends)


def _polygon(rng: np.random.Generator, canvas: Canvas) -> None:
    outline = _random_polygon(rng, rng.uniform(0.2, 0.8, 2) * canvas.size, rng.uniform(0.25, 0.6) * min(canvas.size))
    if outline is not None:
        canvas.paint(coverage(outline, canvas.size), outline)


def _polygons(rng: np.random.Generator, canvas: Canvas) -> None:
    overlapping = rng.random() < 0.3
    for _ in range(int(rng.integers(3, 14))):
        centre = rng.uniform(0, 1, 2) * canvas.size
        outline = _random_polygon(rng, centre, rng.uniform(0.1, 0.35) * min(canvas.size))
        if outline is not None:
            canvas.paint(coverage(outline, canvas.size), outline, apart_px=0 if overlapping else 4)


def _ellipses(rng: np.random.Generator, canvas: Canvas) -> None:
    for _ in range(int(rng.integers(2, 12))):
        axes = rng.uniform(5, 0.3 * min(canvas.size), 2)
        # Sharper ends than this radius of curvature look like corners.
        if axes.min() ** 2 / axes.max() < 3.5:
            continue
        turn, angle = rng.uniform(0, np.pi), np.linspace(0, 2 * np.pi, 36, endpoint=False)
        round_xy = np.column_stack([axes[0] * np.cos(angle), axes[1] * np.sin(angle)]) @ _rotation(turn)
        outline = round_xy + rng.uniform(0, 1, 2) * canvas.size
        canvas.paint(coverage(outline, canvas.size), np.empty((0, 2)), apart_px=4)


def _star(rng: np.random.Generator, canvas: Canvas) -> None:
    """Draw rays that leave one point, or a filled star."""
    count = int(rng.integers(3, 8))
    centre = rng.uniform(0.2, 0.8, 2) * canvas.size
    angles = rng.uniform(0, 2 * np.pi) + (np.arange(count) + rng.uniform(-0.2, 0.2, count)) * 2 * np.pi / count
    directions = np.column_stack([np.cos(angles), np.sin(angles)])
    if rng.random() < 0.5:
        ends = centre + directions * rng.uniform(0.2, 0.7, (count, 1)) * min(canvas.size)
        width = rng.uniform(1.0, 3.5)
        # A little beyond the centre, where the rays' far ends would leave notches.
        bars = [
            coverage(_bar(np.array([centre - d * width / 3, e]), width), canvas.size) for d, e in zip(directions, ends)
        ]
        canvas.paint(np.maximum.reduce(bars), np.vstack([centre, ends]))
        return
    between = angles + np.pi / count
    radius = rng.uniform(0.25, 0.6) * min(canvas.size)
    inner = rng.uniform(0.3, 0.55) * radius * np.column_stack([np.cos(between), np.sin(between)])
    outline = centre + np.stack([directions * radius, inner], axis=1).reshape(-1, 2)
    if _is_clear(outline):
        canvas.paint(coverage(outline, canvas.size), outline)


def _checkerboard(rng: np.random.Generator, canvas: Canvas) -> None:
    columns, rows = (int(v) for v in rng.integers(2, 9, 2))
    levels = _two_levels(rng)
    parity = (np.arange(rows)[:, None] + np.arange(columns)) % 2
    cells = levels[parity] + rng.uniform(-12, 12, (rows, columns)) * rng.integers(0, 2)
    _paint_board(rng, canvas, cells, np.arange(columns + 1.0), np.arange(rows + 1.0))


def _stripes(rng: np.random.Generator, canvas: Canvas) -> None:
    count, fine = int(rng.integers(2, 13)), 8
    widths = rng.integers(fine // 2, 2 * fine, count)
    shades = _two_levels(rng)[np.arange(count) % 2] + rng.uniform(-20, 20, count) * rng.integers(0, 2)
    edges = np.concatenate([[0.0], np.cumsum(widths)])
    _paint_board(rng, canvas, np.repeat(shades, widths)[None], edges, np.array([0.0, 1.0]))


def _paint_board(rng: np.random.Generator, canvas: Canvas, cells: Array, x_edges: Array, y_edges: Array) -> None:
    """Paint cells (rows, columns) under a random homography; where `x_edges` and `y_edges` cross are the corners."""
    rows, columns = cells.shape
    board = np.array([[0, 0], [columns, 0], [columns, rows], [0, rows]], np.float64)
    grid = np.stack(np.meshgrid(x_edges, y_edges), axis=-1)
    for _ in range(_TRIES):
        placed = _random_quadrilateral(rng, canvas.size)
        image_from_board = cv2.getPerspectiveTransform(board.astype(np.float32), placed.astype(np.float32))
        corners = cv2.perspectiveTransform(grid, image_from_board)
        steps = [np.linalg.norm(np.diff(corners, axis=axis), axis=2).min() for axis in (0, 1)]
        if min(steps) >= MIN_SEPARATION_PX and _is_clear(placed):
            shade, alpha = texture_layer(np.clip(cells, 1, 255), image_from_board, canvas.size)
            if canvas.paint(alpha, corners.reshape(-1, 2), shade):
                return


def _cube(rng: np.random.Generator, canvas: Canvas) -> None:
    """Draw a box of which three faces are seen, in shades that differ."""
    for _ in range(_TRIES):
        turn = np.linalg.qr(rng.standard_normal((3, 3)))[0]
        # Edges run away from the nearest vertex, so their ends have larger z.
        turn *= np.sign(turn[2])
        if np.abs(turn[2]).min() < 0.25:
            continue
        sides = rng.uniform(0.25, 0.65, 3) * min(canvas.size)
        a, b, c = (turn * sides).T
        solid = np.array([0 * a, a, a + b, b, b + c, c, c + a])
        flat = solid[:, :2] / (1 + solid[:, 2:] / (rng.uniform(2, 10) * min(canvas.size)))
        corners = flat - flat.mean(axis=0) + rng.uniform(0.25, 0.75, 2) * canvas.size
        faces = [corners[[0, 1, 2, 3]], corners[[0, 3, 4, 5]], corners[[0, 5, 6, 1]]]
        if _separation(corners) < MIN_SEPARATION_PX or not all(map(_is_clear, faces)):
            continue
        shades = _distinct_shades(rng, 3)
        parts = np.array([coverage(face, canvas.size) for face in faces])
        total = parts.sum(axis=0)
        shade = np.tensordot(shades, parts, 1) / np.maximum(total, 1e-3)
        if canvas.paint(np.minimum(total, 1), corners, shade.astype(np.float32)):
            return


def _nothing(rng: np.random.Generator, canvas: Canvas) -> None:
    """Draw noise of a random strength and no shape."""
    deviation = rng.uniform(0, 50)
    canvas.image += deviation * rng.standard_normal(canvas.image.shape, np.float32)


def _random_polygon(rng: np.random.Generator, centre: Array, radius: float) -> Array | None:
    """Return an outline (N,2) of 3 to 7 vertices whose angles are all clear, or nothing after many tries."""
    for _ in range(_TRIES):
        count = int(rng.integers(3, 8))
        angles = rng.uniform(0, 2 * np.pi) + (np.arange(count) + rng.uniform(-0.45, 0.45, count)) * 2 * np.pi / count
        radii = radius * rng.uniform(0.4, 1.0, count)
        outline = centre + radii[:, None] * np.column_stack([np.cos(angles), np.sin(angles)])
        if _is_clear(outline):
            return outline
    return None


def _random_quadrilateral(rng: np.random.Generator, size: tuple[int, int]) -> Array:
    """Return four corners (4,2): a turned rectangle in perspective, up to a little larger than the image."""
    half = np.array(size) / 2 * rng.uniform(0.4, 1.2, 2)
    square = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], np.float64) + rng.uniform(-0.3, 0.3, (4, 2))
    return (square * half) @ _rotation(rng.uniform(0, 2 * np.pi)) + rng.uniform(0.3, 0.7, 2) * size


def _two_levels(rng: np.random.Generator) -> Array:
    """Return two grey levels at least 60 apart, in random order."""
    low = rng.uniform(25, 165)
    return rng.permutation([low, rng.uniform(low + 75, 240)])


def _distinct_shades(rng: np.random.Generator, count: int) -> Array:
    """Return grey levels that differ by at least 25, in random order."""
    free = 220.0 - 30 * (count - 1)
    return rng.permutation(np.sort(rng.uniform(0, free, count)) + 30 * np.arange(count) + 15)


def _is_clear(outline: Array) -> bool:
    """Say whether all angles of an outline (N,2) are clearly corners, and far enough from one another."""
    # As complex numbers, for this is asked more often than anything is drawn.
    points = outline[:, 0] + 1j * outline[:, 1]
    edges = np.append(points[1:], points[0]) - points
    turns = np.abs(np.angle(edges * np.append(edges[-1], edges[:-1]).conj(), deg=True))
    clear = (turns > 180 - _MAX_ANGLE_DEG) & (turns < 180 - _MIN_ANGLE_DEG)
    return bool(clear.all()) and _separation(outline) >= MIN_SEPARATION_PX


def _separation(points_xy: Array) -> float:
    points = points_xy[:, 0] + 1j * points_xy[:, 1]
    distances = np.abs(points[:, None] - points)
    np.fill_diagonal(distances, np.inf)
    return float(distances.min())


def _bar(ends: Array, width: float) -> Array:
    """Return the outline (4,2) of a line of a width between two points (2,2)."""
    along = ends[1] - ends[0]
    across = width / 2 * np.array([-along[1], along[0]]) / np.linalg.norm(along)
    return np.array([ends[0] + across, ends[1] + across, ends[1] - across, ends[0] - across])


def _segment_distance(first: Array, second: Array) -> float:
    """Return about how near two segments (2,2) come, px."""
    steps = np.linspace(0, 1, 30)[:, None]
    a, b = (s[0] + steps * (s[1] - s[0]) for s in (first, second))
    return float(np.linalg.norm(a[:, None] - b, axis=2).min())


def _rotation(angle_rad: float) -> Array:
    c, s = np.cos(angle_rad), np.sin(angle_rad)
    return np.array([[c, s], [-s, c]])


_DRAW: dict[str, Callable[[np.random.Generator, Canvas], None]] = {
    "lines": _lines,
    "polygon": _polygon,
    "polygons": _polygons,
    "ellipses": _ellipses,
    "star": _star,
    "checkerboard": _checkerboard,
    "stripes": _stripes,
    "cube": _cube,
    "noise": _nothing,
}
KINDS: tuple[str, ...] = tuple(_DRAW)
"""The kinds of shapes; ellipses and noise have no corners."""
