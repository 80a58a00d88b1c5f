from __future__ import annotations

import json
from pathlib import Path

import pytest

from slamfront.errors import EvaluationError
from slamfront.evaluation.trajectory.mark_report import Marked, mark_line, summary, write_mark_report
from slamfront.evaluation.trajectory.marks import Judgement, Mark
from slamfront.evaluation.trajectory.results import RunResult


def run(name: str, **figures: object) -> Marked:
    judgement = Judgement(50, 100.0, 100.0, 20.0, 4.0, 0.01, 0.02, 0.03, 0.4, 0.05, 0.6, **figures)  # type: ignore[arg-type]
    return Marked(name, f"synthetic:{name}", Mark(), RunResult(name, "rgbd"), judgement)


GOOD = run("quiet")
BAD = run("<walker>", wrong=(3, 4), worst_depths=0.5, reasons=("wrong and sure of it: 2 frames",))
BROKEN = Marked("broken", "synthetic:x", Mark(), RunResult("x", error="exit code 2: no such scene"), None)


def test_page_tells_every_run_and_the_reasons_of_those_that_missed(tmp_path: Path) -> None:
    write_mark_report([GOOD, BAD, BROKEN], tmp_path / "report.html", title="hard things", environment={"cpu": "two"})
    page = (tmp_path / "report.html").read_text()
    assert "1 of 3 reached their marks (33 %); 1 had poses that were wrong and sure" in page
    for text in ("quiet", "&lt;walker&gt;", "wrong and sure of it: 2 frames", "exit code 2: no such scene", "cpu two"):
        assert text in page
    assert "<h2>quiet</h2>" not in page
    figures = json.loads((tmp_path / "report.json").read_text())
    assert [one["passed"] for one in figures["runs"]] == [True, False, False]
    assert figures["runs"][1]["wrong"] == [3, 4]


def test_line_holds_online_and_final_side_by_side() -> None:
    assert mark_line(GOOD) == (
        "passed  quiet (rgbd): placed 100/100 %, ATE 0.010/0.020 m, RPE 0.030/0.050 m/s, off 0.0 % of 4.0 m, 0.0 deg"
    )
    assert mark_line(BAD).splitlines()[1].strip() == "wrong and sure of it: 2 frames"
    assert mark_line(BROKEN).startswith("FAILED  broken: exit code 2")
    assert summary([GOOD]).startswith("1 of 1")


def test_no_runs_are_no_report(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="no runs"):
        write_mark_report([], tmp_path / "report.html", title="")
