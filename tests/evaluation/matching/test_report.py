"""The report on matching: sections by group, by difficulty and by number of keypoints."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from slamfront.errors import EvaluationError
from slamfront.evaluation.matching.comparison import Compared, Picture
from slamfront.evaluation.matching.quality import NOTHING_IN_COMMON, MatchingResult, PoseError
from slamfront.evaluation.matching.report import matching_comparison
from slamfront.evaluation.matching.times import MatchTime

from ..trajectory.test_report import parsed

NAN = math.nan
POSES = {"PoseLib": PoseError(1.0, None), "OpenCV": PoseError(math.inf, math.inf)}
EASY = MatchingResult("1-11", "10 frames apart", 0.8, "easy", 500, 200, 0.9, 0.8, 0.95, NAN, POSES, 3.0, 2.0, NAN)
APART = replace(EASY, name="1-21", group=NOTHING_IN_COMMON, overlap=0.0, difficulty="", precision=NAN, poses={})
LATER = replace(EASY, name="2-12", overlap=0.4, difficulty="medium")
COMPARED = [
    Compared("orb", {"extractor": {"kind": "orb"}}, [EASY, APART, LATER]),
    Compared("<sift>", {"extractor": {"kind": "sift"}}, [replace(EASY, precision=0.5, layers=3.0), APART, LATER]),
]
TIMES = [[MatchTime(256, 250.0, 3, 1.5, 1.25, NAN)], [MatchTime(256, 256.0, 3, 2.5, 2.25, 4.0)]]


def test_sections_are_groups_then_difficulties_then_numbers_of_keypoints() -> None:
    lines = matching_comparison(COMPARED, TIMES).text().splitlines()
    titles = ["10 frames apart", NOTHING_IN_COMMON, "easy pairs", "medium pairs", "256 keypoints"]
    assert [line for line in lines if line.startswith(tuple(titles))] == lines[::3]
    assert [line.split("  ")[0] for line in lines[::3]] == titles
    assert "PoseLib AUC@5/10/20°" in lines[0] and "PoseLib" not in lines[3] and "px" not in lines[0]
    assert "0.850 0.925 0.963" in lines[1], "twice an error of one degree, and the direction not counted"
    assert "0.000 0.000 0.000" in lines[1], "a pose that was not found"
    assert "layers" in lines[0] and "nan" not in "".join(lines)


def test_the_page_shows_pictures_and_every_pair_and_the_json_holds_it_all(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    picture = Picture("1-11", "10 frames apart", "orb", b"\x89PNG")
    comparison = matching_comparison(COMPARED, TIMES, [picture])
    comparison.write(path, protocol=["Told."], title="Matching on walls")
    page = path.read_text()
    assert parsed(page).images == 1
    assert "Matching on walls" in page and "&lt;sift&gt;" in page and "<sift>" not in page and "http" not in page
    orb, sift = json.loads((tmp_path / "report.json").read_text())["compared"]
    assert sift["groups"]["10 frames apart"]["precision"] == pytest.approx((0.5 + 0.9) / 2)
    assert orb["difficulties"]["easy"]["pose_auc"]["PoseLib"] == pytest.approx([0.9, 0.95, 0.975])
    assert orb["pairs"][0]["poses"]["OpenCV"] == {"rotation_deg": None, "direction_deg": None}
    assert sift["times"][0]["layers"] == 4.0 and orb["times"][0]["layers"] is None


def test_no_results_are_refused(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="no results"):
        matching_comparison([], []).write(tmp_path / "report.html", protocol=[], title="Matching")
