"""Extractors and matchers side by side on the same pairs of images."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, Protocol, TypeVar

import numpy as np

from slamfront.errors import EvaluationError
from slamfront.evaluation.matching.metrics import true_correspondences
from slamfront.evaluation.matching.pairs import ImagePair, PairReference
from slamfront.patches import align_matches
from slamfront.protocols import Extractor, Matcher
from slamfront.types import BoolArray, Features, FloatArray, Image, Matches

_KEPT = 8

PairT = TypeVar("PairT", bound=ImagePair)
ResultT = TypeVar("ResultT", bound="InGroup")


class InGroup(Protocol):
    """A result that is reported together with others of its group."""

    @property
    def group(self) -> str:
        """What the pairs have in common that are reported together."""
        ...


class Recent:
    """An extractor that remembers the last few images, which several pairs and several methods share."""

    def __init__(self, extractor: Extractor) -> None:
        self._extractor = extractor
        self._known: OrderedDict[int, tuple[Image, Features]] = OrderedDict()

    def extract(self, image: Image) -> Features:
        """Return the features of a grey image (H,W), which nobody changes afterwards."""
        # The entry holds the image, so that no other can have its id
        if id(image) not in self._known:
            self._known[id(image)] = image, self._extractor.extract(image)
            if len(self._known) > _KEPT:
                self._known.popitem(last=False)
        self._known.move_to_end(id(image))
        return self._known[id(image)][1]


@dataclass(frozen=True, slots=True, eq=False)
class TimedMatches:
    """Matches, and what finding them took: processor time of all threads, time on the clock, and, where the matcher
    tells, the number of its layers that ran.
    """

    matches: Matches
    processor_ms: float
    wall_ms: float
    layers: int | None


class FoundPair(NamedTuple):
    """The features of a pair of images that count, and their matches."""

    first: Features
    second: Features
    found: TimedMatches


@dataclass(frozen=True, slots=True, eq=False)
class MatchedPair(Generic[PairT]):
    """A pair of images with the features that count and their matches.

    errors_px   (K,) how far each match is from where its first point lies in the second image: infinite where it is
                not seen there, nan where that is not known
    right       (K,) which matches are near enough; judged  (K,) of which that is known
    """

    pair: PairT
    first: Features
    second: Features
    found: TimedMatches
    errors_px: FloatArray
    right: BoolArray

    @property
    def matches(self) -> Matches:
        """The matches."""
        return self.found.matches

    @property
    def judged(self) -> BoolArray:
        """Of which matches it is known whether they are right."""
        return ~np.isnan(self.errors_px)


class Competitor(Protocol):
    """What is compared: it finds features and matches them."""

    name: str

    def match(self, pair: PairT, max_distance_px: float) -> MatchedPair[PairT]:
        """Return the pair's features that count, and their matches, which are right within `max_distance_px`."""
        ...


class Method:
    """An extractor and a matcher under one name; `layers` tells how many layers the last match took."""

    def __init__(
        self, name: str, extractor: Extractor, matcher: Matcher, layers: Callable[[], int] | None = None
    ) -> None:
        self.name, self.extractor = name, extractor
        self._matcher, self._layers = matcher, layers
        self._last: tuple[ImagePair, FoundPair] | None = None

    def features(self, pair: ImagePair) -> tuple[Features, Features]:
        """Return the pair's features that count."""
        return pair.prepared(self.extractor.extract(pair.first), self.extractor.extract(pair.second))

    def found(self, pair: ImagePair) -> FoundPair:
        """Return the pair's features that count, and their matches; the last pair's are remembered."""
        if self._last is None or self._last[0] is not pair:
            first, second = self.features(pair)
            self._last = pair, FoundPair(first, second, self.timed(first, second))
        return self._last[1]

    def timed(self, first: Features, second: Features) -> TimedMatches:
        """Return matches and the time they took."""
        processor_s, wall_s = time.process_time(), time.perf_counter()
        matches = self._matcher.match(first, second)
        wall_ms, processor_ms = 1e3 * (time.perf_counter() - wall_s), 1e3 * (time.process_time() - processor_s)
        return TimedMatches(matches, processor_ms, wall_ms, None if self._layers is None else self._layers())

    def match(self, pair: PairT, max_distance_px: float) -> MatchedPair[PairT]:
        """Return the pair's features that count, and their matches, which are right within `max_distance_px`."""
        return _judged(pair, *self.found(pair), max_distance_px)


