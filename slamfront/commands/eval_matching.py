"""`slamfront eval-matching`: matchers on pairs of images whose geometry is known, planes and whole scenes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Interval
from tyro.conf import Positional, arg

from slamfront.commands.known_pairs import KnownPairs, plane_pairs, rendered_pairs, sequence_pairs
from slamfront.commands.methods import (
    configs_of,
    keypoints_told,
    methods_of,
    pair_progress,
    parts_of,
    perfect_of,
    pictures_of,
    report_folder,
)
from slamfront.commands.parsing import Flag, parse
from slamfront.config import ExtractorConfig, MatcherConfig, RunConfig, Share, SourceConfig
from slamfront.environment import environment
from slamfront.errors import ConfigError
from slamfront.evaluation.matching.comparison import Compared
from slamfront.evaluation.matching.features import MatchingProtocol
from slamfront.evaluation.matching.frame_pairs import Overlap
from slamfront.evaluation.matching.homographies import PhotographProtocol
from slamfront.evaluation.matching.methods import Aligned, Competitor, Method, judged_pairs
from slamfront.evaluation.matching.pairs import evenly_spread
from slamfront.evaluation.matching.pictures import informative_pairs
from slamfront.evaluation.matching.quality import DIFFICULTIES, PUBLISHED, PoseEstimator, PoseProtocol, matching_result
from slamfront.evaluation.matching.report import Times, matching_comparison
from slamfront.evaluation.matching.times import matching_times
from slamfront.solve.essential import opencv_pose, poselib_pose
from slamfront.sources.guess import open_source
from slamfront.training.data.rendered_file import holds_views

_ESTIMATORS: dict[str, PoseEstimator] = {"PoseLib": poselib_pose, "OpenCV": opencv_pose}
_PUBLISHED_WIDTH = 640


@dataclass(frozen=True)
class EvalMatching:
    """Measure matches: precision, recall, the homographies and poses that follow from them, and time.

    PAIRS is a folder as of eval-features (HPatches, images with homographies, photographs), what
    tools/render_pairs.py made, or with --gaps or --overlap a posed sequence as of run.
    """

    pairs: Annotated[str, Positional, arg(metavar="PAIRS")]
    """What to measure on."""
    gaps: tuple[Annotated[int, Interval(ge=1, le=10**6)], ...] = ()
    """Take pairs of frames of a sequence, so many frames apart."""
    overlap: tuple[Share, ...] = ()
    """Take pairs of frames of a sequence with depth of which a share between these two is seen in either, such as 0.4
    0.8, however many frames apart."""
    protocol: Literal["own", "published"] = "own"
    """`published` measures poses as papers do on ScanNet since SuperGlue: images at a width of 640 px, the direction of
    every pair counts, and the epipolar precision is that at a squared symmetric epipolar distance of 5e-4."""
    compare: tuple[str, ...] = ()
    """Compare several, each as EXTRACTOR[:WEIGHTS][+MATCHER[:WEIGHTS]], either with options of its own, such as
    superpoint+nearest,ratio=0.85 superpoint+lightglue,adaptive=false; the others hold for all. Without, it is the one
    that they give."""
    truth: Flag = False
    """Measure for each extractor what a perfect matcher would reach too: keypoints matched by the truth, those that are
    each other's nearest. What it falls short of is up to where keypoints lie."""
    align: Literal["no", "all", "trusted"] = "no"
    """Measure each with its matches aligned too: moved, in the second image, to where that shows what the first shows.
    Those that cannot be aligned stay where they are, or are left out."""
    output: Path | None = None
    """Folder for report.html and report.json; runs/matching-TIME without it."""
    count: Annotated[int, Interval(ge=1, le=10**6)] = 50
    """Most rendered pairs, or first frames of a sequence, evenly spread over it, or pairs of its frames by overlap."""
    counts: tuple[Annotated[int, Interval(ge=1, le=20000)], ...] = (256, 512, 1024)
    """Measure the time with so many keypoints; none leaves that out."""
    timed: Annotated[int, Interval(ge=1, le=10**5)] = 10
    """Pairs that time by number of keypoints is measured on, evenly spread."""
    short_side: Annotated[int, Interval(ge=16, le=4096)] | None = None
    """Resample HPatches and images with homographies to this short side, px; as they are without it."""
    pictures: Annotated[int, Interval(ge=0, le=1000)] = 3
    """Pairs of each kind whose matches are drawn, from the worst to the best."""
    sensor: Literal["auto", "mono", "stereo", "rgbd"] = "auto"
    """What frames of a sequence carry; depth tells where points lie in the other frame."""
    time_offset_ms: Annotated[float, Interval(ge=-1e12, le=1e12)] = 0.0
    """Is added to the times of a sequence's frames where its truth is looked up: clocks of two devices may differ."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where networks run."""
    source: SourceConfig = field(default_factory=SourceConfig)
    extractor: ExtractorConfig = field(default_factory=lambda: ExtractorConfig(max_keypoints=512))
    matcher: MatcherConfig = field(default_factory=lambda: MatcherConfig(kind="nearest", ratio=1.0))
    matching: MatchingProtocol = field(default_factory=MatchingProtocol)
    pose: PoseProtocol = field(default_factory=PoseProtocol)
    photographs: PhotographProtocol = field(default_factory=PhotographProtocol)


