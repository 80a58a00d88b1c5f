"""One page about runs and the marks they had to reach, and the same figures as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from slamfront.errors import EvaluationError
from slamfront.evaluation.page import cell, details, heading, page, paragraph, table, value_cell
from slamfront.evaluation.trajectory.marks import Judgement, Mark
from slamfront.evaluation.trajectory.plots import error_figure, figure_image
from slamfront.evaluation.trajectory.results import RunResult, read_curves
from slamfront.writing import write_atomically

_HEADINGS = (
    "recording", "sensor", "mark", "", "frames", "placed online", "placed final", "ATE online m", "ATE final m",
    "RPE online m/s", "RPE online deg/s", "RPE final m/s", "off % of depth", "wrong, sure",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Marked:
    """One run and what was made of it.

    judgement   None for a run that failed, whose reason is the result's error
    folder      of the run, None when it failed
    """

    name: str
    source: str
    mark: Mark
    result: RunResult
    judgement: Judgement | None
    folder: Path | None = None

    @property
    def passed(self) -> bool:
        """Whether the mark was reached."""
        return self.judgement is not None and self.judgement.passed

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it was not."""
        return self.judgement.reasons if self.judgement is not None else (self.result.error,)


def write_mark_report(
    runs: Sequence[Marked], path: Path, *, title: str, environment: Mapping[str, str] | None = None
) -> None:
    """Write the report to `path` (HTML), and its figures beside it with the ending .json.

    The page is a table of all runs; for those that missed their marks the reasons follow, and the errors over time.
    Raises EvaluationError without runs, OutputError when the files cannot be written.
    """
    if not runs:
        raise EvaluationError("there are no runs to report")
    facts, path = dict(environment or {}), Path(path)
    document = {"title": title, "environment": facts, "summary": summary(runs), "runs": [_figures(run) for run in runs]}
    write_atomically(path.with_suffix(".json"), json.dumps(document, indent=2, allow_nan=False) + "\n")
    body = [paragraph(summary(runs)), table(_HEADINGS, [_row(run) for run in runs])]
    note = (
        "RPE over a second. Off: the largest error of the motion over a second to a pose that calls itself right, as a "
        "share of the median depth; from 10 %, or 5 degrees, on it counts as wrong."
    )
    body.append(paragraph(note, "soft"))
    body += [part for run in runs if not run.passed for part in _section(run)]
    write_atomically(path, page(title, facts, body))


def summary(runs: Sequence[Marked]) -> str:
    """Return in a sentence how many runs reached their marks, and how many were wrong and sure of it."""
    passed, sure = sum(run.passed for run in runs), sum(bool(run.judgement and run.judgement.wrong) for run in runs)
    share = 100 * passed / len(runs)
    return f"{passed} of {len(runs)} reached their marks ({share:.0f} %); {sure} had poses that were wrong and sure"


def mark_line(run: Marked) -> str:
    """Return one line of text about a run."""
    found = run.judgement
    if found is None:
        return f"FAILED  {run.name}: {run.result.error}"
    figures = (
        f"placed {found.placed_percent:.0f}/{found.final_percent:.0f} %, ATE {_number(found.ate_online_m)}/"
        f"{_number(found.ate_final_m)} m, RPE {_number(found.rpe_online_m)}/{_number(found.rpe_final_m)} m/s, "
        f"off {100 * found.worst_depths:.1f} % of {found.depth_m:.1f} m, {found.worst_deg:.1f} deg"
    )
    why = "".join(f"\n        {reason}" for reason in found.reasons)
    return f"{'passed' if run.passed else 'MISSED'}  {run.name} ({run.result.sensor}): {figures}{why}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _row(run: Marked) -> list[Markup]:
    verdict = cell("passed") if run.passed else cell("missed", style="bad")
    start = [cell(run.name), cell(run.result.sensor), cell(_mark_text(run.mark)), verdict]
    found = run.judgement
    if found is None:
        return [*start, cell(run.result.error, style="bad", columns=len(_HEADINGS) - 4)]
    figures = (
        (found.frames, ".0f"), (found.placed_percent, ".1f"), (found.final_percent, ".1f"),
        (found.ate_online_m, ".4f"), (found.ate_final_m, ".4f"), (found.rpe_online_m, ".4f"),
        (found.rpe_online_deg, ".3f"), (found.rpe_final_m, ".4f"), (100 * found.worst_depths, ".1f"),
    )  # fmt: skip
    sure = cell(str(len(found.wrong)), style="bad" if found.wrong else "")
    return [*start, *(value_cell(value, form) for value, form in figures), sure]


def _mark_text(mark: Mark) -> str:
    error = f", {mark.error:g} % of the {mark.of}" if mark.error is not None else ""
    return f"{mark.placed:g} %{error}" + (f", says '{mark.says}'" if mark.says else "")


def _section(run: Marked) -> list[Markup]:
    """Return the reasons of a run that missed its mark, and its errors over time."""
    parts = [heading(run.name), paragraph(run.source, "soft")]
    parts += [paragraph(reason, "bad") for reason in run.reasons]
    curves = read_curves(run.folder) if run.folder is not None else None
    if curves is not None:
        figure = error_figure(curves.times_s, curves.errors_m, curves.errors_deg)
        picture = figure_image(figure, "error of the final trajectory over time")
        parts.append(details("errors of the final trajectory", picture))
    return parts


def _figures(run: Marked) -> dict[str, object]:
    judged = run.judgement.to_mapping() if run.judgement is not None else {"passed": False, "reasons": run.reasons}
    return {"name": run.name, "source": run.source, "sensor": run.result.sensor, **judged}
