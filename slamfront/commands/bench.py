"""`slamfront bench`: many sequences, several times each, in one report; or once each, against the marks they have."""

from __future__ import annotations

import fnmatch
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from slamfront.commands.parsing import Flag, parse
from slamfront.config import load
from slamfront.environment import environment
from slamfront.errors import NOTHING_TRACKED, OK, ConfigError, EvaluationError, SlamfrontError
from slamfront.evaluation.trajectory.mark_report import Marked, mark_line, summary, write_mark_report
from slamfront.evaluation.trajectory.marks import Judgement, Mark, Truth, judge
from slamfront.evaluation.trajectory.online import read_online
from slamfront.evaluation.trajectory.report import write_report
from slamfront.evaluation.trajectory.results import RunResult, read_result
from slamfront.trajectories import read_tum

MISSED = 1
"""Exit code where a mark is missed."""
_TIMEOUT_S = 3600.0


@dataclass(frozen=True)
class SuiteEntry:
    """One sequence of a suite."""

    source: str
    """As for `slamfront run`; $NAME stands for the environment variable NAME."""
    label: str = ""
    """Name in the report: of the configuration, or where there is a mark of the recording."""
    config: str = ""
    """YAML file beside the suite, for `--config`."""
    options: tuple[str, ...] = ()
    """Further options of `slamfront run`, such as [--sensor, mono]."""
    mark: Mark | None = None
    """What the run has to reach; for simulated scenes, whose depth is known."""
    short: bool = False
    """Part of the suite's short form."""

    @property
    def name(self) -> str:
        """The label, or the source without one."""
        return self.label or self.source


@dataclass(frozen=True)
class Suite:
    """A benchmark, as its YAML file has it."""

    sequences: tuple[SuiteEntry, ...]
    title: str = "slamfront benchmark"
    options: tuple[str, ...] = ()
    """Options of `slamfront run` for every sequence, before its own."""


@dataclass(frozen=True)
class Bench:
    """Run every sequence of a suite, each run in a process of its own, and write one report.

    Sequences with marks are run once, and the exit code is 1 when one misses its mark.
    """

    suite: Annotated[Path, Positional, arg(metavar="SUITE.yaml")]
    """What to run: `sequences:`, each with source, and where wanted label, config, options and mark."""
    runs: int = 5
    """Runs of each sequence without a mark."""
    jobs: int = 1
    """Runs at the same time."""
    only: str = ""
    """Only the sequences whose name holds this; * and ? stand for any letters."""
    short: Flag = False
    """Only the sequences of the short form."""
    output: Path | None = None
    """Folder for report.html, report.json and the run folders; runs/bench-TIME without it."""


@dataclass(frozen=True)
class _Task:
    entry: SuiteEntry
    options: tuple[str, ...]
    run: int
    folder: Path


@dataclass(frozen=True)
class _Done:
    result: RunResult
    folder: Path | None
    judgement: Judgement | None = None


def main(arguments: Sequence[str]) -> int:
    """Run the suite and write its report; returns `MISSED` where a mark is missed, else 0."""
    given = parse(Bench, arguments, "bench")
    suite = load(given.suite, Suite)
    entries = chosen(suite, given.only, given.short)
    if not suite.sequences or given.runs < 1 or given.jobs < 1:
        raise ConfigError(f"{given.suite}: a benchmark needs sequences, and --runs and --jobs of 1 or more")
    if not entries:
        raise ConfigError(f"{given.suite}: no sequence is called '{given.only}'")
    marked = [entry.mark is not None for entry in entries]
    if any(marked) != all(marked):
        raise ConfigError(f"{given.suite}: either every sequence has a mark or none")
    output = given.output or Path("runs") / time.strftime("bench-%Y%m%d-%H%M%S")
    tasks = [
        _Task(entry, (*suite.options, *entry.options), run, output / f"{number:02d}-{run}")
        for number, entry in enumerate(entries)
        for run in range(1 if entry.mark else given.runs)
    ]
    done = _run_all(tasks, given.suite.parent, given.jobs)
    report = output / "report.html"
    if not all(marked):
        results, folders = [one.result for one in done], [one.folder for one in done]
        write_report(results, report, folders=folders, title=suite.title, environment=environment())
        print(f"report     {report}")
        return 0
    runs = [_marked(task, one) for task, one in zip(tasks, done)]
    write_mark_report(runs, report, title=suite.title, environment=environment())
    print(f"{summary(runs)}\nreport     {report}")
    return 0 if all(run.passed for run in runs) else MISSED


