"""How much the numbers of the configuration matter: each is halved and doubled over the recordings of a suite.

    python tools/settings_sensitivity.py configs/bench/stress.yaml --short --output runs/sensitivity.jsonl
    python tools/settings_sensitivity.py configs/bench/real.yaml --only fr1 --settings "tracker.pose.*" --jobs 2

Every run is one of `slamfront run` without threads, in a process of its own, and a line of JSON in the output; a run
whose line is there already is not run again, so that work which was broken off goes on where it was. The table at the
end lists the settings by which a figure changes by more than it scatters over the seeds, and by more than `--least`.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import json
import math
import os
import subprocess
import sys
import tempfile
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import numpy as np
import tyro
from annotated_types import Interval
from tyro.conf import Positional

from slamfront.commands.bench import Suite, SuiteEntry, chosen
from slamfront.config import RunConfig, base_of, hints_of, load
from slamfront.errors import NOTHING_TRACKED, OK, EvaluationError
from slamfront.evaluation.trajectory.results import read_result

# Settings that decide what is read, shown or waited for, and no trajectory
_APART = ("source.*", "viewer.*", "seed", "*.patience_s")
_FIGURES = ("ate_m", "rpe_m")
_UNCHANGED = ""


@dataclass(frozen=True)
class Arguments:
    """What is varied, and over what."""

    suite: Annotated[Path, Positional]
    """Recordings, as for `slamfront bench`; their marks do not count here."""
    output: Path = Path("runs/sensitivity.jsonl")
    """File of one JSON line a run."""
    only: str = ""
    """Only the recordings whose name holds this; * and ? stand for any letters."""
    short: bool = False
    """Only the recordings of the suite's short form."""
    settings: tuple[str, ...] = ("*",)
    """Patterns of the settings that are varied."""
    seeds: int = 3
    """Runs of each kind, by seed."""
    jobs: int = 1
    """Runs at the same time."""
    least: float = 1.05
    """Ratios nearer to 1 than this are not listed."""


@dataclass(frozen=True, order=True)
class Task:
    """One run: a recording, a setting (empty = none is changed) with its value, and a seed."""

    sequence: str
    setting: str
    value: float
    seed: int


@dataclass(frozen=True)
class Change:
    """What a value of a setting changes most: a figure's ratio to the unchanged runs, and of how many recordings beyond
    their scatter.
    """

    setting: str
    value: float
    figure: str
    ratio: float
    sequence: str
    sensitive: int


def main() -> None:
    """Run what has not been run, and print the table."""
    given = tyro.cli(Arguments)
    suite = load(given.suite, Suite)
    entries = {entry.name: entry for entry in chosen(suite, given.only, given.short)}
    tasks = list(tasks_of(list(entries), given.settings, given.seeds))
    done = read_lines(given.output)
    waiting = [task for task in tasks if task not in done]
    print(f"{len(tasks)} runs, {len(tasks) - len(waiting)} of them done before", flush=True)
    given.output.parent.mkdir(parents=True, exist_ok=True)
    if given.output.exists() and not given.output.read_bytes().endswith(b"\n"):
        with given.output.open("a", encoding="utf-8") as file:
            file.write("\n")  # the last line was broken off
    lock = threading.Lock()

    def work(task: Task) -> None:
        figures = run(task, entries[task.sequence], suite, given.suite.parent)
        with lock, given.output.open("a", encoding="utf-8") as file:
            file.write(json.dumps(dataclasses.asdict(task) | figures) + "\n")

    with ThreadPoolExecutor(given.jobs) as pool:
        list(pool.map(work, waiting))
    wanted, done = set(tasks), read_lines(given.output)
    print(table(changes({task: figures for task, figures in done.items() if task in wanted}, given.least)))


def tasks_of(sequences: Sequence[str], patterns: Sequence[str], seeds: int) -> Iterator[Task]:
    """Yield the runs over recordings: those with nothing changed first, then each setting halved and doubled."""
    numbers = [one for one in numbers_of(RunConfig()) if any(fnmatch.fnmatchcase(one[0], p) for p in patterns)]
    kinds = [(_UNCHANGED, 0.0), *((path, value) for path, values in numbers for value in values)]
    for setting, value in kinds:
        for sequence in sequences:
            yield from (Task(sequence, setting, value, seed) for seed in range(seeds))


def numbers_of(config: Any, path: str = "") -> Iterator[tuple[str, list[float]]]:
    """Yield the dotted path of each number in a configuration and those below, and its half and double within its
    range; whole numbers are rounded. What is None, nought or decides no trajectory is left out.
    """
    for name, hint in hints_of(type(config)).items():
        value, where = getattr(config, name), f"{path}{name}"
        if any(fnmatch.fnmatchcase(where, pattern) for pattern in _APART):
            continue
        if dataclasses.is_dataclass(value):
            yield from numbers_of(value, f"{where}.")
        elif isinstance(value, (int, float)) and not isinstance(value, bool) and value:
            interval = _interval_of(hint)
            assert interval is not None, f"{where} has no range"
            near = [_within(value * factor, type(value), interval) for factor in (0.5, 2.0)]
            yield where, [one for one in near if one != value]


