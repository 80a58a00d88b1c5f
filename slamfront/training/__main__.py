"""`python -m slamfront.training RECIPE.yaml FOLDER`: the training of `slamfront train` where only torch and OpenCV are.

For machines that lack the command line's own libraries, and for torchrun.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from slamfront.training.loop import train
from slamfront.training.recipe import load_recipe


def main() -> None:
    """Train."""
    parser = argparse.ArgumentParser(
        prog="python -m slamfront.training", description="Train a network as a recipe says."
    )
    parser.add_argument("recipe", type=Path, help="recipe, a YAML file")
    parser.add_argument("folder", type=Path, help="folder of the checkpoint and figures; goes on from what is there")
    parser.add_argument("--steps", type=int, help="stop after so many steps of the schedule")
    parser.add_argument("--overfit", action="store_true", help="see the first batch alone")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    train(load_recipe(given.recipe), given.folder, given.overfit, given.steps)


if __name__ == "__main__":
    main()
