"""Files that are either complete or not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from slamfront.errors import OutputError
from slamfront.writing import partial_path, write_atomically, written_whole


def test_text_and_bytes_are_written_into_a_new_folder(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a" / "b.txt", "größer\n")
    write_atomically(tmp_path / "a" / "c.bin", b"\x00\xff", durable=True)
    assert (tmp_path / "a" / "b.txt").read_text(encoding="utf-8") == "größer\n"
    assert (tmp_path / "a" / "c.bin").read_bytes() == b"\x00\xff"
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["b.txt", "c.bin"]


def test_an_older_file_stays_whole_when_writing_fails_half_way(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(OSError, match="No space"):
        _fail_half_way(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_cannot_be_written_is_an_output_error_and_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match="cannot write"):
        write_atomically(tmp_path / "folder", "text")
    with pytest.raises(OutputError, match="cannot write"):
        write_atomically(tmp_path / "missing" / ("n" * 300), "text")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "missing"]


def test_the_partial_file_is_hidden_beside_its_place_and_may_keep_a_suffix(tmp_path: Path) -> None:
    partial = partial_path(tmp_path / "film.mp4", ".mp4")
    assert partial.parent == tmp_path
    assert partial.name.startswith(".film.mp4.")
    assert partial.suffix == ".mp4"


def _fail_half_way(path: Path) -> None:
    with written_whole(path) as temporary:
        temporary.write_text("half of the n")
        assert path.read_text() == "old"
        raise OSError(28, "No space left on device")
