"""The command from a folder of images to figures, a page and a JSON."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from slamfront.cli import main
from tests.features.warps import TILTED, textured, warped

QUICK = ["--photographs.short-side-px", "160", "--extractor.max-keypoints", "200"]


def photographs(folder: Path, count: int = 3) -> Path:
    folder.mkdir()
    for seed in range(count):
        assert cv2.imwrite(str(folder / f"{seed}.png"), textured(240, 180, seed))
    return folder


def refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Return the one line on stderr with which a command line is refused."""
    assert main(["eval-features", *words]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("slamfront: error: ")
    return lines[0]


def test_several_are_compared_on_photographs_in_one_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, out = photographs(tmp_path / "photos"), tmp_path / "out"
    words = [str(folder), "--compare", "orb", "sift", "--apart", "--pictures", "1", "--output", str(out), *QUICK]
    assert main(["eval-features", *words]) == 0
    printed = capsys.readouterr().out
    document = json.loads((out / "report.json").read_text())
    assert [one["name"] for one in document["compared"]] == ["orb", "sift"]
    assert document["compared"][1]["config"]["extractor"]["kind"] == "sift"
    assert document["compared"][0]["config"]["extractor"]["max_keypoints"] == 200
    for one in document["compared"]:
        assert list(one["groups"]) == ["viewpoint and illumination", "viewpoint", "illumination"]
        assert one["groups"]["illumination"]["precision"] > 0.5
        assert len(one["pairs"]) == 9
        assert one["name"] in printed
    page = (out / "report.html").read_text()
    assert page.count("data:image/png") == 6
    assert "rotation within 30 degrees" in page and "MAGSAC at 2 px" in page


def test_two_runs_give_the_same_figures(tmp_path: Path) -> None:
    folder = photographs(tmp_path / "photos", 2)
    found = []
    for run in ("a", "b"):
        assert (
            main(["eval-features", str(folder), "--extractor.kind", "sift", "--output", str(tmp_path / run), *QUICK])
            == 0
        )
        found.append(json.loads((tmp_path / run / "report.json").read_text())["compared"])
    assert found[0] == found[1]


def test_images_with_homographies_are_measured(tmp_path: Path) -> None:
    folder = tmp_path / "graf"
    folder.mkdir()
    image = textured()
    assert cv2.imwrite(str(folder / "1.png"), image) and cv2.imwrite(str(folder / "2.png"), warped(image, TILTED))
    np.savetxt(folder / "H_1_2", TILTED)
    assert main(["eval-features", str(folder), "--extractor.kind", "orb", "--output", str(tmp_path / "out")]) == 0
    (orb,) = json.loads((tmp_path / "out" / "report.json").read_text())["compared"]
    assert orb["groups"]["viewpoint"]["solved"][1] == 1.0


def test_mistakes_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = photographs(tmp_path / "photos", 1)
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    output = ["--output", str(tmp_path / "out")]
    for words, told in (
        ([str(tmp_path / "empty"), *output], "holds neither"),
        ([str(folder), *output, "--compare", "orb", "surf"], "must be one of auto, orb, sift"),
        ([str(folder), *output, "--compare", "orb:foo"], "orb has no weights"),
        ([str(folder), *output, "--compare", "orb", "orb"], "twice"),
        ([str(folder), *output, "--compare", "sift+lightglue"], "needs extractor.kind superpoint"),
        ([str(folder), *output, "--photographs.perspective", "0.4"], "photographs.perspective"),
        ([str(folder), *output, "--pictures", "-1"], "--pictures"),
        ([str(folder), "--extractor.kind", "orb", "--output", str(tmp_path / "file")], "cannot make the folder"),
    ):
        assert told in refused(words, capsys)


@pytest.mark.slow
def test_orb_and_sift_have_their_known_figures_on_photographs(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(data / "photos" / "val"), "--compare", "orb", "sift", "--pictures", "0", "--output", str(tmp_path)]
    assert main(["eval-features", *words]) == 0
    known = {"orb": (0.74, 0.80, 0.50, 0.51), "sift": (0.56, 0.77, 0.74, 0.79)}
    for one in json.loads((tmp_path / "report.json").read_text())["compared"]:
        found = one["groups"]["viewpoint and illumination"]
        values = (found["repeatability"], found["precision"], found["recall"], found["homography_auc"][1])
        # The pairs are others than those of the known figures; seeds differ by up to .03
        np.testing.assert_allclose(values, known[one["name"]], atol=0.06)


def test_sizes_and_turnings_are_measured_step_by_step(tmp_path: Path) -> None:
    folder, out = photographs(tmp_path / "photos", 2), tmp_path / "out"
    steps = ["--scales", "0.8", "0.3", "--rotations", "20"]
    assert main(["eval-features", str(folder), *steps, "--extractor.kind", "sift", "--output", str(out), *QUICK]) == 0
    (sift,) = json.loads((out / "report.json").read_text())["compared"]
    assert list(sift["groups"]) == ["scale 0.8", "scale 0.3", "turned by 20 degrees"]
    near, far, turned = sift["groups"].values()
    assert near["pairs"] == far["pairs"] == 2
    assert near["precision"] > far["precision"]
    # SIFT does not care how an image is turned
    assert turned["precision"] > 0.8
    assert "Nothing else changes" in (out / "report.html").read_text()


def test_steps_of_size_are_refused_where_images_have_homographies(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = photographs(tmp_path / "graf", 2)
    (folder / "0.png").rename(folder / "2.png")
    np.savetxt(folder / "H_1_2", np.eye(3))
    assert "these have homographies" in refused([str(folder), "--scales", "0.5", *QUICK], capsys)
