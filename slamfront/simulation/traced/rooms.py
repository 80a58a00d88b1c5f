"""Furnished rooms, each drawn from one seed."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from slamfront.simulation.traced import furniture
from slamfront.simulation.traced.bodies import Assembly, Furniture, Piece, Top
from slamfront.simulation.traced.meshes import Mesh, box, cushion, cylinder, lathe, quad, sheet, tube
from slamfront.simulation.traced.surfaces import Palette
from slamfront.simulation.traced.worlds import TracedWorld
from slamfront.types import FloatArray

_WALL_GAP_M = 0.02
_CAMERA_GAP_M = 0.3
_TRIES = 30


@dataclass
class _Room:
    """A room while it is being furnished: size (width, depth, height) about x = y = 0, the floor at z = 0."""

    palette: Palette
    size_m: FloatArray
    pieces: list[Piece] = field(default_factory=list)
    taken: list[FloatArray] = field(default_factory=list)  # (2,3) boxes
    windows: list[tuple[int, float, float]] = field(default_factory=list)  # wall, from and to along it

    def put(self, piece: Furniture, position_m: tuple[float, float, float], yaw_rad: float) -> bool:
        """Stand furniture somewhere if there is room, and small things on it; say whether there was."""
        width, depth, height = piece.size_m
        half = np.abs([width * np.cos(yaw_rad), width * np.sin(yaw_rad)]) / 2
        half += np.abs([depth * np.sin(yaw_rad), depth * np.cos(yaw_rad)]) / 2
        low = np.array([position_m[0] - half[0], position_m[1] - half[1], position_m[2]])
        high = np.array([position_m[0] + half[0], position_m[1] + half[1], position_m[2] + height])
        inside = (np.abs([low[:2], high[:2]]) <= self.size_m[:2] / 2).all() and high[2] < self.size_m[2]
        apart = all((low >= box_[1]).any() or (high <= box_[0]).any() for box_ in self.taken)
        if not (inside and apart):
            return False
        self.taken.append(np.stack([low, high]))
        self.pieces += piece.placed(position_m, yaw_rad)
        for top in piece.tops:
            self._clutter(top, position_m, yaw_rad)
        return True

    def _clutter(self, top: Top, position_m: tuple[float, float, float], yaw_rad: float) -> None:
        rng = self.palette.rng
        area = (top.high_xy_m[0] - top.low_xy_m[0]) * (top.high_xy_m[1] - top.low_xy_m[1])
        cos, sin = np.cos(yaw_rad), np.sin(yaw_rad)
        for _ in range(int(rng.integers(0, int(4 + 14 * area)))):
            make = furniture.ON_TOP[int(rng.integers(len(furniture.ON_TOP)))]
            if make is furniture.plant and rng.random() < 0.7:
                continue
            x, y = rng.uniform(top.low_xy_m, top.high_xy_m)
            spot = position_m[0] + cos * x - sin * y, position_m[1] + sin * x + cos * y, position_m[2] + top.z_m + 5e-4
            turn = yaw_rad + (rng.normal(0, 0.3) if rng.random() < 0.8 else rng.uniform(0, 6.3))
            self.put(make(self.palette), spot, turn)


def room(seed: int | tuple[int, ...], photos: tuple[Path, ...] = ()) -> TracedWorld:
    """Return a furnished room; the same seed and photographs give the same room."""
    rng = np.random.default_rng(seed)
    size = np.array([rng.uniform(2.6, 6.5), rng.uniform(2.6, 6.5), rng.uniform(2.3, 3.2)])
    taken = _Room(Palette(rng, photos), size)
    _shell(taken)
    _furnish(taken)
    _decorate(taken)
    _light(taken)
    high = np.array([size[0] / 2 - _CAMERA_GAP_M, size[1] / 2 - _CAMERA_GAP_M, size[2] - _CAMERA_GAP_M])
    low = np.array([-high[0], -high[1], _CAMERA_GAP_M])
    return TracedWorld(tuple(taken.pieces), low, high, np.array(taken.taken).reshape(-1, 2, 3))


def _shell(taken: _Room) -> None:
    """Build floor, ceiling and walls, with windows and doors in them."""
    palette, rng, (width, depth, height) = taken.palette, taken.palette.rng, taken.size_m
    group = Assembly(rng)
    corner = np.array([-width / 2, -depth / 2, 0])
    group.show(quad(corner, (width, 0, 0), (0, depth, 0)), palette.painted("floor", (width, depth)))
    lid = palette.painted("ceiling", (width, depth))
    group.show(quad(corner + (0, 0, height), (0, depth, 0), (width, 0, 0)), lid)
    one = palette.painted("wall", (max(width, depth), height))
    trim = palette.any("wood")
    for wall in range(4):
        length = (width, depth)[wall % 2]
        surface = one if rng.random() < 0.7 else palette.painted("wall", (length, height))
        opening = None
        if rng.random() < 0.45:
            opening = _opening(rng, length, height)
            taken.windows.append((wall, opening[0], opening[1]))
            _window(taken, group, wall, opening)
        elif rng.random() < 0.4:
            _door(taken, group, wall, rng.uniform(0.2, length - 1.2))
        for left, right, bottom, top in _around(opening, length, height):
            if right > left and top > bottom:
                flat = quad((left, 0, bottom), (right - left, 0, 0), (0, 0, top - bottom), (left, bottom))
                group.show(_on_wall(taken, flat, wall), surface)
        if rng.random() < 0.6:
            group.cover(_on_wall(taken, box((length, 0.015, 0.08), (length / 2, -0.0076, 0.04)), wall), trim)
    taken.pieces += group.pieces


def _opening(rng: np.random.Generator, length: float, height: float) -> tuple[float, float, float, float]:
    """Return a window of a wall: from and to along it, and in height."""
    wide = min(rng.uniform(0.7, 2.4), length - 0.5)
    left = rng.uniform(0.2, length - wide - 0.2)
    bottom = 0.05 if rng.random() < 0.2 else rng.uniform(0.6, 1.0)
    return left, left + wide, bottom, rng.uniform(1.8, height - 0.15)


def _around(
    opening: tuple[float, float, float, float] | None, length: float, height: float
) -> list[tuple[float, float, float, float]]:
    if opening is None:
        return [(0, length, 0, height)]
    left, right, bottom, top = opening
    return [(0, left, 0, height), (right, length, 0, height), (left, right, 0, bottom), (left, right, top, height)]


def _on_wall(taken: _Room, mesh: Mesh, wall: int) -> Mesh:
    """Carry a mesh to a wall; it stands at y < 0, in front of the wall, whose left end is the origin."""
    yaw = (0.0, -np.pi / 2, np.pi, np.pi / 2)[wall]
    width, depth = taken.size_m[0] / 2, taken.size_m[1] / 2
    start = ((-width, depth, 0), (width, depth, 0), (width, -depth, 0), (-width, -depth, 0))[wall]
    return mesh.moved(start, yaw)


def _window(taken: _Room, group: Assembly, wall: int, opening: tuple[float, float, float, float]) -> None:
    """Build a window: reveal, frame, bars, what is seen outside, perhaps curtains or blinds."""
    palette, rng = taken.palette, taken.palette.rng
    left, right, bottom, top = opening
    wide, high, deep = right - left, top - bottom, rng.uniform(0.05, 0.25)
    paint = palette.plain(rng.uniform(0.5, 0.88), "satin")
    for start, u, v in (
        ((left, 0, bottom), (wide, 0, 0), (0, deep, 0)),
        ((right, 0, top), (-wide, 0, 0), (0, deep, 0)),
        ((left, 0, top), (0, 0, -high), (0, deep, 0)),
        ((right, 0, bottom), (0, 0, high), (0, deep, 0)),
    ):
        group.show(_on_wall(taken, quad(start, u, v), wall), paint)
    bar, columns, rows = rng.uniform(0.03, 0.06), int(rng.integers(1, 4)), int(rng.integers(1, 3))
    for x in np.linspace(left + bar / 2, right - bar / 2, columns + 1):
        group.show(_on_wall(taken, box((bar, 0.04, high), (x, deep - 0.02, bottom + high / 2)), wall), paint)
    for z in np.linspace(bottom + bar / 2, top - bar / 2, rows + 1):
        group.show(_on_wall(taken, box((wide, 0.045, bar), (left + wide / 2, deep - 0.02, z)), wall), paint)
    # A wide view that shines from far away would light the room through the window with few of its rays only.
    away, glow = rng.uniform(0.05, 0.7), rng.uniform(2.0, 10.0)
    view_w, view_h = wide + 2 * away, high + 1.5 * away
    middle = left + wide / 2, bottom + high / 2
    outside = quad((middle[0] - view_w / 2, deep + away, middle[1] - view_h / 2), (view_w, 0, 0), (0, 0, view_h))
    group.show(_on_wall(taken, outside, wall), palette.outlook((view_w, view_h), glow))
    if rng.random() < 0.35:
        sun = cushion((0.08, 0.08, 0.08), 1.0, 12)
        spot = rng.uniform(left, right), deep + 0.8 * away, top + rng.uniform(0.2, 0.5) * away
        group.show(_on_wall(taken, sun.moved(spot), wall), palette.plain(0.9, "matt", rng.uniform(300, 1500)))
    covering = rng.random()
    if covering < 0.4:
        _curtains(taken, group, wall, opening)
    elif covering < 0.6:
        slats = palette.plain(rng.uniform(0.5, 0.88))
        for z in np.arange(top, top - high * rng.uniform(0.2, 1.0), -0.05):
            group.show(_on_wall(taken, box((wide - 0.02, 0.03, 0.003), (left + wide / 2, deep / 2, z)), wall), slats)


def _curtains(taken: _Room, group: Assembly, wall: int, opening: tuple[float, float, float, float]) -> None:
    palette, rng = taken.palette, taken.palette.rng
    left, right, _, top = opening
    cloth, share = palette.any("cloth"), rng.uniform(0.15, 0.4) * (right - left)
    for start, end in ((left - 0.15, left + share), (right - share, right + 0.15)):
        x = np.linspace(start, end, 60)
        fold = 0.03 * np.sin(x * rng.uniform(40, 70)) + 0.01 * np.sin(x * 17)
        z = np.linspace(top + 0.1, 0.05 if rng.random() < 0.6 else opening[2] - 0.1, 12)
        points = np.stack(np.broadcast_arrays(x[None], -0.09 + fold[None], z[:, None]), axis=-1)
        group.cover(_on_wall(taken, sheet(points, turned_over=True), wall), cloth)
    rail = [(left - 0.3, -0.09, top + 0.12), ((left + right) / 2, -0.09, top + 0.12), (right + 0.3, -0.09, top + 0.12)]
    group.cover(_on_wall(taken, tube(rail, 0.012), wall), palette.any("metal"))


def _door(taken: _Room, group: Assembly, wall: int, left: float) -> None:
    palette, rng = taken.palette, taken.palette.rng
    wide, high, wood = rng.uniform(0.8, 0.95), 2.05, palette.any("wood")
    frame = palette.any("wood")
    group.cover(_on_wall(taken, box((wide, 0.02, high), (left + wide / 2, -0.01, high / 2)), wall), wood)
    for x in (left - 0.04, left + wide + 0.04):
        group.cover(_on_wall(taken, box((0.08, 0.035, high + 0.08), (x, -0.0175, high / 2 + 0.04)), wall), frame)
    group.cover(_on_wall(taken, box((wide, 0.035, 0.08), (left + wide / 2, -0.0175, high + 0.04)), wall), frame)
    for z in np.linspace(0.1, high, int(rng.integers(1, 5)) + 1)[:-1]:
        panel = box((wide * 0.7, 0.01, high * 0.2), (left + wide / 2, -0.024, z + high * 0.11))
        group.cover(_on_wall(taken, panel, wall), wood)
    handle = [(left + 0.08, -0.02, 1.05), (left + 0.08, -0.07, 1.05), (left + 0.2, -0.07, 1.05)]
    group.cover(_on_wall(taken, tube(handle, 0.009, 8), wall), palette.any("metal"))
    x, y, _ = _spot(taken, wall, left + wide / 2, 0.4)
    taken.taken.append(np.array([[x - 0.4, y - 0.4, 0.0], [x + 0.4, y + 0.4, 0.01]]))


def _spot(taken: _Room, wall: int, along: float, off: float) -> tuple[float, float, float]:
    """Return the place on the floor that lies `along` a wall and `off` it."""
    width, depth = taken.size_m[0] / 2, taken.size_m[1] / 2
    x, y = ((along - width, depth - off), (width - off, depth - along), (width - along, off - depth),
            (off - width, along - depth))[wall]  # fmt: skip
    return float(x), float(y), 0.0


def _furnish(taken: _Room) -> None:
    palette, rng = taken.palette, taken.palette.rng
    area = taken.size_m[0] * taken.size_m[1]
    for _ in range(int(area * rng.uniform(0.4, 1.2)) + 3):
        make = furniture.AGAINST_WALLS[int(rng.integers(len(furniture.AGAINST_WALLS)))]
        piece = make(palette)
        for _ in range(_TRIES):
            wall = int(rng.integers(4))
            along = rng.uniform(0, taken.size_m[wall % 2])
            spot = _spot(taken, wall, along, piece.size_m[1] / 2 + _WALL_GAP_M + 0.12 * (rng.random() < 0.2))
            if taken.put(piece, spot, (0.0, -np.pi / 2, np.pi, np.pi / 2)[wall] + 0.0):
                break
    _group_of_chairs(taken)
    for makers, share in ((furniture.IN_THE_MIDDLE, 0.35), (furniture.ON_THE_FLOOR, 0.6)):
        for _ in range(int(rng.integers(0, 2 + area * share))):
            piece = makers[int(rng.integers(len(makers)))](palette)
            x, y = rng.uniform(-0.5, 0.5, 2) * taken.size_m[:2]
            taken.put(piece, (float(x), float(y), 0.0), rng.uniform(0, 2 * np.pi))


def _group_of_chairs(taken: _Room) -> None:
    """Stand several chairs that are all alike in a row or anywhere."""
    palette, rng = taken.palette, taken.palette.rng
    if rng.random() < 0.5:
        return
    piece, yaw = furniture.chair(palette), rng.uniform(0, 2 * np.pi)
    start, step = rng.uniform(-0.4, 0.4, 2) * taken.size_m[:2], np.array([np.cos(yaw), np.sin(yaw)]) * 0.65
    for number in range(int(rng.integers(2, 6))):
        x, y = start + number * step
        taken.put(piece, (float(x), float(y), 0.0), yaw + rng.normal(0, 0.1))


def _decorate(taken: _Room) -> None:
    """Hang pictures, boards and shelves, lay rugs, run cables and pipes."""
    palette, rng, group = taken.palette, taken.palette.rng, Assembly(taken.palette.rng)
    for wall in range(4):
        length = float(taken.size_m[wall % 2])
        for _ in range(int(rng.integers(0, 3 + length * rng.choice([0.3, 1.0, 2.5])))):
            _hang(taken, group, wall, length)
    if rng.random() < 0.5:
        width, depth = (float(v) for v in rng.uniform(0.3, 0.8, 2) * taken.size_m[:2])
        x, y = rng.uniform(-0.1, 0.1, 2) * taken.size_m[:2]
        flat = quad((-width / 2, -depth / 2, 0.006), (width, 0, 0), (0, depth, 0))
        group.show(flat.moved((x, y, 0), rng.normal(0, 0.15)), palette.carpet((width, depth)))
    for _ in range(int(rng.integers(0, 3))):
        ends = rng.uniform(-0.45, 0.45, (2, 2)) * taken.size_m[:2]
        t = np.linspace(0, 1, 24)[:, None]
        way = ends[0] * (1 - t) + ends[1] * t + 0.12 * np.sin(t * rng.uniform(4, 14, 2) + rng.uniform(0, 6, 2))
        group.cover(tube(np.column_stack([way, np.full(24, 0.006)]), 0.005, 6), palette.any("plastic"))
    if rng.random() < 0.3:
        x, y = np.sign(rng.normal(size=2)) * (taken.size_m[:2] / 2 - 0.08)
        group.cover(cylinder(0.03, float(taken.size_m[2])).moved((x, y, 0)), palette.any("metal"))
    if rng.random() < 0.25:  # beams below the ceiling, all alike
        beam = palette.any("wood")
        for x in np.arange(-taken.size_m[0] / 2 + 0.4, taken.size_m[0] / 2, rng.uniform(0.6, 1.2)):
            group.cover(box((0.1, taken.size_m[1], 0.14), (x, 0, taken.size_m[2] - 0.07)), beam)
    taken.pieces += group.pieces


def _hang(taken: _Room, group: Assembly, wall: int, length: float) -> None:
    palette, rng = taken.palette, taken.palette.rng
    wide, high = (float(v) for v in rng.uniform(0.15, 0.9, 2))
    if wide > length - 0.2:
        return
    left, bottom = rng.uniform(0.1, length - wide - 0.1), rng.uniform(0.9, max(1.0, taken.size_m[2] - high - 0.1))
    if any(on == wall and left < end + 0.1 and left + wide > start - 0.1 for on, start, end in taken.windows):
        return
    # A picture is in the way of furniture that is as high: such a piece may hide it, as in any room.
    x0, y0, _ = _spot(taken, wall, left, 0.0)
    x1, y1, _ = _spot(taken, wall, left + wide, 0.05)
    frame = np.array([[min(x0, x1), min(y0, y1), bottom], [max(x0, x1), max(y0, y1), bottom + high]])
    if any((frame[0] < other[1]).all() and (frame[1] > other[0]).all() for other in taken.taken):
        return
    taken.taken.append(frame)
    deep, rim = rng.uniform(0.004, 0.04), rng.choice([0.0, 0.01, 0.03, 0.05])
    if rng.random() < 0.2 and wide > 0.4:
        board = box((wide, 0.2, 0.02), (left + wide / 2, -0.1, bottom))
        group.cover(_on_wall(taken, board, wall), palette.any("wood"))
        spot = _spot(taken, wall, left + wide / 2, 0.1)
        for piece in (furniture.vessel, furniture.books, furniture.toy)[int(rng.integers(3))](palette).placed(
            (spot[0], spot[1], bottom + 0.0105), rng.uniform(0, 6.3)
        ):
            group.pieces.append(piece)
        return
    frame_box = box((wide, deep, high), (left + wide / 2, -deep / 2, bottom + high / 2))
    group.cover(_on_wall(taken, frame_box, wall), palette.any("wood"))
    inner = quad((left + rim, -deep - 0.001, bottom + rim), (wide - 2 * rim, 0, 0), (0, 0, high - 2 * rim))
    shown = palette.picture((wide - 2 * rim, high - 2 * rim), "gloss" if rng.random() < 0.3 else "matt")
    group.show(_on_wall(taken, inner, wall), shown)


def _light(taken: _Room) -> None:
    """Hang lamps: globes, panels or spots below the ceiling; at least one where there is no window."""
    palette, rng, group = taken.palette, taken.palette.rng, Assembly(taken.palette.rng)
    width, depth, height = taken.size_m
    dim = rng.uniform(0.15, 1.0) if taken.windows else 1.0
    columns, rows = (max(1, round(side / rng.uniform(1.8, 3.5))) for side in (width, depth))
    kind = rng.integers(3)
    if taken.windows and rng.random() < 0.35:
        columns = 0
    for column in range(columns):
        for row in range(rows):
            x, y = (column + 0.5) / columns * width - width / 2, (row + 0.5) / rows * depth - depth / 2
            if kind == 0:
                drop, radius = rng.uniform(0.2, 0.7), rng.uniform(0.08, 0.2)
                globe = palette.plain(0.9, "matt", 14 * dim)
                group.show(cushion((2 * radius, 2 * radius, 2 * radius), 1.0, 18).moved((x, y, height - drop)), globe)
                cord = [(x, y, height - drop + radius), (x, y, height - drop / 2), (x, y, height)]
                group.cover(tube(cord, 0.006, 6), palette.any("plastic"))
            elif kind == 1:
                side = rng.uniform(0.3, 0.6)
                group.cover(box((side + 0.05, side + 0.05, 0.03), (x, y, height - 0.016)), palette.any("metal"))
                panel = quad((x - side / 2, y - side / 2, height - 0.032), (0, side, 0), (side, 0, 0))
                group.show(panel, palette.plain(0.9, "matt", 8 * dim))
            else:
                shade = lathe([(0.2, height - 0.75), (0.06, height - 0.55), (0.0, height - 0.55)])
                group.cover(shade.moved((x, y, 0)), palette.any("metal"))
                bulb = palette.plain(0.9, "matt", 60 * dim)
                group.show(cushion((0.11,) * 3, 1.0, 14).moved((x, y, height - 0.68)), bulb)
                group.cover(tube([(x, y, height - 0.55), (x, y, height - 0.3), (x, y, height)], 0.005, 6),
                            palette.any("plastic"))  # fmt: skip
    taken.pieces += group.pieces
