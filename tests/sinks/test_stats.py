"""stats.csv as it grows."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from slamfront.errors import OutputError
from slamfront.sinks.stats import Stats
from tests.sinks.conftest import tracked


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file, strict=True))


def test_each_frame_has_a_line_while_the_run_goes_on(tmp_path: Path) -> None:
    stats = Stats(tmp_path / "stats.csv")
    for frame_id in range(3):
        stats.write(tracked(frame_id, has_pose=frame_id != 1))
    first, second, _ = rows_of(tmp_path / "stats.csv")
    assert first == {
        "frame_id": "0",
        "time_ns": "1305031102175304001",
        "state": "tracking",
        "inliers": "100",
        "is_keyframe": "1",
        "map_id": "0",
        "reason": "",
        "total_ms": "5.750",
        "extract_ms": "4.250",
        "match_ms": "1.500",
    }
    assert (second["state"], second["inliers"]) == ("lost", "0")
    stats.close()
    stats.close()


def test_a_stage_that_comes_later_gets_a_column_and_every_line_the_same_number_of_fields(tmp_path: Path) -> None:
    stats = Stats(tmp_path / "stats.csv")
    for frame_id, stages in enumerate([{"extract": 1.0}, {"extract": 1.0, "local map": 2.0}, {}, {"keyframe": 3.0}]):
        stats.write(tracked(frame_id, stages=stages))
    stats.close()
    rows = rows_of(tmp_path / "stats.csv")
    assert [row["local_map_ms"] for row in rows] == ["", "2.000", "", ""]
    assert [row["keyframe_ms"] for row in rows] == ["", "", "", "3.000"]
    assert [row["total_ms"] for row in rows] == ["1.000", "3.000", "0.000", "3.000"]
    fields = {len(line) for line in csv.reader((tmp_path / "stats.csv").read_text().splitlines())}
    assert len(fields) == 1


def test_a_reason_with_commas_quotes_and_line_breaks_stays_one_field(tmp_path: Path) -> None:
    stats = Stats(tmp_path / "stats.csv")
    stats.write(tracked(0, stages={}, reason='few inliers: 3, 4\nand "none"'))
    stats.write(tracked(1))
    stats.close()
    assert rows_of(tmp_path / "stats.csv")[0]["reason"] == 'few inliers: 3, 4 and "none"'


def test_a_folder_that_cannot_be_written_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match=r"stats\.csv"):
        Stats(tmp_path / "file" / "stats.csv")


def test_a_new_column_replaces_the_file_only_when_it_is_complete(small_disk: Path) -> None:
    stats = Stats(small_disk / "stats.csv")
    answers = (tracked(frame_id, stages={"extract": 1.0}) for frame_id in range(2000))
    with pytest.raises(OutputError, match="No space left"):
        any(stats.write(answer) for answer in answers)
    lines = (small_disk / "stats.csv").read_text().splitlines()[:-1]
    with pytest.raises(OutputError):
        stats.write(tracked(9999, stages={"extract": 1.0, "later": 2.0}))
    assert (small_disk / "stats.csv").read_text().splitlines()[: len(lines)] == lines
    assert [path.name for path in small_disk.iterdir()] == ["stats.csv"]
    stats.close()
