"""The task of the matchers: SuperGlue or LightGlue on features of pairs."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader, Dataset

from slamfront.errors import TrainingError
from slamfront.models.assignment import ImagePoints, mutual_matches
from slamfront.models.lightglue import LightGlue
from slamfront.models.superglue import SuperGlue
from slamfront.training.data.correspondence import IGNORED, UNMATCHED
from slamfront.training.data.feature_pairs import FeaturePairs, MixedFeaturePairs
from slamfront.training.recipe import NetworkRecipe, Recipe
from slamfront.training.tasks.initialisation import begin_with_similarity
from slamfront.training.tasks.task import Batch

LayerOutput = tuple[Tensor, "Tensor | None", "Tensor | None"]

_VALIDATION_BATCH = 16


class TrainedMatcher(nn.Module):
    """A matching network that learns."""

    def __init__(self, network: SuperGlue | LightGlue, gradient_checkpointing: bool = False) -> None:
        super().__init__()
        self.network = network
        self._gradient_checkpointing = gradient_checkpointing

    def forward(self, first: ImagePoints, second: ImagePoints) -> list[LayerOutput]:
        """Return log assignments (B,M+1,N+1), and the confidences (B,M), (B,N) where there are some, of every layer."""
        if isinstance(self.network, SuperGlue):
            return [(self.network(first, second), None, None)]
        return list(self._layers(self.network, first, second))

    def finished(self) -> nn.Module:
        """Return the network, ready for use."""
        return self.network.eval().requires_grad_(False)

    def _layers(self, network: LightGlue, first: ImagePoints, second: ImagePoints) -> Iterator[LayerOutput]:
        for layer, (x0, x1) in enumerate(
            network.states(first, second, self._run if self._gradient_checkpointing else None)
        ):
            assignment = network.log_assignment[layer](x0, x1, first.mask, second.mask)
            if layer == len(network.transformers) - 1:
                yield assignment, None, None
            else:
                confidence = network.token_confidence[layer]
                yield assignment, confidence(x0), confidence(x1)

    def _run(self, layer: nn.Module, *inputs: Tensor | None) -> tuple[Tensor, Tensor]:
        """Run a layer without keeping what it computes on the way: it is computed again for the gradient."""
        return checkpoint(layer, *inputs, use_reentrant=False)


def new_matcher(recipe: NetworkRecipe) -> SuperGlue | LightGlue:
    """Return a matching network as it begins to learn."""
    kind = recipe.kind
    if kind == "superglue":
        if recipe.layers is not None or recipe.frozen_layers:
            raise TrainingError("network.layers and network.frozen_layers are for lightglue and lightglue-lite alone")
        return begin_with_similarity(SuperGlue())
    if kind not in ("lightglue", "lightglue-lite"):
        raise TrainingError(f"network.kind {kind} is no matcher: superglue, lightglue or lightglue-lite")
    usual = 9 if kind == "lightglue" else 4
    layers = usual if recipe.layers is None else recipe.layers
    if not 0 <= recipe.frozen_layers < layers:
        raise TrainingError(f"network.frozen_layers must be at least 0 and below {layers}, its number of layers")
    lite = {} if kind == "lightglue" else {"dim": 64, "heads": 2, "input_dim": 128}
    return begin_with_similarity(LightGlue(layers=layers, **lite))


def assignment_loss(log_assignment: Tensor, labels0: Tensor, labels1: Tensor) -> Tensor:
    """Return the mean over pairs of the negative log likelihood of labels (B,M), (B,N) under (B,M+1,N+1).

    That is of the matches, and of the unmatched keypoints in the dustbins of either image, each the mean of its kind;
    the unmatched of both images together weigh as much as the matches (Lindenberger et al., "LightGlue", ICCV 2023,
    equation 11; SuperGlue's equation 10 is the plain sum of the same terms).
    """
    padded = log_assignment[:, :, -1], log_assignment[:, -1, :]
    own = log_assignment[:, :-1, :-1].gather(2, labels0.clamp_min(0)[:, :, None]).squeeze(2)
    matches = _mean(own, labels0 >= 0)
    unmatched = [_mean(dustbin[:, :-1], labels == UNMATCHED) for dustbin, labels in zip(padded, (labels0, labels1))]
    return -(matches + (unmatched[0] + unmatched[1]) / 2).mean()


def choices(log_assignment: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
    """Return for the keypoints of both images (B,M), (B,N) the match that an assignment makes, -1 for none."""
    found = mutual_matches(log_assignment, threshold)
    return found.matches0, found.matches1


class Matching:
    """SuperGlue or LightGlue on features of pairs; LightGlue answers for every layer (deep supervision)."""

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe

    def model(self) -> TrainedMatcher:
        """Return the network as it begins."""
        network, frozen = new_matcher(self._recipe.network), self._recipe.network.frozen_layers
        if isinstance(network, LightGlue):
            network.token_confidence.requires_grad_(False)  # learned afterwards, from what they are to foretell
            if frozen:
                network.posenc.requires_grad_(False)
                network.input_proj.requires_grad_(False)
            for layer in (*network.transformers[:frozen], *network.log_assignment[:frozen]):
                layer.requires_grad_(False)
        return TrainedMatcher(network, self._recipe.schedule.gradient_checkpointing)

    def examples(self, count: int) -> Dataset[object]:
        """Return pairs of features with labels."""
        return MixedFeaturePairs(self._recipe.pairs, self._recipe.seed, count)

    def losses(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Return each layer's share of the loss, which is the mean over layers."""
        outputs = model(*points_of(batch))
        labels0, labels1 = batch["labels"].unbind(1)
        losses = [assignment_loss(assignment, labels0, labels1) for assignment, _, _ in outputs]
        return {f"layer {number}": loss / len(losses) for number, loss in enumerate(losses, 1)}

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Return precision and recall of matches, and their harmonic mean, of each validation file."""
        assert isinstance(network, SuperGlue | LightGlue)
        return validate_matcher(network, self._recipe)


def points_of(batch: Batch) -> tuple[ImagePoints, ImagePoints]:
    """Return the keypoints of both images of a batch."""
    first, second = (
        ImagePoints(
            batch["keypoints_xy"][:, view],
            batch["descriptors"][:, view],
            batch["image_size"],
            batch["scores"][:, view],
            batch["mask"][:, view],
        )
        for view in (0, 1)
    )
    return first, second


@torch.no_grad()
def validate_matcher(network: SuperGlue | LightGlue, recipe: Recipe, adaptive: bool = False) -> dict[str, float]:
    """Return precision and recall on each validation file of a recipe, and with `adaptive` the layers that were run."""
    figures: dict[str, float] = {}
    for path in recipe.pairs.validation:
        pairs = FeaturePairs(path, recipe.pairs.keypoints)
        loader = DataLoader(pairs, batch_size=1 if adaptive else _VALIDATION_BATCH)
        right = told = matchable = layers = 0
        device = next(network.parameters()).device
        for given in loader:
            batch = {name: value.to(device) for name, value in given.items()}
            labels = batch["labels"][:, 0]
            if adaptive:
                assert isinstance(network, LightGlue)
                first, second = (_single(points) for points in points_of(batch))
                found = network.match(first, second)
                chosen, layers = found.matches0[None], layers + found.stop_layer
                labels = labels[:, : chosen.shape[1]]
            else:
                chosen = choices(network(*points_of(batch)), network.threshold)[0]
            right += int(((chosen == labels) & (labels >= 0)).sum())
            told += int(((chosen >= 0) & (labels != IGNORED)).sum())
            matchable += int((labels >= 0).sum())
        precision, recall = right / max(told, 1), right / max(matchable, 1)
        name = path.stem
        figures |= {f"{name} precision": precision, f"{name} recall": recall}
        figures[f"{name} f1"] = 2 * precision * recall / max(precision + recall, 1e-9)
        if adaptive:
            figures[f"{name} layers"] = layers / len(pairs)
    return figures


def _single(points: ImagePoints) -> ImagePoints:
    """Return the real keypoints of a batch of one as those of one image."""
    assert points.mask is not None and points.scores is not None
    real = points.mask[0]
    return ImagePoints(
        points.keypoints_xy[0, real], points.descriptors[0, real], points.image_size[0], points.scores[0, real]
    )


def _mean(values: Tensor, chosen: Tensor) -> Tensor:
    """Return the mean (B,) over the chosen of each row (B,N); 0 without any. Other values may be infinite."""
    return torch.where(chosen, values, 0.0).sum(1) / chosen.sum(1).clamp_min(1)
