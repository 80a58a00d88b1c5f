"""The folder that a run leaves behind."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np

from slamfront.config import RunConfig, dump
from slamfront.errors import EvaluationError, OutputError, SlamfrontError, refused_as
from slamfront.evaluation.trajectory import FrameTimes, TrajectoryMetrics, evaluate
from slamfront.evaluation.trajectory.plots import error_figure, save_figure, stage_figure, trajectory_figure
from slamfront.evaluation.trajectory.results import (
    STATS_FILE,
    RunResult,
    read_curves,
    read_stage_times,
    write_result,
)
from slamfront.geometry.pose import Pose
from slamfront.map import KeyframeMap
from slamfront.pipeline.folder import Claim, claim_new
from slamfront.pipeline.loop import RunSummary
from slamfront.protocols import Sink, Source
from slamfront.sinks.cloud import write_ply
from slamfront.sinks.colmap import write_colmap
from slamfront.sinks.stats import Stats
from slamfront.sinks.trajectory import OnlineTrajectory, write_every_pose, write_final
from slamfront.trajectories import read_tum
from slamfront.types import Tracked, Trajectory
from slamfront.viewer.picture import picture
from slamfront.writing import write_atomically

log = logging.getLogger(__name__)

ONLINE_FILE, FINAL_FILE, KEYFRAMES_FILE = "online.tum", "final.tum", "keyframes.tum"
CONFIG_FILE, ENVIRONMENT_FILE, LOOPS_FILE = "config.yaml", "environment.json", "loops.csv"
_COLMAP = "colmap"


class RunFolder:
    """A folder for the results of one run.

    config.yaml, environment.json   what the run was made with
    online.tum, stats.csv           a line for each frame, written while the run goes on
    final.tum, keyframes.tum        poses with all corrections in; for KITTI sources also online.kitti and final.kitti
    landmarks.ply, colmap/          the map
    loops.csv                       the loops that were closed: frames, landmarks, what the map was wrong by, the way
    map-N/                          the same of each map that was not joined to the others: final.tum, keyframes.tum,
                                    landmarks.ply, colmap/; while it ran, its poses went to online-N.tum
    metrics.json, errors.csv        figures, and the errors against the reference where the source has one
    *.png                           the map, the trajectory against truth, its errors, and the time of each stage
    """

    def __init__(self, claim: Claim) -> None:
        """Write into a claimed folder, as soon as there is something to write: what an earlier run left stays until
        then.
        """
        self.path = claim.path
        self.failures: list[SlamfrontError] = []
        """Results that could not be written."""
        self._claim = claim
        self._files: dict[str, str] = {}

    def begin(self, config: RunConfig, environment: Mapping[str, str]) -> None:
        """Tell what is known before the first frame; it is written with the first answer."""
        facts = {**environment, "command": " ".join(sys.argv)}
        self._files = {CONFIG_FILE: dump(config), ENVIRONMENT_FILE: json.dumps(facts, indent=2) + "\n"}

    @contextmanager
    def sinks(self) -> Iterator[Sequence[Sink]]:
        """Give the sinks that write while the run goes on, and close them after it; OutputError."""
        with ExitStack() as stack:
            yield (_Streams(self, stack),)

    def finish(
        self, summary: RunSummary, source: Source, config: RunConfig, memory_mb: float | None, plots: bool = True
    ) -> tuple[RunResult, TrajectoryMetrics | None]:
        """Write everything that is known after the last frame, each result by itself, and return the figures.

        What cannot be written is in `failures`, and does not keep the rest from being written. A run without a single
        answer does not replace the results of an earlier one.
        """
        metrics = _compare(summary, source)
        result = _result(summary, source, config, memory_mb)
        result = result if metrics is None else result.with_trajectory(metrics)
        if self._claim.holds_results:
            log.warning("no frame was answered: %s keeps the results of the run before", self.path)
            return result, metrics
        self._attempt(self.start)
        poses = self._write_poses(summary, self.path, summary.world)
        if source.name.startswith("kitti"):
            self._attempt(self._write_kitti, summary, poses)
        self._attempt(self._write_loops, summary)
        if summary.world is not None:
            self._attempt(write_model, self.path, summary.world)
        for number, world in summary.others.items():
            folder = self.path / f"map-{number}"
            self._write_poses(summary, folder, world)
            self._attempt(write_model, folder, world)
        self._attempt(write_result, self.path, result, metrics)
        if plots:
            self._draw(summary)
        return result, metrics

    def start(self) -> None:
        """Make room for the results of this run, once, and write what was known before it; OutputError."""
        if not self._claim.cleared:
            self._claim.clear()
            for name, text in self._files.items():
                write_atomically(self.path / name, text)

    def close(self) -> None:
        """Let others have the folder; a second call does nothing."""
        self._claim.close()

    def _attempt(self, write: Callable[..., object], *arguments: object) -> None:
        """Write one result, or keep why that was not possible."""
        try:
            with refused_as(OutputError, f"a result in {self.path} cannot be written"):
                write(*arguments)
        except SlamfrontError as error:
            self.failures.append(error)

    def _write_poses(self, summary: RunSummary, folder: Path, world: KeyframeMap | None) -> list[Pose | None]:
        """Write the poses that a map has for frames, and return them for each frame, and its keyframes."""
        journal = summary.journal
        known = journal.poses(world)
        poses = [known.get(frame_id) for frame_id in journal.frame_ids.tolist()]
        everyone = list(world.keyframes.values()) if world is not None else []
        # Keyframes of an earlier run have the times of its clock
        own = [record for record in everyone if record.id >= summary.first_own_id]
        records = sorted(own, key=lambda record: record.time_ns)
        keyframe_poses = [record.world_from_camera for record in records]
        stamps = summary.clock.stamps
        own_ns = stamps([record.time_ns for record in records])
        self._attempt(write_final, folder, stamps(journal.times_ns), poses, own_ns, keyframe_poses)
        return poses

    def _write_loops(self, summary: RunSummary) -> None:
        """Write a line for each loop; a frame of an earlier run, whose map this one began in, is left empty."""
        frame_of = dict(zip(summary.journal.times_ns.tolist(), summary.journal.frame_ids.tolist()))
        lines = ["frame,match_frame,landmarks,error_m,way_m"]
        for loop in summary.loops:
            own = loop.match_id >= summary.first_own_id
            frames = f"{frame_of.get(loop.time_ns, '')},{frame_of.get(loop.match_time_ns, '') if own else ''}"
            lines.append(f"{frames},{len(loop.landmark_ids)},{loop.error_m:.4f},{loop.way_m:.2f}")
        write_atomically(self.path / LOOPS_FILE, "\n".join(lines) + "\n")

    def _write_kitti(self, summary: RunSummary, poses: Sequence[Pose | None]) -> None:
        """Write online.kitti and final.kitti with a line for every frame, also for those that were skipped."""
        journal = summary.journal
        ids = journal.frame_ids
        if not len(ids):
            return
        step = int(np.gcd.reduce(np.diff(ids))) if len(ids) > 1 else 1
        every = range(int(ids[0]), int(ids[-1]) + 1, step)
        final = dict(zip(ids.tolist(), poses))
        write_every_pose(self.path / "final.kitti", [final.get(frame_id) for frame_id in every])
        if summary.journal.tracked_count:
            online = read_tum(self.path / ONLINE_FILE)
            pose_at = {time_ns: online.pose(row) for row, time_ns in enumerate(online.times_ns.tolist())}
            time_of = dict(zip(ids.tolist(), summary.clock.stamps(journal.times_ns).tolist()))
            write_every_pose(self.path / "online.kitti", [pose_at.get(time_of.get(i, -1)) for i in every])

    def _draw(self, summary: RunSummary) -> None:
        if summary.snapshot is not None:
            self._attempt(picture, summary.snapshot, self.path / "map.png")
        self._attempt(self._draw_curves)
        self._attempt(self._draw_stages)

    def _draw_curves(self) -> None:
        curves = read_curves(self.path)
        if curves is not None:
            figure = trajectory_figure(curves.times_s, curves.reference_m, curves.estimate_m)
            save_figure(figure, self.path / "trajectory.png")
            figure = error_figure(curves.times_s, curves.errors_m, curves.errors_deg)
            save_figure(figure, self.path / "errors.png")

    def _draw_stages(self) -> None:
        stages = read_stage_times(self.path)
        if stages:
            save_figure(stage_figure(stages), self.path / "stages.png")


class _Streams:
    """online.tum and stats.csv, which are begun with the first answer."""

    def __init__(self, folder: RunFolder, stack: ExitStack) -> None:
        self._folder, self._stack = folder, stack
        self._sinks: list[Sink] = []

    def write(self, tracked: Tracked) -> None:
        """Append an answer to both; OutputError."""
        if not self._sinks:
            self._folder.start()
            online = OnlineTrajectory(self._folder.path / ONLINE_FILE)
            self._stack.callback(online.close)
            stats = Stats(self._folder.path / STATS_FILE)
            self._stack.callback(stats.close)
            self._sinks += [online, stats]
        for sink in self._sinks:
            sink.write(tracked)


def write_model(folder: Path, world: KeyframeMap) -> None:
    """Write a map into a folder for other programs: landmarks.ply and a COLMAP text model; raises OutputError."""
    rows = np.flatnonzero(world.landmarks.alive)
    patches = world.landmarks.patches
    middle = patches.shape[1] // 2
    points, colours = world.landmarks.positions_m[rows], patches[rows, middle, middle]
    write_ply(folder / "landmarks.ply", points, colours)
    keyframes = [world.keyframe(keyframe_id) for keyframe_id in world.keyframes]
    write_colmap(folder / _COLMAP, world.camera, keyframes, world.landmarks.ids(rows), points, colours)


def _compare(summary: RunSummary, source: Source) -> TrajectoryMetrics | None:
    """Return how well the final trajectory follows the reference; None where that cannot be said."""
    trajectory: Trajectory = summary.trajectory
    if source.reference is None or not len(trajectory):
        return None
    try:
        return evaluate(source.reference, trajectory, alignment="sim3" if source.sensor == "mono" else "se3")
    except EvaluationError as error:
        log.warning("the trajectory is not compared with the reference: %s", error)
        return None


def _result(summary: RunSummary, source: Source, config: RunConfig, memory_mb: float | None) -> RunResult:
    journal, world = summary.journal, summary.world
    result = RunResult(
        sequence=source.name,
        sensor=source.sensor,
        label=f"{config.extractor.kind} {config.matcher.kind}",
        frames=summary.frames,
        tracked_percent=100.0 * journal.tracked_count / summary.frames if summary.frames else None,
        alignment="sim3" if source.sensor == "mono" else "se3",
        fps=summary.fps or None,
        memory_mb=memory_mb,
        keyframes=len(world.keyframes) if world is not None else 0,
        landmarks=len(world.landmarks) if world is not None else 0,
    )
    return result.with_frame_times(FrameTimes.of(journal.frame_ms))


def folder_for(output: Path | None, name: str) -> RunFolder:
    """Return the folder that is named, or else a new one for a run of that name: runs/NAME-TIME; OutputError."""
    if output is not None:
        return RunFolder(Claim(output))
    stamp = time.strftime("%Y%m%d-%H%M%S")
    return RunFolder(claim_new(Path("runs") / f"{name.replace(os.sep, '-')}-{stamp}"))
