"""`slamfront label`: the keypoints of photographs and of rendered views, by homographic adaptation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from slamfront.commands.parsing import parse
from slamfront.errors import WeightsError
from slamfront.training.adaptation import AdaptationConfig, label


@dataclass(frozen=True)
class Label:
    """Find the keypoints of photographs, or of rendered views, for training; the same command goes on."""

    photographs: Positional[Path]
    """Folder of photographs, or of what tools/render_pairs.py made."""
    output: Positional[Path]
    """File for the labels, .npz."""
    weights: str
    """Checkpoint of a training, weights, or name of weights, of the detector."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the detector runs."""
    adaptation: Annotated[AdaptationConfig, arg(name="")] = field(default_factory=AdaptationConfig)


def main(arguments: Sequence[str]) -> None:
    """Label, with progress."""
    given = parse(Label, arguments, "label")
    import torch
    from rich.progress import Progress

    from slamfront.models.superpoint import DenseExtractor
    from slamfront.training.tasks.registry import network_of

    network = network_of(given.weights)
    if not isinstance(network, DenseExtractor):
        raise WeightsError(f"{given.weights} holds a {type(network).__name__}, which finds no keypoints")
    cuda = torch.cuda.is_available() if given.device == "auto" else given.device == "cuda"
    network.to("cuda" if cuda else "cpu").to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    with Progress() as progress:
        row = progress.add_task("labelling")
        count = label(
            network,
            given.photographs,
            given.output,
            given.adaptation,
            lambda done, total: progress.update(row, completed=done, total=total),
        )
    print(f"{given.output} holds the keypoints of {count} images")
