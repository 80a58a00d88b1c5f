"""Scenes by name: a world, a camera that moves through it, and what its images suffer."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path as FilePath
from typing import Any

import numpy as np

from slamfront.errors import SourceError
from slamfront.geometry.camera import Camera
from slamfront.geometry.pose import Pose
from slamfront.geometry.shutter import row_delays_s
from slamfront.simulation import outdoors, places
from slamfront.simulation.effects import Effects
from slamfront.simulation.faults import Faults
from slamfront.simulation.options import SceneOptions, parse, suggest
from slamfront.simulation.outdoor_textures import OutdoorPainter
from slamfront.simulation.paths import Path, TurningPath, look_at, orbit, route, sway
from slamfront.simulation.render import Renderer, View
from slamfront.simulation.textures import Style, list_photos
from slamfront.simulation.world import Mover, World
from slamfront.types import Float32Array, Frame, Sensor, Trajectory

_BLUR_STEP_PX = 1.5
_BLUR_MAX_SAMPLES = 12
# Width of the views that tell how far away the camera sees, px
_GLANCE_PX = 80


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """A world seen by a moving camera: frame i is taken at i / `rate_hz` seconds.

    camera    of any lens, with the distance of a right camera as `baseline_m`; with a `readout_s` each row is rendered
              where the camera and all movers were when it was exposed, exactly
    path      seconds to world_from_camera
    length    number of frames, with those that `faults` leaves out
    """

    name: str
    renderer: Renderer
    camera: Camera
    path: Path
    length: int
    rate_hz: float = 30.0
    effects: Effects = field(default_factory=Effects)
    draft: bool = False
    faults: Faults = field(default_factory=Faults)

    def __len__(self) -> int:
        return self.length

    @property
    def indices(self) -> list[int]:
        """The frames that a recording of the scene has: all but those that are missing."""
        return [index for index in range(self.length) if not self.faults.lacks("frame", index)]

    def time_ns(self, index: int) -> int:
        """Return the capture time of a frame: the middle of its exposure, and of its rows."""
        return round(index * 1e9 / self.rate_hz)

    def pose(self, index: int) -> Pose:
        """Return the exact world_from_camera of a frame."""
        return self.path(index / self.rate_hz)

    def trajectory(self) -> Trajectory:
        """Return the exact poses of all frames."""
        rows = range(self.length)
        return Trajectory.from_poses([self.time_ns(i) for i in rows], [self.pose(i) for i in rows])

    def view(self, index: int, right: bool = False) -> View:
        """Return the perfect view of the left or right camera, without effects."""
        return self._render(index / self.rate_hz, right, self.draft)

    def frame(self, index: int, sensor: Sensor = "rgbd") -> Frame:
        """Return a frame as the sensor gives it: image, with the right image for stereo, or depth for RGB-D."""
        view = self.view(index)
        image, right, depth = self._image(index, view, False), None, None
        if sensor == "stereo" and not self.faults.lacks("right", index):
            seen = max(index - self.faults.right_late, 0)
            right = self._image(seen, self.view(seen, right=True), True)
            image, right = (right, image) if self.faults.swapped else (image, right)
        if sensor == "rgbd" and not self.faults.lacks("depth", index):
            depth = self.effects.depth(view.depth_m, index)
        return Frame(index, self.time_ns(index), image, self.camera, right, depth)

    def median_depth_m(self, index: int) -> float:
        """Return how far away what stands is in the middle, of a small view of a frame; the backdrop does not count.

        NaN where nothing is seen that stands.
        """
        small = self.camera.scaled(_GLANCE_PX, max(1, round(self.camera.height * _GLANCE_PX / self.camera.width)))
        view = self.renderer.render(self.pose(index), small, draft=True, times_s=index / self.rate_hz)
        standing = (view.quad_ids >= 0) & (view.quad_ids < len(self.renderer.world.quads))
        return float(np.median(view.depth_m[standing])) if standing.any() else math.nan

    def _image(self, index: int, view: View, right: bool) -> np.ndarray:
        time_s = index / self.rate_hz
        image = self._blurred(time_s, view, right) if self.effects.blur_ms else view.image
        return self.effects.image(image, index, time_s, int(right))

    def _blurred(self, time_s: float, view: View, right: bool) -> Float32Array:
        """Return the mean of as many views during the exposure as keep steps below `_BLUR_STEP_PX`.

        Drafts will do: the motion smooths their silhouettes.
        """
        half = self.effects.blur_ms / 2000
        start, end = self._camera_pose(time_s - half, right), self._camera_pose(time_s + half, right)
        motion = _largest_motion_px(view.depth_m, self.camera, end.inverse() @ start)
        # What moves by itself may move more than the camera makes things move
        least = _BLUR_MAX_SAMPLES // 2 if self.renderer.world.movers else 1
        count = int(np.clip(np.ceil(motion / _BLUR_STEP_PX), least, _BLUR_MAX_SAMPLES))
        if count == 1:
            return view.image
        total = np.zeros_like(view.image)
        for time in time_s + half * ((2 * np.arange(count) + 1) / count - 1):
            total += self._render(time, right, draft=True).image
        return total / np.float32(count)

    def _render(self, time_s: float, right: bool, draft: bool) -> View:
        if not self.camera.readout_s:
            pose = self._camera_pose(time_s, right)
            return self.renderer.render(pose, self.camera, draft=draft, times_s=time_s)
        rows = np.arange(self.camera.height)
        times_s = time_s + row_delays_s(self.camera, np.column_stack([np.zeros(len(rows)), rows]))
        poses = [self._camera_pose(row_s, right) for row_s in times_s.tolist()]
        return self.renderer.render(poses, self.camera, draft=draft, times_s=times_s.tolist())

    def _camera_pose(self, time_s: float, right: bool) -> Pose:
        pose = self.path(time_s)
        if not right:
            return pose
        return pose @ Pose(np.eye(3), np.array([self.camera.disparity_times_depth / self.camera.fx, 0.0, 0.0]))


Crowd = Callable[[OutdoorPainter, Path, float, int, float], tuple[Mover, ...]]
"""Painter, path, seconds, count and distance in metres to what moves in a scene."""


@dataclass(frozen=True, slots=True)
class _Recipe:
    """A place, a path through it, the options that differ from the common defaults, and what may move there.

    carrier_m   how far in front of the camera what carries it comes into view
    """

    place: Callable[[OutdoorPainter], World]
    path: Path
    texels_per_m: float
    defaults: dict[str, Any] = field(default_factory=dict)
    crowd: Crowd = outdoors.walkers
    carrier_m: float = 0.4


_LOOP = orbit((0.0, 0.0, 1.45), (1.35, 1.1), 10.0, 1.1)
_ROOM = sway((1.3, -0.9, 1.45), (-1.6, 1.2, 1.0), (0.9, 0.15, 0.35), 6.6, 0.7)
_STAND = look_at((1.3, -0.9, 1.45), (-1.6, 1.2, 1.0))
_SAMPLE = sway((1.0, -0.6, 1.5), (-1.6, 1.2, 1.0), (0.68, 0.12, 0.45), 3.8, 0.9)
_TOUR = route(
    [(2.0, -1.0, 1.5), (2.0, 1.2, 1.45), (3.0, 2.0, 1.4), (6.0, 2.0, 1.5), (10.0, 2.0, 1.45), (10.3, 1.0, 1.4),
     (10.32, -0.9, 1.5), (9.0, -1.05, 1.45), (5.0, -1.05, 1.4)], 24.0, 1.3, closed=True,
)  # fmt: skip
# Into each room by its door from the corridor, round and out again, so that the rooms are seen from the same places
_VISITS = route(
    [(x0 + x, y, 1.45) for x0 in (0.0, 4.16, 8.32)
     for x, y in ((1.4, -1.05), (2.0, -0.6), (2.0, 0.8), (2.7, 1.6), (2.0, 2.4), (1.3, 1.6), (2.0, 0.8), (2.0, -0.6),
                  (2.6, -1.05))] + [(11.5, -1.2, 1.45), (11.0, -1.4, 1.45), (6.0, -1.4, 1.45), (1.0, -1.4, 1.45)],
    40.0, 1.3, closed=True,
)  # fmt: skip
_DRIVE = route([(x, 0.6 * math.sin(x / 9), 1.65) for x in range(0, 101, 2)], 10.0, 8.0, closed=False, drop_m=0.3)
_WALK = route(
    [(x, 1.1 + 0.25 * math.sin(x), 1.5 + 0.04 * math.sin(3 * x)) for x in np.linspace(1, 20, 60)],
    20.0,
    2.5,
    closed=False,
)
_FACING_WALL = sway((0.0, -3.0, 1.5), (0.0, 0.0, 1.5), (1.8, 0.35, 0.9), 7.0, 0.6)
# Texels per metre of a place that is painted for its shape alone, and keys of the painters of what moves
_COARSE, _CROWD, _CARRIER = 16.0, 101, 102
_MOTORWAY_DEFAULTS = {
    "frames": 100, "rate": 10.0, "baseline": 0.54, "fov": 81.6, "width": 620, "height": 188, "movers": 6,
}  # fmt: skip
_SAMPLE_DEFAULTS = {"frames": 120, "width": 320, "noise": 0.7, "vignette": 0.2}
_RECIPES: dict[str, _Recipe] = {
    "corridor": _Recipe(places.corridor, _WALK, 256, {"frames": 400}),
    "fast": _Recipe(places.room, orbit((0.0, 0.0, 1.45), (1.35, 1.1), 4.0, 1.1), 320, {"frames": 150, "blur": 8.0}),
    "forest": _Recipe(outdoors.forest, outdoors.forest_walk(), 60, {"frames": 300}),
    "house": _Recipe(places.house, _TOUR, 200, {"frames": 800}),
    "look-alike": _Recipe(places.alike_house, _VISITS, 200, {"frames": 1200}),
    "low-texture": _Recipe(places.room, _LOOP, 160, {"frames": 330, "style": "low"}),
    "motorway": _Recipe(
        outdoors.motorway, outdoors.motorway_drive(), 30, _MOTORWAY_DEFAULTS, outdoors.motorway_traffic, 1.2
    ),
    "planar": _Recipe(outdoors.planar, _FACING_WALL, 160, {"frames": 210}),
    "repeated": _Recipe(places.room, _LOOP, 320, {"frames": 330, "style": "repeated"}),
    "room": _Recipe(places.room, _ROOM, 320),
    "room-loop": _Recipe(places.room, _LOOP, 320, {"frames": 330}),
    "rotation": _Recipe(places.room, TurningPath(_STAND, 1.0, 0.2, 8.0), 320, {"frames": 240}),
    "sample": _Recipe(places.room, _SAMPLE, 320, _SAMPLE_DEFAULTS),
    "still": _Recipe(places.room, lambda _time_s: _STAND, 320, {"frames": 100, "noise": 1.0}),
    "street": _Recipe(
        places.street,
        _DRIVE,
        60,
        {"frames": 100, "rate": 10.0, "baseline": 0.54, "fov": 80.0},
        outdoors.street_traffic,
        1.2,
    ),
}


def scene_names() -> list[str]:
    """Return the names of all scenes."""
    return sorted(_RECIPES)


def scene_options(name: str) -> SceneOptions:
    """Return the options of a scene's name, with its own defaults; raises SourceError as `scene` does."""
    base, _, query = name.partition("?")
    if base not in _RECIPES:
        raise SourceError(f"the scene '{base}' is unknown: use {suggest(base, scene_names())}")
    return parse(base, query, SceneOptions(**_RECIPES[base].defaults))


