"""Everything that decides a run, and the file it comes from."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from annotated_types import Interval

from slamfront.config.backend import BackendConfig
from slamfront.config.features import ExtractorConfig, MatcherConfig
from slamfront.config.loops import LoopConfig, MapsConfig
from slamfront.config.mapping import KeyframeConfig
from slamfront.config.pose import SmoothingConfig
from slamfront.config.settings import Expert, Settings, from_mapping, to_mapping
from slamfront.config.source import SourceConfig
from slamfront.config.tracking import GuessConfig, TrackerConfig
from slamfront.errors import ConfigError
from slamfront.reading import MOST_YAML_BYTES, load_yaml, read_text

T = TypeVar("T")


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
    smoothing: Annotated[SmoothingConfig, Expert] = field(default_factory=SmoothingConfig)
    viewer: ViewerConfig = field(default_factory=ViewerConfig)


def load(path: Path | str, kind: type[T] = RunConfig) -> T:  # type: ignore[assignment]
    """Return the config in a YAML file; ConfigError when the file cannot be read or a key is refused."""
    path = Path(path)
    values = load_yaml(read_text(path, ConfigError, MOST_YAML_BYTES), ConfigError, path)
    try:
        return from_mapping(kind, values if values is not None else {})
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def dump(config: Any, expert: bool = True) -> str:
    """Return the config as YAML text that `load` reads back; without `expert`, sections for experts that are as by
    default are left out.
    """
    return yaml.safe_dump(to_mapping(config, expert), sort_keys=False)
