"""`slamfront run`: a source through the whole line, into a run folder."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from tyro.conf import Positional, arg

from slamfront.commands.parsing import Flag, Settings, parse, settings_of, with_viewer
from slamfront.config import RunConfig
from slamfront.errors import NOTHING_TRACKED, OK

if TYPE_CHECKING:
    from slamfront.evaluation.trajectory import TrajectoryMetrics
    from slamfront.evaluation.trajectory.results import RunResult
    from slamfront.pipeline import RunSummary
    from slamfront.pipeline.endings import Endings
    from slamfront.pipeline.results import RunFolder
    from slamfront.protocols import Source

log = logging.getLogger(__name__)

# Disparities that are off by less tell distances well enough: to 1 % where a disparity is 2 px
_TOLD_OFFSET_PX = 0.02


@dataclass(frozen=True)
class Run:
    """Follow the camera of a source and map what it sees.

    SOURCE is a dataset's folder (TUM RGB-D, KITTI, EuRoC, 7-Scenes, ICL-NUIM: its kind is guessed), a folder or glob of
    images, a video, a ROS bag, `camera:0` or `synthetic:NAME`. Ctrl-C ends the run with the results so far.
    """

    spec: Annotated[str, Positional, arg(metavar="SOURCE")]
    """What to read."""
    settings: Annotated[Settings, arg(name="")] = field(default_factory=Settings)
    output: Path | None = None
    """Folder for the results; runs/NAME-TIME without it."""
    view: Flag = False
    """Watch the run in a window."""
    headless: Flag = False
    """No window, whatever the configuration says."""
    record: Path | None = None
    """Render the run to this video (.mp4) or folder of pictures; needs no display."""
    plots: bool = True
    """Draw the map, the trajectory, its errors and the stage times."""


@dataclass(frozen=True)
class Followed:
    """What came of a run: its folder, how many frames have a pose, and the reason why most of the others have none."""

    folder: Path
    tracked: int
    reason: str

    @property
    def code(self) -> int:
        """The exit code: 0, or 3 where not one frame was tracked."""
        return OK if self.tracked else NOTHING_TRACKED


def main(arguments: Sequence[str]) -> int:
    """Run, and print where the results are and what they are like; returns the exit code."""
    words = list(arguments)
    given = parse(Run, words, "run", Run(tyro.MISSING, settings_of(words)))
    config = with_viewer(given.settings.run, given.view, given.headless, given.record)
    followed = follow(given.spec, config, given.output, given.plots)
    if followed.code == NOTHING_TRACKED:
        log.error("nothing was tracked: %s", followed.reason or "no frame could be used")
    return followed.code


def follow(spec: str, config: RunConfig, output: Path | None, plots: bool = True) -> Followed:
    """Run a source and write its folder, and the map where one is wanted; an error is raised when all is written.

    Whatever ends the run, and whatever of its results cannot be written, the rest is: the map first, then the folder.
    """
    from slamfront.build import build_source, resolve
    from slamfront.map.files import check_writable
    from slamfront.pipeline.endings import endings
    from slamfront.pipeline.results import folder_for

    with ExitStack() as stack:
        ends = stack.enter_context(endings())
        # Before anything is opened, so that nobody waits for results that cannot be kept
        folder: RunFolder | None = None
        if output is not None:
            folder = folder_for(output, "")
            stack.callback(folder.close)
        if config.save_map is not None:
            check_writable(config.save_map)
        source = build_source(spec, config)
        config = replace(resolve(config), sensor=source.sensor)
        if folder is None:
            folder = folder_for(None, source.name)
            stack.callback(folder.close)
        return _follow(source, config, folder, ends, plots)


def _follow(source: Source, config: RunConfig, folder: RunFolder, ends: Endings, plots: bool) -> Followed:
    """Run a source that is open into a folder that is claimed."""
    from slamfront.build import audience_of, build_front, whole_map_backend, workers_of
    from slamfront.commands.progress import Progress
    from slamfront.environment import environment, peak_memory_mb
    from slamfront.errors import SlamfrontError
    from slamfront.pipeline.loop import WINDOW_CLOSED, linger, run

    folder.begin(config, environment())
    with audience_of(config, f"slamfront: {source.name}") as audience:
        with ends.keeping():
            with workers_of(config) as workers, folder.sinks() as sinks, Progress() as progress:
                front = build_front(config, source.camera, source.sensor, workers)
                whole_map = whole_map_backend(config)
                threads = config.threads
                summary = run(
                    source,
                    front,
                    workers,
                    audience,
                    sinks,
                    threads=threads,
                    whole_map=whole_map,
                    watch=progress,
                    ends=ends,
                )
            failures: list[Exception] = [] if summary.failure is None else [summary.failure]
            kept = ""
            if config.save_map is not None:
                try:
                    kept = _kept(summary, config.save_map, config)
                except SlamfrontError as error:
                    failures.append(error)
            result, metrics = folder.finish(summary, source, config, peak_memory_mb(), plots)
            failures += folder.failures
        print(_report(summary, result, metrics, folder.path))
        if kept:
            print(f"map        {kept}")
        if sys.stdin is not None and sys.stdin.isatty() and summary.ended != WINDOW_CLOSED:
            linger(audience, summary.snapshot)
    for further in failures[1:]:
        log.error("%s", further)
    if failures:
        raise failures[0]
    return Followed(folder.path, summary.journal.tracked_count, summary.reason)


def _kept(summary: RunSummary, path: Path, config: RunConfig) -> str:
    """Write the maps of a run and return where they are, or why there is none."""
    from slamfront.build import write_maps

    if summary.world is None or not summary.world.keyframes:
        return f"nothing was mapped, {path} was not written"
    assert config.sensor != "auto"
    return ", ".join(map(str, write_maps(summary.maps, summary.world, path, config, config.sensor)))


def _report(summary: RunSummary, result: RunResult, metrics: TrajectoryMetrics | None, folder: Path) -> str:
    """Return what a user wants to know after a run."""
    from slamfront.evaluation.trajectory import metrics_table

    lines = [f"{result.sequence} ({result.sensor}, {result.label}): {summary.frames} frames"]
    if summary.ended:
        lines[0] += f"; ended early: {summary.ended}"
    lines.append(
        f"tracked    {summary.journal.tracked_count} of {summary.frames} frames, {result.keyframes} keyframes, "
        f"{result.landmarks} landmarks"
    )
    if result.frame_p50_ms is not None:
        lines.append(
            f"speed      {summary.fps:.1f} frames/s; a frame takes {result.frame_p50_ms:.1f} ms (median), "
            f"{result.frame_p95_ms:.1f} ms (95 %), {result.frame_max_ms:.1f} ms (worst)"
        )
    if summary.world is not None and abs(summary.world.camera.disparity_offset_px) >= _TOLD_OFFSET_PX:
        offset_px = summary.world.camera.disparity_offset_px
        lines.append(
            f"stereo     disparities are {offset_px:+.2f} px too large: `disparity_offset_px` of a calibration"
        )
    if summary.loops:
        lines.append(f"loops      {len(summary.loops)} closed")
    elsewhere = {number: summary.journal.count_placed_by(world) for number, world in summary.others.items()}
    for number, count in elsewhere.items():
        lines.append(f"{'':<11}{count} frames are in map {number}, which shows no place of the main one: map-{number}/")
    untracked = len(summary.journal) - summary.journal.tracked_count
    if untracked and summary.reason:
        lines.append(f"{'untracked':<11}{untracked} frames, most of them since {summary.reason}")
    counts = {
        "frames skipped": summary.skipped,
        "frames dropped": summary.dropped,
        "poses of a map that was begun anew": summary.journal.tracked_count
        - len(summary.trajectory)
        - sum(elsewhere.values()),
        "local bundle adjustments failed": summary.local_ba_failed,
    }
    lines += [f"{'':<11}{count} {what}" for what, count in counts.items() if count]
    if metrics is not None:
        lines += [metrics_table(metrics)]
    return "\n".join([*lines, f"results    {folder}"])
