"""The task of MagicPoint: corners of drawn shapes."""

from __future__ import annotations

from torch import Tensor, nn
from torch.utils.data import Dataset

from slamfront.models.superpoint import DenseExtractor
from slamfront.training.data.datasets import Shapes
from slamfront.training.recipe import Recipe
from slamfront.training.tasks.extractor import TrainedExtractor, bare, detector_loss_of
from slamfront.training.tasks.task import Batch
from slamfront.training.tasks.validation import validate_detector


class MagicPoint:
    """The detector on drawn shapes (DeTone et al., "Toward Geometric Deep SLAM", 2017)."""

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe

    def model(self) -> TrainedExtractor:
        """Return an extractor."""
        return TrainedExtractor(self._recipe)

    def examples(self, count: int) -> Dataset[object]:
        """Return drawn shapes."""
        return Shapes(self._recipe.data, self._recipe.seed, count)

    def losses(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Return the detector's cross-entropy."""
        logits, descriptors = model(batch["image"])
        # Every parameter takes part, as training on several devices wants it
        unused = 0.0 * (descriptors.sum() + bare(model).temperature())
        return {"detector": detector_loss_of(self._recipe, logits, batch["keypoints_xy"], batch["seen"]) + unused}

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Return how well corners of shapes not seen in training are found."""
        assert isinstance(network, DenseExtractor)
        return validate_detector(
            network, Shapes(self._recipe.data, self._recipe.seed + 1, 8 * self._recipe.report.pairs)
        )
