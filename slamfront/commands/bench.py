"""`slamfront bench`: many sequences, several times each, in one report."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from slamfront.commands.parsing import parse
from slamfront.config import load
from slamfront.environment import environment
from slamfront.errors import ConfigError, EvaluationError
from slamfront.evaluation.report import write_report
from slamfront.evaluation.results import RunResult, read_result

_TIMEOUT_S = 3600.0


@dataclass(frozen=True)
class SuiteEntry:
    """One sequence of a suite."""

    source: str
    """As for `slamfront run`; $NAME stands for the environment variable NAME."""
    label: str = ""
    """Name of the configuration in the report; the extractor and the matcher without one."""
    config: str = ""
    """YAML file beside the suite, for `--config`."""
    options: tuple[str, ...] = ()
    """Further options of `slamfront run`, such as [--sensor, mono]."""


@dataclass(frozen=True)
class Suite:
    """A benchmark, as its YAML file has it."""

    sequences: tuple[SuiteEntry, ...]
    title: str = "slamfront benchmark"


@dataclass(frozen=True)
class Bench:
    """Run every sequence of a suite several times, each run in a process of its own, and write one report."""

    suite: Annotated[Path, Positional, arg(metavar="SUITE.yaml")]
    """What to run: `sequences:`, each with source, and where wanted label, config and options."""
    runs: int = 5
    """Runs of each sequence."""
    output: Path | None = None
    """Folder for report.html, report.json and the run folders; runs/bench-TIME without it."""


def main(arguments: Sequence[str]) -> None:
    """Run the suite and write its report."""
    given = parse(Bench, arguments, "bench")
    suite = load(given.suite, Suite)
    if not suite.sequences or given.runs < 1:
        raise ConfigError(f"{given.suite}: a benchmark needs sequences, and --runs of 1 or more")
    output = given.output or Path("runs") / time.strftime("bench-%Y%m%d-%H%M%S")
    results: list[RunResult] = []
    folders: list[Path | None] = []
    for number, entry in enumerate(suite.sequences):
        for run in range(given.runs):
            folder = output / f"{number:02d}-{run}"
            result = replace(_run(entry, given.suite.parent, folder), run=run)
            results.append(replace(result, label=entry.label) if entry.label else result)
            folders.append(None if result.error else folder)
            print(_line(results[-1]), flush=True)
    report = output / "report.html"
    write_report(results, report, folders=folders, title=suite.title, environment=environment())
    print(f"report     {report}")


def _run(entry: SuiteEntry, beside: Path, folder: Path) -> RunResult:
    """Return the result of one run in its own process; one that fails has its reason as the error."""
    source = os.path.expandvars(entry.source)
    config = ["--config", str(beside / entry.config)] if entry.config else []
    words = ["run", source, *config, "--output", str(folder), "--headless", "--no-plots", *entry.options]
    nothing = RunResult(sequence=Path(source).name)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "slamfront", *words], capture_output=True, text=True, timeout=_TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        return replace(nothing, error=f"no end after {_TIMEOUT_S:.0f} s")
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        return replace(nothing, error=f"exit code {done.returncode}: {last}")
    try:
        return read_result(folder)
    except EvaluationError as error:
        return replace(nothing, error=str(error))


def _line(result: RunResult) -> str:
    name = f"{result.sequence} {result.sensor} {result.label} #{result.run}"
    if result.error:
        return f"{name}: {result.error}"
    ate = f"ATE {result.ate_m:.4f} m ({result.alignment})" if result.ate_m is not None else "no reference"
    return f"{name}: tracked {result.tracked_percent or 0.0:.1f} %, {ate}, {result.fps or 0.0:.1f} frames/s"
