"""What the learned matchers share: features as tensors on a device, and matches back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict
from typing import ClassVar, Generic, TypeVar

import numpy as np
import torch

from slamfront.config import MatcherConfig
from slamfront.errors import ConfigError, WeightsError
from slamfront.models.assignment import ImagePoints
from slamfront.models.checkpoints import load_network
from slamfront.models.lightglue import LightGlue
from slamfront.models.precision import prepare_for_inference
from slamfront.models.superglue import SuperGlue
from slamfront.types import Features, Matches

# Keyframes that are matched again and again, and the newest frames: about 0.5 MiB each
_KEPT = 16

MatchingNetwork = TypeVar("MatchingNetwork", SuperGlue, LightGlue)


class LearnedMatcher(ABC, Generic[MatchingNetwork]):
    """A matching network as a matcher.

    The tensors of features that come back, as a keyframe's do with every frame, stay on the device. An instance belongs
    to one thread, the front's: it neither locks nor may it run twice at a time.
    """

    name: ClassVar[str]

    def __init__(
        self,
        config: MatcherConfig,
        device: torch.device | str = "cpu",
        network: MatchingNetwork | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """Take `config.weights`, or the network given, to the device in its fastest data type or the one given.

        Raises WeightsError when the weights are missing or another network's.
        """
        network = self._load(config) if network is None else network
        self._config = config
        self._descriptor_dim = self._descriptor_dim_of(network)
        self._network: MatchingNetwork = prepare_for_inference(network, device, dtype)
        self._points: OrderedDict[int, tuple[Features, ImagePoints]] = OrderedDict()

    @torch.no_grad()
    def match(self, first: Features, second: Features) -> Matches:
        """Return mutual matches whose score, a probability, is above the threshold, ordered by their row in `first`.

        Any number of keypoints will do, also none. Raises ConfigError for descriptors that the network does not know.
        """
        found = self._run(self._points_of(first), self._points_of(second))
        partners, scores = (values.cpu().numpy() for values in found)
        rows = np.flatnonzero(partners >= 0)
        return Matches(np.column_stack([rows, partners[rows]]), scores[rows])

    @abstractmethod
    def _load(self, config: MatcherConfig) -> MatchingNetwork:
        """Return the network that the configuration names."""

    @abstractmethod
    def _descriptor_dim_of(self, network: MatchingNetwork) -> int:
        """Return the length of the descriptors that a network takes."""

    @abstractmethod
    def _run(self, first: ImagePoints, second: ImagePoints) -> tuple[torch.Tensor, torch.Tensor]:
        """Return for each point of the first image the row of its match, or -1, and its score, float32."""

    def _points_of(self, features: Features) -> ImagePoints:
        """Return the features as tensors on the device; the entry holds the features, so no other can have their id."""
        if id(features) not in self._points:
            self._check(features)
            self._points[id(features)] = features, self._upload(features)
            if len(self._points) > _KEPT:
                self._points.popitem(last=False)
        self._points.move_to_end(id(features))
        return self._points[id(features)][1]

    def _check(self, features: Features) -> None:
        if features.binary:
            found = "binary, as ORB gives them"
        elif features.descriptors.shape[1] != self._descriptor_dim:
            found = f"of {features.descriptors.shape[1]} numbers"
        else:
            return
        raise ConfigError(
            f"matcher.kind {self.name} needs SuperPoint's descriptors of {self._descriptor_dim} numbers, and these are "
            f"{found}: set extractor.kind to superpoint with weights of that size, or matcher.kind to nearest"
        )

    def _upload(self, features: Features) -> ImagePoints:
        weight = next(self._network.parameters())
        # Copies: the arrays are read-only, which tensors cannot be
        return ImagePoints(
            torch.tensor(features.keypoints_xy, device=weight.device),
            torch.tensor(features.descriptors).to(weight),
            torch.tensor(features.image_size, dtype=torch.float32, device=weight.device),
            torch.tensor(features.scores, device=weight.device),
        )


def matching_network(config: MatcherConfig, kind: type[MatchingNetwork]) -> MatchingNetwork:
    """Load the weights that the configuration names; WeightsError where it names none, or those of another kind."""
    if not config.weights:
        raise WeightsError(
            f"matcher.weights: no {kind.__name__} that learned on such keypoints comes with slamfront: name one"
        )
    network = load_network(config.weights)
    if not isinstance(network, kind):
        raise WeightsError(
            f"matcher.weights: {config.weights} holds a {type(network).__name__}, the matcher needs {kind.__name__}"
        )
    return network
