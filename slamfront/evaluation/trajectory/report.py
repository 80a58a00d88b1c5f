"""One self-contained HTML page about many runs, and the same figures as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from slamfront.errors import EvaluationError
from slamfront.evaluation.page import Style, cell, details, heading, page, paragraph, table, value_cell
from slamfront.evaluation.trajectory.plots import (
    error_figure,
    figure_image,
    runs_figure,
    stage_figure,
    trajectory_figure,
)
from slamfront.evaluation.trajectory.results import RunResult, Spread, read_curves, read_stage_times
from slamfront.writing import write_atomically

_Column = tuple[str, str, str]
"""Field of RunResult, heading, and format."""

_ACCURACY: tuple[_Column, ...] = (
    ("tracked_percent", "tracked %", ".1f"),
    ("ate_se3_m", "ATE SE(3) m", ".4f"),
    ("ate_sim3_m", "ATE Sim(3) m", ".4f"),
    ("ate_deg", "ATE deg", ".3f"),
    ("rpe_m", "RPE m/frame", ".4f"),
    ("rpe_deg", "RPE deg/frame", ".3f"),
    ("drift_percent", "drift %", ".2f"),
    ("drift_deg_per_100m", "drift deg/100 m", ".2f"),
)
_SPEED: tuple[_Column, ...] = (
    ("fps", "frames/s", ".1f"),
    ("frame_p50_ms", "p50 ms", ".1f"),
    ("frame_p95_ms", "p95 ms", ".1f"),
    ("frame_max_ms", "max ms", ".1f"),
    ("memory_mb", "memory MB", ".0f"),
    ("keyframes", "keyframes", ".0f"),
    ("landmarks", "landmarks", ".0f"),
)
_COLUMNS = _ACCURACY + _SPEED


@dataclass(frozen=True, slots=True)
class _Group:
    """The runs over one sequence with one sensor and configuration; each with its run folder, where there is one."""

    title: str
    results: tuple[RunResult, ...]
    folders: tuple[Path | None, ...]

    @property
    def passed(self) -> list[RunResult]:
        return [result for result in self.results if not result.error]

    def spread(self, name: str) -> Spread | None:
        return Spread.of([getattr(result, name) for result in self.passed])

    def median_folder(self) -> Path | None:
        """Return the folder of the run whose ATE is the median (the lower of the middle two), else of the first one."""
        passed = [(r, f) for r, f in zip(self.results, self.folders) if not r.error and f is not None]
        scored = sorted((r.ate_m, row) for row, (r, _) in enumerate(passed) if r.ate_m is not None)
        if scored:
            return passed[scored[(len(scored) - 1) // 2][1]][1]
        return passed[0][1] if passed else None


def write_report(
    results: Sequence[RunResult],
    path: Path,
    *,
    folders: Sequence[Path | None] | None = None,
    title: str = "slamfront benchmark",
    environment: Mapping[str, str] | None = None,
) -> None:
    """Write the report of runs to `path` (HTML), and their figures beside it with the ending .json.

    Runs that share sequence, sensor and label form one row: median, least and greatest. `folders` are the run folders,
    one for each result, from which the pictures of the run with the median ATE are drawn; `environment` is shown as it
    is. Raises EvaluationError without results, OutputError when the files cannot be written.
    """
    if not results:
        raise EvaluationError("there are no results to report")
    groups = _grouped(results, folders if folders is not None else [None] * len(results))
    path = Path(path)
    document = {"title": title, "environment": dict(environment or {}), "sequences": [_figures(g) for g in groups]}
    write_atomically(path.with_suffix(".json"), json.dumps(document, indent=2, allow_nan=False) + "\n")
    write_atomically(path, _page(groups, title, environment or {}))


def _grouped(results: Sequence[RunResult], folders: Sequence[Path | None]) -> list[_Group]:
    found: dict[tuple[str, str, str], list[tuple[RunResult, Path | None]]] = {}
    for result, folder in zip(results, folders, strict=True):
        found.setdefault((result.sequence, result.sensor, result.label), []).append((result, folder))
    groups = []
    for names, runs in found.items():
        ordered = sorted(runs, key=lambda run: run[0].run)
        title = " · ".join(name for name in names if name)
        groups.append(_Group(title, tuple(r for r, _ in ordered), tuple(f for _, f in ordered)))
    return groups


def _figures(group: _Group) -> dict[str, Any]:
    """Return a group's figures for JSON."""
    first = group.results[0]
    spreads = {name: group.spread(name) for name, _, _ in _COLUMNS}
    return {
        "sequence": first.sequence,
        "sensor": first.sensor,
        "label": first.label,
        "runs": len(group.results),
        "failed": len(group.results) - len(group.passed),
        "figures": {name: asdict(spread) for name, spread in spreads.items() if spread is not None},
        "results": [result.to_mapping() for result in group.results],
    }