def main(arguments: Sequence[str]) -> None:
    """Measure, print the figures, and write the report."""
    given = parse(EvalMatching, arguments, "eval-matching")
    _check(given)
    if given.protocol == "published":
        given = replace(given, pose=PUBLISHED, source=replace(given.source, width=_PUBLISHED_WIDTH))
    configs = configs_of(
        given.compare, RunConfig(device=given.device, extractor=given.extractor, matcher=given.matcher)
    )
    pairs = _pairs(given)
    report = report_folder(given.output, "matching") / "report.html"
    methods = methods_of(configs)
    beside = _beside(given, methods, configs)
    competitors = [*methods, *(one for one, _ in beside)]
    parts = [*map(parts_of, configs.values()), *(part for _, part in beside)]
    with pair_progress(len(pairs.references)) as watch:
        judge = partial(matching_result, protocol=given.matching, pose=given.pose, estimators=_ESTIMATORS)
        results = judged_pairs(pairs.references, competitors, given.matching.max_distance_px, judge, watch)
    times = [*_times(given, pairs, configs), *([] for _ in beside)]
    compared = [Compared(one.name, part, found) for one, part, found in zip(competitors, parts, results, strict=True)]
    print(matching_comparison(compared, times).text())
    chosen = [(pairs.references[row], results[0][row]) for row in informative_pairs(results, given.pictures)]
    pictures = pictures_of(chosen, competitors, given.matching.max_distance_px)
    matching_comparison(compared, times, pictures).write(
        report,
        protocol=[pairs.told, *_protocol(given)],
        title=f"Matching on {Path(given.pairs).name}",
        environment=environment(),
    )
    print(f"report     {report}")


def _check(given: EvalMatching) -> None:
    if given.gaps and given.source.stride != 1:
        raise ConfigError("--gaps says how many frames apart the frames of a pair are: --source.stride must be 1")
    if given.gaps and given.overlap:
        raise ConfigError("--gaps and --overlap are two ways to choose pairs of frames: give one of them")
    if given.overlap and (len(given.overlap) != 2 or given.overlap[0] >= given.overlap[1]):
        raise ConfigError("--overlap needs the least and the greatest share, as in --overlap 0.4 0.8")
    if given.protocol == "published" and not (given.gaps or given.overlap):
        raise ConfigError("--protocol published measures frames of a sequence: it needs --gaps or --overlap")


def _pairs(given: EvalMatching) -> KnownPairs:
    """Return the pairs that are named."""
    path = Path(given.pairs).expanduser()
    if given.gaps or given.overlap:
        source = open_source(given.pairs, replace(given.source, prefetch=0), given.sensor)
        chosen = Overlap(*given.overlap) if given.overlap else given.gaps
        return sequence_pairs(source, chosen, given.count, given.source.start, given.time_offset_ms)
    if path.is_file() or holds_views(path):
        return rendered_pairs(path, given.count)
    return plane_pairs(path, given.photographs, given.short_side)


def _beside(
    given: EvalMatching, methods: Sequence[Method], configs: dict[str, RunConfig]
) -> list[tuple[Competitor, dict[str, Any]]]:
    """Return what is measured beside the methods, with what a report tells of each."""
    beside: list[tuple[Competitor, dict[str, Any]]] = []
    if given.align != "no":
        for one, config in zip(methods, configs.values(), strict=True):
            beside.append((Aligned(one, given.align == "trusted"), {**parts_of(config), "aligned": given.align}))
    if given.truth:
        beside += [(one, {"matcher": "the truth"}) for one in perfect_of(methods)]
    return beside


def _times(given: EvalMatching, pairs: KnownPairs, configs: dict[str, RunConfig]) -> Times:
    """Return the times by number of keypoints, with extractors that find the most that is asked for."""
    if not given.counts:
        return [[] for _ in configs]
    most = max(given.counts)
    larger = {
        name: replace(config, extractor=replace(config.extractor, max_keypoints=most))
        for name, config in configs.items()
    }
    timed = [pairs.references[row] for row in evenly_spread(len(pairs.references), given.timed)]
    return matching_times(timed, methods_of(larger), sorted(given.counts))


def _protocol(given: EvalMatching) -> list[str]:
    """Return how it was measured, in sentences."""
    easy, medium = DIFFICULTIES["easy"], DIFFICULTIES["medium"]
    return [
        f"{keypoints_told(given.extractor)} {given.matching.describe('Precision and recall')}",
        "Where depth is known, it carries points of the first image into the second; matches of points without a depth "
        "are not judged. The epipolar precision is the share of matches within that distance of each other's epipolar "
        "line under the true pose, in both images, where nothing else is said below.",
        given.pose.describe(list(_ESTIMATORS)),
        f"Overlap is the smaller of the shares of either image that the other shows as well: easy pairs have at least "
        f"{easy:.2f}, medium ones {medium:.2f}, hard ones less. Times are medians of matching alone, features given: "
        "processor time of all threads, and time on the clock.",
    ]
