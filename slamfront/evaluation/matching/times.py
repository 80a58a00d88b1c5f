"""How long matching takes, by the number of keypoints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from slamfront.evaluation.matching.methods import Method, TimedMatches, known_mean
from slamfront.evaluation.matching.pairs import ImagePair, PairReference
from slamfront.types import Features


@dataclass(frozen=True, slots=True)
class MatchTime:
    """Medians over pairs of the time that matching alone takes, after a first match that does not count.

    asked       most keypoints of an image; keypoints   their mean number, less where an image has not as many
    layers      mean number that ran, nan where the matcher does not tell
    """

    asked: int
    keypoints: float
    pairs: int
    processor_ms: float
    wall_ms: float
    layers: float


def matching_times(
    references: Sequence[PairReference[ImagePair]], methods: Sequence[Method], counts: Sequence[int]
) -> list[list[MatchTime]]:
    """Return for each method the times with each number of keypoints: the strongest of those that it finds."""
    times: list[list[MatchTime]] = [[] for _ in methods]
    pairs = [reference.load() for reference in references]
    for method, of_method in zip(methods, times):
        features = [method.features(pair) for pair in pairs]
        for count in counts:
            chosen = [(strongest(first, count), strongest(second, count)) for first, second in features]
            method.timed(*chosen[0])
            of_method.append(_summary(count, chosen, [method.timed(*pair) for pair in chosen]))
    return times


def strongest(features: Features, count: int) -> Features:
    """Return the `count` features of the highest scores, in their order."""
    return features.take(np.sort(np.argsort(-features.scores, kind="stable")[:count]))


def _summary(count: int, chosen: Sequence[tuple[Features, Features]], timed: Sequence[TimedMatches]) -> MatchTime:
    return MatchTime(
        asked=count,
        keypoints=float(np.mean([len(features) for pair in chosen for features in pair])),
        pairs=len(timed),
        processor_ms=float(np.median([one.processor_ms for one in timed])),
        wall_ms=float(np.median([one.wall_ms for one in timed])),
        layers=known_mean([np.nan if one.layers is None else one.layers for one in timed]),
    )