def _page(groups: list[_Group], title: str, environment: Mapping[str, str]) -> str:
    body = [_summary_table(groups, _ACCURACY), _summary_table(groups, _SPEED)]
    body.append(paragraph("Median over the runs, least to greatest below it; ATE (alignment in use) is blue.", "soft"))
    ates = {group.title: np.array([r.ate_m for r in group.passed if r.ate_m is not None]) for group in groups}
    if any(len(values) for values in ates.values()):
        body.append(figure_image(runs_figure(ates, "ATE, rmse [m]: runs and their median"), "ATE of every run"))
    body += [part for group in groups for part in _section(group)]
    return page(title, environment, body)


def _shown(columns: tuple[_Column, ...], groups: list[_Group]) -> list[_Column]:
    """Return the columns of which some run has a figure."""
    return [column for column in columns if any(group.spread(column[0]) for group in groups)]


def _summary_table(groups: list[_Group], wanted: tuple[_Column, ...]) -> Markup:
    columns = _shown(wanted, groups)
    rows = []
    for group in groups:
        cells = [_spread_cell(group, name, form) for name, _, form in columns]
        rows.append([cell(group.title), _runs_cell(group), *cells])
    return table(["sequence", "runs", *(heading for _, heading, _ in columns)], rows)


def _runs_cell(group: _Group) -> Markup:
    failed = len(group.results) - len(group.passed)
    return cell(str(len(group.results)), f"{failed} failed" if failed else "", note_style="bad")


def _spread_cell(group: _Group, name: str, form: str) -> Markup:
    spread = group.spread(name)
    if spread is None:
        return cell("–")
    least, greatest = format(spread.min, form), format(spread.max, form)
    extent = f"{least} – {greatest}" if least != greatest else ""
    style: Style = "counts" if name == f"ate_{group.passed[0].alignment}_m" else ""
    return cell(format(spread.median, form), extent, style)


def _section(group: _Group) -> list[Markup]:
    """Return what is said and shown about one group: notes, pictures of its median run, a table of all runs."""
    parts = [heading(group.title)]
    notes = dict.fromkeys(f"run {r.run} failed: {r.error}" for r in group.results if r.error)
    parts += [paragraph(note, "bad") for note in notes]
    for name, label in (("association", "compared with the"), ("drift_note", "drift:")):
        said = dict.fromkeys(getattr(r, name) for r in group.passed if getattr(r, name))
        parts += [paragraph(f"{label} {text}", "soft") for text in said]
    folder = group.median_folder()
    if folder is not None:
        parts += _pictures(folder)
    columns = _shown(_COLUMNS, [group])
    rows = [
        [cell(str(r.run)), *(value_cell(getattr(r, name), form) for name, _, form in columns)] for r in group.results
    ]
    every_run = table(["run", *(heading for _, heading, _ in columns)], rows)
    return [*parts, details("every run", every_run)]


def _pictures(folder: Path) -> list[Markup]:
    curves, stages = read_curves(folder), read_stage_times(folder)
    images = []
    if curves is not None:
        figure = trajectory_figure(curves.times_s, curves.reference_m, curves.estimate_m)
        images.append(figure_image(figure, "trajectory against truth"))
        images.append(figure_image(error_figure(curves.times_s, curves.errors_m, curves.errors_deg), "error over time"))
    if stages:
        images.append(figure_image(stage_figure(stages), "time of each stage"))
    return images
