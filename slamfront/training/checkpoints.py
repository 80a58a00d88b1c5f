"""Checkpoints of a training: what it needs to go on to the last digit, and its recipe."""

from __future__ import annotations

import os
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from slamfront.errors import OutputError, WeightsError

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
    whole = path.with_name(f".{path.name}.{os.getpid()}")
    fields = {name: getattr(state, name) for name in TrainingState.__dataclass_fields__}
    try:
        torch.save({"version": _VERSION, **fields}, whole)
        whole.replace(path)
    except (OSError, RuntimeError) as error:
        whole.unlink(missing_ok=True)
        raise OutputError(f"{path}: the checkpoint cannot be written ({error})") from error


def load_training(path: Path) -> TrainingState:
    """Read a checkpoint onto the CPU; WeightsError where it is missing, damaged or something else."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise WeightsError(f"{path}: no such checkpoint") from error
    except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        raise WeightsError(f"{path}: not a checkpoint of a training, or damaged") from error
    if not isinstance(content, dict) or content.pop("version", None) != _VERSION:
        raise WeightsError(f"{path}: not a checkpoint of a training of this version")
    try:
        return TrainingState(**content)
    except TypeError as error:
        raise WeightsError(f"{path}: not a checkpoint of a training, or damaged") from error
