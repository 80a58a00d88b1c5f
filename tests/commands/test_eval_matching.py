"""The command from images, rendered views or a sequence to figures, a page and a JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slamfront.cli import main
from slamfront.geometry.camera import Camera
from slamfront.geometry.pose import Pose, rotation_exp
from slamfront.training.data.rendered_file import RenderedView, save_views
from tests.commands.test_eval_features import photographs
from tests.features.warps import textured
from tests.frames import SAMPLE

QUICK = ["--extractor.max-keypoints", "200", "--extractor.grid", "0", "--counts", "--pictures", "1"]
TWO = ["--compare", "sift", "sift+nearest,ratio=0.8"]


def measured(words: list[str], out: Path) -> tuple[list[dict[str, Any]], str]:
    """Run the command, and return what was compared, and the page."""
    assert main(["eval-matching", *words, "--output", str(out)]) == 0
    return json.loads((out / "report.json").read_text())["compared"], (out / "report.html").read_text()


def rendered_file(path: Path) -> Path:
    """Write a wall seen twice, and two views of it that show nothing of each other."""
    camera = Camera("pinhole", 320, 240, 250.0, 250.0, 159.5, 119.5)
    wide = textured(520, 240)
    images = np.stack([wide[:, :320], wide[:, 25:345]])  # 250 px m / 2 m * .2 m
    inverse_depths = np.full((2, 240, 320), 0.5, np.float32)
    moved = Pose(np.eye(3), np.array([-0.2, 0.0, 0.0]))
    away = Pose(rotation_exp([0.0, 3.0, 0.0]), np.zeros(3))
    poses = Pose.identity(), moved.inverse(), away.inverse()
    views = [RenderedView(images[i], inverse_depths[i], camera, pose) for i, pose in zip((0, 1, 1), poses)]
    save_views(path, views, [(0, 1), (0, 2)], "two walls")
    return path


def test_a_ratio_makes_matches_fewer_and_better_on_photographs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = photographs(tmp_path / "photos")
    words = [str(folder), *TWO, *QUICK, "--photographs.short-side-px", "160", "--counts", "64", "--timed", "2"]
    (every, strict), page = measured(words, tmp_path / "out")
    printed = capsys.readouterr().out
    assert strict["config"]["matcher"]["ratio"] == 0.8 and every["config"]["matcher"]["ratio"] == 1.0
    found = [one["groups"]["viewpoint and illumination"] for one in (every, strict)]
    assert found[0]["matches"] > found[1]["matches"] and found[0]["precision"] < found[1]["precision"]
    assert len(found[0]["homography_auc"]) == 3 and found[0]["pose_auc"] == {}
    assert [time["asked"] for time in every["times"]] == [64]
    assert "AUC@1/3/5 px" in printed and "64 keypoints" in printed and "PoseLib AUC" not in printed
    assert page.count("data:image/png") == 2 and "rotation within 30 degrees" in page and "by PoseLib and by" in page


def test_the_truth_shows_what_no_matcher_can_pass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    short = ["--photographs.short-side-px", "160", "--counts", "64", "--timed", "2", "--truth"]
    words = [str(photographs(tmp_path / "photos")), *TWO, *QUICK, *short]
    compared, page = measured(words, tmp_path / "out")
    assert [one["name"] for one in compared] == ["sift", "sift+nearest,ratio=0.8", "sift+truth"]
    every, _, truth = (one["groups"]["viewpoint and illumination"] for one in compared)
    assert truth["precision"] == 1.0 and truth["recall"] > every["recall"]
    assert compared[2]["config"] == {"matcher": "the truth"} and compared[2]["times"] == []
    assert page.count("data:image/png") == 3 and "sift+truth" in capsys.readouterr().out


@pytest.mark.parametrize("which", ["all", "trusted"])
def test_aligned_matches_are_as_many_or_fewer_and_more_exact(tmp_path: Path, which: str) -> None:
    words = [str(photographs(tmp_path / "photos")), "--compare", "orb", *QUICK]
    (plain, aligned), page = measured([*words, "--align", which], tmp_path / "out")
    assert aligned["name"] == "orb, aligned" and aligned["config"]["aligned"] == which and "orb, aligned" in page
    before, after = (one["groups"]["viewpoint and illumination"] for one in (plain, aligned))
    assert (after["matches"] == before["matches"]) == (which == "all")
    assert after["precision"] > before["precision"] + 0.02
    assert after["homography_auc"][0] > before["homography_auc"][0] + 0.2


def test_matches_of_a_rolling_shutter_are_aligned_where_the_images_show_them(tmp_path: Path, data: Path) -> None:
    words = [str(data / "tum/rgbd_dataset_freiburg1_rpy"), "--gaps", "10", "--count", "4", "--compare", "orb", *QUICK]
    (plain, aligned), _ = measured([*words, "--time-offset-ms", "-6", "--align", "trusted"], tmp_path / "out")
    before, after = (one["groups"]["10 frames apart"] for one in (plain, aligned))
    assert after["matches"] > 0.3 * before["matches"]
    assert after["epipolar_precision"] > before["epipolar_precision"] + 0.05


def test_the_truth_needs_depth_of_what_is_no_plane(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [str(SAMPLE), "--gaps", "3", "--count", "2", "--sensor", "mono", "--truth", "--extractor.kind", "orb"]
    assert main(["eval-matching", *words, "--output", str(tmp_path), *QUICK]) != 0
    assert "perfect matches are known of pairs with a homography or with depth alone" in capsys.readouterr().err


def test_rendered_views_have_precision_and_poses_and_those_of_other_places_are_told_apart(tmp_path: Path) -> None:
    words = [str(rendered_file(tmp_path / "pairs.npz")), "--extractor.kind", "orb", *QUICK]
    ((orb,), page) = measured(words, tmp_path / "out")
    assert list(orb["groups"]) == ["rendered", "nothing in common"]
    wall = orb["groups"]["rendered"]
    assert wall["precision"] > 0.9 and wall["epipolar_precision"] > 0.9 and wall["directions"] == 1.0
    assert set(wall["pose_auc"]) == set(wall["rotation_auc"]) == {"PoseLib", "OpenCV"}
    assert orb["difficulties"]["easy"]["pairs"] == 1
    assert "two walls" in page


def test_frames_of_a_sequence_with_depth_are_measured_alike_twice(tmp_path: Path) -> None:
    words = [str(SAMPLE), "--gaps", "3", "20", "--source.end", "25", "--count", "2", *TWO, *QUICK]
    found = [measured(words, tmp_path / name)[0] for name in ("a", "b")]
    near, far = (found[0][1]["groups"][f"{gap} frames apart"] for gap in (3, 20))
    # exact poses and depth; a corner in front of a wall may take the wall's depth
    assert near["precision"] > 0.85 and near["precision"] >= far["precision"]
    assert near["pairs"] == far["pairs"] == 2
    assert near["rotation_auc"]["PoseLib"][2] > 0.9
    for one in found:
        for method in one:
            for pair in method["pairs"]:
                del pair["processor_ms"], pair["wall_ms"]
    assert [one["pairs"] for one in found[0]] == [one["pairs"] for one in found[1]]


def test_one_camera_has_the_epipolar_precision(tmp_path: Path) -> None:
    words = [str(SAMPLE), "--gaps", "3", "--source.end", "12", "--count", "2", "--sensor", "mono"]
    ((orb,), _) = measured([*words, "--extractor.kind", "orb", *QUICK], tmp_path / "out")
    found = orb["groups"]["3 frames apart"]
    assert found["precision"] is None and found["epipolar_precision"] > 0.8 and orb["difficulties"] == {}


def test_mistakes_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    foreign, folder = tmp_path / "foreign.npz", photographs(tmp_path / "photos", 1)
    foreign.write_bytes(b"no pairs")
    np.savez(tmp_path / "other.npz", images=np.zeros(3))
    orb = ["--extractor.kind", "orb", "--output", str(tmp_path / "out")]
    for words, told in (
        ([str(foreign)], "not a file of rendered pairs"),
        ([str(tmp_path / "other.npz")], "not a file of rendered pairs"),
        ([str(tmp_path / "nothing")], "does not exist"),
        ([str(SAMPLE)], "--gaps"),
        ([str(SAMPLE), "--gaps", "500"], "they may be 1 to 119"),
        ([str(SAMPLE), "--gaps", "5", "--source.stride", "2"], "--source.stride must be 1"),
        ([str(folder), "--counts", "0"], "--counts"),
        ([str(folder), "--compare", "sift+nearest,ratoi=0.8"], "did you mean"),
        ([str(folder), "--compare", "sift+nearest,ratio"], "must be KEY=VALUE"),
        ([str(folder), "--compare", "sift+nearest,ratio=much"], "ratio must be float"),
        ([str(folder), "--compare", "sift+nearest,ratio={"], "is no value"),
        ([str(folder), "--pose.ransac-px", "0"], "pose.ransac_px"),
    ):
        assert main(["eval-matching", *words, *orb]) == 2
        lines = capsys.readouterr().err.strip().splitlines()
        assert len(lines) == 1 and told in lines[0], lines


def test_pairs_by_overlap_are_measured_as_papers_do(tmp_path: Path) -> None:
    words = [str(SAMPLE), "--overlap", "0.6", "0.9", "--source.end", "30", "--count", "3", "--compare", "sift", *QUICK]
    ((own,), _), ((published,), page) = (
        measured([*words, *more], tmp_path / str(k)) for k, more in enumerate([[], ["--protocol", "published"]])
    )
    first, second = (one["groups"]["overlap 0.6 to 0.9"] for one in (own, published))
    assert first["pairs"] == second["pairs"] == 3
    # Directions of the short steps between frames count too
    assert second["directions"] == 1.0
    assert "symmetric epipolar distance below 0.0005" in page and "evenly spread by that" in page


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--overlap", "0.4"], "least and the greatest share"),
        (["--overlap", "0.8", "0.4"], "least and the greatest share"),
        (["--overlap", "0.4", "0.8", "--gaps", "3"], "two ways"),
        (["--protocol", "published"], "needs --gaps or --overlap"),
    ],
)
def test_choices_of_pairs_that_cannot_be_are_one_line(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["eval-matching", str(SAMPLE), *words]) == 2
    assert told in capsys.readouterr().err
