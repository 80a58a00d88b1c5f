from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from slamfront.build import _features_of, vocabulary_for
from slamfront.cli import main
from slamfront.config import load
from slamfront.map.files import load_map
from slamfront.map.places import packaged_vocabulary
from slamfront.trajectories import read_tum
from tests.frames import copy_sample

FAST = ["--no-threads", "--extractor.kind", "orb", "--extractor.max-keypoints", "300", "--no-plots"]


def run(source: Path, output: Path, *options: object) -> int:
    return main(["run", str(source), "--output", str(output), *FAST, *map(str, options)])


@pytest.fixture(scope="module")
def mapped(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The first frames of the sample as a sequence, and the map that a run made of them."""
    folder = tmp_path_factory.mktemp("mapped")
    source = copy_sample(folder / "sequence", count=16)
    assert run(source, folder / "out", "--save-map", folder / "room.map") == 0
    return source, folder / "room.map"


def refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    assert main(words) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    assert len(lines) == 1
    return lines[0]


def test_a_run_localises_in_the_map_of_another_and_leaves_it_alone(
    mapped: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, path = mapped
    before = path.read_bytes()
    assert run(source, tmp_path / "out", "--load-map", path, "--localize-only") == 0
    assert "tracked    16 of 16 frames" in capsys.readouterr().out
    assert path.read_bytes() == before
    config = load(tmp_path / "out" / "config.yaml")
    assert config.localize_only and config.load_map == path and config.backend.kind == "none"
    states = [line.split(",")[2] for line in (tmp_path / "out" / "stats.csv").read_text().splitlines()[1:]]
    assert "relocalized" in (tmp_path / "out" / "stats.csv").read_text() and "initializing" not in states
    # Keyframes of the loaded map are not this run's
    assert not [line for line in (tmp_path / "out" / "keyframes.tum").read_text().splitlines() if line[0] != "#"]


def test_a_run_goes_on_with_a_loaded_map_and_saves_what_became_of_it(mapped: tuple[Path, Path], tmp_path: Path) -> None:
    _, path = mapped
    longer, grown = copy_sample(tmp_path / "longer", count=40), tmp_path / "grown.map"
    assert run(longer, tmp_path / "out", "--load-map", path, "--save-map", grown) == 0
    (old, _), (new, _) = load_map(path), load_map(grown)
    assert new.next_id > old.next_id and len(new.keyframes) > len(old.keyframes)
    assert len(read_tum(tmp_path / "out" / "final.tum")) == 40
    assert len(read_tum(tmp_path / "out" / "keyframes.tum")) == sum(i >= old.next_id for i in new.keyframes)


def test_a_run_that_maps_nothing_writes_no_map(
    mapped: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, _ = mapped
    path = tmp_path / "none.map"
    assert run(source, tmp_path / "out", "--sensor", "mono", "--source.end", 1, "--save-map", path) == 3
    assert "nothing was mapped" in capsys.readouterr().out
    assert not path.exists()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--localize-only"], "localize_only needs a map to localise in"),
        (["--localize-only", "--load-map", "MAP", "--save-map", "x.map"], "never changes the map"),
        (["--load-map", "nowhere.map"], "cannot read the map nowhere.map: No such file"),
        (["--load-map", "cut.map"], "cut.map is damaged, or was not written to its end"),
        (["--load-map", "MAP", "--sensor", "mono"], "a map of a rgbd sensor, this is mono"),
        (["--load-map", "MAP", "--extractor.kind", "sift"], "was made with orb features, these are sift"),
        (["--load-map", "MAP", "--source.width", "160"], "was made with another camera: its width is 320, not 160"),
        (["--save-map", "."], "it is a folder"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_map_that_cannot_be_used_is_refused_with_the_reason(
    mapped: tuple[Path, Path],
    options: list[str],
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    source, path = mapped
    monkeypatch.chdir(tmp_path)
    Path("cut.map").write_bytes(path.read_bytes()[:-1])
    words = [str(path) if word == "MAP" else word for word in options]
    assert told in refused(["run", str(source), "--output", "out", *FAST, *words], capsys)


def test_info_tells_what_a_map_was_made_with(mapped: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    _, path = mapped
    assert main(["map", "info", str(path)]) == 0
    printed = capsys.readouterr().out
    world, _ = load_map(path)
    assert all(word in printed for word in ("rgbd", "orb", "nearest", "320x240", f"{len(world.landmarks)}, each seen"))


def test_export_writes_the_model_for_other_programs(
    mapped: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, path = mapped
    assert main(["map", "export", str(path), "--output", str(tmp_path / "model")]) == 0
    world, _ = load_map(path)
    assert (tmp_path / "model" / "landmarks.ply").read_bytes().startswith(b"ply\n")
    points = (tmp_path / "model" / "colmap" / "points3D.txt").read_text().splitlines()
    assert len([line for line in points if line[0] != "#"]) == len(world.landmarks)
    assert len(read_tum(tmp_path / "model" / "keyframes.tum")) == len(world.keyframes)


def test_export_leaves_the_model_of_someone_else_alone(
    mapped: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, path = mapped
    (tmp_path / "project" / "colmap").mkdir(parents=True)
    (tmp_path / "project" / "colmap" / "cameras.txt").write_text("mine")
    assert main(["map", "export", str(path), "--output", str(tmp_path / "project")]) == 2
    assert (tmp_path / "project" / "colmap" / "cameras.txt").read_text() == "mine"
    for _ in range(2):
        assert main(["map", "export", str(path), "--output", str(tmp_path / "mine")]) == 0


@pytest.mark.parametrize("features", ["orb", "superpoint-lite"])
def test_merging_looks_places_up_in_the_vocabulary_that_ships(features: str) -> None:
    name = features if features == "orb" else _features_of(features)
    assert vocabulary_for(name) is packaged_vocabulary(features) is not None
    assert vocabulary_for("superpoint 0123456789abcdef") is None


def test_merge_joins_maps_that_show_a_common_place(
    mapped: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, path = mapped
    later = copy_sample(tmp_path / "later", count=36)
    assert run(later, tmp_path / "out", "--source.start", 8, "--save-map", tmp_path / "later.map") == 0
    words = ["map", "merge", str(path), str(tmp_path / "later.map"), "--output", str(tmp_path / "both.map")]
    assert main(words) == 0
    assert "were fused" in capsys.readouterr().out
    first, later_map, both = (load_map(p)[0] for p in (path, tmp_path / "later.map", tmp_path / "both.map"))
    assert len(both.keyframes) == len(first.keyframes) + len(later_map.keyframes)
    assert len(both.landmarks) < len(first.landmarks) + len(later_map.landmarks)
    # The joined map serves all frames
    assert run(later, tmp_path / "found", "--load-map", tmp_path / "both.map", "--localize-only") == 0
    assert "tracked    36 of 36 frames" in capsys.readouterr().out


def test_merge_refuses_maps_without_a_common_place(
    mapped: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, path = mapped
    # Upside down and mirrored, the same room shows nothing that matches
    other = tmp_path / "other"
    shutil.copytree(source, other)
    import cv2

    for folder in ("rgb", "depth"):
        for name in (other / folder).iterdir():
            cv2.imwrite(str(name), cv2.flip(cv2.imread(str(name), cv2.IMREAD_UNCHANGED), 0))
    assert run(other, tmp_path / "out", "--save-map", tmp_path / "other.map") == 0
    words = ["map", "merge", str(path), str(tmp_path / "other.map"), "--output", str(tmp_path / "both.map")]
    assert "show no common place" in refused(words, capsys)
    assert not (tmp_path / "both.map").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["info"], "at least one map file"),
        (["info", "nowhere.map"], "cannot read the map nowhere.map"),
        (["merge", "a.map"], "needs 2 map files"),
        (["merge", "a.map", "b.map"], "needs --output"),
        (["export", "a.map", "b.map"], "needs 1 map file"),
        (["paint", "a.map"], "invalid choice 'paint'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes_are_told_in_one_line(words: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert told in refused(["map", *words], capsys)
