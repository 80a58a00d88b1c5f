"""The configuration: frozen dataclasses, each default written here and nowhere else.

A YAML file or command-line options override defaults; an unknown key is an error that names the nearest known one.
Every number has a range beside it, which holds however the number came: from a file, an option or a program. What is
out of it has no meaning, or asks for more memory or time than any machine has.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import os
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar

import yaml
from annotated_types import Interval

from slamfront.errors import ConfigError
from slamfront.reading import MOST_YAML_BYTES, brief, load_yaml, read_text

T = TypeVar("T")

Share = Annotated[float, Interval(ge=0, le=1)]
"""A part of a whole."""
Count = Annotated[int, Interval(ge=0, le=10**9)]
"""How many, with no limit but that of what is counted."""
Several = Annotated[int, Interval(ge=1, le=1000)]
"""How many of what each takes time or memory."""


class Settings:
    """Base of settings: whatever makes one, each value has its field's type and is within its field's range.

    `section` is the dotted path of a class in the whole configuration, by which errors name its keys. A path may be
    given as text. Raises ConfigError.
    """

    section: ClassVar[str] = ""

    def __init_subclass__(cls, section: str = "") -> None:
        cls.section = section

    def __post_init__(self) -> None:
        for name, hint in hints_of(type(self)).items():
            value = _convert(hint, getattr(self, name), f"{self.section}.{name}".lstrip("."))
            object.__setattr__(self, name, value)


@dataclass(frozen=True)
class SourceConfig(Settings, section="source"):
    """Which frames are taken, and how they are prepared."""

    start: Count = 0
    """First frame to take, counted from 0."""
    end: Annotated[int, Interval(ge=1, le=10**9)] | None = None
    """Frame to stop before; None takes all."""
    stride: Annotated[int, Interval(ge=1, le=10**6)] = 1
    """Take every n-th frame."""
    width: Annotated[int, Interval(ge=16, le=2560)] | None = None
    """Resample frames to this width, px; the height follows, and the calibration is scaled."""
    calibration: Path | None = None
    """Calibration file, where the source has none or another is wanted."""
    depth_unit_m: Annotated[float, Interval(ge=1e-6, le=1)] | None = None
    """What one step of a depth image stands for, m, such as 0.001; None takes what the calibration file says
    (DepthMapFactor), else what is usual for that kind of dataset."""
    mask: Path | None = None
    """Picture of the size of the recorded frames that is black where nothing may be used: a robot's arm, a bonnet, a
    time stamp. For all frames; for stereo that of the left camera."""
    right_mask: Path | None = None
    """The same for the right camera (stereo)."""
    prefetch: Annotated[int, Interval(ge=0, le=64)] = 4
    """Frames read ahead by a thread."""


@dataclass(frozen=True)
class ExtractorConfig(Settings, section="extractor"):
    """How keypoints are found and described."""

    kind: Literal["auto", "orb", "sift", "superpoint", "dedode"] = "auto"
    """`auto` takes SuperPoint where weights are installed that may be used freely, else ORB. `dedode` takes keypoints
    of one kind and descriptors of another, by default DeDoDe's, whose weights are yours to fetch."""
    max_keypoints: Annotated[int, Interval(ge=1, le=20000)] = 1000
    """Most keypoints of an image."""
    grid: Annotated[int, Interval(ge=0, le=256)] | None = None
    """Keypoints are spread over this many columns of cells; 0 takes the strongest wherever they are. None takes 8 for
    SuperPoint, 16 for ORB and SIFT, and 0 for DeDoDe."""
    crowding: Annotated[float, Interval(ge=0, le=100)] | None = None
    """Each stronger keypoint in its cell makes a keypoint count for exp(-crowding) as much: more spreads them more
    evenly, and 100 lets cells take turns. None takes .05 for SuperPoint, whose scores tell how surely a keypoint is
    found again, and turns for ORB and SIFT, whose scores do not."""
    levels: Annotated[int, Interval(ge=1, le=16)] = 8
    """Pyramid levels (ORB)."""
    scale_factor: Annotated[float, Interval(ge=1.01, le=2)] = 1.2
    """Size ratio of neighbouring pyramid levels (ORB)."""
    threshold: Share = 0.005
    """Smallest score of a keypoint (SuperPoint)."""
    nms_radius: Annotated[int, Interval(ge=0, le=64)] = 4
    """No two keypoints are closer than this, px (SuperPoint)."""
    octaves: Annotated[int, Interval(ge=1, le=5)] = 1
    """Sizes in which an image is searched, each half of the one before: with 2 or 3 what is seen from two or four times
    as far is found again, in up to a third more time, but less of what is seen from as near (SuperPoint)."""
    subpixel: bool = True
    """Refine keypoints below the pixel (SuperPoint, and DeDoDe's after suppression)."""
    weights: str = "superpoint-lite"
    """Name of known weights, or a checkpoint file (SuperPoint)."""
    engine: Literal["torch", "openvino"] = "torch"
    """What runs the network; OpenVINO, an optional extra, is faster on CPUs but seconds later to start (SuperPoint)."""
    detector: Literal["dedode", "superpoint", "orb", "sift"] = "dedode"
    """Whose keypoints are taken (kind dedode)."""
    descriptor: Literal["dedode", "superpoint"] = "dedode"
    """Whose descriptors are taken at them (kind dedode)."""
    detector_weights: str = "dedode_detector_L_v2"
    """Name of known weights, or a checkpoint file, of DeDoDe's detector, L or B, or of DaD's, S (kind dedode)."""
    descriptor_weights: str = "dedode_descriptor_B"
    """The same of DeDoDe's descriptor, B or G (kind dedode)."""
    patch_weights: str = "dinov2_vitl14"
    """The same of DINOv2, which descriptor G is built on (kind dedode)."""
    sampling: Literal["auto", "coverage", "suppression"] = "auto"
    """How DeDoDe's keypoints are chosen: weak ones far from others before those in crowds, as DeDoDe does it, or the
    strongest of 3x3 pixels, as DaD does. `auto` takes the second for detector S."""
    resize: Literal["none", "longer", "square"] = "none"
    """What DeDoDe's networks are given: the image as it is, or resized to `resize_px`, its longer side (DaD: 1024) or
    both, whatever its shape (DeDoDe: 784)."""
    resize_px: Annotated[int, Interval(ge=16, le=2560)] = 784
    """Side of a resized image, px (kind dedode)."""


