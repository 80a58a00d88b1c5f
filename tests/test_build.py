from __future__ import annotations

from dataclasses import replace
from typing import Literal

import pytest

from slamfront.build import resolve
from slamfront.config import ExtractorConfig, MatcherConfig, RunConfig
from slamfront.errors import ConfigError


def resolved(extractor: ExtractorConfig, matcher: MatcherConfig) -> tuple[str, str, str]:
    config = resolve(replace(RunConfig(), device="cpu", extractor=extractor, matcher=matcher))
    return config.extractor.kind, config.matcher.kind, config.matcher.weights


def test_keypoints_and_matches_are_learned_unless_told_otherwise() -> None:
    assert resolved(ExtractorConfig(), MatcherConfig()) == ("superpoint", "lightglue", "lightglue-lite")
    assert resolved(ExtractorConfig(), MatcherConfig(kind="nearest")) == ("superpoint", "nearest", "")


def test_keypoints_that_no_matcher_learned_on_are_matched_to_the_nearest() -> None:
    foreign = ExtractorConfig(kind="superpoint", weights="superpoint_v6")
    assert resolved(foreign, MatcherConfig()) == ("superpoint", "nearest", "")
    assert resolved(ExtractorConfig(kind="orb"), MatcherConfig()) == ("orb", "nearest", "")


@pytest.mark.parametrize("kind", ["lightglue", "superglue"])
def test_the_official_sizes_match_each_other_where_they_are_asked_for(kind: Literal["lightglue", "superglue"]) -> None:
    official = ExtractorConfig(kind="superpoint", weights="superpoint")
    assert resolved(official, MatcherConfig()) == ("superpoint", "nearest", "")
    assert resolved(official, MatcherConfig(kind=kind)) == ("superpoint", kind, kind)


def test_a_learned_matcher_has_the_weights_that_learned_on_the_keypoints() -> None:
    assert resolved(ExtractorConfig(), MatcherConfig(kind="lightglue"))[1:] == ("lightglue", "lightglue-lite")
    foreign = ExtractorConfig(kind="superpoint", weights="superpoint_v6")
    assert resolved(foreign, MatcherConfig(kind="lightglue")) == ("superpoint", "lightglue", "")
    assert resolved(ExtractorConfig(), MatcherConfig(kind="lightglue", weights="mine.pt"))[2] == "mine.pt"


def test_a_learned_matcher_without_learned_keypoints_is_refused() -> None:
    with pytest.raises(ConfigError, match="needs extractor.kind superpoint"):
        resolved(ExtractorConfig(kind="sift"), MatcherConfig(kind="lightglue"))
