"""Recipes: former keys, and the recipes that ship."""

from __future__ import annotations

from pathlib import Path

import pytest

from slamfront.errors import ConfigError
from slamfront.training.recipe import RENAMED, load_recipe, recipe_of_checkpoint

RECIPES = sorted((Path(__file__).parents[2] / "configs" / "train").glob("*.yaml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_that_ships_is_valid(path: Path) -> None:
    assert load_recipe(path)


@pytest.mark.parametrize(("place", "new"), RENAMED.items())
def test_a_former_key_is_refused_with_its_new_name(place: tuple[str, str], new: str, tmp_path: Path) -> None:
    section, old = place
    path = tmp_path / "recipe.yaml"
    path.write_text(f"{section}: {{{old}: 1}}\n")
    with pytest.raises(
        ConfigError, match=rf"recipe\.yaml: unknown key '{section}\.{old}': it is now '{section}\.{new}'"
    ):
        load_recipe(path)


def test_a_checkpoint_with_former_keys_is_still_read() -> None:
    text = (
        "network: {settled_layers: 2}\nloss: {agreement_weight: 0.5}\nschedule: {thrifty: true, average: 0.9, steps: 3}"
    )
    recipe = recipe_of_checkpoint(text, "the recipe")
    assert recipe.network.frozen_layers == 2
    assert recipe.loss.consistency_weight == 0.5
    assert recipe.schedule.gradient_checkpointing
    assert (recipe.schedule.ema, recipe.schedule.steps) == (0.9, 3)


@pytest.mark.parametrize("text", ["[1, 2]", "schedule: 3", "schedule: {unknown: 1}"])
def test_what_is_no_recipe_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"recipe\.yaml"):
        load_recipe(path)
    with pytest.raises(ConfigError):
        recipe_of_checkpoint(text, "the recipe")
