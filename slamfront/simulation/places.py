"""The places that cameras move through: a room, a corridor, a street and a house."""

from __future__ import annotations

import numpy as np

from slamfront.simulation.textures import SKY, Painter
from slamfront.simulation.world import Quad, World, box, ceiling, floor, table, wall


def room(painter: Painter) -> World:
    """Return a furnished room of 6 m x 5 m x 2.7 m about the origin; its middle ring is free to move in."""
    quads = _shell(painter, (-3.0, -2.5), (3.0, 2.5), 2.7)
    quads += box((-2.72, 1.1), (0.5, 1.6, 2.0), painter.shelves)
    quads += box((2.65, -0.2), (0.6, 1.5, 0.85), painter.furniture)
    quads += box((2.7, -0.3), (0.08, 0.9, 0.5), painter.furniture, 0.95)
    quads += table((0.9, 2.1), (1.5, 0.7, 0.74), painter.furniture)
    quads += box((0.7, 2.2), (0.4, 0.25, 0.35), painter.furniture, 0.745, 0.3)
    quads += box((1.25, 2.1), (0.25, 0.2, 0.16), painter.furniture, 0.745, -0.4)
    quads += box((-1.6, -2.05), (1.3, 0.7, 0.45), painter.furniture)
    quads += box((-1.6, -2.33), (1.3, 0.16, 0.45), painter.furniture, 0.45)
    quads += box((0.9, -2.15), (0.7, 0.5, 1.15), painter.furniture, 0.0, 0.12)
    quads += box((2.4, 2.0), (0.5, 0.5, 1.6), painter.furniture, 0.0, 0.5)
    quads += table((0.0, 0.0), (0.9, 0.7, 0.5), painter.furniture, 0.5)
    quads += box((0.05, 0.0), (0.3, 0.22, 0.24), painter.furniture, 0.505, 0.9)
    return World(tuple(quads))


def corridor(painter: Painter) -> World:
    """Return a corridor of 24 m x 2.2 m x 2.6 m along x, with cupboards at its sides."""
    quads: list[Quad] = []
    for x in np.arange(0.0, 24.0, 4.0):
        quads += [
            wall((x, 2.2), (x + 4, 2.2), 0.0, 2.6, painter.wall),
            wall((x + 4, 0), (x, 0), 0.0, 2.6, painter.wall),
        ]
        quads += [floor((x, 0), (x + 4, 2.2), 0.0, painter.floor), ceiling((x, 0), (x + 4, 2.2), 2.6, painter.ceiling)]
    quads += [wall((24, 2.2), (24, 0), 0.0, 2.6, painter.wall), wall((0, 0), (0, 2.2), 0.0, 2.6, painter.wall)]
    for x, y, length, height in (
        (3.0, 0.22, 1.2, 1.0),
        (8.5, 1.98, 0.9, 1.9),
        (13.0, 0.22, 0.7, 0.8),
        (18.0, 1.98, 1.4, 1.1),
    ):
        quads += box((x, y), (length, 0.4, height), painter.shelves)
    quads += box((21.5, 0.35), (0.4, 0.4, 0.5), painter.furniture, 0.0, 0.4)
    return World(tuple(quads))


def street(painter: Painter) -> World:
    """Return a street of 150 m along x: road, pavements, house fronts with gaps between them, parked cars and a sky."""
    quads = [floor((x, -3.5), (x + 30, 3.5), 0.0, painter.road) for x in range(-15, 135, 30)]
    quads.append(floor((-300, -300), (420, 300), -0.1, painter.meadow))
    for side in (-1, 1):
        near, far = min(3.5 * side, 7.5 * side), max(3.5 * side, 7.5 * side)
        quads += [floor((x, near), (x + 30, far), 0.0, painter.paving) for x in range(-15, 135, 30)]
        quads += _house_fronts(painter, side)
        for x in range(2 + 3 * side, 125, 13):
            quads += box((x, side * 2.9), (4.1, 1.7, 0.9), painter.vehicle)
            quads += box((x - 0.2, side * 2.9), (2.2, 1.5, 0.55), painter.vehicle, 0.9)
        for x in range(0, 130, 9):
            quads += box((x, side * 4.0), (0.25, 0.25, 3.6), painter.furniture)
    corners = [(-240, -300), (-240, 300), (360, 300), (360, -300)]
    sky = tuple(wall(corners[i], corners[(i + 1) % 4], -5.0, 130.0, painter.sky) for i in range(4))
    return World(tuple(quads), SKY, sky)


