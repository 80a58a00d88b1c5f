"""The configuration: frozen dataclasses, each default written here and nowhere else.

A YAML file or command-line options override defaults; an unknown key is an error that names the nearest known one.
"""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml

from slamfront.errors import ConfigError

T = TypeVar("T")


@dataclass(frozen=True)
class SourceConfig:
    """Which frames are taken, and how they are prepared."""

    start: int = 0
    """First frame to take, counted from 0."""
    end: int | None = None
    """Frame to stop before; None takes all."""
    stride: int = 1
    """Take every n-th frame."""
    width: int | None = None
    """Resample frames to this width, px; the height follows, and the calibration is scaled."""
    calibration: Path | None = None
    """Calibration file, where the source has none or another is wanted."""
    prefetch: int = 4
    """Frames read ahead by a thread."""


@dataclass(frozen=True)
class ExtractorConfig:
    """How keypoints are found and described."""

    kind: Literal["auto", "orb", "sift", "superpoint"] = "auto"
    """`auto` takes SuperPoint where weights are installed that may be used freely, else ORB."""
    max_keypoints: int = 1000
    """Most keypoints of an image."""
    grid: int | None = None
    """Keypoints are spread over this many columns of cells; 0 takes the strongest wherever they are. None takes 8 for
    SuperPoint and 16 for ORB and SIFT."""
    crowding: float | None = None
    """Each stronger keypoint in its cell makes a keypoint count for exp(-crowding) as much: more spreads them more
    evenly, and .inf lets cells take turns. None takes .05 for SuperPoint, whose scores tell how surely a keypoint is
    found again, and turns for ORB and SIFT, whose scores do not."""
    levels: int = 8
    """Pyramid levels (ORB)."""
    scale_factor: float = 1.2
    """Size ratio of neighbouring pyramid levels (ORB)."""
    threshold: float = 0.005
    """Smallest score of a keypoint (SuperPoint)."""
    nms_radius: int = 4
    """No two keypoints are closer than this, px (SuperPoint)."""
    subpixel: bool = True
    """Refine keypoints below the pixel (SuperPoint)."""
    weights: str = "superpoint-lite"
    """Name of known weights, or a checkpoint file (SuperPoint)."""
    engine: Literal["torch", "openvino"] = "torch"
    """What runs the network; OpenVINO, an optional extra, is faster on CPUs but seconds later to start (SuperPoint)."""


@dataclass(frozen=True)
class MatcherConfig:
    """How two sets of features are matched."""

    kind: Literal["auto", "nearest", "superglue", "lightglue"] = "auto"
    """`auto` takes LightGlue for superpoint-lite's keypoints, else nearest neighbours: these are much quicker, and lose
    more frames where the camera leaps."""
    ratio: float = 0.85
    """Best distance over second best, at most (nearest)."""
    threshold: float | None = None
    """Smallest matching score (SuperGlue, LightGlue); None takes that of the networks' authors, 0.2 and 0.1."""
    adaptive: bool = True
    """Stop after the first layer that is sure, and drop hopeless keypoints on the way (LightGlue)."""
    weights: str = ""
    """Name of known weights, or a checkpoint file; empty takes those that were trained with the extractor's."""


Association = Literal["flow", "projection", "matcher"]


@dataclass(frozen=True)
class TrackerConfig:
    """When a frame counts as tracked, and how its pose is found."""

    min_inliers: int = 15
    """Fewest landmarks that agree with a pose."""
    search_radius_px: float = 12.0
    """Radius of the search for a projected landmark."""
    max_error_px: float = 4.0
    """Largest reprojection error of an inlier where a pose is found by RANSAC."""
    local_keyframes: int = 20
    """Keyframes whose landmarks are projected into a frame."""
    max_landmarks: int = 400
    """Most landmarks looked for in a frame by their patches."""
    association: Association = "flow"
    """How landmarks are looked for in a frame at first: by optical flow from the frame before, so that features are
    extracted for keyframes and where that fails only; among the frame's features near where motion puts them; or by
    matching its features with the reference keyframe's. Where the first fails the others are tried."""
    max_depth_baselines: float = 60.0
    """Depths beyond this many baselines do not start a landmark (stereo)."""
    max_depth_m: float = 6.0
    """Depths beyond this do not start a landmark (RGB-D)."""


@dataclass(frozen=True)
class KeyframeConfig:
    """When a frame becomes a keyframe, and when a keyframe is no longer worth its place."""

    tracked_ratio: float = 0.75
    """A keyframe is due when fewer landmarks are tracked than this share of the reference keyframe's."""
    max_interval: int = 30
    """Frames after which a keyframe is due if the backend is idle."""
    min_interval: int = 2
    """Fewest frames between keyframes, unless tracking is weak."""
    cull_redundancy: float = 0.9
    """A keyframe goes when this share of its landmarks is seen by three others."""
    max_neighbours: int = 20
    """Most keyframes that share landmarks with a new one; where there are more, the most redundant go."""


@dataclass(frozen=True)
class LoopConfig:
    """What is done when a place is seen again that the camera left long ago."""

    enabled: bool = True
    """Close loops, wherever windows are adjusted."""
    candidates: int = 3
    """Most places that are compared with a new keyframe."""
    consistent: int = 3
    """Keyframes in a row that must look like a place before it is compared landmark by landmark."""
    min_inliers: int = 40
    """Fewest landmarks of the place that agree."""
    max_drift: float = 0.1
    """Largest error of the map that a loop may reveal, as a share of the way around it, or of how far away the camera
    sees where that is more; twice that with a single camera."""


