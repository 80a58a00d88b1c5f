"""Dual softmax of descriptors as a matcher."""

from __future__ import annotations

import numpy as np
import torch

from slamfront.config import MatcherConfig
from slamfront.errors import ConfigError
from slamfront.models.dual_softmax import dual_softmax, mutual_matches
from slamfront.types import Features, Matches

# DeDoDe's authors recommend it, and take .01 where they count poses from tens of thousands of keypoints
_THRESHOLD = 0.1


class DualSoftmax:
    """Pairs that are each other's most probable match, by the product of two softmaxes (DeDoDe, equation 12)."""

    def __init__(self, config: MatcherConfig, device: torch.device | str = "cpu") -> None:
        """Take threshold and sharpness of the configuration."""
        self._threshold = _THRESHOLD if config.threshold is None else config.threshold
        self._sharpness, self._device = config.sharpness, torch.device(device)

    @torch.no_grad()
    def match(self, first: Features, second: Features) -> Matches:
        """Return one-to-one matches whose probability, their score, is above the threshold, by their row in `first`.

        Any number of keypoints will do, also none; of equal descriptors the first is taken. Raises ConfigError for bits
        and where the two were not described alike.
        """
        if first.binary or second.binary:
            raise ConfigError("matcher.kind dual-softmax needs descriptors of floats, and these are bits, as ORB's are")
        if first.descriptors.shape[1:] != second.descriptors.shape[1:]:
            raise ConfigError("features of two kinds cannot be matched: use one extractor for both")
        # Copies: the arrays are read-only, which tensors cannot be
        one, other = (torch.tensor(features.descriptors, device=self._device) for features in (first, second))
        found = mutual_matches(dual_softmax(one, other, self._sharpness), self._threshold)
        pairs, scores = (tensor.cpu().numpy() for tensor in found)
        kept = _first_of_each(pairs)
        return Matches(pairs[kept].astype(np.int64), scores[kept].astype(np.float32))


def _first_of_each(pairs: np.ndarray) -> np.ndarray:
    """Return the rows of pairs (K,2) of which neither part is in one taken before; rows that tie have all columns."""
    taken: list[int] = []
    firsts: set[int] = set()
    seconds: set[int] = set()
    for row, (i, j) in enumerate(pairs.tolist()):
        if i not in firsts and j not in seconds:
            firsts.add(i)
            seconds.add(j)
            taken.append(row)
    return np.array(taken, np.int64)
