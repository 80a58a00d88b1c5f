"""The result of one run, as a run folder keeps it, and the summary of several.

A run folder holds, for the report:

    metrics.json   the fields of `RunResult`, and under `trajectory` every figure of its `TrajectoryMetrics`
    errors.csv     a line for each compared pose: time, true and aligned position, errors; absent without a reference
    stats.csv      a line for each frame; its columns that end in `_ms` are the stages (`total_ms` the whole frame)
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from slamfront.config import from_mapping
from slamfront.errors import ConfigError, EvaluationError, refused_as
from slamfront.evaluation.trajectory.metrics import FrameTimes, TrajectoryMetrics
from slamfront.reading import read_text
from slamfront.types import FloatArray
from slamfront.writing import write_atomically

METRICS_FILE, ERRORS_FILE, STATS_FILE = "metrics.json", "errors.csv", "stats.csv"
_ERROR_COLUMNS = ("time_s", "true_x", "true_y", "true_z", "x", "y", "z", "error_m", "error_deg")


@dataclass(frozen=True, slots=True)
class RunResult:
    """Figures of one run over one sequence; None where there is nothing to measure.

    sequence, sensor, label   what was run: the recording, its sensor, the configuration's name
    run                  number of the run among those of the same kind, from 0
    frames, tracked_percent   frames of the source, and the share of them with a pose
    alignment            `se3`, `sim3` or `none`: which of the errors counts
    ate_m, ate_deg       root mean square error of position and orientation under the alignment that counts
    ate_se3_m, ate_sim3_m   root mean square error of position under both alignments
    scale                of the Sim(3) alignment
    rpe_m, rpe_deg       root mean square error of the motion from frame to frame
    drift_percent, drift_deg_per_100m, drift_note   KITTI drift and over which segments
    association          how poses were paired
    fps                  frames over the time from the first to the last, reading and writing included
    frame_p50_ms, frame_p95_ms, frame_max_ms   time that the front end took for a frame
    memory_mb            most resident memory of all processes
    keyframes, landmarks   of the final map
    error                why the run failed; empty when it did not
    """

    sequence: str
    sensor: str = ""
    label: str = ""
    run: int = 0
    frames: int | None = None
    tracked_percent: float | None = None
    alignment: str = "se3"
    ate_m: float | None = None
    ate_se3_m: float | None = None
    ate_sim3_m: float | None = None
    ate_deg: float | None = None
    scale: float | None = None
    rpe_m: float | None = None
    rpe_deg: float | None = None
    drift_percent: float | None = None
    drift_deg_per_100m: float | None = None
    drift_note: str = ""
    association: str = ""
    fps: float | None = None
    frame_p50_ms: float | None = None
    frame_p95_ms: float | None = None
    frame_max_ms: float | None = None
    memory_mb: float | None = None
    keyframes: int | None = None
    landmarks: int | None = None
    error: str = ""

    def with_trajectory(self, metrics: TrajectoryMetrics) -> RunResult:
        """Return the result with the figures of a comparison with the reference filled in."""
        step = next((one for one in metrics.rpe if (one.delta, one.unit) == (1, "frames")), None)
        share = metrics.tracked_percent
        return dataclasses.replace(
            self,
            frames=self.frames if metrics.frames is None else metrics.frames,
            tracked_percent=self.tracked_percent if share is None else share,
            alignment=metrics.alignment,
            ate_m=metrics.ate.translation_m.rmse,
            ate_se3_m=metrics.se3.translation_m.rmse,
            ate_sim3_m=metrics.sim3.translation_m.rmse,
            ate_deg=metrics.ate.rotation_deg.rmse,
            scale=metrics.sim3.alignment.target_from_source.scale,
            rpe_m=step.translation_m.rmse if step else None,
            rpe_deg=step.rotation_deg.rmse if step else None,
            drift_percent=metrics.drift.translation_percent if metrics.drift else None,
            drift_deg_per_100m=metrics.drift.rotation_deg_per_100m if metrics.drift else None,
            drift_note=metrics.drift.note if metrics.drift else "the path is shorter than a segment",
            association=metrics.association,
        )

    def with_frame_times(self, times: FrameTimes | None) -> RunResult:
        """Return the result with the percentiles of the frame times filled in; fps too, where it is not measured."""
        if times is None:
            return self
        return dataclasses.replace(
            self,
            fps=self.fps if self.fps is not None else times.fps,
            frame_p50_ms=times.p50_ms,
            frame_p95_ms=times.p95_ms,
            frame_max_ms=times.max_ms,
        )

    def to_mapping(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return dataclasses.asdict(self)


@dataclass(frozen=True, slots=True, eq=False)
class Curves:
    """What the pictures of a run are drawn from: rows (N,) or (N,3) of the compared poses, the estimate aligned."""

    times_s: FloatArray
    reference_m: FloatArray
    estimate_m: FloatArray
    errors_m: FloatArray
    errors_deg: FloatArray


@dataclass(frozen=True, slots=True)
class Spread:
    """Median, least and greatest of a figure over runs, and of how many runs."""

    median: float
    min: float
    max: float
    count: int

    @staticmethod
    def of(values: Sequence[float | None]) -> Spread | None:
        """Return the spread of the values that are there; None when none is."""
        known = [value for value in values if value is not None]
        return Spread(float(np.median(known)), min(known), max(known), len(known)) if known else None


def write_result(folder: Path, result: RunResult, metrics: TrajectoryMetrics | None = None) -> None:
    """Write metrics.json, and errors.csv where the run was compared with a reference; OutputError when not possible."""
    document = {**result.to_mapping(), "trajectory": metrics.to_mapping() if metrics else None}
    write_atomically(folder / METRICS_FILE, json.dumps(document, indent=2, allow_nan=False) + "\n")
    if metrics is not None:
        columns = [
            metrics.times_s,
            *metrics.pairs.reference.positions_m.T,
            *metrics.aligned.positions_m.T,
            metrics.ate.errors_m,
            metrics.ate.errors_deg,
        ]
        lines = [",".join(_ERROR_COLUMNS), *(",".join(f"{value:.9g}" for value in row) for row in zip(*columns))]
        write_atomically(folder / ERRORS_FILE, "\n".join(lines) + "\n")


def read_result(folder: Path) -> RunResult:
    """Return the result in a run folder's metrics.json; EvaluationError when it is missing or damaged."""
    path = folder / METRICS_FILE
    names = {field.name for field in dataclasses.fields(RunResult)}
    if not path.is_file():
        raise EvaluationError(f"cannot read {path}: No such file; is {folder} a run folder?")
    try:
        with refused_as(EvaluationError, f"{path} is no result of a run"):
            document = json.loads(read_text(path, EvaluationError))
            return from_mapping(RunResult, {name: value for name, value in document.items() if name in names})
    except ConfigError as error:
        raise EvaluationError(f"{path} is no result of a run: {error}") from error


