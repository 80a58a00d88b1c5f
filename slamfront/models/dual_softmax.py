"""Matching by dual softmax (Rocco et al., "Neighbourhood consensus networks", NeurIPS 2018; DeDoDe, equation 12)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

SHARPNESS = 20.0
"""The authors' inverse temperature."""


def dual_softmax(first: Tensor, second: Tensor, sharpness: float = SHARPNESS) -> Tensor:
    """Return probabilities (M,N) that descriptors (M,D) and (N,D), of any length, are each other's match.

    The product of the softmax over rows and that over columns of `sharpness` times the cosines.
    """
    similarity = sharpness * (F.normalize(first, dim=-1) @ F.normalize(second, dim=-1).T)
    return similarity.softmax(dim=0) * similarity.softmax(dim=1)


def mutual_matches(probabilities: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
    """Return the rows and columns (K,2) of probabilities (M,N) that are the largest of both, and above a threshold, and
    the probabilities (K,). Equal ones match twice.
    """
    if not probabilities.numel():
        return probabilities.new_zeros((0, 2)).long(), probabilities.new_zeros(0)
    largest = (probabilities == probabilities.amax(dim=1, keepdim=True)) & (
        probabilities == probabilities.amax(dim=0, keepdim=True)
    )
    pairs = (largest & (probabilities > threshold)).nonzero()
    return pairs, probabilities[pairs[:, 0], pairs[:, 1]]
