"""Suites with marks: exit codes, what is chosen, and what is refused; and the stress suite's short form."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from slamfront.cli import main
from slamfront.commands.bench import Suite, SuiteEntry, chosen, judged
from slamfront.config import load
from slamfront.errors import EvaluationError
from slamfront.evaluation.trajectory.marks import Mark
from slamfront.simulation.scenes import scene_options

ROOT = Path(__file__).resolve().parents[2]
STRESS = ROOT / "configs" / "bench" / "stress.yaml"
SMALL = "synthetic:room?frames=4&width=320&grey=1&draft=1"
ORB = ["--extractor.kind", "orb", "--no-threads", "--sensor", "rgbd"]


def suite(folder: Path, **marks: dict[str, Any] | None) -> Path:
    path = folder / "suite.yaml"
    entries = [{"source": SMALL, "label": name} | ({"mark": mark} if mark else {}) for name, mark in marks.items()]
    path.write_text(yaml.safe_dump({"options": ORB, "sequences": entries}))
    return path


def test_missed_mark_is_exit_code_1_and_told_with_its_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = suite(tmp_path, easy={"error": 5, "of": "depth"}, unsaid={"error": 5, "of": "depth", "says": "fog"})
    assert main(["bench", str(path), "--jobs", "2", "--output", str(tmp_path / "out")]) == 1
    printed = capsys.readouterr().out
    assert "passed  easy (rgbd): placed 100/100 %" in printed
    assert "no warning says 'fog'" in printed
    runs = json.loads((tmp_path / "out" / "report.json").read_text())["runs"]
    assert [(run["name"], run["passed"]) for run in runs] == [("easy", True), ("unsaid", False)]
    assert main(["bench", str(path), "--only", "eas", "--output", str(tmp_path / "again")]) == 0


def test_suite_of_which_some_have_marks_and_names_that_nothing_has_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", str(suite(tmp_path, one={"error": 1}, two=None))]) == 2
    assert "either every sequence has a mark or none" in capsys.readouterr().err
    assert main(["bench", str(suite(tmp_path, one={"error": 1})), "--only", "x*y"]) == 2
    assert "no sequence is called 'x*y'" in capsys.readouterr().err


def test_marks_are_for_scenes_whose_depth_is_known(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="simulated scenes"):
        judged(SuiteEntry("folder", mark=Mark()), tmp_path, "se3")


def test_the_stress_suite_is_the_one_that_is_drawn_with_seed_0() -> None:
    drawn = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "draw_stress.py"), "--seed", "0"],
        capture_output=True, text=True, check=True, timeout=60, cwd=ROOT,
    ).stdout  # fmt: skip
    assert drawn == STRESS.read_text(encoding="utf-8")


def test_the_stress_suite_has_at_least_40_recordings_of_its_own_names_and_known_options() -> None:
    entries = load(STRESS, Suite).sequences
    assert len(entries) == len({entry.name for entry in entries}) >= 40
    assert all(entry.mark is not None for entry in entries)
    assert {"mono", "stereo", "rgbd"} == {entry.options[1] for entry in entries}
    for entry in entries:
        scene_options(entry.source.removeprefix("synthetic:"))


@pytest.mark.parametrize("entry", chosen(load(STRESS, Suite), short=True), ids=lambda entry: entry.name)
def test_short_form_of_the_stress_suite_reaches_its_marks(
    entry: SuiteEntry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = [*load(STRESS, Suite).options, *entry.options]
    assert main(["run", entry.source, "--output", str(tmp_path), "--headless", "--no-plots", *options]) == 0
    found = judged(entry, tmp_path, "sim3" if "mono" in entry.options else "se3", capsys.readouterr().err)
    assert found.passed, found.reasons
