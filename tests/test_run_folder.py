"""Whose folder it is: what of an earlier run is replaced, and that nothing else ever is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from slamfront.errors import OutputError
from slamfront.pipeline.folder import MARKER, Claim, claim_new


def contents(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def finished(folder: Path, *names: str) -> Path:
    """Leave a folder as a run does that has written these files."""
    claim = Claim(folder)
    claim.clear()
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("of a run")
    claim.close()
    return folder


@pytest.mark.parametrize("name", ["config.yaml", "colmap/cameras.txt", "map-2024-lab/data.bin", "notes.txt"])
def test_a_folder_that_no_run_made_is_refused_and_stays_as_it_is(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "project"
    (folder / name).parent.mkdir(parents=True)
    (folder / name).write_text("mine")
    with pytest.raises(OutputError, match="not known as the folder of a run"):
        Claim(folder)
    assert contents(folder) == [name]


def test_what_an_earlier_run_left_stays_until_the_new_one_has_something_to_put_there(tmp_path: Path) -> None:
    folder = finished(tmp_path / "run", "final.tum", "colmap/images.txt")
    before = contents(folder)
    Claim(folder).close()
    assert contents(folder) == before
    claim = Claim(folder)
    assert claim.holds_results
    claim.clear()
    assert contents(folder) == [MARKER]
    claim.close()


def test_only_what_a_run_has_written_is_removed(tmp_path: Path) -> None:
    folder = finished(tmp_path / "run", "final.tum", "map-1/final.tum", "colmap/points3D.txt")
    mine = ["notes.txt", "map-1/mine.txt", "colmap/project.ini"]
    for name in mine:
        (folder / name).write_text("mine")
    claim = Claim(folder)
    claim.clear()
    assert contents(folder) == sorted([MARKER, *mine])
    claim.close()


def test_a_file_of_mine_under_the_name_of_a_result_is_not_written_over(tmp_path: Path) -> None:
    folder = finished(tmp_path / "run", "final.tum")
    (folder / "trajectory.png").write_text("mine")
    with pytest.raises(OutputError, match=r"trajectory\.png, which no run has written"):
        Claim(folder)


def test_a_marker_names_nothing_outside_and_nothing_that_is_no_result(tmp_path: Path) -> None:
    folder = finished(tmp_path / "run", "final.tum")
    for name in ("thesis.tex", "run/notes.txt"):
        (tmp_path / name).write_text("mine")
    (tmp_path / "final.tum").write_text("mine")
    (folder / "colmap").symlink_to(tmp_path)
    names = ["../thesis.tex", "../final.tum", "notes.txt", str(tmp_path / "thesis.tex"), "map-1/../../final.tum"]
    (folder / MARKER).write_text(json.dumps({"state": "finished", "files": [*names, "final.tum"]}))
    claim = Claim(folder)
    claim.clear()
    claim.close()
    assert {"thesis.tex", "final.tum", "run/notes.txt"} <= set(contents(tmp_path))


def test_files_behind_a_link_are_not_removed(tmp_path: Path) -> None:
    folder = finished(tmp_path / "run", "colmap/cameras.txt")
    (folder / "colmap" / "cameras.txt").unlink()
    (folder / "colmap").rmdir()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "cameras.txt").write_text("mine")
    (folder / "colmap").symlink_to(elsewhere)
    claim = Claim(folder)
    claim.clear()
    claim.close()
    assert (elsewhere / "cameras.txt").read_text() == "mine"


def test_a_folder_that_another_run_writes_into_is_refused(tmp_path: Path) -> None:
    first = Claim(tmp_path / "run")
    code = (
        f"from slamfront.pipeline.folder import Claim\nfrom pathlib import Path\nClaim(Path({str(tmp_path / 'run')!r}))"
    )
    second = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "another run is writing into" in second.stderr
    with pytest.raises(OutputError, match="another run is writing into"):
        Claim(tmp_path / "run")
    first.clear()
    first.close()
    Claim(tmp_path / "run").close()


def test_a_run_that_did_not_end_keeps_its_folder(tmp_path: Path) -> None:
    claim = Claim(tmp_path / "run")
    claim.clear()
    claim._unlock()  # as the system does for a process that is killed
    with pytest.raises(OutputError, match="did not end"):
        Claim(tmp_path / "run")


def test_a_folder_that_was_made_for_nothing_is_taken_away(tmp_path: Path) -> None:
    Claim(tmp_path / "a" / "b").close()
    assert not (tmp_path / "a").exists()
    (tmp_path / "mine").mkdir()
    Claim(tmp_path / "mine").close()
    assert list((tmp_path / "mine").iterdir()) == []


def test_runs_of_one_second_have_folders_of_their_own(tmp_path: Path) -> None:
    claims = [claim_new(tmp_path / "runs" / "desk-20260101-000000") for _ in range(3)]
    assert [claim.path.name[-3:] for claim in claims] == ["000", "0-2", "0-3"]
    for claim in claims:
        claim.close()
    assert not any((tmp_path / "runs").iterdir())
