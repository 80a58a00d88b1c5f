"""Damaged and extreme inputs by seed, as tools/fuzz.py makes them: the first 200, in this process."""

from __future__ import annotations

import importlib.util
import random
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest

PATH = Path(__file__).resolve().parents[1] / "tools" / "fuzz.py"
COUNT, SECONDS = 200, 20.0


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fuzz", PATH)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["fuzz"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


fuzz = load()
SEEDS: dict[str, list[int]] = {}
for kind, seed in fuzz.plan(COUNT, 0):
    SEEDS.setdefault(kind, []).append(seed)


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("kind", sorted(SEEDS))
def test_each_input_is_read_or_refused_in_one_line(kind: str, tmp_path: Path) -> None:
    for seed in SEEDS[kind]:
        folder = tmp_path / str(seed)
        folder.mkdir()
        start_s = time.monotonic()
        assert not fuzz.attempt(kind, seed, folder), f"tools/fuzz.py --kinds {kind} --seed {seed} --count 1"
        assert time.monotonic() - start_s < SECONDS


def test_the_same_seed_makes_the_same_input(tmp_path: Path) -> None:
    for damage, value in ((fuzz.damage_bytes, bytes(range(200))), (fuzz.damage_text, "a: 1\nb: [2, 3]\n")):
        assert damage(value, random.Random(5)) == damage(value, random.Random(5))


def test_a_fault_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(fuzz.KINDS, "broken", lambda rng, folder: 1 / 0)
    assert fuzz.attempt("broken", 0, tmp_path).startswith("ZeroDivisionError")
    monkeypatch.setitem(fuzz.KINDS, "ending", lambda rng, folder: sys.exit(1))
    assert fuzz.attempt("ending", 0, tmp_path) == "it ends the program with 1"