@dataclass(frozen=True)
class MatcherConfig(Settings, section="matcher"):
    """How two sets of features are matched."""

    kind: Literal["auto", "nearest", "dual-softmax", "superglue", "lightglue"] = "auto"
    """`auto` takes LightGlue for superpoint-lite's keypoints, dual softmax for DeDoDe's descriptors, which learned with
    it, else nearest neighbours: these are much quicker than networks, and lose more frames where the camera leaps."""
    ratio: Share = 0.85
    """Best distance over second best, at most (nearest)."""
    threshold: Share | None = None
    """Smallest matching score (SuperGlue, LightGlue, dual softmax); None takes that of their authors: .2, .1 and .1."""
    sharpness: Annotated[float, Interval(ge=0.1, le=1000)] = 20.0
    """What cosines are multiplied by before the softmax (dual softmax): DeDoDe's descriptors learned with 20."""
    adaptive: bool = True
    """Stop after the first layer that is sure, and drop hopeless keypoints on the way (LightGlue)."""
    weights: str = ""
    """Name of known weights, or a checkpoint file; empty takes those that were trained with the extractor's."""


Association = Literal["flow", "projection", "matcher"]


@dataclass(frozen=True)
class TrackerConfig(Settings, section="tracker"):
    """When a frame counts as tracked, and how its pose is found."""

    min_inliers: Annotated[int, Interval(ge=4, le=10**6)] = 15
    """Fewest landmarks that agree with a pose."""
    search_radius_px: Annotated[float, Interval(ge=1, le=1000)] = 12.0
    """Radius of the search for a projected landmark."""
    max_error_px: Annotated[float, Interval(ge=0.1, le=100)] = 4.0
    """Largest reprojection error of an inlier where a pose is found by RANSAC."""
    max_position_sigma: Annotated[float, Interval(ge=0, le=1000)] = 0.033
    """Largest standard deviation of a pose's position, in median depths of its landmarks: three of them are the tenth
    of the depth from which on a pose is wrong."""
    max_rotation_sigma_deg: Annotated[float, Interval(ge=0, le=180)] = 1.67
    """Largest standard deviation of a pose's rotation, degrees: three of them are the 5 degrees from which on it is
    wrong."""
    local_keyframes: Several = 20
    """Keyframes whose landmarks are projected into a frame."""
    max_landmarks: Annotated[int, Interval(ge=1, le=100_000)] = 400
    """Most landmarks looked for in a frame by their patches."""
    association: Association = "flow"
    """How landmarks are looked for in a frame at first: by optical flow from the frame before, so that features are
    extracted for keyframes and where that fails only; among the frame's features near where motion puts them; or by
    matching its features with the reference keyframe's. Where the first fails the others are tried."""
    max_depth_baselines: Annotated[float, Interval(ge=1, le=1e6)] = 60.0
    """Depths beyond this many baselines do not start a landmark (stereo)."""
    max_depth_m: Annotated[float, Interval(ge=0.01, le=1e6)] = 6.0
    """Depths beyond this do not start a landmark (RGB-D)."""


