"""Views of path-traced worlds that make pairs as real indoor sets have them: wide baselines, turns, other scales."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from slamfront.errors import TrainingError
from slamfront.geometry.camera import Camera
from slamfront.geometry.pose import Pose, rotation_exp
from slamfront.simulation.paths import look_at
from slamfront.simulation.traced.tracer import Lens
from slamfront.training.data.rendered import RenderedPair
from slamfront.training.data.rendered_file import RenderedView
from slamfront.types import Float32Array, Image

if TYPE_CHECKING:
    from slamfront.simulation.traced.tracer import Tracer
    from slamfront.simulation.traced.worlds import TracedWorld

_TRIES = 400
# Surfaces seen at an angle may shrink by this much more than the scale before they no longer count as shared.
_STRETCH = 1.5
# Pairs are drawn evenly from these ranges of what the views share.
_OVERLAPS = (0.08, 0.2, 0.4, 0.6, 0.85)
_NEAREST_PER_M = 4.0
_SQUARE_PX = 16
# Range of square roots of reflectance, which are about as bright as they look, that counts as an edge
_EDGE = 0.12
_GAMMA = 2.2


@dataclass(frozen=True)
class ViewConfig:
    """Which views of a world are drawn."""

    width: int = 320
    """Image width, px."""
    height: int = 240
    """Image height, px."""
    views: int = 14
    """Most views of a world."""
    pairs: int = 32
    """Most pairs of them."""
    samples: int = 10
    """Paths of light through each pixel."""
    angle_deg: float = 75.0
    """Largest angle between the two rays to the point that both views look at."""
    scale: float = 3.0
    """Largest factor between the sizes of that point's surroundings in the two images."""
    roll_deg: float = 30.0
    """The cameras are turned by up to this much about their axes."""
    fov_deg: tuple[float, float] = (45.0, 85.0)
    """Horizontal field of view of each camera."""
    blurred: float = 0.3
    """Share of views through a lens that is sharp at one distance only."""
    marked: float = 0.3
    """Share of a view's squares of 16 px that must show an edge of a body or of a pattern: bare walls teach little."""
    unrelated: float = 0.04
    """Share of pairs that have nothing in common."""


class _Seen(NamedTuple):
    camera: Camera
    world_from_camera: Pose
    inverse_depth: Float32Array


def draw_views(
    world: TracedWorld, tracer: Tracer, rng: np.random.Generator, config: ViewConfig
) -> tuple[list[RenderedView], list[tuple[int, int]]]:
    """Return views of a world, and which rows of them are pairs; the same for the same `rng`.

    Depth comes first, since it decides which views share enough; only those are lit. Raises TrainingError for a world
    without such pairs.
    """
    seen = _places(world, tracer, rng, config)
    pairs = _pairs(seen, rng, config)
    if not pairs:
        raise TrainingError("a world gave no pair of views that share enough")
    used = sorted({row for pair in pairs for row in pair})
    views = [_lit(tracer, seen[row], rng, config) for row in used]
    return views, [(used.index(first), used.index(second)) for first, second in pairs]


def _places(world: TracedWorld, tracer: Tracer, rng: np.random.Generator, config: ViewConfig) -> list[_Seen]:
    """Return views from free places: some anywhere, most of them at what another view sees, from elsewhere."""
    seen: list[_Seen] = []
    for _ in range(_TRIES):
        if len(seen) == config.views:
            break
        anew = not seen or rng.random() < 0.15
        chosen = (
            _anywhere(world, rng, config) if anew else _other(world, seen[int(rng.integers(len(seen)))], rng, config)
        )
        if chosen is None:
            continue
        inverse_depth = tracer.inverse_depth(chosen[1], chosen[0])
        # Not from within a hand of a surface
        near = np.quantile(inverse_depth, 0.9) > _NEAREST_PER_M
        if not near and marked(tracer.reflectance(chosen[1], chosen[0])) >= config.marked:
            seen.append(_Seen(*chosen, inverse_depth))
    return seen


