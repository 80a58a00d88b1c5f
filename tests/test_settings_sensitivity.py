"""The tool that halves and doubles settings: what it varies, what it runs again, and what it lists."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from slamfront.config import RunConfig, from_mapping

PATH = Path(__file__).resolve().parents[1] / "tools" / "settings_sensitivity.py"


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("settings_sensitivity", PATH)
    assert spec is not None and spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_variation_is_within_its_range_and_whole_numbers_stay_whole(tool: ModuleType) -> None:
    numbers = dict(tool.numbers_of(RunConfig()))
    assert numbers["keyframes.culling.probation"] == [2, 6]
    assert numbers["tracker.pose.correlation"] == [1.0, 4.0]
    assert numbers["tracker.alignment.min_correlation"] == [0.375, 1.0], "a share is at most 1"
    assert "seed" not in numbers and "source.prefetch" not in numbers
    assert len(numbers) > 130
    for path, values in numbers.items():
        for value in values:
            nested: object = value
            for key in reversed(path.split(".")):
                nested = {key: nested}
            from_mapping(RunConfig, nested)


def test_a_run_that_is_in_the_file_is_not_run_again(tool: ModuleType, tmp_path: Path) -> None:
    tasks = list(tool.tasks_of(["a"], ["keyframes.culling.probation"], seeds=2))
    assert len(tasks) == 6
    path = tmp_path / "runs.jsonl"
    line = json.dumps({"sequence": "a", "setting": "", "value": 0.0, "seed": 1, "placed": 100.0})
    path.write_text(f'{line}\n{{"sequence": "a", "sett', encoding="utf-8")
    assert [task for task in tasks if task in tool.read_lines(path)] == [tool.Task("a", "", 0.0, 1)]


def test_what_lies_within_the_scatter_is_not_listed(tool: ModuleType) -> None:
    errors = {("", 0.0): (1.0, 1.1, 0.9), ("x", 2.0): (1.05, 1.1, 1.0), ("y", 2.0): (2.0, 2.1, 1.9)}
    done = {
        tool.Task("a", setting, value, seed): {"placed": 100.0, "ate_m": error}
        for (setting, value), several in errors.items()
        for seed, error in enumerate(several)
    }
    done[tool.Task("a", "z", 2.0, 0)] = {"error": "the run failed"}
    found = tool.changes(done, least=1.05)
    assert [(one.setting, one.figure) for one in found] == [("z", "placed"), ("y", "ate_m")]
    assert found[1].ratio == pytest.approx(2.0)
    assert "y" in tool.table(found)