@dataclass(frozen=True)
class GuessConfig(Settings, section="guess"):
    """How far poses of other odometry, which a program pushes with its frames, may be off: standard deviations. The
    defaults are those of good wheels or a good inertial sensor, with a margin for what is between it and the camera.
    """

    turning_share: Share = 0.03
    """Of what was turned."""
    turning_deg_per_s: Annotated[float, Interval(ge=0, le=180)] = 0.3
    """Degrees a second."""
    moving_share: Share = 0.05
    """Of the way that was gone."""
    moving_m_per_s: Annotated[float, Interval(ge=0, le=1000)] = 0.01
    """Metres a second."""


@dataclass(frozen=True)
class KeyframeConfig(Settings, section="keyframes"):
    """When a frame becomes a keyframe, and when a keyframe is no longer worth its place."""

    tracked_ratio: Share = 0.75
    """A keyframe is due when fewer landmarks are tracked than this share of the reference keyframe's."""
    max_interval: Annotated[int, Interval(ge=1, le=10**9)] = 30
    """Frames after which a keyframe is due if the backend is idle."""
    min_interval: Count = 2
    """Fewest frames between keyframes, unless tracking is weak."""
    cull_redundancy: Share = 0.9
    """A keyframe goes when this share of its landmarks is seen by three others."""
    max_neighbours: Several = 20
    """Most keyframes that share landmarks with a new one; where there are more, the most redundant go."""


@dataclass(frozen=True)
class LoopConfig(Settings, section="loops"):
    """What is done when a place is seen again that the camera left long ago."""

    enabled: bool = True
    """Close loops, wherever windows are adjusted."""
    candidates: Several = 3
    """Most places that are compared with a new keyframe."""
    consistent: Several = 3
    """Keyframes in a row that must look like a place before it is compared landmark by landmark."""
    min_inliers: Annotated[int, Interval(ge=4, le=10**6)] = 40
    """Fewest landmarks of the place that agree."""
    max_drift: Annotated[float, Interval(ge=0, le=100)] = 0.1
    """Largest error of the map that a loop may reveal, as a share of the way around it, or of how far away the camera
    sees where that is more; twice that with a single camera."""


@dataclass(frozen=True)
class MapsConfig(Settings, section="maps"):
    """What is done when tracking is lost, and nothing of the map is seen again for long."""

    enabled: bool = True
    """Begin a new map, and keep the old one until its place is seen again: then both become one."""
    new_after_s: Annotated[float, Interval(ge=0, le=1e9)] = 3.0
    """Seconds of frames without a known place before a new map is begun: longer than a hand covers the lens, and
    several times what finding a known place takes."""
    most: Several = 10
    """Maps that are kept apart at most: with so many, none is begun any more."""


