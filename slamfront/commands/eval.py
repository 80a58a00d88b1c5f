"""`slamfront eval`: a trajectory against the true one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from annotated_types import Interval
from tyro.conf import Positional

from slamfront.commands.parsing import Flag, parse
from slamfront.config import Count
from slamfront.errors import EvaluationError
from slamfront.evaluation.trajectory import TrajectoryMetrics, evaluate, metrics_table
from slamfront.trajectories import guess_kind, read_times, read_trajectory
from slamfront.types import Trajectory


@dataclass(frozen=True)
class Eval:
    """Compare an estimated trajectory with the true one: ATE, RPE and drift.

    The kind of a file (TUM, KITTI, EuRoC) is told from its first line.
    """

    reference: Positional[Path]
    """Trajectory file, or a dataset's folder, whose own reference is taken."""
    estimate: Positional[Path]
    """Trajectory file, or a run folder, whose final trajectory is taken."""
    align: Literal["se3", "sim3", "none"] = "se3"
    """Alignment that counts: se3 for stereo and depth, sim3 for one camera, none for a shared world."""
    interpolate: Flag = False
    """Carry the reference to the estimate's times instead of taking its nearest poses."""
    max_difference_ms: Annotated[float, Interval(ge=0, le=1e9)] = 10.0
    """Poses further apart in time than this are not compared."""
    frames: tuple[Count, Count] | None = None
    """Score only these poses of the estimate: the first, and the one to stop before."""
    times: Path | None = None
    """File with one time a line, for KITTI's trajectories; found by itself beside KITTI's poses."""
    plot: Path | None = None
    """Draw the trajectories and the errors into this .png or .svg file."""


def main(arguments: Sequence[str]) -> None:
    """Print the figures, and draw them where that is asked for."""
    given = parse(Eval, arguments, "eval")
    times = given.times or _times_beside(given.reference)
    estimate = given.estimate / "final.tum" if given.estimate.is_dir() else given.estimate
    metrics = evaluate(
        _reference(given.reference, times),
        _read(estimate, times),
        alignment=given.align,
        interpolate=given.interpolate,
        max_difference_ns=round(given.max_difference_ms * 1e6),
        frame_range=given.frames,
    )
    print(metrics_table(metrics))
    if given.plot is not None:
        _draw(metrics, given.plot)
        print(f"picture    {given.plot}")


def _reference(path: Path, times: Path | None) -> Trajectory:
    if not path.is_dir():
        return _read(path, times)
    from slamfront.sources.guess import open_source  # a file needs no image library

    reference = open_source(str(path)).reference
    if reference is None:
        raise EvaluationError(f"{path} has no reference trajectory: name a file")
    return reference


def _read(path: Path, times: Path | None) -> Trajectory:
    """Return a trajectory; the times are for KITTI's files, which have none, and which may end earlier."""
    trajectory = read_trajectory(path)
    if times is None or guess_kind(path) != "kitti":
        return trajectory
    times_ns = read_times(times)
    if len(times_ns) < len(trajectory):
        raise EvaluationError(f"{times} has {len(times_ns)} times for the {len(trajectory)} poses of {path}")
    return Trajectory(times_ns[: len(trajectory)], trajectory.positions_m, trajectory.quaternions_xyzw)


def _times_beside(reference: Path) -> Path | None:
    """Return the times of the sequence that a file of KITTI's poses belongs to."""
    path = reference.parent.parent / "sequences" / reference.stem / "times.txt"
    return path if path.is_file() else None


def _draw(metrics: TrajectoryMetrics, path: Path) -> None:
    from slamfront.evaluation.trajectory.plots import save_figure, trajectory_figure

    times_s = np.asarray(metrics.times_s, np.float64)
    save_figure(trajectory_figure(times_s, metrics.pairs.reference.positions_m, metrics.aligned.positions_m), path)