def _house_fronts(painter: Painter, side: int) -> list[Quad]:
    """Return one side's houses: a front and the two walls in the gaps; `side` is the sign of y."""
    quads: list[Quad] = []
    x = -12.0
    for length, height, setback in _FRONTS:
        y, back = side * (7.0 + setback), side * (15.0 + setback)
        front, west, east = ((x, y), (x + length, y)), ((x, back), (x, y)), ((x + length, y), (x + length, back))
        for left, right in (front, west, east) if side > 0 else (front[::-1], west[::-1], east[::-1]):
            quads.append(wall(left, right, 0.0, height, painter.facade))
        x += length + 0.8
    return quads


def house(painter: Painter) -> World:
    """Return three furnished rooms of 4 m x 4 m in a row, joined by doors to each other and to a corridor."""
    return _house([painter.fork(1), painter.fork(2), painter.fork(3)], painter)


def alike_house(painter: Painter) -> World:
    """Return the house with three rooms of the same look: only the doors and the ways between them tell them apart."""
    return _house([painter.fork(1)] * 3, painter)


# Length, height and setback from the pavement of the houses along a street, m.
_FRONTS = (
    (14, 9, 0.0), (11, 7, 0.3), (17, 12, 0.0), (12, 8, 0.5), (15, 10, 0.1),
    (10, 6.5, 0.4), (18, 11, 0.0), (13, 9, 0.2), (16, 7.5, 0.3), (12, 10, 0.0),
)  # fmt: skip
_DOOR_M = (1.0, 2.1)  # width and height
_ROOM_M, _STOREY_M, _CORRIDOR_M, _WALL_M = 4.0, 2.6, 1.8, 0.16


def _house(painters: list[Painter], corridor_painter: Painter) -> World:
    """Return the house; room i spans x from i * (4 m + wall) and y from 0 to 4 m, the corridor lies at y < 0."""
    pitch, size = _ROOM_M + _WALL_M, _ROOM_M
    quads: list[Quad] = []
    for i, painter in enumerate(painters):
        quads += _house_room(painter, i * pitch, west_door=i > 0, east_door=i < len(painters) - 1)
    length = pitch * len(painters) - _WALL_M
    quads += _house_corridor(corridor_painter, length, [i * pitch + size / 2 for i in range(len(painters))])
    for i in range(len(painters)):
        quads += _door_frame(corridor_painter, (i * pitch + size / 2, -_WALL_M), (i * pitch + size / 2, 0.0))
        if i > 0:
            quads += _door_frame(corridor_painter, (i * pitch - _WALL_M, size / 2), (i * pitch, size / 2))
    return World(tuple(quads))


def _house_room(painter: Painter, x0: float, west_door: bool, east_door: bool) -> list[Quad]:
    """Return one room with a door to the corridor; every side has its own painter, so that a door changes no other."""
    size, x1 = _ROOM_M, x0 + _ROOM_M
    quads = [wall((x0, size), (x1, size), 0.0, _STOREY_M, painter.fork(0).wall)]
    quads.append(floor((x0, 0), (x1, size), 0.0, painter.fork(1).floor))
    quads.append(ceiling((x0, 0), (x1, size), _STOREY_M, painter.fork(2).ceiling))
    quads += _wall_with_door((x1, 0.0), (x0, 0.0), x0 + size / 2, painter.fork(3))
    sides = (((x0, 0.0), (x0, size), west_door, painter.fork(4)), ((x1, size), (x1, 0.0), east_door, painter.fork(5)))
    for left, right, door, side_painter in sides:
        if door:
            quads += _wall_with_door(left, right, size / 2, side_painter)
        else:
            quads.append(wall(left, right, 0.0, _STOREY_M, side_painter.wall))
    return quads + _furnish(painter.fork(6), x0)


