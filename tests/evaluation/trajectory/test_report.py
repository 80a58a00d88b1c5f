"""The report: one file that needs no other, medians over runs, failures named."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from slamfront.errors import EvaluationError, OutputError
from slamfront.evaluation.trajectory import evaluate
from slamfront.evaluation.trajectory.report import write_report
from slamfront.evaluation.trajectory.results import RunResult, write_result

from .worlds import drifting, drive


class _Balanced(HTMLParser):
    """Fails where a tag is closed that is not the one that is open."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.images = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.images += tag == "img"
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def parsed(page: str) -> _Balanced:
    parser = _Balanced()
    parser.feed(page)
    assert parser.open == []
    return parser


def runs(*ates_m: float) -> list[RunResult]:
    return [
        RunResult("town", "stereo", "orb", run, ate_m=ate, ate_se3_m=ate, fps=30.0) for run, ate in enumerate(ates_m)
    ]


def test_runs_of_a_sequence_are_one_row_with_median_least_and_greatest(tmp_path: Path) -> None:
    write_report([*runs(0.5, 0.1, 0.3), RunResult("desk", "rgbd", fps=20.0)], tmp_path / "bench.html")
    page = (tmp_path / "bench.html").read_text()
    parsed(page)
    assert '<td class="counts">0.3000<small>0.1000 – 0.5000</small></td>' in page
    document = json.loads((tmp_path / "bench.json").read_text())
    town, desk = document["sequences"]
    assert town["figures"]["ate_se3_m"] == {"median": 0.3, "min": 0.1, "max": 0.5, "count": 3}
    assert (town["runs"], town["failed"], len(town["results"])) == (3, 0, 3)
    assert "ate_se3_m" not in desk["figures"]


def test_pictures_of_the_median_run_lie_inside_the_page(tmp_path: Path) -> None:
    truth = drive(60)
    folders, results = [], []
    for run, noise in enumerate((0.01, 0.05, 0.02)):
        metrics = evaluate(truth, drifting(truth, translation_m=noise))
        folders.append(tmp_path / f"run{run}")
        results.append(RunResult("town", "stereo", "orb", run).with_trajectory(metrics))
        write_result(folders[-1], results[-1], metrics)
        (folders[-1] / "stats.csv").write_text("frame,extract_ms\n0,9\n1,8\n")
    # damaging the others shows that only the median run's pictures are drawn
    middle = sorted(range(3), key=lambda run: results[run].ate_m or 0.0)[1]
    for run in {0, 1, 2} - {middle}:
        (folders[run] / "errors.csv").write_text("a,b\n1\n")
    write_report(results, tmp_path / "bench.html", folders=folders)
    page = (tmp_path / "bench.html").read_text()
    assert parsed(page).images == 4
    assert not re.findall(r'(?:src|href)="(?!data:)', page)


def test_a_failed_run_is_counted_and_its_reason_shown_harmlessly(tmp_path: Path) -> None:
    failed = RunResult("town", "stereo", "orb", 2, error="lost <script>alert(1)</script>")
    write_report([*runs(0.5, 0.1), failed], tmp_path / "bench.html", environment={"machine": "<b>"})
    page = (tmp_path / "bench.html").read_text()
    parsed(page)
    assert "1 failed" in page
    assert "run 2 failed: lost &lt;script&gt;" in page
    assert "<script>" not in page
    assert "machine &lt;b&gt;" in page


def test_runs_that_all_failed_still_give_a_report(tmp_path: Path) -> None:
    write_report([RunResult("town", error="no such folder")], tmp_path / "bench.html")
    assert "no such folder" in (tmp_path / "bench.html").read_text()


def test_an_empty_or_unwritable_report_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="no results"):
        write_report([], tmp_path / "bench.html")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="cannot write"):
        write_report(runs(0.1), tmp_path / "file" / "bench.html")
