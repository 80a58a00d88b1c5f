"""LightGlue as a matcher."""

from __future__ import annotations

from typing import cast

from torch import Tensor

from slamfront.config import MatcherConfig
from slamfront.matching.learned import LearnedMatcher, matching_network
from slamfront.models.assignment import ImagePoints
from slamfront.models.lightglue import LightGlue


class LightGlueMatcher(LearnedMatcher[LightGlue]):
    """Matches by attention that stops as soon as it is sure (Lindenberger et al., ICCV 2023); see `LearnedMatcher`.

    layers_run      number of layers that the last match took; all of them where `config.adaptive` is off
    """

    name = "lightglue"
    layers_run = 0

    def _load(self, config: MatcherConfig) -> LightGlue:
        return matching_network(config, LightGlue)

    def _descriptor_dim_of(self, network: LightGlue) -> int:
        return cast(int, LightGlue.config_of(network.state_dict())["input_dim"])

    def _run(self, first: ImagePoints, second: ImagePoints) -> tuple[Tensor, Tensor]:
        match, threshold = self._network.match, self._config.threshold
        if self._config.adaptive:
            found = match(first, second, threshold)
        else:
            found = match(first, second, threshold, depth_confidence=None, width_confidence=None)
        self.layers_run = found.stop_layer
        return found.matches0, found.scores0.float()
