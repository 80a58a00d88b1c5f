"""`slamfront eval-matching`: matchers on pairs of images whose geometry is known, planes and whole scenes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from tyro.conf import Positional, arg

from slamfront.commands.contestants import (
    configs_of,
    contestants_of,
    keypoints_told,
    pair_progress,
    parts_of,
    pictures_of,
    report_folder,
)
from slamfront.commands.parsing import parse
from slamfront.config import ExtractorConfig, MatcherConfig, RunConfig, SourceConfig
from slamfront.environment import environment
from slamfront.errors import ConfigError, SourceError
from slamfront.evaluation.comparison import Compared
from slamfront.evaluation.features import MatchingProtocol
from slamfront.evaluation.homographies import PhotographProtocol
from slamfront.evaluation.match_pictures import telling_pairs
from slamfront.evaluation.match_quality import (
    DIFFICULTIES,
    KnownPair,
    PoseEstimator,
    PoseProtocol,
    evaluate_matching,
)
from slamfront.evaluation.match_report import Times, matching_text, write_match_report
from slamfront.evaluation.match_times import matching_times
from slamfront.evaluation.pairs import PairReference, PosedPair, Warp
from slamfront.solve.essential import opencv_pose, poselib_pose
from slamfront.sources.frame_pairs import frame_pairs
from slamfront.sources.guess import open_source
from slamfront.sources.homographies import open_pairs
from slamfront.training.rendered import RenderedPair
from slamfront.training.rendered_file import RenderedPairs
from slamfront.types import FloatArray

_ESTIMATORS: dict[str, PoseEstimator] = {"PoseLib": poselib_pose, "OpenCV": opencv_pose}

References = Sequence[PairReference[KnownPair]]


@dataclass(frozen=True)
class EvalMatching:
    """Measure matches: precision, recall, the homographies and poses that follow from them, and time.

    PAIRS is a folder as of eval-features (HPatches, images with homographies, photographs), a file of
    tools/render_pairs.py, or with --gaps a posed sequence as of run.
    """

    pairs: Annotated[str, Positional, arg(metavar="PAIRS")]
    """What to measure on."""
    gaps: tuple[int, ...] = ()
    """Take pairs of frames of a sequence, so many frames apart."""
    compare: tuple[str, ...] = ()
    """Compare several, each as EXTRACTOR[:WEIGHTS][+MATCHER[:WEIGHTS]], either with options of its own, such as
    superpoint+nearest,ratio=0.85 superpoint+lightglue,adaptive=false; the others hold for all. Without, it is the one
    that they give."""
    output: Path | None = None
    """Folder for report.html and report.json; runs/matching-TIME without it."""
    count: int = 50
    """Most rendered pairs, or first frames of a sequence, evenly spread over it."""
    counts: tuple[int, ...] = (256, 512, 1024)
    """Measure the time with so many keypoints; none leaves that out."""
    timed: int = 10
    """Pairs that time by number of keypoints is measured on, evenly spread."""
    short_side: int | None = None
    """Resample HPatches and images with homographies to this short side, px; as they are without it."""
    pictures: int = 3
    """Pairs of each kind whose matches are drawn, from the worst to the best."""
    sensor: Literal["auto", "mono", "stereo", "rgbd"] = "auto"
    """What frames of a sequence carry; depth tells where points lie in the other frame."""
    time_offset_ms: float = 0.0
    """Is added to the times of a sequence's frames where its truth is looked up: clocks of two devices may differ."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where networks run."""
    source: SourceConfig = field(default_factory=SourceConfig)
    extractor: ExtractorConfig = field(default_factory=lambda: ExtractorConfig(max_keypoints=512, grid=0))
    matcher: MatcherConfig = field(default_factory=lambda: MatcherConfig(kind="nearest", ratio=1.0))
    matching: MatchingProtocol = field(default_factory=MatchingProtocol)
    pose: PoseProtocol = field(default_factory=PoseProtocol)
    photographs: PhotographProtocol = field(default_factory=PhotographProtocol)


def main(arguments: Sequence[str]) -> None:
    """Measure, print the figures, and write the report."""
    given = parse(EvalMatching, arguments, "eval-matching")
    _check(given)
    configs = configs_of(
        given.compare, RunConfig(device=given.device, extractor=given.extractor, matcher=given.matcher)
    )
    references, told = _references(given)
    report = report_folder(given.output, "matching") / "report.html"
    contestants = contestants_of(configs)
    with pair_progress(len(references)) as watch:
        results = evaluate_matching(references, contestants, given.matching, given.pose, _ESTIMATORS, watch)
    times = _times(given, references, configs)
    compared = [
        Compared(name, parts_of(one), found) for (name, one), found in zip(configs.items(), results, strict=True)
    ]
    print(matching_text(compared, times))
    chosen = [(references[row], results[0][row]) for row in telling_pairs(results, given.pictures)]
    write_match_report(
        compared,
        times,
        report,
        protocol=[told, *_protocol(given)],
        pictures=pictures_of(chosen, contestants, given.matching.max_distance_px),
        title=f"Matching on {_title(given)}",
        environment=environment(),
    )
    print(f"report     {report}")