@dataclass(frozen=True)
class BackendConfig(Settings, section="backend"):
    """Bundle adjustment."""

    kind: Literal["gtsam", "isam2", "none"] = "gtsam"
    """Windowed bundle adjustment, incremental smoothing, or none."""
    window: Annotated[int, Interval(ge=2, le=1000)] = 10
    """Keyframes that are optimised together."""
    max_iterations: Several = 8
    """Levenberg-Marquardt iterations of a local window."""
    huber_px: Annotated[float, Interval(ge=0.01, le=1e9)] = 2.0
    """Huber threshold in standard deviations of a measurement."""
    final: bool = True
    """Adjust the whole map when the run ends."""
    final_iterations: Several = 30
    """Levenberg-Marquardt iterations of the final adjustment."""
    patience_s: Annotated[float, Interval(ge=1, le=3600)] = 15.0
    """A backend process that makes no progress for so long is given up, and the run goes on without its answer. One
    that only has much to do is waited for: this is many times what it may be kept from the processor."""


@dataclass(frozen=True)
class ViewerConfig(Settings, section="viewer"):
    """What is shown while running."""

    kind: Literal["none", "open3d"] = "none"
    """A window needs a display; without one the run says so and goes on."""
    record: Path | None = None
    """Render offscreen to this video (.mp4) or folder of frames."""


@dataclass(frozen=True)
class RunConfig(Settings):
    """Everything that decides a run."""

    sensor: Literal["auto", "mono", "stereo", "rgbd"] = "auto"
    """`auto` takes the most that the source offers."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where networks run."""
    threads: bool = True
    """Run source, front and backend side by side; without, in one loop that is repeatable to the last digit."""
    seed: Annotated[int, Interval(ge=0, le=2**31 - 1)] = 0
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
    guess: GuessConfig = field(default_factory=GuessConfig)
    keyframes: KeyframeConfig = field(default_factory=KeyframeConfig)
    backend: BackendConfig = field(default_factory=BackendConfig)
    loops: LoopConfig = field(default_factory=LoopConfig)
    maps: MapsConfig = field(default_factory=MapsConfig)
    viewer: ViewerConfig = field(default_factory=ViewerConfig)


def from_mapping(kind: type[T], values: Any, where: str = "") -> T:
    """Return the dataclass `kind` made from nested mappings such as a YAML file gives.

    Raises ConfigError naming the key: unknown (with the nearest known one), of the wrong type, out of its range, or not
    one of the choices. `where` is the dotted path of `values` in the whole configuration.
    """
    if not isinstance(values, dict):
        raise ConfigError(f"{where or 'the configuration'} must be a mapping of keys to values, got {brief(values)}")
    hints = hints_of(kind)
    for key in values:
        if key not in hints:
            name = key if isinstance(key, str) else brief(key)
            raise ConfigError(_unknown_key(f"{where}.{name}".lstrip("."), name, list(hints)))
    converted = {key: _convert(hints[key], value, f"{where}.{key}".lstrip(".")) for key, value in values.items()}
    try:
        return kind(**converted)
    except TypeError as error:
        raise ConfigError(f"{where or 'the configuration'}: {error}") from error


def hints_of(kind: Any) -> dict[str, Any]:
    """Return the annotated type of each field of a dataclass, with its range."""
    return _hints_of(kind)


@functools.cache
def _hints_of(kind: Any) -> dict[str, Any]:
    hints = typing.get_type_hints(kind, include_extras=True)
    return {f.name: hints[f.name] for f in dataclasses.fields(kind)}


def to_mapping(config: Any) -> dict[str, Any]:
    """Return nested plain mappings of a config dataclass, fit for YAML; the inverse of `from_mapping`."""
    return {f.name: _plain(getattr(config, f.name)) for f in dataclasses.fields(config)}


