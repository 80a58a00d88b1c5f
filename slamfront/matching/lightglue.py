"""LightGlue as a matcher."""

from __future__ import annotations

from typing import cast

import torch

from slamfront.config import MatcherConfig
from slamfront.matching.learned import LearnedMatcher, matching_network
from slamfront.models.lightglue import LightGlue


class LightGlueMatcher(LearnedMatcher):
    """Matches by attention that stops as soon as it is sure (Lindenberger et al., ICCV 2023); see `LearnedMatcher`."""

    name = "lightglue"

    def __init__(
        self,
        config: MatcherConfig,
        device: torch.device | str = "cpu",
        network: LightGlue | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """Take `config.weights`, or the network given, to the device in its fastest data type or the one given.

        Raises WeightsError when the weights are missing or not LightGlue's.
        """
        network = matching_network(config, LightGlue, "lightglue") if network is None else network
        descriptor_dim = cast(int, LightGlue.config_of(network.state_dict())["input_dim"])
        super().__init__(network, descriptor_dim, config.threshold, device, dtype)
