"""`slamfront eval-features`: features and matchers on pairs of images with a known homography between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Interval
from tyro.conf import Positional, arg

from slamfront.commands.methods import (
    configs_of,
    keypoints_told,
    methods_of,
    pair_progress,
    parts_of,
    pictures_of,
    report_folder,
)
from slamfront.commands.parsing import Flag, parse
from slamfront.config import ExtractorConfig, MatcherConfig, RunConfig
from slamfront.environment import environment
from slamfront.evaluation.matching.comparison import Compared
from slamfront.evaluation.matching.feature_report import feature_comparison
from slamfront.evaluation.matching.features import MatchingProtocol, pair_result
from slamfront.evaluation.matching.folders import Ladder, PairFolder, open_pairs
from slamfront.evaluation.matching.homographies import PhotographProtocol
from slamfront.evaluation.matching.methods import judged_pairs
from slamfront.evaluation.matching.pictures import informative_pairs


@dataclass(frozen=True)
class EvalFeatures:
    """Measure features and matches on images of planes: repeatability, precision, recall, and homographies.

    FOLDER holds HPatches (i_*/v_* folders), images with homographies (1.png .. and H_1_2 .., or img1.ppm .. and H1to2p
    ..), or photographs, of which pairs are made by seeded homographies and changes of light.
    """

    folder: Annotated[Path, Positional, arg(metavar="FOLDER")]
    """What to measure on."""
    compare: tuple[str, ...] = ()
    """Compare several, each as EXTRACTOR[:WEIGHTS][+MATCHER[:WEIGHTS]], either with options of its own, such as orb
    superpoint+lightglue sift+nearest,ratio=0.8; the others hold for all. Without, it is the one that they give."""
    output: Path | None = None
    """Folder for report.html and report.json; runs/features-TIME without it."""
    short_side: Annotated[int, Interval(ge=16, le=4096)] | None = None
    """Resample HPatches and images with homographies to this short side, px; as they are without it."""
    apart: Flag = False
    """Measure photographs with the viewpoint and with the light changed alone as well."""
    scales: tuple[Annotated[float, Interval(ge=0.05, le=1)], ...] = ()
    """Measure photographs against themselves at these sizes instead, such as 0.71 0.5 0.35."""
    rotations: tuple[Annotated[float, Interval(ge=-180, le=180)], ...] = ()
    """Measure photographs against themselves turned by so many degrees instead, such as 15 30 45 90."""
    pictures: Annotated[int, Interval(ge=0, le=1000)] = 3
    """Pairs of each kind whose matches are drawn, from the worst to the best."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where networks run."""
    extractor: ExtractorConfig = field(default_factory=lambda: ExtractorConfig(max_keypoints=512))
    matcher: MatcherConfig = field(default_factory=lambda: MatcherConfig(kind="nearest", ratio=1.0))
    matching: MatchingProtocol = field(default_factory=MatchingProtocol)
    photographs: PhotographProtocol = field(default_factory=PhotographProtocol)


def main(arguments: Sequence[str]) -> None:
    """Measure, print the figures, and write the report."""
    given = parse(EvalFeatures, arguments, "eval-features")
    pairs = open_pairs(
        given.folder, given.photographs, given.short_side, given.apart, Ladder(given.scales, given.rotations)
    )
    configs = configs_of(
        given.compare, RunConfig(device=given.device, extractor=given.extractor, matcher=given.matcher)
    )
    report = report_folder(given.output, "features") / "report.html"
    methods = methods_of(configs)
    with pair_progress(len(pairs.references)) as watch:
        judge = partial(pair_result, protocol=given.matching)
        results = judged_pairs(pairs.references, methods, given.matching.max_distance_px, judge, watch)
    compared = [
        Compared(name, parts_of(one), found) for (name, one), found in zip(configs.items(), results, strict=True)
    ]
    print(feature_comparison(compared).text())
    chosen = [(pairs.references[row], results[0][row]) for row in informative_pairs(results, given.pictures)]
    pictures = pictures_of(chosen, methods, given.matching.max_distance_px)
    feature_comparison(compared, pictures).write(
        report,
        protocol=_protocol(given, pairs),
        title=f"Features on {given.folder.resolve().name}",
        environment=environment(),
    )
    print(f"report     {report}")


def _protocol(given: EvalFeatures, pairs: PairFolder) -> list[str]:
    """Return how it was measured, in sentences."""
    return [
        f"{len(pairs.references)} pairs of images of {given.folder.resolve().name}. "
        + pairs.describe(given.photographs, given.short_side),
        f"{keypoints_told(given.extractor)} {given.matching.describe()}",
    ]
