"""The places that cameras move through: a room, a corridor, a street and a house."""

from __future__ import annotations

from slamfront.simulation.textures import Painter
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


def _shell(painter: Painter, minimum: tuple[float, float], maximum: tuple[float, float], height: float) -> list[Quad]:
    """Return floor, ceiling and four walls without doors, seen from inside."""
    (x0, y0), (x1, y1) = minimum, maximum
    corners = [(x0, y0), (x0, y1), (x1, y1), (x1, y0)]
    walls = [wall(corners[i], corners[(i + 1) % 4], 0.0, height, painter.wall) for i in range(4)]
    return [*walls, floor(minimum, maximum, 0.0, painter.floor), ceiling(minimum, maximum, height, painter.ceiling)]
