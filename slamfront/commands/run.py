"""`slamfront run`: a source through the whole line, into a run folder."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from tyro.conf import Positional, arg

from slamfront.commands.parsing import Flag, Settings, parse, settings_of, with_viewer
from slamfront.config import RunConfig

if TYPE_CHECKING:
    from slamfront.evaluation.results import RunResult
    from slamfront.evaluation.trajectory import TrajectoryMetrics
    from slamfront.pipeline import RunSummary

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


def main(arguments: Sequence[str]) -> None:
    """Run, and print where the results are and what they are like."""
    words = list(arguments)
    given = parse(Run, words, "run", Run(tyro.MISSING, settings_of(words)))
    config = with_viewer(given.settings.run, given.view, given.headless, given.record)
    follow(given.spec, config, given.output, given.plots)


def follow(spec: str, config: RunConfig, output: Path | None, plots: bool = True) -> Path:
    """Run a source and write its folder, which is returned; an error that ended the source is raised at the end."""
    from slamfront.build import adjuster_of, audience_of, build_front, build_source, resolve, whole_map_backend
    from slamfront.commands.progress import Progress
    from slamfront.environment import environment, peak_memory_mb
    from slamfront.map.files import check_writable
    from slamfront.pipeline.loop import WINDOW_CLOSED, linger, run
    from slamfront.pipeline.results import RunFolder, default_folder

    # Before anything is opened, so that nobody waits for results that cannot be kept
    folder = RunFolder(output) if output is not None else None
    if config.save_map is not None:
        check_writable(config.save_map)
    source = build_source(spec, config)
    config = replace(resolve(config), sensor=source.sensor)
    if folder is None:
        folder = RunFolder(default_folder(source.name, time.strftime("%Y%m%d-%H%M%S")))
    folder.begin(config, environment())
    with audience_of(config, f"slamfront: {source.name}") as audience:
        with adjuster_of(config) as adjuster, folder.sinks() as sinks, Progress() as progress:
            front = build_front(config, source.camera, source.sensor, adjuster)
            whole_map = whole_map_backend(config)
            summary = run(
                source, front, adjuster, audience, sinks, threads=config.threads, whole_map=whole_map, watch=progress
            )
        result, metrics = folder.finish(summary, source, config, peak_memory_mb(), plots)
        print(_report(summary, result, metrics, folder.path))
        if config.save_map is not None:
            print(f"map        {_kept(summary, config.save_map, config)}")
        if sys.stdin.isatty() and summary.ended != WINDOW_CLOSED:
            linger(audience, summary.snapshot)
    if summary.failure is not None:
        raise summary.failure
    return folder.path


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
    counts = {
        "frames skipped": summary.skipped,
        "frames dropped": summary.dropped,
        "poses of a map that was begun anew": summary.journal.tracked_count
        - len(summary.trajectory)
        - sum(elsewhere.values()),
        "windows not adjusted": summary.windows_failed,
    }
    lines += [f"{'':<11}{count} {what}" for what, count in counts.items() if count]
    if metrics is not None:
        lines += [metrics_table(metrics)]
    return "\n".join([*lines, f"results    {folder}"])
