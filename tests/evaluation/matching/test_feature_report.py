"""The report on features: one file that needs no other, and a JSON of the same figures."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from slamfront.errors import EvaluationError
from slamfront.evaluation.matching.comparison import Compared, Picture
from slamfront.evaluation.matching.feature_report import feature_comparison
from slamfront.evaluation.matching.features import PairResult

from ..trajectory.test_report import parsed

GOOD = PairResult("wall 1-2", "viewpoint", 500, 0.75, 0.5, 200, 0.9, 0.8, 0.7, 0.5)
FAILED = PairResult("lamp 1-2", "illumination", 0, 0.0, math.nan, 0, 0.0, 0.0, 0.0, math.inf)
COMPARED = [
    Compared("orb", {"extractor": {"kind": "orb"}}, [GOOD, FAILED]),
    Compared("<sift>", {"extractor": {"kind": "sift"}}, [replace(GOOD, precision=0.5), FAILED]),
]


def test_each_group_has_a_table_with_a_row_for_each_that_is_compared(tmp_path: Path) -> None:
    picture = Picture("wall 1-2", "viewpoint", "orb", b"\x89PNG")
    path = tmp_path / "report.html"
    feature_comparison(COMPARED, [picture]).write(path, protocol=["Measured at 3 px."], title="Features")
    page = path.read_text()
    assert parsed(page).images == 1
    assert page.index("<h2>viewpoint</h2>") < page.index("<h2>illumination</h2>")
    assert "Measured at 3 px." in page and "&lt;sift&gt;" in page and "<sift>" not in page
    assert "http" not in page
    assert "0.900" in page and "0.500" in page


def test_the_json_has_every_pair_and_no_number_that_json_does_not_know(tmp_path: Path) -> None:
    feature_comparison(COMPARED).write(tmp_path / "report.html", protocol=["Measured at 3 px."], title="Features")
    document = json.loads((tmp_path / "report.json").read_text())
    orb, sift = document["compared"]
    assert document["protocol"] == ["Measured at 3 px."]
    assert orb["groups"]["viewpoint"]["precision"] == 0.9 and sift["groups"]["viewpoint"]["precision"] == 0.5
    # the curve climbs in a line to 1 at an error of .5 px
    assert orb["groups"]["viewpoint"]["homography_auc"] == pytest.approx([0.75, 0.91667, 0.95], abs=1e-5)
    assert [pair["corner_error_px"] for pair in orb["pairs"]] == [0.5, None]
    assert orb["groups"]["illumination"]["localization_error_px"] is None


def test_the_text_has_a_line_for_each_and_a_dash_where_nothing_is_known() -> None:
    lines = feature_comparison(COMPARED).text().splitlines()
    assert [line.split()[0] for line in lines] == ["viewpoint", "orb", "<sift>", "illumination", "orb", "<sift>"]
    assert len({len(line) for line in lines[:3]}) == 1
    assert "–" in lines[4] and "nan" not in "".join(lines)


def test_no_results_are_refused(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="no results"):
        feature_comparison([]).write(tmp_path / "report.html", protocol=[], title="Features")
