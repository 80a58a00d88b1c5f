"""Scenes by name: a world, a camera that moves through it, and what its images suffer."""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path as FilePath
from typing import Any, get_args

import numpy as np

from slamfront.errors import SourceError
from slamfront.geometry.camera import Camera
from slamfront.geometry.pose import Pose
from slamfront.simulation import places
from slamfront.simulation.effects import Effects
from slamfront.simulation.paths import Path, TurningPath, look_at, orbit, route, sway
from slamfront.simulation.render import Renderer, View
from slamfront.simulation.textures import Painter, Style, list_photos
from slamfront.simulation.world import World
from slamfront.types import Float32Array, Frame, Sensor, Trajectory

_BLUR_STEP_PX = 1.5
_BLUR_MAX_SAMPLES = 12


@dataclass(frozen=True)
class SceneOptions:
    """What a scene's name may be followed by: `room?frames=500&noise=1`."""

    frames: int = 200
    """Number of frames; beyond a lap the camera goes round again."""
    width: int = 640
    """Image width, px."""
    height: int = 0
    """Image height, px; 0 is three quarters of the width."""
    fov: float = 64.0
    """Horizontal field of view, degrees."""
    rate: float = 30.0
    """Frames per second."""
    speed: float = 1.0
    """How many times faster the camera moves."""
    baseline: float = 0.12
    """Distance of the right camera, m."""
    seed: int = 0
    """Seed of textures and noise."""
    style: Style = "rich"
    """Texture of the surfaces: rich, low or repeated."""
    photos: str = ""
    """Folder of photographs to hang on the walls."""
    grey: bool = False
    """Grey images: faster, and a third of the memory."""
    draft: bool = False
    """No antialiasing: twice as fast, for long runs."""
    noise: float = 0.0
    """Image noise; 1 is an indoor camera."""
    exposure: float = 0.0
    """Share by which brightness drifts."""
    gamma: float = 0.0
    """Share by which the tone curve's exponent drifts."""
    vignette: float = 0.0
    """Share of light lost in the corners."""
    blur: float = 0.0
    """Exposure time in milliseconds, for motion blur."""
    depth_noise: float = 0.0
    """Depth noise; 1 is a Kinect."""
    depth_holes: float = 0.0
    """Share of the depth image without a value."""

    def __post_init__(self) -> None:
        _require(self.frames >= 1, "frames", self.frames, "at least 1")
        _require(32 <= self.width <= 4096, "width", self.width, "32 to 4096")
        _require(self.height == 0 or 32 <= self.height <= 4096, "height", self.height, "0 or 32 to 4096")
        _require(10 <= self.fov <= 150, "fov", self.fov, "10 to 150 degrees")
        for name in ("rate", "speed", "baseline"):
            _require(0 < getattr(self, name) < math.inf, name, getattr(self, name), "above 0")
        for name in ("seed", "noise", "blur", "depth_noise"):
            _require(0 <= getattr(self, name) < math.inf, name, getattr(self, name), "0 or more")
        for name in ("exposure", "gamma", "vignette", "depth_holes"):
            _require(0 <= getattr(self, name) <= 1, name, getattr(self, name), "0 to 1")
        _require(self.style in get_args(Style), "style", self.style, ", ".join(get_args(Style)))

    def camera(self) -> Camera:
        """Return the pinhole camera of these images, with the stereo baseline."""
        height = self.height or round(self.width * 0.75)
        focal = self.width / 2 / math.tan(math.radians(self.fov) / 2)
        return Camera(
            "pinhole", self.width, height, focal, focal, (self.width - 1) / 2, (height - 1) / 2, (), self.baseline
        )

    def effects(self) -> Effects:
        """Return what the images suffer."""
        names = ("seed", "noise", "exposure", "gamma", "vignette", "depth_noise", "depth_holes")
        return Effects(blur_ms=self.blur, **{name: getattr(self, name) for name in names})


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """A world seen by a moving camera: frame i is taken at i / `rate_hz` seconds.

    camera    pinhole, with the distance of a right camera as `baseline_m`
    path      seconds to world_from_camera
    length    number of frames
    """

    name: str
    renderer: Renderer
    camera: Camera
    path: Path
    length: int
    rate_hz: float = 30.0
    effects: Effects = field(default_factory=Effects)
    draft: bool = False

    def __len__(self) -> int:
        return self.length

    def time_ns(self, index: int) -> int:
        """Return the capture time of a frame, the middle of its exposure."""
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
        return self.renderer.render(self._camera_pose(index / self.rate_hz, right), self.camera, draft=self.draft)

    def frame(self, index: int, sensor: Sensor = "rgbd") -> Frame:
        """Return a frame as the sensor gives it: image, with the right image for stereo, or depth for RGB-D."""
        view = self.view(index)
        image = self._image(index, view, False)
        right = self._image(index, self.view(index, right=True), True) if sensor == "stereo" else None
        depth = self.effects.depth(view.depth_m, index) if sensor == "rgbd" else None
        return Frame(index, self.time_ns(index), image, self.camera, right, depth)

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
        count = int(np.clip(np.ceil(motion / _BLUR_STEP_PX), 1, _BLUR_MAX_SAMPLES))
        times = time_s + half * ((2 * np.arange(count) + 1) / count - 1)
        if count == 1:
            return view.image
        total = np.zeros_like(view.image)
        for time in times:
            total += self.renderer.render(self._camera_pose(time, right), self.camera, draft=True).image
        return total / np.float32(count)

    def _camera_pose(self, time_s: float, right: bool) -> Pose:
        pose = self.path(time_s)
        if not right:
            return pose
        return pose @ Pose(np.eye(3), np.array([self.camera.disparity_times_depth / self.camera.fx, 0.0, 0.0]))


