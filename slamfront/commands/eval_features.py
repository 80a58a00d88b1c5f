"""`slamfront eval-features`: features and matchers on pairs of images with a known homography between them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal

from rich.console import Console
from rich.progress import Progress
from tyro.conf import Positional, arg

from slamfront.build import build_extractor, build_matcher, resolve
from slamfront.commands.parsing import Flag, parse
from slamfront.config import ExtractorConfig, MatcherConfig, RunConfig, from_mapping, to_mapping
from slamfront.environment import environment
from slamfront.errors import ConfigError, OutputError
from slamfront.evaluation.feature_report import Compared, Picture, figures_text, write_feature_report
from slamfront.evaluation.features import Contestant, MatchingProtocol, evaluate_features
from slamfront.evaluation.homographies import PairReference, PhotographProtocol
from slamfront.evaluation.match_pictures import match_picture, telling_pairs
from slamfront.sources.homographies import PairFolder, open_pairs

_WITHOUT_WEIGHTS = ("orb", "sift", "nearest")


@dataclass(frozen=True)
class EvalFeatures:
    """Measure features and matches on images of planes: repeatability, precision, recall, and homographies.

    FOLDER holds HPatches (i_*/v_* folders), images with homographies (1.png .. and H_1_2 .., or img1.ppm .. and H1to2p
    ..), or photographs, of which pairs are made by seeded homographies and changes of light.
    """

    folder: Annotated[Path, Positional, arg(metavar="FOLDER")]
    """What to measure on."""
    compare: tuple[str, ...] = ()
    """Compare several, each as EXTRACTOR[:WEIGHTS][+MATCHER[:WEIGHTS]], such as orb superpoint+lightglue; the options
    hold for all. Without, it is the one that the options give."""
    output: Path | None = None
    """Folder for report.html and report.json; runs/features-TIME without it."""
    short_side: int | None = None
    """Resample HPatches and images with homographies to this short side, px; as they are without it."""
    apart: Flag = False
    """Measure photographs with the viewpoint and with the light changed alone as well."""
    pictures: int = 3
    """Pairs of each kind whose matches are drawn, from the worst to the best."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where networks run."""
    extractor: ExtractorConfig = field(default_factory=lambda: ExtractorConfig(max_keypoints=512, grid=0))
    matcher: MatcherConfig = field(default_factory=lambda: MatcherConfig(kind="nearest", ratio=1.0))
    matching: MatchingProtocol = field(default_factory=MatchingProtocol)
    photographs: PhotographProtocol = field(default_factory=PhotographProtocol)


def main(arguments: Sequence[str]) -> None:
    """Measure, print the figures, and write the report."""
    given = parse(EvalFeatures, arguments, "eval-features")
    if given.pictures < 0 or (given.short_side is not None and given.short_side < 16):
        raise ConfigError("--pictures must be 0 or more, and --short-side 16 px or more")
    pairs = open_pairs(given.folder, given.photographs, given.short_side, given.apart)
    configs = _configs(given)
    report = _folder(given.output) / "report.html"
    contestants = [Contestant(name, build_extractor(one), build_matcher(one)) for name, one in configs.items()]
    with _progress(len(pairs.references)) as watch:
        results = evaluate_features(pairs.references, contestants, given.matching, watch)
    compared = [
        Compared(name, {part: to_mapping(getattr(one, part)) for part in ("extractor", "matcher")}, found)
        for (name, one), found in zip(configs.items(), results, strict=True)
    ]
    print(figures_text(compared))
    shown = [pairs.references[row] for row in telling_pairs(results, given.pictures)]
    write_feature_report(
        compared,
        report,
        protocol=_protocol(given, pairs),
        pictures=_pictures(shown, contestants, given.matching.max_distance_px),
        title=f"Features on {given.folder.resolve().name}",
        environment=environment(),
    )
    print(f"report     {report}")


def _folder(output: Path | None) -> Path:
    """Return the folder for the report, made at once, so that nobody waits for figures that cannot be kept."""
    folder = output or Path("runs") / time.strftime("features-%Y%m%d-%H%M%S")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {folder}: {error.strerror}") from error
    return folder


def _configs(given: EvalFeatures) -> dict[str, RunConfig]:
    """Return the resolved configuration of each that is compared, by its name in the report."""
    base = RunConfig(device=given.device, extractor=given.extractor, matcher=given.matcher)
    configs = [resolve(_named(spec, base)) for spec in given.compare] or [resolve(base)]
    names = list(given.compare) or [_name(configs[0])]
    if len(set(names)) < len(names):
        raise ConfigError(f"--compare names one of {', '.join(names)} twice")
    return dict(zip(names, configs, strict=True))


def _named(spec: str, base: RunConfig) -> RunConfig:
    """Return the configuration that EXTRACTOR[:WEIGHTS][+MATCHER[:WEIGHTS]] names."""
    config = base
    for part, text in zip(("extractor", "matcher"), spec.split("+", 1)):
        kind, _, weights = text.partition(":")
        named = from_mapping(type(getattr(base, part)), {"kind": kind}, f"--compare {spec}: {part}").kind
        if weights and named in _WITHOUT_WEIGHTS:
            raise ConfigError(f"--compare {spec}: {kind} has no weights")
        changes = {"kind": named, "weights": weights} if weights else {"kind": named}
        config = replace(config, **{part: replace(getattr(base, part), **changes)})
    return config


def _name(config: RunConfig) -> str:
    extractor, matcher = config.extractor.kind, config.matcher.kind
    return extractor if matcher == "nearest" else f"{extractor}+{matcher}"


def _pictures(
    references: Sequence[PairReference], contestants: Sequence[Contestant], max_distance_px: float
) -> list[Picture]:
    pictures = []
    for reference in references:
        pair = reference.load()
        for one in contestants:
            content = match_picture(one.match(pair, max_distance_px))
            pictures.append(Picture(reference.name, reference.group, one.name, content))
    return pictures


def _protocol(given: EvalFeatures, pairs: PairFolder) -> list[str]:
    """Return how it was measured, in sentences."""
    size = "as they are" if given.short_side is None else f"with a short side of {given.short_side} px"
    images = given.photographs.describe() if pairs.kind == "photographs" else f"{pairs.kind}: images {size}."
    return [
        f"{len(pairs.references)} pairs of images of {given.folder.resolve().name}. {images}",
        f"At most {given.extractor.max_keypoints} keypoints of an image"
        + (", the strongest. " if given.extractor.grid == 0 else f", balanced over {given.extractor.grid} columns. ")
        + given.matching.describe(),
    ]


@contextmanager
def _progress(total: int) -> Iterator[Callable[[int], None]]:
    """Give what shows how many pairs are done, on stderr where that is a terminal."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("pairs", total=total)
        yield lambda done: progress.update(task, completed=done)
