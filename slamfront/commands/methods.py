"""What the commands share that measure extractors and matchers side by side."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.progress import Progress

from slamfront.build import build_extractor, build_matcher, resolve
from slamfront.config import ExtractorConfig, MatcherConfig, RunConfig, from_mapping, to_mapping
from slamfront.errors import ConfigError, OutputError
from slamfront.evaluation.matching.comparison import Picture
from slamfront.evaluation.matching.methods import Competitor, InGroup, Method, PerfectMatching, Recent
from slamfront.evaluation.matching.pairs import ImagePair, PairReference
from slamfront.evaluation.matching.pictures import match_picture
from slamfront.protocols import Matcher

_WITHOUT_WEIGHTS = ("orb", "sift", "nearest", "dual-softmax")


def configs_of(compare: Sequence[str], base: RunConfig) -> dict[str, RunConfig]:
    """Return the resolved configuration of each that is compared, by its name in the report; `base` alone without any.

    Each is named as PART[+PART], an extractor and a matcher, with a PART as KIND[:WEIGHTS][,KEY=VALUE ...]. Raises
    ConfigError for what cannot be, and for one that is named twice.
    """
    configs = [resolve(_named(spec, base)) for spec in compare] or [resolve(base)]
    names = list(compare) or [_name(configs[0])]
    if len(set(names)) < len(names):
        raise ConfigError(f"--compare names one of {', '.join(names)} twice")
    return dict(zip(names, configs, strict=True))


def methods_of(configs: dict[str, RunConfig]) -> list[Method]:
    """Return the methods of resolved configurations; those with the same extractor share it and what it finds.

    Raises WeightsError when weights are missing.
    """
    extractors: dict[tuple[ExtractorConfig, str], Recent] = {}
    methods = []
    for name, config in configs.items():
        key = config.extractor, config.device
        if key not in extractors:
            extractors[key] = Recent(build_extractor(config))
        matcher = build_matcher(config)
        methods.append(Method(name, extractors[key], matcher, _layers(matcher, config.matcher)))
    return methods


def perfect_of(methods: Sequence[Method]) -> list[PerfectMatching]:
    """Return for each extractor of methods what the truth would match."""
    first: dict[int, PerfectMatching] = {}
    for one in methods:
        first.setdefault(id(one.extractor), PerfectMatching(f"{one.name.partition('+')[0]}+truth", one))
    return list(first.values())


def parts_of(config: RunConfig) -> dict[str, Any]:
    """Return the part of a configuration that decides features and matches, for a report."""
    return {part: to_mapping(getattr(config, part)) for part in ("extractor", "matcher")}


def report_folder(output: Path | None, prefix: str) -> Path:
    """Return the folder for the report, made at once, so that nobody waits for figures that cannot be kept."""
    folder = output or Path("runs") / time.strftime(f"{prefix}-%Y%m%d-%H%M%S")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {folder}: {error.strerror}") from error
    return folder


def pictures_of(
    chosen: Sequence[tuple[PairReference[ImagePair], InGroup]],
    methods: Sequence[Competitor],
    max_distance_px: float,
) -> list[Picture]:
    """Return a picture of the matches of each method on each of the pairs, given with one of its results."""
    pictures = []
    for reference, result in chosen:
        pair = reference.load()
        for one in methods:
            content = match_picture(one.match(pair, max_distance_px))
            pictures.append(Picture(reference.name, result.group, one.name, content))
    return pictures


def keypoints_told(config: ExtractorConfig) -> str:
    """Return how many keypoints are taken and which, as a sentence."""
    chosen = [f"{name} {value:g}" for name in ("grid", "crowding") if (value := getattr(config, name)) is not None]
    which = "the strongest" if 0 in (config.grid, config.crowding) else f"spread as {', '.join(chosen) or 'by default'}"
    return f"At most {config.max_keypoints} keypoints of an image, {which}."


@contextmanager
def pair_progress(total: int) -> Iterator[Callable[[int], None]]:
    """Give what shows how many pairs are done, on stderr where that is a terminal."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("pairs", total=total)
        yield lambda done: progress.update(task, completed=done)


def _named(spec: str, base: RunConfig) -> RunConfig:
    """Return the configuration that a name of `configs_of` stands for."""
    extractor, _, matcher = spec.partition("+")
    config = replace(base, extractor=_part(base.extractor, extractor, f"--compare {spec}: extractor"))
    return replace(config, matcher=_part(base.matcher, matcher, f"--compare {spec}: matcher")) if matcher else config


def _part(base: Any, text: str, where: str) -> Any:
    """Return a part's configuration with what KIND[:WEIGHTS][,KEY=VALUE ...] changes."""
    (named, *options) = text.split(",")
    kind, _, weights = named.partition(":")
    values: dict[str, Any] = {"kind": kind, **({"weights": weights} if weights else {})}
    for option in options:
        key, mark, value = option.partition("=")
        if not mark:
            raise ConfigError(f"{where}: '{option}' must be KEY=VALUE")
        try:
            values[key] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise ConfigError(f"{where}: '{value}' is no value") from error
    part = from_mapping(type(base), values, where)
    if weights and part.kind in _WITHOUT_WEIGHTS:
        raise ConfigError(f"{where}: {kind} has no weights")
    return replace(base, **{key: getattr(part, key) for key in values})


def _name(config: RunConfig) -> str:
    extractor, matcher = config.extractor.kind, config.matcher.kind
    return extractor if matcher == "nearest" else f"{extractor}+{matcher}"


def _layers(matcher: Matcher, config: MatcherConfig) -> Callable[[], int] | None:
    """Return what tells how many layers a matcher's last match took, where it does."""
    if config.kind != "lightglue":
        return None
    from slamfront.matching.lightglue import LightGlueMatcher

    assert isinstance(matcher, LightGlueMatcher)
    return lambda: matcher.layers_run
