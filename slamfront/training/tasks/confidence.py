"""The task of LightGlue's confidence: the classifiers that let it stop early."""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from slamfront.errors import TrainingError
from slamfront.models.lightglue import LightGlue
from slamfront.training.tasks.matcher import Matching, TrainedMatcher, choices, points_of, validate_matcher
from slamfront.training.tasks.task import Batch


class Confidence(Matching):
    """The classifiers that let LightGlue stop: is a keypoint's match that of the last layer? The rest stays as it is.

    Section 3.3 of LightGlue; the network to begin with is a trained one.
    """

    def model(self) -> TrainedMatcher:
        """Return the network with only its classifiers learning."""
        if self._recipe.network.kind not in ("lightglue", "lightglue-lite"):
            raise TrainingError("task confidence is for lightglue and lightglue-lite alone")
        if self._recipe.network.start is None:
            raise TrainingError("task confidence needs network.start, a trained matcher")
        model = super().model().requires_grad_(False)
        assert isinstance(model.network, LightGlue)
        model.network.token_confidence.requires_grad_(True)
        return model

    def losses(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Return the cross-entropy of each layer's classifier."""
        outputs = model(*points_of(batch))
        last = choices(outputs[-1][0], LightGlue.threshold)
        losses = {}
        for number, (assignment, *confidences) in enumerate(outputs[:-1], 1):
            parts = [
                confidence_loss(cast(Tensor, confidence), choice == final, mask)
                for confidence, choice, final, mask in zip(
                    confidences, choices(assignment, LightGlue.threshold), last, batch["mask"].unbind(1)
                )
            ]
            losses[f"layer {number}"] = torch.stack(parts).mean()
        return losses

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Return precision and recall with stopping early, and the mean number of layers run."""
        assert isinstance(network, LightGlue)
        return validate_matcher(network, self._recipe, adaptive=True)


def confidence_loss(confidence: Tensor, settled: Tensor, mask: Tensor) -> Tensor:
    """Return the binary cross-entropy of confidences (B,N) over the real keypoints (mask): whether they are settled."""
    entropy = F.binary_cross_entropy(confidence, settled.float(), reduction="none")
    return (entropy * mask).sum() / mask.sum().clamp_min(1)
