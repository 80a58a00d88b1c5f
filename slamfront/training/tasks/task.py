"""What a training needs to know of a task: its model, its examples, its losses, and its validation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from torch import Tensor, nn
from torch.utils.data import Dataset

Batch = Mapping[str, Tensor]


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