def load(path: Path | str, kind: type[T] = RunConfig) -> T:  # type: ignore[assignment]
    """Return the config in a YAML file; ConfigError when the file cannot be read or a key is refused."""
    path = Path(path)
    values = load_yaml(read_text(path, ConfigError, MOST_YAML_BYTES), ConfigError, path)
    try:
        return from_mapping(kind, values if values is not None else {})
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def dump(config: Any) -> str:
    """Return the config as YAML text that `load` reads back."""
    return yaml.safe_dump(to_mapping(config), sort_keys=False)


def _unknown_key(path: str, key: str, known: list[str]) -> str:
    near = difflib.get_close_matches(key[:100], known, n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'?" if near else f"known keys: {', '.join(known)}"
    return f"unknown key '{path[:100]}': {hint}"


def _convert(hint: Any, value: Any, where: str) -> Any:
    """Return `value` as the annotated type `hint`, or raise ConfigError naming `where`."""
    origin = typing.get_origin(hint)
    if origin is Annotated:
        base, *notes = typing.get_args(hint)
        converted = _convert(base, value, where)
        for note in notes:
            if isinstance(note, Interval):
                _check_range(note, converted, where)
        return converted
    if origin in (typing.Union, types.UnionType):
        options = typing.get_args(hint)
        if value is None and type(None) in options:
            return None
        return _convert(next(o for o in options if o is not type(None)), value, where)
    if origin is Literal:
        choices = typing.get_args(hint)
        if not isinstance(value, str) or value not in choices:
            raise ConfigError(f"{where} must be one of {', '.join(map(str, choices))}, got {brief(value)}")
        return value
    if dataclasses.is_dataclass(hint):
        return (
            value if isinstance(value, typing.cast(type, hint)) else from_mapping(typing.cast(type, hint), value, where)
        )
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise ConfigError(f"{where} must be a list, got {brief(value)}")
        return tuple(_convert(typing.get_args(hint)[0], v, f"{where}[{i}]") for i, v in enumerate(value))
    return _convert_scalar(hint, value, where)


def _convert_scalar(hint: Any, value: Any, where: str) -> Any:
    if hint is Any:
        return value
    if hint is Path and isinstance(value, (str, os.PathLike)):
        if "\0" in os.fspath(value):
            raise ConfigError(f"{where} holds a zero byte: no file has such a name")
        return Path(value)
    if hint is float and not isinstance(value, bool):
        try:
            return float(value)  # YAML takes 1e-3, which has no point, for text
        except (TypeError, ValueError, OverflowError):
            pass
    if hint is int and type(value).__module__ == "numpy" and hasattr(value, "__index__"):
        return int(value)
    if not isinstance(value, hint) or (hint is not bool and isinstance(value, bool)):
        raise ConfigError(f"{where} must be {hint.__name__}, got {brief(value)}")
    return value


def check_ranges(options: Any) -> None:
    """Raise ConfigError for a number of a command's options that is out of the range beside its field."""
    for name, hint in hints_of(type(options)).items():
        _check_hint(hint, getattr(options, name), f"--{name.replace('_', '-')}")


def _check_hint(hint: Any, value: Any, where: str) -> None:
    if typing.get_origin(hint) is tuple and isinstance(value, tuple):
        for one in value:
            _check_hint(typing.get_args(hint)[0], one, where)
    elif typing.get_origin(hint) in (typing.Union, types.UnionType) and value is not None:
        _check_hint(next(one for one in typing.get_args(hint) if one is not type(None)), value, where)
    elif typing.get_origin(hint) is Annotated:
        for note in typing.get_args(hint)[1:]:
            if isinstance(note, Interval):
                _check_range(note, value, where)


def _check_range(interval: Interval, value: Any, where: str) -> None:
    low, high = interval.ge, interval.le
    if not (low <= value <= high):  # NaN is in no range
        raise ConfigError(f"{where} must be {low} to {high}, got {brief(value)}")


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return to_mapping(value)
    if isinstance(value, Path):
        return str(value)
    return [_plain(one) for one in value] if isinstance(value, tuple) else value
