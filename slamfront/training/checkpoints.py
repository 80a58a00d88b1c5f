"""Checkpoints of a training: what it needs to go on to the last digit, and its recipe."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from slamfront.errors import OutputError, WeightsError, refused_as
from slamfront.writing import written_whole

_VERSION = 1


@dataclass(frozen=True, slots=True)
class TrainingState:
    """Where a training stands.

    recipe      the recipe as YAML text
    step        steps done
    model       weights as they are learned;  averaged: their running mean, which counts
    optimizer   the optimiser's own state
    seconds     time spent so far
    """

    recipe: str
    step: int
    model: dict[str, Tensor]
    averaged: dict[str, Tensor]
    optimizer: dict[str, Any]
    seconds: float


def save_training(path: Path, state: TrainingState) -> None:
    """Write a checkpoint, whole or not at all; OutputError where it cannot be written."""
    fields = {name: getattr(state, name) for name in TrainingState.__dataclass_fields__}
    try:
        with written_whole(path) as whole:
            torch.save({"version": _VERSION, **fields}, whole)
    except (OSError, RuntimeError) as error:
        raise OutputError(f"{path}: the checkpoint cannot be written ({error})") from error


def load_training(path: Path) -> TrainingState:
    """Read a checkpoint onto the CPU; WeightsError where it is missing, damaged or something else."""
    if not path.is_file():
        raise WeightsError(f"{path}: no such checkpoint")
    with refused_as(WeightsError, f"{path}: not a checkpoint of a training, or damaged", told=False):
        content = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(content, dict) or content.pop("version", None) != _VERSION:
        raise WeightsError(f"{path}: not a checkpoint of a training of this version")
    with refused_as(WeightsError, f"{path}: not a checkpoint of a training, or damaged", told=False):
        state = TrainingState(**content)
        _check(state)
        return state


def _check(state: TrainingState) -> None:
    """Raise TypeError where a field is of another type."""
    kinds: dict[str, type | tuple[type, ...]] = {
        "recipe": str,
        "step": int,
        "seconds": (int, float),
        "model": dict,
        "averaged": dict,
        "optimizer": dict,
    }
    for name, kind in kinds.items():
        if not isinstance(getattr(state, name), kind):
            raise TypeError(f"its {name} is of another type")
    for weights in (state.model, state.averaged):
        if not all(isinstance(name, str) and isinstance(value, Tensor) for name, value in weights.items()):
            raise TypeError("its weights are no named tensors")
