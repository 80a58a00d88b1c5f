from __future__ import annotations

from dataclasses import replace

import pytest

from slamfront.build import resolve
from slamfront.config import ExtractorConfig, MatcherConfig, RunConfig
from slamfront.errors import ConfigError


def resolved(extractor: ExtractorConfig, matcher: MatcherConfig) -> tuple[str, str, str]:
    config = resolve(replace(RunConfig(), device="cpu", extractor=extractor, matcher=matcher))
    return config.extractor.kind, config.matcher.kind, config.matcher.weights


def test_the_matcher_is_the_one_that_learned_on_the_keypoints() -> None:
    assert resolved(ExtractorConfig(), MatcherConfig()) == ("superpoint", "lightglue", "lightglue-lite")
    assert resolved(ExtractorConfig(kind="orb"), MatcherConfig()) == ("orb", "nearest", "")


def test_keypoints_without_a_matcher_of_their_own_have_nearest_neighbours() -> None:
    foreign = ExtractorConfig(kind="superpoint", weights="superpoint_v6")
    assert resolved(foreign, MatcherConfig()) == ("superpoint", "nearest", "")
    assert resolved(foreign, MatcherConfig(kind="lightglue")) == ("superpoint", "lightglue", "")


def test_what_is_asked_for_is_taken() -> None:
    assert resolved(ExtractorConfig(), MatcherConfig(kind="nearest"))[1:] == ("nearest", "")
    assert resolved(ExtractorConfig(), MatcherConfig(kind="lightglue"))[1:] == ("lightglue", "lightglue-lite")
    assert resolved(ExtractorConfig(), MatcherConfig(kind="lightglue", weights="mine.pt"))[2] == "mine.pt"


def test_a_learned_matcher_without_learned_keypoints_is_refused() -> None:
    with pytest.raises(ConfigError, match="needs extractor.kind superpoint"):
        resolved(ExtractorConfig(kind="sift"), MatcherConfig(kind="lightglue"))