@dataclass(frozen=True)
class MapsConfig:
    """What is done when tracking is lost, and nothing of the map is seen again for long."""

    enabled: bool = True
    """Begin a new map, and keep the old one until its place is seen again: then both become one."""
    new_after_s: float = 3.0
    """Seconds of frames without a known place before a new map is begun: longer than a hand covers the lens, and
    several times what finding a known place takes."""
    most: int = 10
    """Maps that are kept apart at most: with so many, none is begun any more."""


@dataclass(frozen=True)
class BackendConfig:
    """Bundle adjustment."""

    kind: Literal["gtsam", "isam2", "none"] = "gtsam"
    """Windowed bundle adjustment, incremental smoothing, or none."""
    window: int = 10
    """Keyframes that are optimised together."""
    max_iterations: int = 8
    """Levenberg-Marquardt iterations of a local window."""
    huber_px: float = 2.0
    """Huber threshold in standard deviations of a measurement."""
    final: bool = True
    """Adjust the whole map when the run ends."""
    final_iterations: int = 30
    """Levenberg-Marquardt iterations of the final adjustment."""


@dataclass(frozen=True)
class ViewerConfig:
    """What is shown while running."""

    kind: Literal["none", "open3d"] = "none"
    """A window needs a display; without one the run says so and goes on."""
    record: Path | None = None
    """Render offscreen to this video (.mp4) or folder of frames."""


@dataclass(frozen=True)
class RunConfig:
    """Everything that decides a run."""

    sensor: Literal["auto", "mono", "stereo", "rgbd"] = "auto"
    """`auto` takes the most that the source offers."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where networks run."""
    threads: bool = True
    """Run source, front and backend side by side; without, in one loop that is repeatable to the last digit."""
    seed: int = 0
    """Seed of every random choice."""
    load_map: Path | None = None
    """Map file to begin in: the run is lost until it knows the place again, and then goes on with that map."""
    localize_only: bool = False
    """Find frames in the loaded map and never change it: no keyframes, no landmarks, no backend."""
    save_map: Path | None = None
    """Write the map to this file when the run ends."""
    source: SourceConfig = field(default_factory=SourceConfig)
    extractor: ExtractorConfig = field(default_factory=ExtractorConfig)
    matcher: MatcherConfig = field(default_factory=MatcherConfig)
    tracker: TrackerConfig = field(default_factory=TrackerConfig)
    keyframes: KeyframeConfig = field(default_factory=KeyframeConfig)
    backend: BackendConfig = field(default_factory=BackendConfig)
    loops: LoopConfig = field(default_factory=LoopConfig)
    maps: MapsConfig = field(default_factory=MapsConfig)
    viewer: ViewerConfig = field(default_factory=ViewerConfig)


def from_mapping(kind: type[T], values: Any, where: str = "") -> T:
    """Return the dataclass `kind` made from nested mappings such as a YAML file gives.

    Raises ConfigError naming the key: unknown (with the nearest known one), of the wrong type, or not one of the
    choices.
    `where` is the dotted path of `values` in the whole configuration.
    """
    if not isinstance(values, dict):
        raise ConfigError(f"{where or 'the configuration'} must be a mapping of keys to values, got {values!r}")
    hints = typing.get_type_hints(kind)
    for key in values:
        if key not in hints:
            raise ConfigError(_unknown_key(f"{where}.{key}".lstrip("."), str(key), list(hints)))
    converted = {key: _convert(hints[key], value, f"{where}.{key}".lstrip(".")) for key, value in values.items()}
    try:
        return kind(**converted)
    except TypeError as error:
        raise ConfigError(f"{where or 'the configuration'}: {error}") from error


def to_mapping(config: Any) -> dict[str, Any]:
    """Return nested plain mappings of a config dataclass, fit for YAML; the inverse of `from_mapping`."""
    return {f.name: _plain(getattr(config, f.name)) for f in dataclasses.fields(config)}


def load(path: Path, kind: type[T] = RunConfig) -> T:  # type: ignore[assignment]
    """Return the config in a YAML file; ConfigError when the file cannot be read or a key is refused."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    try:
        return from_mapping(kind, values if values is not None else {})
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def dump(config: Any) -> str:
    """Return the config as YAML text that `load` reads back."""
    return yaml.safe_dump(to_mapping(config), sort_keys=False)


def _unknown_key(path: str, key: str, known: list[str]) -> str:
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'?" if near else f"known keys: {', '.join(known)}"
    return f"unknown key '{path}': {hint}"


def _convert(hint: Any, value: Any, where: str) -> Any:
    """Return `value` as the annotated type `hint`, or raise ConfigError naming `where`."""
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        options = typing.get_args(hint)
        if value is None and type(None) in options:
            return None
        return _convert(next(o for o in options if o is not type(None)), value, where)
    if origin is Literal:
        if value not in typing.get_args(hint):
            raise ConfigError(f"{where} must be one of {', '.join(map(str, typing.get_args(hint)))}, got {value!r}")
        return value
    if dataclasses.is_dataclass(hint):
        return from_mapping(typing.cast(type, hint), value, where)
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise ConfigError(f"{where} must be a list, got {value!r}")
        return tuple(_convert(typing.get_args(hint)[0], v, f"{where}[{i}]") for i, v in enumerate(value))
    return _convert_scalar(hint, value, where)


def _convert_scalar(hint: type, value: Any, where: str) -> Any:
    if hint is Path and isinstance(value, str):
        return Path(value)
    if hint is float and not isinstance(value, bool):
        try:
            return float(value)  # YAML takes 1e-3, which has no point, for text
        except (TypeError, ValueError, OverflowError):
            pass
    if not isinstance(value, hint) or (hint is not bool and isinstance(value, bool)):
        raise ConfigError(f"{where} must be {hint.__name__}, got {value!r}")
    return value


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return to_mapping(value)
    if isinstance(value, Path):
        return str(value)
    return [_plain(one) for one in value] if isinstance(value, tuple) else value
