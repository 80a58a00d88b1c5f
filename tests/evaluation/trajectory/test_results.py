"""Run folders: what is written is what is read, and damage is one line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from slamfront.errors import EvaluationError, OutputError
from slamfront.evaluation.trajectory import FrameTimes, evaluate
from slamfront.evaluation.trajectory.results import (
    RunResult,
    Spread,
    read_curves,
    read_result,
    read_stage_times,
    write_result,
)

from .worlds import drifting, drive


def test_a_run_folder_gives_back_its_result_and_its_curves(tmp_path: Path) -> None:
    truth = drive(120)
    metrics = evaluate(truth, drifting(truth), alignment="sim3", frame_times_ns=truth.times_ns)
    result = RunResult("town", "mono", "orb", 2, memory_mb=301.5, keyframes=31)
    result = result.with_trajectory(metrics).with_frame_times(FrameTimes.of([10.0, 20.0, 30.0]))
    write_result(tmp_path / "run", result, metrics)
    read = read_result(tmp_path / "run")
    assert read == result
    assert (read.ate_m, read.frames, read.tracked_percent) == (metrics.sim3.translation_m.rmse, 120, 100.0)
    assert (read.fps, read.frame_p50_ms) == (50.0, 20.0)
    curves = read_curves(tmp_path / "run")
    assert curves is not None
    # nine digits are written
    np.testing.assert_allclose(curves.errors_m, metrics.ate.errors_m, rtol=1e-8)
    np.testing.assert_allclose(
        np.linalg.norm(curves.estimate_m - curves.reference_m, axis=1), curves.errors_m, atol=1e-6
    )
    document = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert document["trajectory"]["ate"]["se3"]["translation_m"]["rmse"] == read.ate_se3_m


def test_a_measured_frame_rate_is_kept_and_no_frame_times_change_nothing() -> None:
    result = RunResult("town", fps=12.0)
    assert result.with_frame_times(FrameTimes.of([10.0])).fps == 12.0
    assert result.with_frame_times(None) is result


def test_a_run_without_a_reference_has_figures_and_no_curves(tmp_path: Path) -> None:
    write_result(tmp_path, RunResult("camera:0", fps=30.0))
    assert read_result(tmp_path).ate_m is None
    assert read_curves(tmp_path) is None
    assert read_stage_times(tmp_path) == {}


def test_stages_are_the_columns_in_milliseconds(tmp_path: Path) -> None:
    (tmp_path / "stats.csv").write_text(
        "frame,state,extract_ms,match_ms,total_ms\n0,lost,9.5,,12\n1,tracking,8,2.5,11\n"
    )
    stages = read_stage_times(tmp_path)
    assert list(stages) == ["extract", "match"]
    np.testing.assert_array_equal(stages["extract"], [9.5, 8.0])
    np.testing.assert_array_equal(stages["match"], [np.nan, 2.5])


@pytest.mark.parametrize(
    "text", ["", "[1, 2]", '{"sequence": 7}', '{"sensor": "mono"}', '{"sequence": "a", "fps": "fast"}']
)
def test_a_damaged_result_is_refused_by_name(tmp_path: Path, text: str) -> None:
    (tmp_path / "metrics.json").write_text(text)
    with pytest.raises(EvaluationError, match=r"metrics\.json is no result of a run"):
        read_result(tmp_path)


def test_a_folder_that_is_no_run_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="is .* a run folder"):
        read_result(tmp_path)


def test_damaged_tables_are_refused_by_line_or_column(tmp_path: Path) -> None:
    (tmp_path / "errors.csv").write_text("time_s,x\n0,1\n1\n")
    with pytest.raises(EvaluationError, match=r"errors\.csv:3: 1 columns"):
        read_curves(tmp_path)
    (tmp_path / "errors.csv").write_text("time_s,x\n0,1\n")
    with pytest.raises(EvaluationError, match="has no column true_x"):
        read_curves(tmp_path)
    (tmp_path / "stats.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(EvaluationError, match="cannot read"):
        read_stage_times(tmp_path)


def test_an_unwritable_run_folder_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="cannot write"):
        write_result(tmp_path / "file", RunResult("town"))


def test_the_spread_leaves_out_what_was_not_measured() -> None:
    assert Spread.of([3.0, None, 1.0, 8.0]) == Spread(3.0, 1.0, 8.0, 3)
    assert Spread.of([None]) is None
