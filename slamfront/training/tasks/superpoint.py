"""The task of SuperPoint: detector and descriptors on two views of each place."""

from __future__ import annotations

from torch import Tensor, nn
from torch.utils.data import Dataset

from slamfront.models.detection import score_map
from slamfront.models.superpoint import DenseExtractor
from slamfront.training.data.datasets import PhotographPairs
from slamfront.training.data.mixed_pairs import MixedPairs
from slamfront.training.recipe import Recipe
from slamfront.training.tasks.extractor import TrainedExtractor, bare, detector_loss_of
from slamfront.training.tasks.losses import (
    batch_softmax_loss,
    dual_softmax_loss,
    hinge_loss,
    reprojection_consistency_loss,
    sample_at,
)
from slamfront.training.tasks.task import Batch
from slamfront.training.tasks.validation import validate_pairs, validate_rendered


class SuperPointTask:
    """Detector and descriptors together, on two views of each photograph (section 5 of SuperPoint)."""

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe

    def model(self) -> TrainedExtractor:
        """Return an extractor."""
        return TrainedExtractor(self._recipe)

    def examples(self, count: int) -> Dataset[object]:
        """Return pairs of views of photographs, with rendered ones among them where the recipe has those."""
        rendered = self._recipe.data.rendered
        if rendered is None:
            return PhotographPairs(self._recipe, count)
        return MixedPairs(self._recipe, rendered, count)

    def losses(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Return the detector's cross-entropy in both views, and the descriptors' loss between them."""
        recipe = self._recipe
        logits, descriptors = model(batch["image"].flatten(0, 1))
        inner = bare(model)
        detector = detector_loss_of(recipe, logits, batch["keypoints_xy"].flatten(0, 1), batch["seen"].flatten(0, 1))
        first, second = descriptors.unflatten(0, (-1, 2)).unbind(1)
        if recipe.loss.descriptor == "hinge":
            seen = batch["seen"][:, 1, ::8, ::8]
            loss = hinge_loss(first, second, batch["grid_xy"], seen) + 0.0 * inner.temperature()
        else:
            first_xy, second_xy = batch["points_xy"].unbind(1)
            corners = inner.network.corners
            contrast = batch_softmax_loss if recipe.loss.negatives == "batch" else dual_softmax_loss
            loss = contrast(
                sample_at(first, first_xy, corners),
                sample_at(second, second_xy, corners),
                second_xy,
                batch["valid"],
                inner.temperature(),
            )
        losses = {"detector": detector, "descriptor": recipe.loss.descriptor_weight * loss}
        if recipe.loss.consistency_weight > 0:
            scores = score_map(logits).unflatten(0, (-1, 2))
            distance = reprojection_consistency_loss(scores, batch["second_from_first"], batch["area"])
            losses["reprojection consistency"] = recipe.loss.consistency_weight * distance
        return losses

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Return how well keypoints of other photographs, and of other rendered worlds, are found again and matched."""
        assert isinstance(network, DenseExtractor)
        report, figures = self._recipe.report, dict[str, float]()
        if report.photographs is not None:
            figures |= validate_pairs(network, report.photographs, report.pairs)
        if report.rendered is not None:
            found = validate_rendered(network, report.rendered, report.pairs)
            figures |= {f"rendered_{name}": value for name, value in found.items()}
        return figures