def scene(name: str, *, coarse: bool = False) -> Scene:
    """Return the scene of a name with options, such as `room` or `room-loop?frames=500&width=320&noise=1`.

    coarse  paint in a moment what has the same shape and little texture, for those who ask for depths and poses alone

    Raises SourceError for a name, key or value that does not exist, and says which do.
    """
    base = name.partition("?")[0]
    options, recipe = scene_options(name), _RECIPES[base]
    path, camera = options.moved(recipe.path), options.camera()
    paint = (_COARSE if coarse else recipe.texels_per_m, options.seed, options.style, options.photos)
    movers = _movers(recipe, options, path, camera, _painter(*paint))
    renderer = _renderer(recipe.place, *paint, options.grey, movers)
    faults = options.faults()
    return Scene(base, renderer, camera, path, options.frames, options.rate, options.effects(), options.draft, faults)


def sample_scene() -> Scene:
    """Return the scene of the small sequence that ships with the project: a loop in a room, made for RGB-D and mono."""
    return scene("sample")


def _movers(
    recipe: _Recipe, options: SceneOptions, path: Path, camera: Camera, painter: OutdoorPainter
) -> tuple[Mover, ...]:
    """Return what moves by itself, and what is fixed to the camera."""
    movers: tuple[Mover, ...] = ()
    if options.movers:
        # Clothes and vehicles have texture, also where walls have none
        clothed, seconds = replace(painter.fork(_CROWD), style="rich"), options.frames / options.rate
        movers += recipe.crowd(clothed, path, seconds, options.movers, options.mover_m)
    if options.overlay:
        # A texel for a pixel, so that it is as sharp as what stands
        fine = OutdoorPainter((options.seed, _CARRIER), camera.fx / recipe.carrier_m, options.style)
        middle_x, middle_y = camera.cx, camera.cy
        edges = [[0.0, middle_y], [camera.width - 1.0, middle_y], [middle_x, 0.0], [middle_x, camera.height - 1.0]]
        left, right, top, bottom = camera.unproject(edges)
        rays = np.array([[left[0], top[1], 1.0], [right[0], bottom[1], 1.0]])
        movers += (outdoors.attached(fine, path, options.overlay, rays, recipe.carrier_m),)
    return movers


