"""SuperGlue as a matcher."""

from __future__ import annotations

from torch import Tensor

from slamfront.config import MatcherConfig
from slamfront.matching.learned import LearnedMatcher, matching_network
from slamfront.models.assignment import ImagePoints
from slamfront.models.superglue import SuperGlue


class SuperGlueMatcher(LearnedMatcher[SuperGlue]):
    """Matches by a graph network and optimal transport (Sarlin et al., CVPR 2020); see `LearnedMatcher`."""

    name = "superglue"

    def _load(self, config: MatcherConfig) -> SuperGlue:
        return matching_network(config, SuperGlue)

    def _descriptor_dim_of(self, network: SuperGlue) -> int:
        return network.dim

    def _run(self, first: ImagePoints, second: ImagePoints) -> tuple[Tensor, Tensor]:
        found = self._network.match(first, second, self._config.threshold)
        return found.matches0, found.scores0.float()
