"""What a scene's name may be followed by, and how it is read."""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, get_args

from slamfront.errors import SourceError
from slamfront.geometry.camera import Camera
from slamfront.simulation.effects import Effects
from slamfront.simulation.faults import Faults
from slamfront.simulation.paths import Path, held, shaken
from slamfront.simulation.textures import Style

Lens = Literal["pinhole", "kb4"]
_SHARES = (
    "exposure", "jumps", "gamma", "vignette", "depth_holes", "depth_specks", "drop_frames", "drop_depth", "drop_right",
)  # fmt: skip


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
    lens: Lens = "pinhole"
    """Without distortion, or kb4: a fisheye lens that maps angles evenly."""
    rate: float = 30.0
    """Frames per second."""
    speed: float = 1.0
    """How many times faster the camera moves."""
    hold: float = 0.0
    """Seconds for which the camera stands still at first."""
    shake: float = 0.0
    """Tremor of the camera; 1 is a hand."""
    movers: int = 0
    """Bodies that move by themselves: people who cross the view, on roads vehicles."""
    mover_m: float = 2.0
    """How far away people cross the view, m."""
    overlay: float = 0.0
    """Share of the image that shows what carries the camera, such as a bonnet."""
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
    jumps: float = 0.0
    """Share by which the gain jumps, anew every 0.7 s."""
    gamma: float = 0.0
    """Share by which the tone curve's exponent drifts."""
    vignette: float = 0.0
    """Share of light lost in the corners."""
    blur: float = 0.0
    """Exposure time in milliseconds, for motion blur."""
    readout: float = 0.0
    """Milliseconds from the exposure of the first row to that of the last: a rolling shutter."""
    depth_noise: float = 0.0
    """Depth noise; 1 is a Kinect."""
    depth_holes: float = 0.0
    """Share of the depth image without a value, in patches."""
    depth_specks: float = 0.0
    """Share of single pixels without a depth."""
    drop_frames: float = 0.0
    """Share of the frames that are missing."""
    drop_depth: float = 0.0
    """Share of the frames without their depth image."""
    drop_right: float = 0.0
    """Share of the frames without their right image."""
    right_late: int = 0
    """Frames by which right images are out of step: older than the left ones."""
    swapped: bool = False
    """Left and right images exchanged."""

    def __post_init__(self) -> None:
        _require(self.frames >= 1, "frames", self.frames, "at least 1")
        _require(32 <= self.width <= 4096, "width", self.width, "32 to 4096")
        _require(self.height == 0 or 32 <= self.height <= 4096, "height", self.height, "0 or 32 to 4096")
        widest = 150 if self.lens == "pinhole" else 170
        _require(10 <= self.fov <= widest, "fov", self.fov, f"10 to {widest} degrees")
        _require(self.lens in get_args(Lens), "lens", self.lens, ", ".join(get_args(Lens)))
        _require(0 <= self.readout < 1000, "readout", self.readout, "0 to 1000 ms")
        _require(0 <= self.overlay < 1, "overlay", self.overlay, "0 to 1")
        _require(0 <= self.movers <= 100, "movers", self.movers, "0 to 100")
        for name in ("rate", "speed", "baseline", "mover_m"):
            _require(0 < getattr(self, name) < math.inf, name, getattr(self, name), "above 0")
        for name in ("seed", "hold", "shake", "noise", "blur", "depth_noise", "right_late"):
            _require(0 <= getattr(self, name) < math.inf, name, getattr(self, name), "0 or more")
        for name in _SHARES:
            _require(0 <= getattr(self, name) <= 1, name, getattr(self, name), "0 to 1")
        _require(self.style in get_args(Style), "style", self.style, ", ".join(get_args(Style)))

    def camera(self) -> Camera:
        """Return the camera of these images, with the stereo baseline."""
        height, half = self.height or round(self.width * 0.75), math.radians(self.fov) / 2
        focal = self.width / 2 / (math.tan(half) if self.lens == "pinhole" else half)
        centre, distortion = ((self.width - 1) / 2, (height - 1) / 2), () if self.lens == "pinhole" else (0.0,) * 4
        return Camera(
            self.lens, self.width, height, focal, focal, *centre, distortion, self.baseline, self.readout / 1000
        )

    def effects(self) -> Effects:
        """Return what the images suffer."""
        names = ("seed", "noise", "exposure", "jumps", "gamma", "vignette")
        depth = ("depth_noise", "depth_holes", "depth_specks")
        return Effects(blur_ms=self.blur, **{name: getattr(self, name) for name in (*names, *depth)})

    def faults(self) -> Faults:
        """Return what the recording lacks."""
        return Faults(self.seed, self.drop_frames, self.drop_depth, self.drop_right, self.right_late, self.swapped)

    def moved(self, path: Path) -> Path:
        """Return how the camera moves along a path: speed, standing at first, and tremor."""
        path = path if self.speed == 1 else _faster(path, self.speed)
        path = path if not self.hold else held(path, self.hold)
        return path if not self.shake else shaken(path, self.shake, self.seed)


def parse(base: str, query: str, defaults: SceneOptions) -> SceneOptions:
    """Return the defaults with the values of a query `key=value&key=value`."""
    known = {option.name: type(getattr(defaults, option.name)) for option in fields(SceneOptions)}
    values: dict[str, Any] = {}
    for part in filter(None, query.split("&")):
        key, equals, text = part.partition("=")
        if key not in known:
            raise SourceError(f"the scene '{base}' has no option '{key}': use {suggest(key, list(known))}")
        if not equals:
            raise SourceError(f"the option '{key}' of scene '{base}' needs a value: {key}=...")
        values[key] = _convert(key, text, known[key])
    return replace(defaults, **values)


def _convert(key: str, text: str, kind: type) -> Any:
    if kind is bool:
        _require(text in ("0", "1"), key, text, "0 or 1")
        return text == "1"
    try:
        return kind(text)
    except ValueError:
        what = "a whole number" if kind is int else "a number"
        raise SourceError(f"the scene option {key}={text} must be {what}") from None


def suggest(wrong: str, known: list[str]) -> str:
    """Return the known names, the one first that is like the wrong one."""
    near = difflib.get_close_matches(wrong, known, 1)
    names = ", ".join(known)
    return f"'{near[0]}', or one of {names}" if near else f"one of {names}"


def _require(holds: bool, key: str, value: object, wanted: str) -> None:
    if not holds:
        raise SourceError(f"the scene option {key}={value} must be {wanted}")


def _faster(path: Path, speed: float) -> Path:
    return lambda time_s: path(time_s * speed)
