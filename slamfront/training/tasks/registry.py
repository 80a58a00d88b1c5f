"""Which task, which model and which weights a recipe names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import cast

import torch
from torch import nn

from slamfront.errors import TrainingError, WeightsError, refused_as
from slamfront.models.lightglue import LightGlue
from slamfront.training.checkpoints import load_training
from slamfront.training.recipe import Recipe, recipe_of_checkpoint
from slamfront.training.tasks.confidence import Confidence
from slamfront.training.tasks.magicpoint import MagicPoint
from slamfront.training.tasks.matcher import Matching, TrainedMatcher
from slamfront.training.tasks.net2net import with_layers
from slamfront.training.tasks.superpoint import SuperPointTask
from slamfront.training.tasks.task import Model, Task


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
        recipe = recipe_of_checkpoint(state.recipe, f"the recipe in {weights}")
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
        "superpoint": SuperPointTask,
        "matcher": Matching,
        "confidence": Confidence,
    }
    return tasks[recipe.task](recipe)