def _house_corridor(painter: Painter, length: float, doors: list[float]) -> list[Quad]:
    near, far = -_WALL_M, -_WALL_M - _CORRIDOR_M
    quads = [
        wall((0, far), (0, near), 0.0, _STOREY_M, painter.wall),
        wall((length, near), (length, far), 0.0, _STOREY_M, painter.wall),
    ]
    pitch = _ROOM_M + _WALL_M
    for i, door in enumerate(doors):
        x0, x1 = i * pitch, min((i + 1) * pitch, length)
        quads += [
            floor((x0, far), (x1, near), 0.0, painter.floor),
            ceiling((x0, far), (x1, near), _STOREY_M, painter.ceiling),
        ]
        quads.append(wall((x1, far), (x0, far), 0.0, _STOREY_M, painter.wall))
        quads += _wall_with_door((x0, near), (x1, near), door, painter)
    return quads


def _wall_with_door(
    left: tuple[float, float], right: tuple[float, float], centre: float, painter: Painter
) -> list[Quad]:
    """Return the three parts of a wall about a door; `centre` is the door's coordinate along the wall's axis."""
    axis = 0 if left[1] == right[1] else 1
    half = _DOOR_M[0] / 2 if right[axis] > left[axis] else -_DOOR_M[0] / 2
    start, end = list(left), list(left)
    start[axis], end[axis] = centre - half, centre + half
    return [
        wall(left, start, 0.0, _STOREY_M, painter.wall),
        wall(end, right, 0.0, _STOREY_M, painter.wall),
        wall(start, end, _DOOR_M[1], _STOREY_M, painter.furniture),
    ]


def _door_frame(painter: Painter, first: tuple[float, float], second: tuple[float, float]) -> list[Quad]:
    """Return sill, lintel and jambs of a door through a wall, between the door's centres on the wall's two sides."""
    along = (1, 0) if first[0] == second[0] else (0, 1)
    width, height = _DOOR_M
    (x0, y0), (x1, y1) = (
        (p[0] - s * along[0] * width / 2, p[1] - s * along[1] * width / 2) for p, s in ((first, 1), (second, -1))
    )
    quads = [floor((x0, y0), (x1, y1), 0.0, painter.furniture), ceiling((x0, y0), (x1, y1), height, painter.furniture)]
    if along[0]:
        return [
            *quads,
            wall((x0, y0), (x0, y1), 0.0, height, painter.furniture),
            wall((x1, y1), (x1, y0), 0.0, height, painter.furniture),
        ]
    return [
        *quads,
        wall((x1, y0), (x0, y0), 0.0, height, painter.furniture),
        wall((x0, y1), (x1, y1), 0.0, height, painter.furniture),
    ]


def _furnish(painter: Painter, x0: float) -> list[Quad]:
    """Return the furniture of a room of the house whose west wall stands at `x0`; its middle stays free."""
    quads = box((x0 + 0.7, 3.72), (1.2, 0.45, 1.9), painter.shelves)
    quads += box((x0 + 3.4, 3.5), (0.8, 0.6, 0.8), painter.furniture, 0.0, 0.2)
    quads += box((x0 + 2.1, 3.75), (0.9, 0.4, 0.6), painter.furniture)
    quads += box((x0 + 0.4, 0.45), (0.5, 0.6, 1.2), painter.furniture)
    quads += box((x0 + 3.55, 0.5), (0.6, 0.6, 0.5), painter.furniture, 0.0, 0.6)
    return quads


def _shell(painter: Painter, minimum: tuple[float, float], maximum: tuple[float, float], height: float) -> list[Quad]:
    """Return floor, ceiling and four walls without doors, seen from inside."""
    (x0, y0), (x1, y1) = minimum, maximum
    corners = [(x0, y0), (x0, y1), (x1, y1), (x1, y0)]
    walls = [wall(corners[i], corners[(i + 1) % 4], 0.0, height, painter.wall) for i in range(4)]
    return [*walls, floor(minimum, maximum, 0.0, painter.floor), ceiling(minimum, maximum, height, painter.ceiling)]
