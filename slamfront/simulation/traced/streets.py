"""Streets between rows of houses, with cars, trees, posts and fences, each drawn from one seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from slamfront.simulation import patterns
from slamfront.simulation.textures import Painter
from slamfront.simulation.traced.bodies import Assembly, Furniture
from slamfront.simulation.traced.meshes import Mesh, box, cushion, cylinder, lathe, quad, sheet, tube
from slamfront.simulation.traced.surfaces import Palette, Surface
from slamfront.simulation.traced.worlds import TracedWorld
from slamfront.types import FloatArray, Image

_FACADE_TEXELS_PER_M = 60.0
_DIFFERENT_FACADES = 3
_SKY_M = 400.0


def street(seed: int | tuple[int, ...], photos: tuple[Path, ...] = ()) -> TracedWorld:
    """Return a street along x; the same seed and photographs give the same street."""
    rng = np.random.default_rng(seed)
    palette, painter = Palette(rng, photos), Painter(int(rng.integers(2**31)), _FACADE_TEXELS_PER_M, photos=photos)
    length, wide, pavement = rng.uniform(24, 44), rng.uniform(5, 10), rng.uniform(1.5, 4.0)
    group, obstacles = Assembly(rng), []
    _ground(group, palette, painter, length, wide, pavement)
    front = wide / 2 + pavement
    for side in (-1, 1):
        obstacles += _houses(group, painter, palette, length, front, side)
        for make, step in ((_tree, 9.0), (_post, 7.0), (_bin, 6.0)):
            x = -length / 2 + rng.uniform(0, step)
            one = make(palette)
            while x < length / 2 and rng.random() < 0.9:
                place = np.array([x, side * (wide / 2 + rng.uniform(0.3, 0.6)), 0.0])
                group.pieces += one.placed(place, rng.uniform(0, 6.3))
                if make is not _tree or rng.random() < 0.7:
                    one = make(palette) if make is _tree else one
                x += step * (1.0 if make is _post else rng.uniform(0.7, 2.0))
        if rng.random() < 0.5:
            _fence(group, palette, rng.uniform(-length / 2, 0), rng.uniform(4, 12), side * (front - 0.3))
        x = -length / 2
        while x < length / 2:
            if rng.random() < 0.5:
                place = np.array([x, side * (wide / 2 - 1.1), 0.0])
                group.pieces += _car(palette).placed(place, 0.0 if rng.random() < 0.5 else np.pi)
                obstacles.append(np.array([place - (2.4, 1.0, 0), place + (2.4, 1.0, 2.0)]))
            x += rng.uniform(5.0, 9.0)
    _sky(group, palette)
    low, high = np.array([-length / 3, -front + 0.5, 0.7]), np.array([length / 3, front - 0.5, 3.2])
    return TracedWorld(tuple(group.pieces), low, high, np.array(obstacles).reshape(-1, 2, 3))


def _ground(group: Assembly, palette: Palette, painter: Painter, length: float, wide: float, pavement: float) -> None:
    road = _grey(painter.road(length, wide), (length, wide))
    group.show(quad((-length / 2, -wide / 2, 0), (length, 0, 0), (0, wide, 0)), road)
    slabs = _grey(painter.paving(length, pavement), (length, pavement))
    for side in (-1, 1):
        y = side * (wide + pavement) / 2
        group.show(box((length, pavement, 0.12), (0, y, 0.06)), slabs)
    far = palette.painted("ground", (4.0, 4.0))
    group.show(quad((-200, -200, -0.02), (400, 0, 0), (0, 400, 0)), far)


def _houses(
    group: Assembly, painter: Painter, palette: Palette, length: float, front: float, side: int
) -> list[FloatArray]:
    """Build a row of houses, some of which are alike; return what they fill."""
    rng, filled = palette.rng, list[FloatArray]()
    known: list[tuple[float, float, Surface]] = []
    x = -length / 2
    while x < length / 2:
        wide, high, back = rng.uniform(5, 12), rng.uniform(5, 13), rng.uniform(0, 1.5)
        if len(known) < _DIFFERENT_FACADES:
            known.append((wide, high, _grey(painter.facade(wide, high), (wide, high))))
        wide, high, facade = known[int(rng.integers(len(known)))]
        middle = np.array([x + wide / 2, side * (front + back + 3), high / 2])
        group.cover(box((wide, 5.98, high), middle), palette.any("stone"))
        start = (x, side * (front + back), 0) if side > 0 else (x + wide, side * (front + back), 0)
        group.show(quad(start, (wide * side, 0, 0), (0, 0, high)), facade)
        for level in np.arange(3.0, high - 1, 3.0):  # ledges stand out
            ledge = box((wide, 0.25, 0.12), (x + wide / 2, side * (front + back - 0.12), level))
            group.cover(ledge, palette.any("stone"))
        if rng.random() < 0.5:
            roof = [(x, 0.0, high), (x + wide, 0.0, high)]
            near, ridge = side * (front + back - 0.4), side * (front + back + 3)
            points = [[(px, near, pz) for px, _, pz in roof], [(px, ridge, pz + 2.5) for px, _, pz in roof]]
            group.cover(sheet(points, turned_over=side > 0), palette.any("stone"))
        if rng.random() < 0.4:
            _balcony(group, palette, x + wide / 2, side, front + back)
        filled.append(np.stack([middle - (wide / 2, 3, high / 2), middle + (wide / 2, 3, high / 2)]))
        x += wide + rng.choice([0.0, 0.0, 1.5])
    return filled


def _balcony(group: Assembly, palette: Palette, x: float, side: int, front: float) -> None:
    metal = palette.any("metal")
    group.cover(box((2.4, 1.0, 0.12), (x, side * (front - 0.5), 3.1)), palette.any("stone"))
    for bar in np.linspace(-1.15, 1.15, 16):
        group.cover(tube([(x + bar, side * (front - 0.97), z) for z in (3.1, 3.6, 4.1)], 0.015, 6), metal)
    group.cover(box((2.4, 0.05, 0.05), (x, side * (front - 0.97), 4.12)), metal)


def _car(palette: Palette) -> Furniture:
    rng, group = palette.rng, Assembly(palette.rng)
    long, high = rng.uniform(3.8, 4.6), rng.uniform(1.4, 1.9)
    paint, glass = palette.plain(rng.uniform(0.1, 0.85), "gloss"), palette.plain(0.08, "gloss")
    group.show(cushion((long, 1.75, 0.75), 0.3).moved((0, 0, 0.62)), paint)
    group.show(cushion((long * rng.uniform(0.5, 0.75), 1.5, high - 0.6), 0.35).moved((-0.2, 0, 0.5 + high / 2)), glass)
    group.show(cushion((long * 0.42, 1.4, 0.08), 0.3).moved((-0.2, 0, high + 0.18)), paint)
    turn = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    for x in (-0.31 * long, 0.31 * long):
        for y in (-0.72, 0.92):
            group.show(cylinder(0.32, 0.2).turned(turn).moved((x, y, 0.32)), palette.any("plastic"))
    plate = quad((-0.26, 0, 0), (0.52, 0, 0), (0, 0, 0.11))
    group.show(plate.moved((-long / 2 - 0.01, 0, 0.5), -np.pi / 2), palette.print())
    return group.done((long, 1.8, high), [])


def _tree(palette: Palette) -> Furniture:
    rng, group = palette.rng, Assembly(palette.rng)
    high, trunk = rng.uniform(3.0, 6.5), rng.uniform(0.08, 0.2)
    bark, leaf = palette.any("wood"), palette.plain(rng.uniform(0.2, 0.5))
    group.cover(lathe([(trunk, 0), (trunk * 0.7, high / 2), (trunk * 0.3, high)], 14), bark)
    for _ in range(int(rng.integers(5, 12))):
        turn, up = rng.uniform(0, 6.3), rng.uniform(0.45, 0.95) * high
        tip = np.array([np.cos(turn), np.sin(turn), 0.9]) * rng.uniform(0.5, 1.4) + (0, 0, up)
        base = np.array([0.0, 0.0, up])
        group.cover(tube(np.stack([base, (tip + base) / 2, tip]), 0.02, 6), bark)
        spots = tip + rng.normal(0, 0.35, (40, 3))
        for spot in spots:
            u, v = rng.normal(0, 0.09, (2, 3))
            group.cover(quad(spot, u, v), leaf)
    return group.done((3.0, 3.0, high), [])


def _post(palette: Palette) -> Furniture:
    rng, group = palette.rng, Assembly(palette.rng)
    high, metal = rng.uniform(2.2, 5.0), palette.any("metal")
    group.cover(cylinder(0.05, high), metal)
    if rng.random() < 0.5:
        group.show(quad((-0.35, -0.06, high - 0.7), (0.7, 0, 0), (0, 0, 0.7)), palette.picture((0.7, 0.7), "satin"))
    else:
        group.cover(cushion((0.4, 0.4, 0.3), 0.8).moved((0, 0, high)), palette.plain(0.85))
    return group.done((0.7, 0.2, high), [])


def _bin(palette: Palette) -> Furniture:
    rng, group = palette.rng, Assembly(palette.rng)
    group.cover(cylinder(rng.uniform(0.2, 0.3), rng.uniform(0.7, 1.1), rng.uniform(0.2, 0.35)), palette.any("plastic"))
    return group.done((0.6, 0.6, 1.1), [])


def _fence(group: Assembly, palette: Palette, x: float, length: float, y: float) -> None:
    metal, high = palette.any("metal"), palette.rng.uniform(0.7, 1.3)
    for step in np.arange(0, length, 0.14):
        group.cover(box((0.025, 0.025, high), (x + step, y, 0.12 + high / 2)), metal)
    for z in (0.25, high):
        group.cover(box((length, 0.03, 0.04), (x + length / 2, y, 0.12 + z)), metal)


def _sky(group: Assembly, palette: Palette) -> None:
    """Put a dome of clouds over everything, and the sun, or none on a grey day, far enough for parallel shadows."""
    rng = palette.rng
    down = np.linspace(0, np.pi / 2, 20)
    dome = lathe(np.column_stack([_SKY_M * np.sin(down), _SKY_M * np.cos(down) - 5.0]), 60)  # seen from inside
    x, y, z = dome.vertices_m.T
    # Half the way round is one width of the picture, mirrored in the other half.
    dome = Mesh(dome.vertices_m, dome.normals, np.column_stack([np.arctan2(y, x) * _SKY_M, z]), dome.faces)
    clouds = 0.75 + rng.uniform(0.0, 0.15) * patterns.noise(rng, 1024, 1024, (rng.uniform(40, 300),) * 2, 6)
    picture = np.asarray(np.clip(255 * clouds, 90, 230), np.uint8)
    group.show(dome, Surface(picture, (np.pi * _SKY_M, np.pi * _SKY_M), "matt", rng.uniform(0.4, 1.0)))
    if rng.random() < 0.7:
        turn, up = rng.uniform(0, 2 * np.pi), rng.uniform(0.35, 1.2)
        place = 0.7 * _SKY_M * np.array([np.cos(up) * np.cos(turn), np.cos(up) * np.sin(turn), np.sin(up)])
        group.show(cushion((6, 6, 6), 1.0, 16).moved(place), palette.plain(0.9, "matt", rng.uniform(2e3, 1e4)))


def _grey(picture: Image, size_m: tuple[float, float]) -> Surface:
    return Surface(np.asarray(picture.mean(axis=-1).clip(15, 230), np.uint8), size_m)