def chosen(suite: Suite, only: str = "", short: bool = False) -> list[SuiteEntry]:
    """Return the sequences of a suite whose name holds a pattern, or those of its short form."""
    named = [entry for entry in suite.sequences if fnmatch.fnmatchcase(entry.name, f"*{only}*")]
    return [entry for entry in named if entry.short or not short]


def judged(entry: SuiteEntry, folder: Path, alignment: str, said: str = "") -> Judgement:
    """Return how the run in a folder did against its entry's mark; said = what it printed.

    Raises EvaluationError where the folder is damaged, or where no depth is known.
    """
    kind, _, name = entry.source.partition(":")
    if kind != "synthetic" or entry.mark is None:
        raise EvaluationError(f"{entry.source}: marks are for simulated scenes, whose depth is known")
    from slamfront.sources.synthetic import truth_of  # only who judges waits for the renderer

    online = read_online(folder)
    try:
        final = read_tum(folder / "final.tum")
    except EvaluationError:
        final = None  # it holds no pose
    return judge(entry.mark, online, final, Truth(*truth_of(name)), "sim3" if alignment == "sim3" else "se3", said)


def _run_all(tasks: Sequence[_Task], beside: Path, jobs: int) -> list[_Done]:
    """Return what came of the tasks, in their order; each is told when it ends."""
    with ThreadPoolExecutor(jobs) as pool:
        running = {pool.submit(_run, task, beside): number for number, task in enumerate(tasks)}
        found: dict[int, _Done] = {}
        for future in as_completed(running):
            number = running[future]
            found[number] = done = future.result()
            task = tasks[number]
            line = mark_line(_marked(task, done)) if task.entry.mark else _line(done.result)
            print(f"[{len(found)}/{len(tasks)}] {line}", flush=True)
    return [found[number] for number in range(len(tasks))]


def _run(task: _Task, beside: Path) -> _Done:
    """Return what came of one run in its own process; one that fails has its reason as the error."""
    entry, folder = task.entry, task.folder
    source = os.path.expandvars(entry.source)
    config = ["--config", str(beside / entry.config)] if entry.config else []
    words = ["run", source, *config, "--output", str(folder), "--headless", "--no-plots", *task.options]
    nothing = RunResult(sequence=Path(source).name, label=entry.label, run=task.run)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "slamfront", *words], capture_output=True, text=True, timeout=_TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        return _Done(replace(nothing, error=f"no end after {_TIMEOUT_S:.0f} s"), None)
    if done.returncode not in (OK, NOTHING_TRACKED):  # a run that tracked nothing has results, too
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        return _Done(replace(nothing, error=f"exit code {done.returncode}: {last}"), None)
    try:
        result = replace(read_result(folder), run=task.run)
        result = replace(result, label=entry.label) if entry.label else result
        judgement = judged(entry, folder, result.alignment, done.stderr) if entry.mark else None
        return _Done(result, folder, judgement)
    except SlamfrontError as error:
        return _Done(replace(nothing, error=str(error)), None)


def _marked(task: _Task, done: _Done) -> Marked:
    assert task.entry.mark is not None
    return Marked(task.entry.name, task.entry.source, task.entry.mark, done.result, done.judgement, done.folder)


def _line(result: RunResult) -> str:
    name = f"{result.sequence} {result.sensor} {result.label} #{result.run}"
    if result.error:
        return f"{name}: {result.error}"
    ate = f"ATE {result.ate_m:.4f} m ({result.alignment})" if result.ate_m is not None else "no reference"
    return f"{name}: tracked {result.tracked_percent or 0.0:.1f} %, {ate}, {result.fps or 0.0:.1f} frames/s"
