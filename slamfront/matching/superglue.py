"""SuperGlue as a matcher."""

from __future__ import annotations

import torch

from slamfront.config import MatcherConfig
from slamfront.matching.learned import LearnedMatcher, matching_network
from slamfront.models.superglue import SuperGlue


class SuperGlueMatcher(LearnedMatcher):
    """Matches by a graph network and optimal transport (Sarlin et al., CVPR 2020); see `LearnedMatcher`."""

    name = "superglue"

    def __init__(
        self,
        config: MatcherConfig,
        device: torch.device | str = "cpu",
        network: SuperGlue | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """Take `config.weights`, or the network given, to the device in its fastest data type or the one given.

        Raises WeightsError when the weights are missing or not SuperGlue's.
        """
        network = matching_network(config, SuperGlue, "superglue") if network is None else network
        super().__init__(network, network.dim, config.threshold, device, dtype)
