from __future__ import annotations

from dataclasses import replace
from typing import Literal

import pytest

from slamfront.build import resolve
from slamfront.config import ExtractorConfig, MatcherConfig, RunConfig, TrackerConfig
from slamfront.errors import ConfigError


def resolved(extractor: ExtractorConfig, matcher: MatcherConfig) -> tuple[str, str, str]:
    config = resolve(replace(RunConfig(), device="cpu", extractor=extractor, matcher=matcher))
    return config.extractor.kind, config.matcher.kind, config.matcher.weights


def test_keypoints_are_learned_and_matched_to_the_nearest_unless_told_otherwise() -> None:
    assert resolved(ExtractorConfig(), MatcherConfig()) == ("superpoint", "nearest", "")
    assert resolved(ExtractorConfig(kind="orb"), MatcherConfig()) == ("orb", "nearest", "")


def test_a_learned_matcher_has_the_weights_that_learned_on_the_keypoints() -> None:
    assert resolved(ExtractorConfig(), MatcherConfig(kind="lightglue"))[1:] == ("lightglue", "lightglue-lite")
    foreign = ExtractorConfig(kind="superpoint", weights="superpoint_v6")
    assert resolved(foreign, MatcherConfig(kind="lightglue")) == ("superpoint", "lightglue", "")
    assert resolved(ExtractorConfig(), MatcherConfig(kind="lightglue", weights="mine.pt"))[2] == "mine.pt"


def test_a_learned_matcher_without_learned_keypoints_is_refused() -> None:
    with pytest.raises(ConfigError, match="needs extractor.kind superpoint"):
        resolved(ExtractorConfig(kind="sift"), MatcherConfig(kind="lightglue"))


@pytest.mark.parametrize(
    ("device", "matcher", "association"),
    [("cpu", "lightglue", "flow"), ("cuda", "nearest", "flow"), ("cuda", "lightglue", "matcher")],
)
def test_every_frame_is_matched_where_a_learned_matcher_runs_on_a_gpu(
    device: Literal["cpu", "cuda"], matcher: Literal["nearest", "lightglue"], association: str
) -> None:
    config = replace(RunConfig(), device=device, matcher=MatcherConfig(kind=matcher))
    assert resolve(config).tracker.association == association
    chosen = replace(config, tracker=TrackerConfig(association="projection"))
    assert resolve(chosen).tracker.association == "projection", "what is chosen stays"
