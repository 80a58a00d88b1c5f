"""Figures equal to evo's, which is run as a command."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from slamfront.evaluation.trajectory.association import select
from slamfront.geometry.pose import Pose
from slamfront.trajectories import write_kitti, write_tum

from .worlds import drifting, drive, moved

TOOL = Path(__file__).parents[3] / "tools" / "compare_with_evo.py"
EVO = shutil.which("evo_ape") or shutil.which("evo_ape", path=str(Path(sys.executable).parent))

needs_evo = pytest.mark.skipif(EVO is None, reason="the evo_ape command is not installed: nothing to compare with")


def compare(*arguments: str | Path) -> str:
    done = subprocess.run([sys.executable, str(TOOL), *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def write_tum_pair(folder: Path) -> tuple[Path, Path]:
    """A truth, and an estimate with a hole, another world, another scale and a clock that is 3 ms late."""
    truth = drive(200, step_m=0.1)
    estimate = select(drifting(truth, translation_m=0.002), np.delete(np.arange(200), np.s_[60:75]))
    write_tum(folder / "truth.tum", truth)
    write_tum(folder / "estimate.tum", moved(estimate, Pose.exp([1, 0, 0, 3, 2, 1]), 0.7, offset_ns=3_000_000))
    return folder / "truth.tum", folder / "estimate.tum"


@needs_evo
def test_absolute_errors_of_tum_files_equal_evos_to_a_millionth(tmp_path: Path) -> None:
    assert "ATE sim3 m" in compare(*write_tum_pair(tmp_path), "--only", "ATE s")


@needs_evo
@pytest.mark.slow
def test_relative_errors_of_tum_files_equal_evos_to_a_millionth(tmp_path: Path) -> None:
    assert "RPE 2 metres all pairs deg" in compare(*write_tum_pair(tmp_path), "--only", "RPE")


@needs_evo
@pytest.mark.slow
def test_figures_of_kitti_files_equal_evos_to_a_millionth(tmp_path: Path) -> None:
    truth = drive(120)
    estimate = drifting(truth)
    for name, trajectory in (("truth.txt", truth), ("estimate.txt", estimate)):
        write_kitti(tmp_path / name, [trajectory.pose(row) for row in range(len(trajectory))])
    assert "RPE 2 metres all pairs m" in compare(tmp_path / "truth.txt", tmp_path / "estimate.txt")


@needs_evo
@pytest.mark.slow
def test_figures_with_an_interpolated_reference_equal_evos_to_a_millionth(tmp_path: Path) -> None:
    truth = drive(400, step_m=0.1)
    write_tum(tmp_path / "truth.tum", truth)
    estimate = drifting(select(truth, np.arange(2, 398, 3)))
    write_tum(tmp_path / "estimate.tum", moved(estimate, Pose.identity(), offset_ns=7_000_000))
    assert "ATE se3 deg" in compare(tmp_path / "truth.tum", tmp_path / "estimate.tum", "--interpolate")