@dataclass(frozen=True, slots=True)
class _Recipe:
    """A place, a path through it, and the options that differ from the common defaults."""

    place: Callable[[Painter], World]
    path: Path
    texels_per_m: float
    defaults: dict[str, Any] = field(default_factory=dict)


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
_SAMPLE_DEFAULTS = {"frames": 120, "width": 320, "noise": 0.7, "vignette": 0.2}
_RECIPES: dict[str, _Recipe] = {
    "corridor": _Recipe(places.corridor, _WALK, 256, {"frames": 400}),
    "fast": _Recipe(places.room, orbit((0.0, 0.0, 1.45), (1.35, 1.1), 4.0, 1.1), 320, {"frames": 150, "blur": 8.0}),
    "house": _Recipe(places.house, _TOUR, 200, {"frames": 800}),
    "look-alike": _Recipe(places.alike_house, _VISITS, 200, {"frames": 1200}),
    "low-texture": _Recipe(places.room, _LOOP, 160, {"frames": 330, "style": "low"}),
    "repeated": _Recipe(places.room, _LOOP, 320, {"frames": 330, "style": "repeated"}),
    "room": _Recipe(places.room, _ROOM, 320),
    "room-loop": _Recipe(places.room, _LOOP, 320, {"frames": 330}),
    "rotation": _Recipe(places.room, TurningPath(_STAND, 1.0, 0.2, 8.0), 320, {"frames": 240}),
    "sample": _Recipe(places.room, _SAMPLE, 320, _SAMPLE_DEFAULTS),
    "still": _Recipe(places.room, lambda _time_s: _STAND, 320, {"frames": 100, "noise": 1.0}),
    "street": _Recipe(places.street, _DRIVE, 60, {"frames": 100, "rate": 10.0, "baseline": 0.54, "fov": 80.0}),
}


def scene_names() -> list[str]:
    """Return the names of all scenes."""
    return sorted(_RECIPES)


def scene(name: str) -> Scene:
    """Return the scene of a name with options, such as `room` or `room-loop?frames=500&width=320&noise=1`.

    Raises SourceError for a name, key or value that does not exist, and says which do.
    """
    base, _, query = name.partition("?")
    if base not in _RECIPES:
        raise SourceError(f"the scene '{base}' is unknown: use {_suggest(base, scene_names())}")
    recipe = _RECIPES[base]
    options = _parse(base, query, SceneOptions(**recipe.defaults))
    renderer = _renderer(recipe.place, recipe.texels_per_m, options.seed, options.style, options.photos, options.grey)
    path = recipe.path if options.speed == 1 else _faster(recipe.path, options.speed)
    return Scene(base, renderer, options.camera(), path, options.frames, options.rate, options.effects(), options.draft)


def sample_scene() -> Scene:
    """Return the scene of the small sequence that ships with the project: a loop in a room, made for RGB-D and mono."""
    return scene("sample")


@lru_cache(maxsize=2)
def _renderer(
    place: Callable[[Painter], World],
    texels_per_m: float, seed: int, style: Style, photos: str, grey: bool,
) -> Renderer:  # fmt: skip
    """Return a renderer; the last two stay in memory, for worlds take a second or more to paint."""
    files = list_photos(FilePath(photos)) if photos else ()
    return Renderer(place(Painter(seed, texels_per_m, style, files)), grey=grey)


def _faster(path: Path, speed: float) -> Path:
    return lambda time_s: path(time_s * speed)


def _parse(base: str, query: str, defaults: SceneOptions) -> SceneOptions:
    """Return the defaults with the values of a query `key=value&key=value`."""
    known = {option.name: type(getattr(defaults, option.name)) for option in dataclasses.fields(SceneOptions)}
    values: dict[str, Any] = {}
    for part in filter(None, query.split("&")):
        key, equals, text = part.partition("=")
        if key not in known:
            raise SourceError(f"the scene '{base}' has no option '{key}': use {_suggest(key, list(known))}")
        if not equals:
            raise SourceError(f"the option '{key}' of scene '{base}' needs a value: {key}=...")
        values[key] = _convert(key, text, known[key])
    return dataclasses.replace(defaults, **values)


def _convert(key: str, text: str, kind: type) -> Any:
    if kind is bool:
        _require(text in ("0", "1"), key, text, "0 or 1")
        return text == "1"
    try:
        return kind(text)
    except ValueError:
        what = "a whole number" if kind is int else "a number"
        raise SourceError(f"the scene option {key}={text} must be {what}") from None


def _suggest(wrong: str, known: list[str]) -> str:
    near = difflib.get_close_matches(wrong, known, 1)
    names = ", ".join(known)
    return f"'{near[0]}', or one of {names}" if near else f"one of {names}"


def _require(holds: bool, key: str, value: object, wanted: str) -> None:
    if not holds:
        raise SourceError(f"the scene option {key}={value} must be {wanted}")


def _largest_motion_px(depth_m: Float32Array, camera: Camera, end_from_start: Pose) -> float:
    """Return how far, in pixels, a grid of the view's points moves between two poses."""
    y, x = np.mgrid[0 : camera.height : 8, 0 : camera.width : 8].reshape(2, -1)
    depth = depth_m[y, x]
    pixels = np.column_stack([x, y])[depth > 0]
    points = camera.unproject(pixels) * depth[depth > 0, None]
    moved = np.linalg.norm(camera.project(end_from_start.apply(points)) - pixels, axis=1)
    return float(np.nanmax(moved, initial=0.0))
