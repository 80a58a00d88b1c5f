"""Places that cameras move through quickly or among trees: a motorway with its traffic, a forest path, one wall."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from slamfront.geometry.pose import Array, Pose
from slamfront.simulation.outdoor_textures import OutdoorPainter
from slamfront.simulation.paths import Path, SplinePath, route
from slamfront.simulation.textures import SKY
from slamfront.simulation.world import Mover, Paint, Quad, World, box, floor, slab, wall

# Motorway, along its middle: a straight, then a bend to the left of a radius that 130 km/h is built for
_STRAIGHT_M, _RADIUS_M = 150.0, 900.0
_PIECE_M, _PIECES = 30.0, range(-2, 21)
# Left and right edge of what runs along it, to the left of the middle
_MIDDLE, _ROADS, _BANKS = (1.5, -1.5), ((13.0, 1.5), (-1.5, -13.0)), ((22.0, 13.0), (-13.0, -22.0))
_LANES = (-3.9, -7.6)
_RAIL_M, _POST_EVERY_M = 0.75, 50.0
_PATH_WIDTH_M = 2.2
_TRUNKS = 110
_CRUISING_S = 2.0


def motorway(painter: OutdoorPainter) -> World:
    """Return a motorway of 690 m: two carriageways between guard rails, posts, gantries, a bridge, trees, and the sky.

    Most of what is near has little texture, and much of the image is sky.
    """
    rng = np.random.default_rng([*_seed(painter), 1])
    quads: list[Quad] = []
    for piece in _PIECES:
        # Pieces overlap where the road bends: every second one lies 2 mm deeper, so that one of the two is seen
        start, end, z = piece * _PIECE_M - 0.4, (piece + 1) * _PIECE_M + 0.4, -0.002 * (piece % 2)
        quads.append(_strip(start, end, _ROADS[0], z, lambda u, v: painter.carriageway(u, v)[::-1].copy()))
        quads.append(_strip(start, end, _ROADS[1], z, painter.carriageway))
        quads += [_strip(start, end, sides, z - 0.01, painter.verge) for sides in (_MIDDLE, *_BANKS)]
        quads += _rails(start, end, painter)
        quads += _trees(start, end, rng, painter)
    for way in np.arange(0.0, 600.0, _POST_EVERY_M):
        for aside in (_ROADS[0][0] + 0.8, _ROADS[1][1] - 0.8):
            quads.append(_facing(way, aside + 0.07, aside - 0.07, 0.0, 1.05, painter.post))
    for way in (110.0, 290.0, 470.0):
        quads += _gantry(way, painter)
    quads += _bridge(380.0, painter)
    quads.append(floor((-500, -700), (1100, 900), -0.4, painter.meadow))
    return World(tuple(quads), SKY, _sky((-450, -650), (1050, 850), 260.0, painter))


def motorway_drive(speed_mps: float = 30.0, aside_m: float = _LANES[1]) -> SplinePath:
    """Return a drive along 450 m of a lane, in which the car sways a little."""
    ways = np.arange(0.0, 451.0, 5.0)
    points = [(*_along(way, aside_m + 0.25 * np.sin(way / 28)), 1.65 + 0.01 * np.sin(way / 7)) for way in ways]
    return route(points, 450.0 / speed_mps, 18.0, closed=False, drop_m=0.5)


def motorway_traffic(
    painter: OutdoorPainter, path: Path, _duration_s: float, count: int, _distance_m: float
) -> tuple[Mover, ...]:
    """Return cars and lorries: of four, one overtakes, one is slowly caught up with, and two come the other way."""
    rng, own = np.random.default_rng([*_seed(painter), 2]), _speed_mps(path)
    movers = []
    for number in range(count):
        near = 18.0 + 22.0 * (number // 4)
        way, aside, speed = (
            (near, _LANES[0], own * rng.uniform(1.03, 1.15)),
            (near + 25.0, _LANES[1] - 0.2, own * rng.uniform(0.9, 0.97)),
            (near + rng.uniform(60, 110), 3.9, -rng.uniform(31, 36)),
            (near + rng.uniform(120, 200), 7.6, -rng.uniform(23, 27)),
        )[number % 4]
        lorry = bool(number % 4 in (1, 3) and rng.random() < 0.6)
        movers.append(Mover(tuple(vehicle(painter, lorry)), _lane_path(way, aside, speed)))
    return tuple(movers)


def street_traffic(
    painter: OutdoorPainter, path: Path, _duration_s: float, count: int, _distance_m: float
) -> tuple[Mover, ...]:
    """Return cars that drive ahead of the camera, about as fast as it does: from the camera they seem to stand."""
    rng, own = np.random.default_rng([*_seed(painter), 3]), _speed_mps(path)
    movers = []
    for number in range(count):
        start, pace = path(0.0).translation_m[0] + 6.5 + 8.0 * number, own * rng.uniform(0.97, 1.1)
        aside = float(rng.uniform(-0.6, 0.6))
        movers.append(Mover(tuple(vehicle(painter, lorry=False)), _straight((start, aside), (pace, 0.0))))
    return tuple(movers)


def walkers(painter: OutdoorPainter, path: Path, duration_s: float, count: int, distance_m: float) -> tuple[Mover, ...]:
    """Return people who cross the view one after the other, at a distance from the camera and at a walk."""
    rng = np.random.default_rng([*_seed(painter), 4])
    movers = []
    for number in range(count):
        time_s = duration_s * (number + 0.6) / (count + 0.2)
        pose, away = path(time_s), distance_m * rng.uniform(0.9, 1.2)
        right, forward = pose.rotation[:2, 0], pose.rotation[:2, 2]
        velocity = right / np.linalg.norm(right) * rng.choice((-1, 1)) * rng.uniform(0.9, 1.4)
        meeting = pose.translation_m[:2] + away * forward / np.linalg.norm(forward)
        movers.append(Mover(tuple(_walker(painter)), _straight(meeting - velocity * time_s, velocity)))
    return tuple(movers)


def vehicle(painter: OutdoorPainter, lorry: bool) -> list[Quad]:
    """Return a car, or a lorry, that stands on the origin and faces along x."""
    if lorry:
        return box((-1.2, 0.0), (9.0, 2.5, 2.9), painter.vehicle, 0.9) + box(
            (4.4, 0.0), (2.0, 2.4, 2.3), painter.vehicle, 0.5
        )
    return box((0.0, 0.0), (4.4, 1.8, 0.75), painter.vehicle, 0.3) + box(
        (-0.3, 0.0), (2.3, 1.55, 0.5), painter.vehicle, 1.05
    )


def forest(painter: OutdoorPainter) -> World:
    """Return a path of 60 m along x between trunks and bushes: all look alike, and hide what is behind."""
    rng = np.random.default_rng([*_seed(painter), 5])
    quads: list[Quad] = []
    for x in np.arange(-12.0, 72.0, 12.0):
        quads += [floor((x, -14), (x + 12, 14), 0.0, painter.litter)]
        for y, left, right in ((14.0, x, x + 12), (-14.0, x + 12, x)):
            quads.append(wall((left, y), (right, y), 0.0, 9.0, painter.foliage))
    quads += [
        wall((72, 14), (72, -14), 0.0, 9.0, painter.foliage),
        wall((-12, -14), (-12, 14), 0.0, 9.0, painter.foliage),
    ]
    for x, y, size in _places_beside_path(rng, _TRUNKS):
        width = 0.16 + 0.34 * size
        quads += box((x, y), (width, width, 9.0), painter.bark, 0.0, rng.uniform(0, 1.5))[:4]
    for x, y, size in _places_beside_path(rng, 30):
        quads += box((x, y), (0.5 + size, 0.6 + size, 0.3 + 0.6 * size), painter.foliage, 0.0, rng.uniform(0, 1.5))
    return World(tuple(quads), SKY, _sky((-160, -170), (230, 170), 110.0, painter))


def forest_walk(speed_mps: float = 1.4) -> SplinePath:
    """Return a walk along the path, which winds, with the bob of steps."""
    xs = np.arange(0.0, 50.0, 0.5)
    points = [(x, _path_y(x), 1.6 + 0.025 * np.sin(2 * np.pi * x / 0.75)) for x in xs]
    return route(points, 52.0 / speed_mps, 4.0, closed=False, drop_m=0.25)


def planar(painter: OutdoorPainter) -> World:
    """Return one wall of 14 m x 7 m in the plane y = 0, seen from y < 0, and nothing else."""
    return World((wall((-7, 0), (7, 0), -2.0, 5.0, painter.wall),), (30, 30, 30))


def attached(painter: OutdoorPainter, path: Path, share: float, rays: Array, distance_m: float) -> Mover:
    """Return a part of what carries the camera: a bonnet or a tray that hides the lowest `share` of every image.

    rays    (2,3) through the image's top left and bottom right corners, z = 1
    """
    (left, top, _), (right, bottom, _) = rays * distance_m
    upper, margin = bottom - share * (bottom - top), 0.6 * (right - left)
    width, height = right - left + 2 * margin, (bottom - upper) * 1.2
    texture = painter.printed(width, height)
    origin = np.array([left - margin, upper, distance_m])
    return Mover((Quad(origin, np.array([width, 0.0, 0.0]), np.array([0.0, height, 0.0]), texture),), path)


def _seed(painter: OutdoorPainter) -> tuple[int, ...]:
    """Return what places are drawn from, so that they do not depend on how finely they are painted."""
    return painter.seed if isinstance(painter.seed, tuple) else (painter.seed,)


def _speed_mps(path: Path) -> float:
    """Return how fast a camera drives once it is on its way."""
    return float(np.linalg.norm(path(_CRUISING_S + 0.5).translation_m - path(_CRUISING_S).translation_m)) / 0.5


def _bend(way_m: float) -> tuple[NDArray[np.float64], float]:
    """Return the middle of the motorway (2,) after a way along it, and its heading, rad."""
    turned = max(way_m - _STRAIGHT_M, 0.0) / _RADIUS_M
    x = min(way_m, _STRAIGHT_M) + _RADIUS_M * np.sin(turned)
    return np.array([x, _RADIUS_M * (1 - np.cos(turned))]), turned


def _along(way_m: float, aside_m: float) -> tuple[float, float]:
    """Return the point so far along the motorway and so far to the left of its middle."""
    middle, heading = _bend(way_m)
    return float(middle[0] - aside_m * np.sin(heading)), float(middle[1] + aside_m * np.cos(heading))


def _strip(start_m: float, end_m: float, sides_m: tuple[float, float], z_m: float, paint: Paint) -> Quad:
    """Return a level piece of what runs along the motorway, between its left and its right edge."""
    middle, (left, right) = (start_m + end_m) / 2, sides_m
    (x, y), heading = _bend(middle)
    ahead = np.array([np.cos(heading), np.sin(heading)])
    across = np.array([-ahead[1], ahead[0]])
    corner = np.array([x, y]) - (end_m - start_m) / 2 * ahead + left * across
    return slab(corner, corner + (end_m - start_m) * ahead, corner - (left - right) * across, z_m, paint)


def _rails(start_m: float, end_m: float, painter: OutdoorPainter) -> list[Quad]:
    """Return the guard rails of a piece: one on the outer side of either carriageway, and two back to back between."""
    quads = []
    for aside, seen_from_right in ((13.3, True), (0.25, False), (-0.25, True), (-13.3, False)):
        start, end = _along(start_m, aside), _along(end_m, aside)
        left, right = (start, end) if seen_from_right else (end, start)
        quads.append(wall(left, right, 0.0, _RAIL_M, painter.rail))
    return quads


def _trees(start_m: float, end_m: float, rng: np.random.Generator, painter: OutdoorPainter) -> list[Quad]:
    """Return what stands behind the banks of a piece: trees of several heights for the most part, and gaps."""
    quads = []
    for side in (1, -1):
        aside, edges = side * rng.uniform(22, 30), np.linspace(start_m, end_m, 5)
        for near, far in itertools.pairwise(edges):
            if rng.random() < 0.75:
                ends = _along(near, aside), _along(far, aside)
                left, right = ends if side > 0 else ends[::-1]
                quads.append(wall(left, right, -0.4, float(rng.uniform(4, 10)), painter.foliage))
    return quads


def _facing(way_m: float, left_m: float, right_m: float, bottom_m: float, top_m: float, paint: Paint) -> Quad:
    """Return an upright rectangle across the motorway that faces whoever comes along."""
    return wall(_along(way_m, left_m), _along(way_m, right_m), bottom_m, top_m, paint)


def _gantry(way_m: float, painter: OutdoorPainter) -> list[Quad]:
    """Return signs over the right carriageway on two posts."""
    quads = []
    for aside in (-0.6, -14.0):
        quads += box(_along(way_m, aside), (0.35, 0.35, 6.4), painter.concrete, 0.0, _bend(way_m)[1])[:4]
    quads.append(_facing(way_m - 0.2, -0.5, -14.1, 6.0, 6.4, painter.concrete))
    for left in (-2.2, -8.0):
        quads.append(_facing(way_m - 0.25, left, left - 4.6, 5.2, 8.0, painter.sign))
    return quads


def _bridge(way_m: float, painter: OutdoorPainter) -> list[Quad]:
    """Return a bridge across, on piers beside the road."""
    heading = _bend(way_m)[1]
    quads = box(_along(way_m, 0.0), (9.0, 60.0, 1.4), painter.concrete, 5.3, heading)
    for aside in (17.0, 0.0, -17.0):
        quads += box(_along(way_m, aside), (0.9, 0.9, 5.3), painter.concrete, 0.0, heading)[:4]
    return quads


def _lane_path(way_m: float, aside_m: float, speed_mps: float) -> Path:
    """Return the path of a vehicle in a lane; one with a speed below nought comes the other way."""

    def path(time_s: float) -> Pose:
        way = way_m + speed_mps * time_s
        return _level_pose(_along(way, aside_m), _bend(way)[1] + (np.pi if speed_mps < 0 else 0.0))

    return path


def _straight(start_xy: tuple[float, float] | Array, velocity_xy: tuple[float, float] | Array) -> Path:
    """Return the path of a body that goes straight on, and faces where it goes."""
    start, velocity = np.asarray(start_xy, np.float64), np.asarray(velocity_xy, np.float64)
    heading = float(np.arctan2(velocity[1], velocity[0]))
    return lambda time_s: _level_pose(start + velocity * time_s, heading)


def _level_pose(xy: tuple[float, float] | Array, heading_rad: float) -> Pose:
    c, s = np.cos(heading_rad), np.sin(heading_rad)
    return Pose(np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]]), np.array([xy[0], xy[1], 0.0]))


def _walker(painter: OutdoorPainter) -> list[Quad]:
    """Return a figure of 1.75 m: legs, a coat and a head."""
    quads = box((0.0, 0.11), (0.17, 0.17, 0.8), painter.furniture) + box(
        (0.0, -0.11), (0.17, 0.17, 0.8), painter.furniture
    )
    return [
        *quads,
        *box((0.0, 0.0), (0.3, 0.5, 0.72), painter.furniture, 0.78),
        *box((0.0, 0.0), (0.22, 0.18, 0.25), painter.furniture, 1.5),
    ]


def _path_y(x: float) -> float:
    return float(1.3 * np.sin(x / 7) + 0.5 * np.sin(x / 2.9))


def _places_beside_path(rng: np.random.Generator, count: int) -> list[tuple[float, float, float]]:
    """Return x and y of places that leave the path free, more of them near it, and a size of 0 to 1 for each."""
    places = []
    for _ in range(count):
        x, away = float(rng.uniform(-6, 66)), _PATH_WIDTH_M / 2 + 0.6 + 10 * float(rng.random()) ** 1.7
        places.append((x, _path_y(x) + away * float(rng.choice((-1, 1))), float(rng.random())))
    return places


def _sky(
    minimum: tuple[float, float], maximum: tuple[float, float], top_m: float, painter: OutdoorPainter
) -> tuple[Quad, ...]:
    (x0, y0), (x1, y1) = minimum, maximum
    corners = [(x0, y0), (x0, y1), (x1, y1), (x1, y0)]
    return tuple(wall(corners[i], corners[(i + 1) % 4], -5.0, top_m, painter.sky) for i in range(4))