def marked(reflectance: Float32Array) -> float:
    """Return the share of the squares of 16 px of an image (H,W) of reflectances in which these differ."""
    height, width = (side // _SQUARE_PX for side in reflectance.shape)
    squares = reflectance[: height * _SQUARE_PX, : width * _SQUARE_PX].reshape(height, _SQUARE_PX, width, _SQUARE_PX)
    return float((np.ptp(np.sqrt(squares), axis=(1, 3)) > _EDGE).mean())


def _camera(rng: np.random.Generator, config: ViewConfig) -> Camera:
    focal = config.width / 2 / np.tan(np.radians(rng.uniform(*config.fov_deg)) / 2)
    centre = (config.width - 1) / 2, (config.height - 1) / 2
    return Camera("pinhole", config.width, config.height, float(focal), float(focal), *centre)


def _anywhere(world: TracedWorld, rng: np.random.Generator, config: ViewConfig) -> tuple[Camera, Pose]:
    position, target = world.place(rng), rng.uniform(world.low_m, world.high_m)
    target[2] = position[2] - np.linalg.norm(target - position) * rng.normal(0.15, 0.2)
    return _camera(rng, config), look_at(position, target) @ _roll(rng, config)


def _roll(rng: np.random.Generator, config: ViewConfig) -> Pose:
    return Pose.exp(np.array([0, 0, np.radians(rng.uniform(-config.roll_deg, config.roll_deg)) / 2, 0, 0, 0]))


def _other(
    world: TracedWorld, first: _Seen, rng: np.random.Generator, config: ViewConfig
) -> tuple[Camera, Pose] | None:
    """Return a second camera that looks at about the same point as the first, or nothing where that is not free."""
    pixel = rng.uniform(0.15, 0.85, 2) * (config.width, config.height)
    near = first.inverse_depth[int(pixel[1]), int(pixel[0])]
    if near <= 0:
        return None
    target = first.world_from_camera.apply(first.camera.unproject(pixel[None]) / near)[0]
    camera = _camera(rng, config)
    scale = np.exp(rng.uniform(-1, 1) * np.log(config.scale))
    axis = np.array([0.0, 0.0, 1.0]) + rng.normal(0, 0.3, 3)
    turn = rotation_exp(np.radians(rng.uniform(-1, 1) * config.angle_deg) * axis / np.linalg.norm(axis))
    # A surface's size in the image goes with focal length over distance.
    away = turn @ (first.world_from_camera.translation_m - target) * (camera.fx / first.camera.fx / scale)
    if not world.free(target + away) or np.linalg.norm(away[:2]) < 1e-3:
        return None
    gaze = Pose.exp(np.concatenate([rng.uniform(-0.4, 0.4, 2), np.zeros(4)]))
    return camera, look_at(target + away, target) @ gaze @ _roll(rng, config)


def _pairs(seen: list[_Seen], rng: np.random.Generator, config: ViewConfig) -> list[tuple[int, int]]:
    """Return rows of views that share enough, evenly from little to much, and few that share nothing."""
    groups: list[list[tuple[int, int]]] = [[] for _ in _OVERLAPS[1:]]
    apart = []
    for first in range(len(seen)):
        for second in range(first):
            pair = _bare_pair(seen[first], seen[second])
            both = [one.overlap(_STRETCH * config.scale) for one in (pair, pair.reversed())]
            rows = (first, second) if rng.random() < 0.5 else (second, first)
            group = int(np.searchsorted(_OVERLAPS, max(both))) - 1
            if 0 <= group < len(groups):
                groups[group].append(rows)
            elif max(both) == 0 and pair.overlap() == 0 and pair.reversed().overlap() == 0:
                apart.append(rows)
    for group_ in groups:
        rng.shuffle(group_)
    chosen: list[tuple[int, int]] = []
    while len(chosen) < config.pairs and any(groups):
        chosen += [group_.pop() for group_ in groups if group_]
    chosen = chosen[: config.pairs]
    if apart and rng.random() < config.unrelated * len(chosen):
        chosen.append(apart[int(rng.integers(len(apart)))])
    return [(int(first), int(second)) for first, second in chosen]


def _bare_pair(first: _Seen, second: _Seen) -> RenderedPair:
    nothing = np.zeros((2, *first.inverse_depth.shape), np.uint8)
    depths = np.stack([first.inverse_depth, second.inverse_depth])
    return RenderedPair(
        nothing, depths, (first.camera, second.camera), second.world_from_camera.inverse() @ first.world_from_camera
    )


def _lit(tracer: Tracer, seen: _Seen, rng: np.random.Generator, config: ViewConfig) -> RenderedView:
    lens = Lens()
    if rng.random() < config.blurred:
        real = seen.inverse_depth[seen.inverse_depth > 0]
        focus = float(1 / np.quantile(real, rng.uniform(0.1, 0.9))) if len(real) else 2.0
        # As wide as blurs what is far away by up to three pixels
        blur_px = rng.uniform(0.5, 3.0)
        lens = Lens(aperture_m=blur_px * focus / seen.camera.fx, focus_m=focus)
    seed = int(rng.integers(2**24))
    light = tracer.radiance(seen.world_from_camera, seen.camera, config.samples, seed, lens)
    return RenderedView(exposed(light, rng), seen.inverse_depth, seen.camera, seen.world_from_camera)


def exposed(light: Float32Array, rng: np.random.Generator) -> Image:
    """Return light (H,W) as a camera takes it, exposed for what is dark or what is bright; its corners are darker."""
    height, width = light.shape
    y, x = np.mgrid[:height, :width]
    radius = ((x - width / 2) ** 2 + (y - height / 2) ** 2) / (width / 2) ** 2
    light = light * (1 + rng.uniform(0, 0.3) * radius) ** -2
    dark, bright = float(np.quantile(light, 0.5)) / rng.uniform(0.15, 0.35), float(np.quantile(light, 0.97))
    share = rng.uniform(0, 0.7)
    white = max(dark, 1e-6) ** (1 - share) * max(bright, 1e-6) ** share
    return np.asarray(np.rint(np.clip(light / white, 0, 1) ** (1 / _GAMMA) * 255), np.uint8)