def _within(value: float, kind: type, interval: Any) -> float:
    """Return a value within a range, rounded where the setting is a whole number."""
    inside = min(max(value, interval.ge), interval.le)
    return math.floor(inside + 0.5) if kind is int else float(inside)


def _interval_of(hint: Any) -> Interval | None:
    notes = getattr(hint, "__metadata__", ())
    inner = [] if base_of(hint) is not hint or get_origin(hint) is None else list(get_args(hint))
    found = [note for note in notes if isinstance(note, Interval)] + [_interval_of(one) for one in inner]
    return next((one for one in found if one is not None), None)


def run(task: Task, entry: SuiteEntry, suite: Suite, beside: Path) -> dict[str, Any]:
    """Return the figures of one run in a process of its own: placed (%), ate_m and rpe_m, or the error."""
    config = ["--config", str(beside / entry.config)] if entry.config else []
    change = [f"--{task.setting.replace('_', '-')}", f"{task.value!r}"] if task.setting else []
    options = [*suite.options, *entry.options, "--no-threads", "--seed", str(task.seed), *change]
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "run"
        words = ["run", os.path.expandvars(entry.source), *config, "--output", str(output), "--headless", "--no-plots"]
        done = subprocess.run([sys.executable, "-m", "slamfront", *words, *options], capture_output=True, text=True)
        if done.returncode not in (OK, NOTHING_TRACKED):
            return {"error": (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]}
        try:
            result = read_result(output)
        except EvaluationError as error:
            return {"error": str(error)}
    return {"placed": result.tracked_percent or 0.0, "ate_m": result.ate_m, "rpe_m": result.rpe_m}


def read_lines(path: Path) -> dict[Task, dict[str, Any]]:
    """Return the figures of the runs in a file, also of one whose last line was broken off."""
    found: dict[Task, dict[str, Any]] = {}
    names = [field.name for field in dataclasses.fields(Task)]
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            values = json.loads(line)
            found[Task(*(values.pop(name) for name in names))] = values
        except (ValueError, KeyError, AttributeError):
            print(f"{path}: a line is not of a run, and is left out", file=sys.stderr)
    return found


def changes(done: Mapping[Task, Mapping[str, Any]], least: float) -> list[Change]:
    """Return what each value of each setting changes most, if that is more than the figure scatters over the seeds of
    the unchanged runs, and by more than a ratio `least` (placed frames: that many percent of them).
    """
    values: dict[tuple[str, float], dict[tuple[str, str], list[float]]] = defaultdict(lambda: defaultdict(list))
    for task, figures in done.items():
        for figure, value in _figures(figures):
            values[task.setting, task.value][task.sequence, figure].append(value)
    unchanged = values.pop((_UNCHANGED, 0.0), {})
    found = []
    for (setting, value), measured in values.items():
        beyond = [one for one in _ratios(measured, unchanged) if one[0] > max(one[1], math.log(least))]
        if beyond:
            size, _, ratio, sequence, figure = max(beyond)
            found.append((size, Change(setting, value, figure, ratio, sequence, len({one[3] for one in beyond}))))
    return [change for _, change in sorted(found, key=lambda one: -one[0])]


def _figures(figures: Mapping[str, Any]) -> Iterable[tuple[str, float]]:
    """Yield the figures of a run that has any; of one that failed, that nothing was placed."""
    yield "placed", max(float(figures.get("placed", 0.0)), 0.1)
    yield from ((name, float(figures[name])) for name in _FIGURES if figures.get(name))


def _ratios(
    measured: Mapping[tuple[str, str], list[float]], unchanged: Mapping[tuple[str, str], list[float]]
) -> Iterator[tuple[float, float, float, str, str]]:
    """Yield for each recording and figure how large the change is and its scatter (both as logarithms), the ratio, and
    both names.
    """
    for (sequence, figure), found in measured.items():
        before = unchanged.get((sequence, figure))
        if before:
            middle = float(np.median(before))
            ratio = float(np.median(found)) / middle
            scatter = float(np.abs(np.log(np.array(before) / middle)).max())
            yield abs(math.log(ratio)), scatter, ratio, sequence, figure


def table(found: Sequence[Change]) -> str:
    """Return the changes as text, the largest first."""
    if not found:
        return "no setting changes a figure by more than it scatters"
    head = f"{'setting':<44}{'value':>10}  {'figure':<8}{'ratio':>8}  {'recordings':>10}  most in"
    return "\n".join([head, *(_row(one) for one in found)])


def _row(one: Change) -> str:
    start = f"{one.setting:<44}{one.value:>10.4g}  {one.figure:<8}{one.ratio:>8.3f}"
    return f"{start}  {one.sensitive:>10}  {one.sequence}"


if __name__ == "__main__":
    main()