def read_curves(folder: Path) -> Curves | None:
    """Return what errors.csv holds; None where there is no such file, EvaluationError when it is damaged."""
    columns = _read_columns(folder / ERRORS_FILE)
    if columns is None or not len(columns.get("time_s", ())):
        return None
    missing = [name for name in _ERROR_COLUMNS if name not in columns]
    if missing:
        raise EvaluationError(f"{folder / ERRORS_FILE} has no column {missing[0]}")
    reference, estimate = (np.stack([columns[prefix + axis] for axis in "xyz"], axis=1) for prefix in ("true_", ""))
    return Curves(columns["time_s"], reference, estimate, columns["error_m"], columns["error_deg"])


def read_stage_times(folder: Path) -> dict[str, FloatArray]:
    """Return the stages' times (N,) in milliseconds from stats.csv, without the total; empty where there are none."""
    columns = _read_columns(folder / STATS_FILE) or {}
    names = [name for name in columns if name.endswith("_ms") and name != "total_ms"]
    return {name.removesuffix("_ms"): columns[name] for name in names}


def _read_columns(path: Path) -> dict[str, FloatArray] | None:
    """Return the columns of a csv with a header; what is no number becomes nan. None where there is no such file."""
    if not path.exists():
        return None
    with refused_as(EvaluationError, f"cannot read {path}"):
        header, *rows = list(csv.reader(io.StringIO(read_text(path, EvaluationError), newline=""))) or [[]]
    uneven = next((number for number, row in enumerate(rows, start=2) if len(row) != len(header)), None)
    if uneven is not None:
        raise EvaluationError(f"{path}:{uneven}: {len(rows[uneven - 2])} columns, the header has {len(header)}")
    return {name: np.array([_number(row[column]) for row in rows]) for column, name in enumerate(header)}


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")