def _painter(texels_per_m: float, seed: int, style: Style, photos: str) -> OutdoorPainter:
    return OutdoorPainter(seed, texels_per_m, style, list_photos(FilePath(photos)) if photos else ())


@lru_cache(maxsize=2)
def _world(
    place: Callable[[OutdoorPainter], World], texels_per_m: float, seed: int, style: Style, photos: str
) -> World:
    """Return a painted place; the last two stay in memory, for they take a second or more to paint."""
    return place(_painter(texels_per_m, seed, style, photos))


@lru_cache(maxsize=2)
def _renderer(
    place: Callable[[OutdoorPainter], World],
    texels_per_m: float, seed: int, style: Style, photos: str, grey: bool, movers: tuple[Mover, ...],
) -> Renderer:  # fmt: skip
    """Return a renderer of a place with what moves in it; the last two stay in memory."""
    world = _world(place, texels_per_m, seed, style, photos)
    return Renderer(replace(world, movers=world.movers + movers), grey=grey)


def _largest_motion_px(depth_m: Float32Array, camera: Camera, end_from_start: Pose) -> float:
    """Return how far, in pixels, a grid of the view's points moves between two poses."""
    y, x = np.mgrid[0 : camera.height : 8, 0 : camera.width : 8].reshape(2, -1)
    depth = depth_m[y, x]
    pixels = np.column_stack([x, y])[depth > 0]
    points = camera.unproject(pixels) * depth[depth > 0, None]
    moved = np.linalg.norm(camera.project(end_from_start.apply(points)) - pixels, axis=1)
    return float(np.nanmax(moved, initial=0.0))