def _check(given: EvalMatching) -> None:
    if given.pictures < 0 or (given.short_side is not None and given.short_side < 16):
        raise ConfigError("--pictures must be 0 or more, and --short-side 16 px or more")
    if min(given.count, given.timed, *given.counts) < 1:
        raise ConfigError("--count, --timed and each of --counts must be 1 or more")
    if given.gaps and given.source.stride != 1:
        raise ConfigError("--gaps says how many frames apart the frames of a pair are: --source.stride must be 1")


def _references(given: EvalMatching) -> tuple[References, str]:
    """Return the pairs, and where they are from, in sentences."""
    path = Path(given.pairs).expanduser()
    if given.gaps:
        source = open_source(given.pairs, replace(given.source, prefetch=0), given.sensor)
        offset_ns = round(1e6 * given.time_offset_ms)
        found = frame_pairs(source, given.gaps, given.count, given.source.start, offset_ns)
        left_out = (
            f" {found.left_out} pairs are left out for want of a frame or its true pose." if found.left_out else ""
        )
        return found.references, (
            f"{len(found.references)} pairs of frames of {source.name}, {' and '.join(map(str, given.gaps))} apart, "
            f"evenly spread. Poses are the sequence's truth, interpolated to the frames' times "
            f"{given.time_offset_ms:+g} ms.{left_out}"
        )
    if path.is_file():
        pairs = RenderedPairs(path)
        rows = np.unique(np.linspace(0, len(pairs) - 1, given.count).round().astype(int)).tolist()
        references = [PairReference(f"pair {row}", "rendered", partial(_rendered, pairs, row)) for row in rows]
        return references, (
            f"{len(references)} pairs of rendered views, {pairs.size[0]}x{pairs.size[1]} px, with exact depth and pose "
            f"({pairs.origin})."
        )
    try:
        folder = open_pairs(path, given.photographs, given.short_side)
    except SourceError as error:
        raise SourceError(f"{error}; pairs of a sequence's frames need --gaps") from error
    described = folder.describe(given.photographs, given.short_side)
    return folder.references, f"{len(folder.references)} pairs of images of {path.name}. {described}"


def _rendered(pairs: RenderedPairs, row: int) -> PosedPair:
    """Return a rendered pair, whose depth is exact."""
    pair = pairs[row]
    first_depth_m = pair.depths_m[0]
    known = first_depth_m[first_depth_m > 0]
    return PosedPair(
        pair.images[0],
        pair.images[1],
        pair.cameras,
        pair.second_from_first,
        surface=partial(_warp, pair),
        overlap=min(pair.overlap(), pair.reversed().overlap()),
        depth_m=float(np.median(known)) if len(known) else None,
    )


def _warp(pair: RenderedPair, points_xy: FloatArray) -> Warp:
    warped, seen = pair.warp(points_xy)
    return Warp(np.where(seen[:, None], warped, np.nan), np.ones(len(points_xy), np.bool_))


def _times(given: EvalMatching, references: References, configs: dict[str, RunConfig]) -> Times:
    """Return the times by number of keypoints, with extractors that find the most that is asked for."""
    if not given.counts:
        return [[] for _ in configs]
    most = max(given.counts)
    larger = {
        name: replace(config, extractor=replace(config.extractor, max_keypoints=most))
        for name, config in configs.items()
    }
    rows = np.unique(np.linspace(0, len(references) - 1, given.timed).round().astype(int)).tolist()
    return matching_times([references[row] for row in rows], contestants_of(larger), sorted(given.counts))


def _protocol(given: EvalMatching) -> list[str]:
    """Return how it was measured, in sentences."""
    easy, medium = DIFFICULTIES["easy"], DIFFICULTIES["medium"]
    return [
        f"{keypoints_told(given.extractor)} {given.matching.describe()}",
        "Where depth is known, it carries points of the first image into the second; matches of points without a depth "
        "are not judged. The epipolar precision is the share of matches within that distance of each other's epipolar "
        "line under the true pose, in both images.",
        given.pose.describe(list(_ESTIMATORS)),
        "Rolling shutters are undone by the true turning of the camera, before matching.",
        f"Overlap is the smaller of the shares of either image that the other shows as well: easy pairs have at least "
        f"{easy:.2f}, medium ones {medium:.2f}, hard ones less. Times are medians of matching alone, features given: "
        "processor time of all threads, and time on the clock.",
    ]


def _title(given: EvalMatching) -> str:
    return Path(given.pairs).name or given.pairs
