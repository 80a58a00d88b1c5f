"""The trainings themselves: which network, which examples, and what is made small."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol, cast

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from slamfront import config
from slamfront.errors import TrainingError, WeightsError, refused_as
from slamfront.models.detection import score_map
from slamfront.models.lightglue import LightGlue
from slamfront.models.superpoint import DenseExtractor, SuperPoint, SuperPointLite
from slamfront.reading import load_yaml
from slamfront.training.checkpoints import load_training
from slamfront.training.datasets import PhotographPairs, Shapes
from slamfront.training.growth import with_layers
from slamfront.training.losses import (
    agreement_loss,
    batch_softmax_loss,
    detector_loss,
    detector_targets,
    dual_softmax_loss,
    hinge_loss,
    sample_at,
)
from slamfront.training.matchers import Confidence, Matching, TrainedMatcher
from slamfront.training.mixed_pairs import MixedPairs
from slamfront.training.normalisation import fold, normalise
from slamfront.training.recipe import Recipe
from slamfront.training.validation import validate_detector, validate_pairs, validate_rendered

Batch = Mapping[str, Tensor]
_COLDEST = 0.01


class Model(Protocol):
    """What learns: a module around a network."""

    network: nn.Module

    def finished(self) -> nn.Module:
        """Return the network, ready for use."""


class Task(Protocol):
    """What a training needs to know: its model, its examples, its losses, and how good the network is."""

    def model(self) -> nn.Module:
        """Return a `Model` with random weights."""

    def examples(self, count: int) -> Dataset[object]:
        """Return as many examples, each a function of the seed and its number."""

    def losses(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Return what is to be made small, by name; their sum counts."""

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Return figures of a network in evaluation, by name."""


class Trained(nn.Module):
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


def new_model(recipe: Recipe) -> nn.Module:
    """Return the model of a recipe, with the weights it begins with.

    Raises WeightsError where those cannot be read, TrainingError where they are of another network.
    """
    torch.manual_seed(recipe.seed)
    model, start = task_of(recipe).model(), recipe.network.start
    if start is None:
        return model
    try:
        if isinstance(model, TrainedMatcher):
            _begin_with(model, network_of(str(start)))
        elif start.suffix == ".pt":
            model.load_state_dict(load_training(start).averaged)
        else:
            raise TrainingError(
                f"{start}: an extractor goes on from a training's checkpoint: its weights lack batch norm"
            )
    except RuntimeError as error:
        raise TrainingError(f"{start}: holds no {recipe.network.kind} to begin with") from error
    return model


def _begin_with(model: TrainedMatcher, known: nn.Module) -> None:
    if isinstance(known, LightGlue) and isinstance(model.network, LightGlue):
        known = with_layers(known, len(model.network.transformers))
    model.network.load_state_dict(known.state_dict())


def network_of(weights: str) -> nn.Module:
    """Return the network, ready for use, of a training's checkpoint (.pt), or of any other weights by file or name.

    Raises WeightsError where they are missing, damaged or of no known layout.
    """
    if not weights.endswith(".pt"):
        from slamfront.models.checkpoints import load_network  # safetensors, which a training can do without

        return load_network(weights)
    state = load_training(Path(weights))
    with refused_as(WeightsError, f"{weights} does not fit its own recipe, or is damaged"):
        recipe = config.from_mapping(Recipe, load_yaml(state.recipe, WeightsError, f"the recipe in {weights}"))
        model = task_of(recipe).model()
        model.load_state_dict(state.averaged)
    return cast(Model, model).finished()


def task_of(recipe: Recipe) -> Task:
    """Return the task of a recipe; TrainingError where its data cannot be used."""
    if recipe.data.width % 8 or recipe.data.height % 8:
        size = f"{recipe.data.width}x{recipe.data.height}"
        raise TrainingError(f"data.width and data.height must be multiples of 8, got {size}")
    tasks: dict[str, Callable[[Recipe], Task]] = {
        "magicpoint": MagicPoint,
        "superpoint": PointsAndDescriptors,
        "matcher": Matching,
        "confidence": Confidence,
    }
    return tasks[recipe.task](recipe)


class MagicPoint:
    """The detector on drawn shapes (DeTone et al., "Toward Geometric Deep SLAM", 2017)."""

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe

    def model(self) -> Trained:
        """Return an extractor."""
        return Trained(self._recipe)

    def examples(self, count: int) -> Dataset[object]:
        """Return drawn shapes."""
        return Shapes(self._recipe.data, self._recipe.seed, count)

    def losses(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Return the detector's cross-entropy."""
        logits, descriptors = model(batch["image"])
        # Every parameter takes part, as training on several devices wants it
        unused = 0.0 * (descriptors.sum() + _bare(model).temperature())
        return {"detector": _detector(self._recipe, logits, batch["keypoints_xy"], batch["seen"]) + unused}

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Return how well corners of shapes not seen in training are found."""
        assert isinstance(network, DenseExtractor)
        return validate_detector(
            network, Shapes(self._recipe.data, self._recipe.seed + 1, 8 * self._recipe.report.pairs)
        )


class PointsAndDescriptors:
    """Detector and descriptors together, on two views of each photograph (section 5 of SuperPoint)."""

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe

    def model(self) -> Trained:
        """Return an extractor."""
        return Trained(self._recipe)

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
        bare = _bare(model)
        detector = _detector(recipe, logits, batch["keypoints_xy"].flatten(0, 1), batch["seen"].flatten(0, 1))
        first, second = descriptors.unflatten(0, (-1, 2)).unbind(1)
        if recipe.loss.descriptor == "hinge":
            seen = batch["seen"][:, 1, ::8, ::8]
            loss = hinge_loss(first, second, batch["grid_xy"], seen) + 0.0 * bare.temperature()
        else:
            first_xy, second_xy = batch["points_xy"].unbind(1)
            corners = bare.network.corners
            contrast = batch_softmax_loss if recipe.loss.negatives == "batch" else dual_softmax_loss
            loss = contrast(
                sample_at(first, first_xy, corners),
                sample_at(second, second_xy, corners),
                second_xy,
                batch["valid"],
                bare.temperature(),
            )
        losses = {"detector": detector, "descriptor": recipe.loss.descriptor_weight * loss}
        if recipe.loss.agreement_weight > 0:
            scores = score_map(logits).unflatten(0, (-1, 2))
            distance = agreement_loss(scores, batch["second_from_first"], batch["area"])
            losses["agreement"] = recipe.loss.agreement_weight * distance
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


def _detector(recipe: Recipe, logits: Tensor, keypoints_xy: Tensor, seen: Tensor) -> Tensor:
    height, width = seen.shape[-2:]
    targets = detector_targets(keypoints_xy.float(), (width, height), recipe.loss.sigma_px)
    return detector_loss(logits.float(), targets, seen)


def _bare(model: nn.Module) -> Trained:
    bare = getattr(model, "module", model)  # inside what spreads it over devices
    assert isinstance(bare, Trained)
    return bare