class Aligned:
    """A method whose matches are moved in the second image to where it shows what the first shows.

    trusted_only    leave out the matches that could not be aligned, which otherwise stay where they are
    """

    def __init__(self, method: Method, trusted_only: bool) -> None:
        self.name = f"{method.name}, aligned"
        self._method, self._trusted_only = method, trusted_only

    def match(self, pair: PairT, max_distance_px: float) -> MatchedPair[PairT]:
        """Return the pair's features that count, and their matches, which are right within `max_distance_px`."""
        first, second, found = self._method.found(pair)
        points = found.matches.pixels(first, second)
        if pair.shutters is not None:  # images show what the rolling shutter made of it
            points = pair.shutters[0].to_image(points[0]), pair.shutters[1].to_image(points[1])
        processor_s, wall_s = time.process_time(), time.perf_counter()
        aligned_xy, trusted = align_matches(pair.first, pair.second, *points)
        processor_ms = found.processor_ms + 1e3 * (time.process_time() - processor_s)
        wall_ms = found.wall_ms + 1e3 * (time.perf_counter() - wall_s)
        if pair.shutters is not None:
            aligned_xy = pair.shutters[1].to_middle(aligned_xy)
        second = second.moved(found.matches.indices[:, 1], aligned_xy)
        matches = found.matches.take(trusted) if self._trusted_only else found.matches
        return _judged(pair, first, second, TimedMatches(matches, processor_ms, wall_ms, found.layers), max_distance_px)


class PerfectMatching:
    """A method's keypoints matched by the truth, those that are each other's nearest.

    What a matcher cannot pass: the rest is up to where keypoints lie.
    """

    def __init__(self, name: str, method: Method) -> None:
        self.name = name
        self._method = method

    def match(self, pair: PairT, max_distance_px: float) -> MatchedPair[PairT]:
        """Return the pair's features that count, and which the truth puts within `max_distance_px` of each other.

        Raises EvaluationError where the truth tells of no keypoint where it is in the second image.
        """
        first, second = self._method.features(pair)
        warp = pair.warp(np.asarray(first.keypoints_xy, np.float64))
        if len(first) and not warp.known.any():
            raise EvaluationError("perfect matches are known of pairs with a homography or with depth alone")
        carried = np.where(warp.known[:, None], warp.points_xy, np.nan)
        partners = true_correspondences(carried, np.asarray(second.keypoints_xy, np.float64), max_distance_px)
        rows = np.flatnonzero(partners >= 0)
        matches = Matches(np.stack((rows, partners[rows]), axis=1), np.ones(len(rows), np.float32))
        return _judged(pair, first, second, TimedMatches(matches, np.nan, np.nan, None), max_distance_px)


def _judged(
    pair: PairT, first: Features, second: Features, found: TimedMatches, max_distance_px: float
) -> MatchedPair[PairT]:
    from_xy, to_xy = found.matches.pixels(first, second)
    warp = pair.warp(from_xy)
    errors = np.linalg.norm(warp.points_xy - to_xy, axis=1)
    errors = np.where(warp.known, np.where(np.isnan(errors), np.inf, errors), np.nan)
    return MatchedPair(pair, first, second, found, errors, errors <= max_distance_px)


def judged_pairs(
    references: Sequence[PairReference[PairT]],
    methods: Sequence[Competitor],
    max_distance_px: float,
    judge: Callable[[MatchedPair[PairT], PairReference[PairT]], ResultT],
    watch: Callable[[int], None] = lambda done: None,
) -> list[list[ResultT]]:
    """Return for each method what `judge` says of all pairs, in their order; `watch` is told how many are done.

    Raises EvaluationError without pairs, and what loading a pair raises.
    """
    if not references:
        raise EvaluationError("there are no pairs of images to evaluate")
    results: list[list[ResultT]] = [[] for _ in methods]
    for done, reference in enumerate(references, start=1):
        pair = reference.load()
        for method, found in zip(methods, results):
            found.append(judge(method.match(pair, max_distance_px), reference))
        watch(done)
    return results


def grouped(results: Sequence[ResultT]) -> dict[str, list[ResultT]]:
    """Return the results by group, in the order in which the groups first come."""
    groups: dict[str, list[ResultT]] = {}
    for result in results:
        groups.setdefault(result.group, []).append(result)
    return groups


def known_mean(values: Sequence[float]) -> float:
    """Return the mean of the values that are finite; nan without any."""
    array = np.asarray(values, np.float64)
    known = array[np.isfinite(array)]
    return float(known.mean()) if len(known) else float("nan")
