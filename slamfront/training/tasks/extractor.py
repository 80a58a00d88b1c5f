"""An extractor that learns, and the detector's loss, which the tasks of SuperPoint share."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from slamfront.errors import TrainingError
from slamfront.models.superpoint import DenseExtractor, SuperPoint, SuperPointLite
from slamfront.training.recipe import Recipe
from slamfront.training.tasks.losses import detector_loss, detector_targets
from slamfront.training.tasks.normalisation import fold, normalise

_COLDEST = 0.01


class TrainedExtractor(nn.Module):
    """A network that learns: with batch norm, and the temperature of its contrastive loss."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.network: DenseExtractor = normalise(new_network(recipe.network.kind))
        self.log_temperature = nn.Parameter(torch.tensor(math.log(recipe.loss.temperature)))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return detector logits (B,65,h,w) and unit descriptors (B,D,h,w) of images (B,1,H,W)."""
        features = self.network(image)
        return features.logits, features.descriptors

    def temperature(self) -> Tensor:
        """Return the temperature, which may not vanish."""
        return self.log_temperature.exp().clamp_min(_COLDEST)

    def finished(self) -> nn.Module:
        """Return the network, ready for use, with batch norm folded away."""
        return fold(self.eval().network).requires_grad_(False)


def new_network(kind: str) -> DenseExtractor:
    """Return a network of a kind with random weights."""
    if kind not in ("superpoint", "superpoint-lite"):
        raise TrainingError(f"network.kind {kind} finds no keypoints: superpoint or superpoint-lite")
    return SuperPointLite() if kind == "superpoint-lite" else SuperPoint(smooth=True, interpolation="bicubic")


def detector_loss_of(recipe: Recipe, logits: Tensor, keypoints_xy: Tensor, seen: Tensor) -> Tensor:
    """Return the cross-entropy of logits (B,65,h,w) for keypoints (B,N,2) px, over pixels (B,H,W) that are seen."""
    height, width = seen.shape[-2:]
    targets = detector_targets(keypoints_xy.float(), (width, height), recipe.loss.sigma_px)
    return detector_loss(logits.float(), targets, seen)


def bare(model: nn.Module) -> TrainedExtractor:
    """Return the extractor itself, inside what distributes it over devices."""
    inner = getattr(model, "module", model)
    assert isinstance(inner, TrainedExtractor)
    return inner
