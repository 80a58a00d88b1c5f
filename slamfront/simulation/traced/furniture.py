"""Furniture from boxes, cushions, bodies of revolution and tubes, each piece drawn at random."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from slamfront.simulation.traced.bodies import Assembly, Furniture, Top
from slamfront.simulation.traced.meshes import box, cushion, cylinder, lathe, quad, sheet, tube
from slamfront.simulation.traced.surfaces import Palette

Maker = Callable[[Palette], Furniture]
_LAMP_GLOW = 6.0
_SCREEN_GLOW = 1.2


def table(palette: Palette) -> Furniture:
    """Return a table or desk, square or round."""
    rng, group = palette.rng, Assembly(palette.rng)
    width, depth, height = rng.uniform(0.7, 1.9), rng.uniform(0.5, 0.95), rng.uniform(0.45, 0.78)
    wood, thick = palette.any("wood"), rng.uniform(0.02, 0.05)
    legs = palette.any("metal") if rng.random() < 0.4 else wood
    if rng.random() < 0.25:
        depth = width = min(width, 1.2)
        profile = [(0, height - thick), (width / 2, height - thick), (width / 2, height), (0, height)]
        group.cover(lathe(profile), wood)
        group.cover(cylinder(0.05, height - thick), legs)
        group.cover(cylinder(0.25, 0.03), legs)
        half = width / 2 * 0.65
        return group.done((width, depth, height), [Top((-half, -half), (half, half), height)])
    group.cover(box((width, depth, thick), (0, 0, height - thick / 2)), wood)
    radius, splay = rng.uniform(0.015, 0.035), rng.uniform(0, 0.06)
    for x in (-1, 1):
        for y in (-1, 1):
            foot = np.array([x * (width / 2 - 0.05), y * (depth / 2 - 0.05), 0.0])
            head = foot + (-x * splay, -y * splay, height - thick)
            group.cover(tube([foot, (foot + head) / 2, head], radius), legs)
    if rng.random() < 0.5:
        rail = 0.08
        for y in (-1, 1):
            group.cover(box((width - 0.16, 0.02, rail), (0, y * (depth / 2 - 0.06), height - thick - rail / 2)), wood)
    half_x, half_y = width / 2 - 0.08, depth / 2 - 0.08
    return group.done((width, depth, height), [Top((-half_x, -half_y), (half_x, half_y), height)])


def chair(palette: Palette) -> Furniture:
    """Return a chair with slats or a plate for its back."""
    rng, group = palette.rng, Assembly(palette.rng)
    side, seat, back = rng.uniform(0.4, 0.48), rng.uniform(0.42, 0.48), rng.uniform(0.8, 1.0)
    frame = palette.any(("wood", "metal", "plastic")[int(rng.integers(3))])
    cover = palette.any(("wood", "cloth", "plastic")[int(rng.integers(3))])
    group.cover(cushion((side, side, 0.06), 0.3).moved((0, 0, seat)), cover)
    half, lean = side / 2 - 0.03, rng.uniform(0.02, 0.1)
    for x in (-half, half):
        group.cover(tube([(x, -half, 0), (x, -half, seat / 2), (x, -half, seat)], 0.016), frame)
        back_leg = [(x, half + 0.03, 0), (x, half, seat), (x, half + lean, back)]
        group.cover(tube(back_leg, 0.016), frame)
    if rng.random() < 0.5:
        for z in np.linspace(seat + 0.12, back - 0.05, int(rng.integers(2, 6))):
            y = half + lean * (z - seat) / (back - seat)
            group.cover(box((side - 0.06, 0.015, 0.04), (0, y, z)), frame)
    else:
        u, v = np.meshgrid(np.linspace(-half, half, 12), np.linspace(back, seat + 0.1, 8))
        bent = half + lean * (v - seat) / (back - seat) + 0.05 * (1 - (u / half) ** 2)
        group.cover(sheet(np.stack([u, bent, v], axis=-1)), cover)
    return group.done((side, side + 0.1, back), [])


def sofa(palette: Palette) -> Furniture:
    """Return a sofa or an armchair with cushions."""
    rng, group = palette.rng, Assembly(palette.rng)
    seats = int(rng.integers(1, 4))
    width, depth, arm = 0.65 * seats + 0.3, rng.uniform(0.8, 0.95), rng.uniform(0.1, 0.18)
    cloth, loose = palette.any("cloth"), palette.any("cloth")
    seat, back = rng.uniform(0.3, 0.36), rng.uniform(0.7, 0.9)
    group.cover(cushion((width - 0.04, depth - 0.05, seat), 0.12).moved((0, 0, 0.08 + seat / 2)), cloth)
    group.cover(cushion((width, 0.2, back - 0.1), 0.25).moved((0, depth / 2 - 0.1, 0.1 + back / 2)), cloth)
    for side in (-1, 1):
        arms = cushion((arm, depth, rng.uniform(0.45, 0.55)), 0.25)
        group.cover(arms.moved((side * (width / 2 - arm / 2), 0, 0.35)), cloth)
    each = (width - 2 * arm) / seats
    for number in range(seats):
        x = -width / 2 + arm + each * (number + 0.5)
        group.cover(cushion((each - 0.01, depth - 0.28, 0.16), 0.4).moved((x, -0.08, seat + 0.14)), cloth)
        if rng.random() < 0.6:
            tilt = np.array([[1, 0, 0], [0, 0.35, -0.94], [0, 0.94, 0.35]])
            pillow = cushion((0.42, 0.4, 0.14), 0.6).turned(tilt)
            group.cover(pillow.moved((x, depth / 2 - 0.3, seat + 0.4), rng.normal(0, 0.2)), loose)
    return group.done((width, depth, back + 0.1), [])


def bed(palette: Palette) -> Furniture:
    """Return a bed with its head at +y, pillows and a blanket."""
    rng, group = palette.rng, Assembly(palette.rng)
    width, length = float(rng.choice([0.95, 1.4, 1.7])), 2.05
    wood, cloth, linen = palette.any("wood"), palette.any("cloth"), palette.any("cloth")
    group.cover(box((width, length, 0.22), (0, 0, 0.2)), wood)
    head = rng.uniform(0.7, 1.1)
    group.cover(box((width + 0.05, 0.05, head), (0, length / 2, head / 2)), wood)
    group.cover(cushion((width - 0.02, length - 0.05, 0.24), 0.15).moved((0, 0, 0.42)), linen)
    for x in (0.0,) if width < 1 else (width / 4, -width / 4):
        group.cover(cushion((0.55, 0.38, 0.16), 0.55).moved((x, length / 2 - 0.3, 0.6), rng.normal(0, 0.1)), linen)
    u, v = np.meshgrid(np.linspace(-width / 2 - 0.06, width / 2 + 0.06, 50), np.linspace(-length / 2, length / 4, 50))
    over = np.maximum(np.abs(u) - width / 2, 0) / 0.06
    folds = _waves(palette.rng, u, v, 0.015)
    group.cover(sheet(np.stack([u, v, 0.57 + folds - 0.25 * over], axis=-1), turned_over=True), cloth)
    return group.done((width + 0.12, length, 0.9), [])


def bookcase(palette: Palette) -> Furniture:
    """Return shelves with books, boxes and vessels."""
    rng, group = palette.rng, Assembly(palette.rng)
    width, depth, height = rng.uniform(0.6, 1.6), rng.uniform(0.24, 0.36), rng.uniform(0.9, 2.2)
    wood, shelves = palette.any("wood"), round(height / rng.uniform(0.3, 0.42))
    for x in (-1, 1):
        group.cover(box((0.02, depth, height), (x * (width / 2 - 0.01), 0, height / 2)), wood)
    if rng.random() < 0.7:
        group.cover(box((width, 0.01, height), (0, depth / 2, height / 2)), wood)
    levels = np.linspace(0.06, height - 0.01, shelves + 1)
    for z, above in zip(levels, [*levels[1:], levels[-1] + 0.3]):
        group.cover(box((width, depth, 0.02), (0, 0, z)), wood)
        if z < levels[-1]:
            _fill_shelf(group, palette, width - 0.06, depth, z + 0.01, above - z - 0.04)
    return group.done((width, depth, height), [Top((-width / 2, -depth / 3), (width / 2, depth / 3), height)])


def _fill_shelf(group: Assembly, palette: Palette, width: float, depth: float, z: float, room: float) -> None:
    rng = palette.rng
    x = -width / 2
    while x < width / 2 - 0.05:
        kind, span = rng.random(), min(rng.uniform(0.12, 0.5), width / 2 - x)
        if kind < 0.45:
            high, deep = room * rng.uniform(0.6, 0.95), depth * rng.uniform(0.6, 0.85)
            front = -depth / 2 + rng.uniform(0.01, 0.05)
            group.cover(
                box((span, deep, high), (x + span / 2, front + deep / 2 + 0.001, z + high / 2)), palette.any("plastic")
            )
            group.show(quad((x, front, z), (span, 0, 0), (0, 0, high)), palette.books())
        elif kind < 0.6:
            size = np.array([min(span, 0.25), depth * 0.6, room * rng.uniform(0.3, 0.8)])
            group.cover(box(size, (x + size[0] / 2, 0, z + size[2] / 2)), palette.any("cloth"))
        elif kind < 0.8 and room > 0.15:
            for piece in vessel(palette, min(room, 0.3)).placed((x + span / 2, 0, z), 0.0):
                group.pieces.append(piece)
        x += span + rng.choice([0.0, 0.02, 0.1])


def cabinet(palette: Palette) -> Furniture:
    """Return a cabinet with doors or drawers and handles."""
    rng, group = palette.rng, Assembly(palette.rng)
    width, depth, height = rng.uniform(0.45, 1.6), rng.uniform(0.35, 0.6), rng.choice([0.5, 0.75, 0.9, 1.3, 2.0])
    wood, front, metal = palette.any("wood"), palette.any("wood"), palette.any("metal")
    group.cover(box((width, depth, height - 0.06), (0, 0, height / 2 + 0.03)), wood)
    columns, rows = max(1, round(width / rng.uniform(0.35, 0.6))), max(1, round(height / rng.uniform(0.2, 0.8)))
    wide, high, gap = width / columns, (height - 0.1) / rows, 0.006
    knob = rng.random() < 0.5
    for column in range(columns):
        for row in range(rows):
            x, z = -width / 2 + wide * (column + 0.5), 0.08 + high * (row + 0.5)
            group.cover(box((wide - 2 * gap, 0.018, high - 2 * gap), (x, -depth / 2 - 0.009, z)), front)
            if knob:
                group.cover(cushion((0.03,) * 3, 1.0, 10).moved((x, -depth / 2 - 0.035, z + high / 4)), metal)
            else:
                way = [(x - 0.06, -depth / 2 - 0.01, z), (x - 0.06, -depth / 2 - 0.045, z),
                       (x + 0.06, -depth / 2 - 0.045, z), (x + 0.06, -depth / 2 - 0.01, z)]  # fmt: skip
                group.cover(tube(way, 0.006, 8), metal)
    half_x, half_y = width / 2 - 0.06, depth / 2 - 0.06
    return group.done((width, depth + 0.05, height), [Top((-half_x, -half_y), (half_x, half_y), height)])


def floor_lamp(palette: Palette) -> Furniture:
    """Return a lamp on a stand with a shade that shines."""
    rng, group = palette.rng, Assembly(palette.rng)
    height, radius = rng.uniform(1.3, 1.8), rng.uniform(0.14, 0.24)
    metal = palette.any("metal")
    group.cover(cylinder(0.15, 0.025), metal)
    group.cover(cylinder(0.012, height), metal)
    _shade(group, palette, height, radius)
    return group.done((2 * radius, 2 * radius, height + 0.1), [])


def _shade(group: Assembly, palette: Palette, z: float, radius: float) -> None:
    high, top = radius * palette.rng.uniform(0.8, 1.6), radius * palette.rng.uniform(0.5, 1.0)
    profile = [(radius, z - high / 2), (top, z + high / 2)]
    glow = _LAMP_GLOW * palette.rng.uniform(0.4, 1.5)
    group.show(lathe(profile), palette.plain(0.85, "matt", glow))


def plant(palette: Palette) -> Furniture:
    """Return a plant in a pot: stems and bent leaves."""
    rng, group = palette.rng, Assembly(palette.rng)
    pot, high = rng.uniform(0.08, 0.2), rng.uniform(0.4, 1.4)
    outside, inside = [(0, 0), (pot * 0.7, 0), (pot, pot * 1.6)], [(pot * 0.85, pot * 1.3), (0, pot * 1.3)]
    clay = palette.any(("stone", "plastic")[int(rng.integers(2))])
    group.cover(lathe([*outside, (pot * 0.9, pot * 1.6), *inside]), clay)
    green = [palette.plain(rng.uniform(0.2, 0.55), finish) for finish in ("matt", "satin")]
    long, wide = rng.uniform(0.12, 0.35) * (0.6 + 0.4 * high), rng.uniform(0.02, 0.08)
    for _ in range(int(rng.integers(12, 40))):
        turn, base = rng.uniform(0, 2 * np.pi), pot * 1.3 + (high - pot) * rng.uniform(0.05, 0.9)
        lean = rng.uniform(0.05, 0.5) * pot
        stem = np.array([[0, 0, pot * 1.2], [lean / 2, 0, base / 2 + pot * 0.6], [lean, 0, max(base, pot * 1.4)]])
        along, across = np.linspace(0, 1, 9)[:, None], np.linspace(-1, 1, 5)[None]
        half = wide * np.sin(np.pi * along**0.7) + 0.002
        droop = rng.uniform(0.2, 0.9)
        leaf = np.stack(np.broadcast_arrays(
            stem[2, 0] + long * along * (1 - 0.3 * droop * along), across * half,
            stem[2, 2] + long * (0.5 * along - droop * along**2) + 0.3 * half * across**2), axis=-1)  # fmt: skip
        group.cover(tube(stem, 0.004, 6).moved((0, 0, 0), turn), green[0])
        group.cover(sheet(leaf, turned_over=True).moved((0, 0, 0), turn), green[int(rng.integers(2))])
    return group.done((2 * pot + long, 2 * pot + long, high), [])


def vessel(palette: Palette, most_high_m: float = 0.35) -> Furniture:
    """Return a vase, bowl, bottle, cup or pot."""
    rng, group = palette.rng, Assembly(palette.rng)
    high = most_high_m * rng.uniform(0.3, 0.95)
    radius = high * rng.uniform(0.25, 0.7) if rng.random() < 0.8 else high * 1.2
    z = np.linspace(0, 1, 16)
    bulge = 0.55 + 0.35 * np.sin(np.pi * z * rng.uniform(0.5, 1.3) + rng.uniform(0, 1)) - rng.uniform(0, 0.3) * z**3
    profile = np.column_stack([np.maximum(bulge, 0.12) * radius, z * high])
    inside = np.column_stack([profile[::-1, 0] * 0.93, np.maximum(profile[::-1, 1], 0.01)])
    rings = np.concatenate([[[0, 0]], profile, inside, [[0, 0.01]]])
    kind = ("plastic", "plastic", "stone", "metal")[int(rng.integers(4))]
    group.cover(lathe(rings, 32), palette.any(kind) if rng.random() < 0.7 else palette.print())
    wide = 2 * float(profile[:, 0].max())
    return group.done((wide, wide, high), [])


def monitor(palette: Palette) -> Furniture:
    """Return a screen on a foot, on or off."""
    rng, group = palette.rng, Assembly(palette.rng)
    width = rng.uniform(0.35, 0.75)
    high, foot, dark = width * 0.58, rng.uniform(0.05, 0.14), palette.plain(rng.uniform(0.06, 0.35), "satin")
    group.cover(box((width, 0.03, high), (0, 0, foot + high / 2)), dark)
    screen = (width - 0.03, high - 0.03)
    on = rng.random() < 0.6
    shown = (
        palette.picture(screen, "gloss", _SCREEN_GLOW * rng.uniform(0.3, 1.0)) if on else palette.plain(0.07, "gloss")
    )
    group.show(quad((-screen[0] / 2, -0.016, foot + 0.015), (screen[0], 0, 0), (0, 0, screen[1])), shown)
    group.cover(box((0.05, 0.03, foot), (0, 0.01, foot / 2)), dark)
    group.cover(box((width * 0.4, 0.16, 0.01), (0, 0, 0.005)), dark)
    return group.done((width, 0.18, foot + high), [])


def carton(palette: Palette) -> Furniture:
    """Return a closed box, printed on its front or plain."""
    rng, group = palette.rng, Assembly(palette.rng)
    size = rng.uniform((0.06, 0.05, 0.04), (0.5, 0.4, 0.4)) * rng.uniform(0.4, 1.0)
    surface = palette.any(("wood", "cloth", "plastic", "stone")[int(rng.integers(4))])
    group.cover(box(size, (0, 0, size[2] / 2)), surface)
    if rng.random() < 0.6:
        inset = size * 0.92
        corner = (-inset[0] / 2, -size[1] / 2 - 0.001, size[2] * 0.04)
        group.show(quad(corner, (inset[0], 0, 0), (0, 0, inset[2])), palette.print())
    return group.done((size[0], size[1], size[2]), [])


def books(palette: Palette) -> Furniture:
    """Return a pile of books or magazines."""
    rng, group = palette.rng, Assembly(palette.rng)
    z, size = 0.0, np.array([rng.uniform(0.15, 0.24), rng.uniform(0.2, 0.3)])
    for _ in range(int(rng.integers(1, 6))):
        thick, turn = rng.uniform(0.008, 0.045), rng.normal(0, 0.25)
        body = box((*size, thick), (0, 0, thick / 2)).moved((0, 0, z), turn)
        group.cover(body, palette.any(("plastic", "cloth")[int(rng.integers(2))]))
        z += thick
    cover = quad((-size[0] / 2, -size[1] / 2, 0), (size[0], 0, 0), (0, size[1], 0)).moved((0, 0, z + 0.0006), turn)
    group.show(cover, palette.picture((size[0], size[1]), "satin"))
    return group.done((0.28, 0.34, z), [])


def toy(palette: Palette) -> Furniture:
    """Return a ball, a cone, a ring or a cube."""
    rng, group = palette.rng, Assembly(palette.rng)
    size = rng.uniform(0.05, 0.22)
    surface = palette.any(("plastic", "metal", "cloth")[int(rng.integers(3))])
    kind = rng.integers(4)
    if kind == 0:
        group.cover(cushion((size,) * 3, 1.0).moved((0, 0, size / 2)), surface)
    elif kind == 1:
        group.cover(cylinder(size / 2, size * 1.4, 0.02), surface)
    elif kind == 2:
        angles = np.linspace(0, 2 * np.pi, 40)
        ring = np.column_stack([size * np.cos(angles), size * np.sin(angles), np.full(40, size / 4)])
        group.cover(tube(ring, size / 4), surface)
    else:
        group.cover(cushion((size,) * 3, rng.uniform(0.05, 0.4)).moved((0, 0, size / 2)), surface)
    wide = 2.5 * size if kind == 2 else size
    return group.done((wide, wide, size), [])


def keyboard(palette: Palette) -> Furniture:
    """Return a keyboard: many keys alike."""
    rng, group = palette.rng, Assembly(palette.rng)
    dark, key = palette.plain(rng.uniform(0.08, 0.8), "satin"), palette.plain(rng.uniform(0.1, 0.85), "satin")
    group.cover(box((0.44, 0.15, 0.015), (0, 0, 0.0075)), dark)
    for column in range(15):
        for row in range(5):
            group.cover(box((0.024, 0.024, 0.008), (-0.2 + column * 0.0286, -0.056 + row * 0.028, 0.018)), key)
    return group.done((0.44, 0.15, 0.022), [])


def desk_lamp(palette: Palette) -> Furniture:
    """Return a lamp for tables."""
    rng, group = palette.rng, Assembly(palette.rng)
    height, radius = rng.uniform(0.25, 0.5), rng.uniform(0.08, 0.15)
    group.cover(cylinder(radius * 0.8, 0.02), palette.any("metal"))
    group.cover(cylinder(0.008, height), palette.any("metal"))
    _shade(group, palette, height, radius)
    return group.done((2 * radius, 2 * radius, height + radius), [])


def ladder(palette: Palette) -> Furniture:
    """Return a leaning ladder or rack of thin bars."""
    rng, group = palette.rng, Assembly(palette.rng)
    height, width, lean = rng.uniform(1.2, 2.2), rng.uniform(0.35, 0.7), rng.uniform(0.05, 0.4)
    surface = palette.any(("wood", "metal")[int(rng.integers(2))])
    for x in (-width / 2, width / 2):
        group.cover(tube([(x, 0, 0), (x, lean / 2, height / 2), (x, lean, height)], 0.016), surface)
    for share in np.linspace(0.1, 0.95, int(rng.integers(4, 9))):
        ends = [(x, lean * share, height * share) for x in (-width / 2, 0, width / 2)]
        group.cover(tube(ends, 0.01, 8), surface)
    return group.done((width, lean + 0.05, height), [])


def _waves(rng: np.random.Generator, u: np.ndarray, v: np.ndarray, height: float) -> np.ndarray:
    total = np.zeros_like(u)
    for _ in range(5):
        ku, kv = rng.normal(0, 12, 2)
        total += np.sin(ku * u + kv * v + rng.uniform(0, 6.3)) * height / 2
    return np.asarray(total)


AGAINST_WALLS: tuple[Maker, ...] = (bookcase, cabinet, bookcase, sofa, bed, table, cabinet, ladder, plant, floor_lamp)
IN_THE_MIDDLE: tuple[Maker, ...] = (table, chair, chair, sofa, plant, floor_lamp, carton, cabinet, table)
ON_TOP: tuple[Maker, ...] = (vessel, vessel, monitor, carton, books, books, toy, keyboard, desk_lamp, plant)
ON_THE_FLOOR: tuple[Maker, ...] = (carton, toy, books, vessel, carton)
