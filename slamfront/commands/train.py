"""`slamfront train`: a network from a recipe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from slamfront.commands.parsing import Flag, parse
from slamfront.config import Count


@dataclass(frozen=True)
class Train:
    """Train a network as a recipe says; the same command goes on after an interruption.

    Several devices take part through `torchrun --nproc-per-node N -m slamfront.training RECIPE FOLDER`.
    """

    recipe: Positional[Path]
    """Recipe, a YAML file such as those in configs/train."""
    output: Path | None = None
    """Folder of the checkpoint, the figures and their curves; by default training/ and the recipe's name."""
    steps: Count | None = None
    """Stop after so many steps of the schedule."""
    overfit: Flag = False
    """See the first batch alone: a sound recipe learns it by heart."""


def main(arguments: Sequence[str]) -> None:
    """Train, and draw the curves."""
    given = parse(Train, arguments, "train")
    from slamfront.training.curves import draw_curves
    from slamfront.training.loop import FIGURES, train
    from slamfront.training.recipe import load_recipe

    recipe = load_recipe(given.recipe)
    folder = given.output or Path("training") / given.recipe.stem
    figures = train(recipe, folder, given.overfit, given.steps)
    draw_curves(folder / FIGURES, folder / "curves.png")
    for name, value in figures.items():
        print(f"{name:<16} {value:.4f}")
    print(f"checkpoint, figures and curves are in {folder}")
