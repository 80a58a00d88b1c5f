"""Pictures: written as asked, repeatable, drawn without a display, and leaving the caller's style alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from slamfront.errors import OutputError
from slamfront.evaluation.trajectory.plots import (
    error_figure,
    figure_bytes,
    runs_figure,
    save_figure,
    stage_figure,
    trajectory_figure,
)

from .worlds import drive


def curves(count: int = 60) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    truth = drive(max(count, 1)).positions_m[:count]
    return np.arange(count) / 30.0, truth, truth + np.sin(np.arange(count))[:, None] * 0.1


def test_pictures_are_png_or_svg_by_their_ending(tmp_path: Path) -> None:
    figure = runs_figure({"town": np.array([1.0, 2.0])}, "ATE")
    save_figure(figure, tmp_path / "new" / "a.png")
    save_figure(figure, tmp_path / "a.SVG")
    assert (tmp_path / "new" / "a.png").read_bytes().startswith(b"\x89PNG")
    assert b"<svg" in (tmp_path / "a.SVG").read_bytes()
    with pytest.raises(OutputError, match=r"\.png or \.svg"):
        save_figure(figure, tmp_path / "a.jpg")
    with pytest.raises(OutputError, match="cannot write"):
        save_figure(figure, tmp_path / "a.SVG" / "b.png")


def test_the_view_shows_the_axes_along_which_the_truth_extends_and_equally_scaled() -> None:
    times, truth, estimate = curves()
    above = trajectory_figure(times, truth * [1, 0.001, 1], estimate, "town").axes[0]
    assert (above.get_xlabel(), above.get_ylabel(), above.get_title(loc="left")) == ("x [m]", "z [m]", "town")
    assert above.get_aspect() == 1.0
    flat = trajectory_figure(times, truth[:, [0, 2, 1]] * [1, 1, 0.001], estimate).axes[0]
    assert (flat.get_xlabel(), flat.get_ylabel()) == ("x [m]", "y [m]")


def test_a_line_is_broken_where_poses_are_missing() -> None:
    times, truth, estimate = curves()
    keep = np.delete(np.arange(60), np.s_[20:40])
    truth_line = trajectory_figure(times[keep], truth[keep], estimate[keep]).axes[0].lines[0]
    assert np.isnan(truth_line.get_xdata()).sum() == 1
    assert len(truth_line.get_xdata()) == 41


@pytest.mark.parametrize("count", [1, 2])
def test_a_single_pose_can_be_drawn(count: int) -> None:
    times, truth, estimate = curves(count)
    assert figure_bytes(trajectory_figure(times, truth, estimate), "png")
    assert figure_bytes(error_figure(times, np.zeros(count), np.zeros(count)), "svg")


def test_stages_stack_to_the_whole_time_and_may_be_absent() -> None:
    stages = {"extract": np.array([9.0, 8.0, 7.0]), "match": np.array([1.0, np.nan, 3.0])}
    stacked = stage_figure(stages).axes[0]
    assert stacked.get_legend().get_texts()[0].get_text() == "p50 10.0 ms"
    np.testing.assert_array_equal(stacked.patches[-1].get_data().values, [10.0, 8.0, 10.0])
    for none in ({}, {"extract": np.zeros(0)}):
        assert figure_bytes(stage_figure(none), "svg")


def test_runs_that_span_decades_get_a_logarithmic_axis() -> None:
    near = runs_figure({"a": np.array([1.0, 1.2]), "b": np.array([np.nan])}, "ATE").axes[0]
    far = runs_figure({"a": np.array([0.01, 0.02]), "b": np.array([1.0])}, "ATE").axes[0]
    assert (near.get_xscale(), far.get_xscale()) == ("linear", "log")
    assert figure_bytes(runs_figure({}, "ATE"), "svg")


def test_the_same_picture_gives_the_same_file_and_the_callers_style_stays() -> None:
    import matplotlib

    before = dict(matplotlib.rcParams)
    first, second = (figure_bytes(trajectory_figure(*curves()), "svg") for _ in range(2))
    assert first == second
    assert dict(matplotlib.rcParams) == before


def test_matplotlib_is_not_loaded_before_a_picture_is_drawn() -> None:
    program = "import sys, slamfront.evaluation.trajectory.report; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=Path(__file__).parents[3]).returncode == 0
