"""Follows a source with and without loop closure, and tells the error of both and every loop.

    python tools/loop_closure.py "synthetic:house?frames=2000&speed=0.72&width=320&grey=1&draft=1" --sensor rgbd

ATE is the root mean square after alignment, SE(3), or Sim(3) for a single camera: of the poses as they were told
online, and of all poses with the corrections that came later. Without `--final` the whole map is not adjusted once more
at the end, so that what loops alone do is seen.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import tyro

from slamfront.build import build_front, build_source, resolve, whole_map_backend, workers_of
from slamfront.config import RunConfig
from slamfront.evaluation.trajectory import evaluate
from slamfront.pipeline import Session
from slamfront.protocols import Source
from slamfront.trajectories import write_tum
from slamfront.types import Frame, Sensor, Tracked, Trajectory

# Frames after a loop in which it is closed, and the whole map adjusted twice
_CLOSING = 200


@dataclass(frozen=True)
class Arguments:
    """What to follow, and how."""

    source: tyro.conf.Positional[str]
    """What to read, as `slamfront run` does."""
    sensor: Sensor = "rgbd"
    """What the frames carry."""
    keypoints: int = 500
    """Most keypoints of an image."""
    runs: tuple[Literal["off", "on"], ...] = ("off", "on")
    """Loop closure off, on, or both."""
    final: bool = False
    """Adjust the whole map at the end."""
    threads: bool = False
    """Backend and loops in processes of their own; without, runs repeat exactly."""
    rate: float | None = None
    """Frames a second, as a camera gives them; all are rendered or read beforehand. Without, as fast as can be."""
    output: Path | None = None
    """Folder for the trajectories."""
    config: RunConfig = field(default_factory=RunConfig)
    """Everything else."""


def main(arguments: Arguments) -> None:
    """Run, and print a line for each run and each loop."""
    for run in arguments.runs:
        follow(arguments, run == "on")


def follow(arguments: Arguments, loops: bool) -> None:
    """Follow the source once."""
    given = arguments.config
    config = resolve(
        replace(
            given,
            sensor=arguments.sensor,
            threads=arguments.threads,
            extractor=replace(given.extractor, kind="orb", max_keypoints=arguments.keypoints),
            backend=replace(given.backend, final=arguments.final),
            loops=replace(given.loops, enabled=loops),
        )
    )
    source = build_source(arguments.source, config)
    start = time.process_time()
    answers: list[Tracked] = []
    with workers_of(config) as workers:
        front = build_front(config, source.camera, source.sensor, workers)
        session = Session(front, workers, whole_map=whole_map_backend(config))
        for frame in source if arguments.rate is None else _paced(list(source), arguments.rate):
            answers.append(session.take(frame))
        session.finish()
    online = Trajectory.from_poses(
        [a.time_ns for a in answers if a.online_world_from_camera],
        [a.online_world_from_camera for a in answers if a.online_world_from_camera],
    )
    after = session.journal.trajectory(session.world)
    name = f"loops {'on ' if loops else 'off'} {arguments.sensor:<6}"
    print(
        f"{name} tracked {len(online)}/{len(answers)}, ATE online {_ate(source, online)}, "
        f"after {_ate(source, after)}, largest step of odometry {_largest_step(answers):.3f}, "
        f"{front.keyframe_count} keyframes, {time.process_time() - start:.0f} s",
        flush=True,
    )
    _print_slowest(answers, [loop.time_ns for loop in front.loops])
    frame_of = {a.time_ns: a.frame_id for a in answers}
    for loop in front.loops:
        print(f"  frame {frame_of.get(loop.time_ns)} -> {frame_of.get(loop.match_time_ns)}: {loop}", flush=True)
    if arguments.output is not None:
        arguments.output.mkdir(parents=True, exist_ok=True)
        write_tum(arguments.output / f"{arguments.sensor}-{'on' if loops else 'off'}.tum", after)


def _paced(frames: list[Frame], rate: float) -> Iterator[Frame]:
    """Give so many frames a second; where one took too long the next come at once, until the time is made up for."""
    start = time.perf_counter()
    for row, frame in enumerate(frames):
        time.sleep(max(0.0, start + row / rate - time.perf_counter()))
        yield frame


def _print_slowest(answers: list[Tracked], loops_ns: list[int]) -> None:
    """Print the slowest frames of all, and of those from each loop on for as long as it is worked on."""
    parts = [("all", answers)]
    for time_ns in loops_ns:
        first = next(row for row, answer in enumerate(answers) if answer.time_ns >= time_ns)
        parts.append((f"after frame {answers[first].frame_id}", answers[first : first + _CLOSING]))
    for name, some in parts:
        took_ms = np.array([sum(answer.stage_ms.values()) for answer in some])
        slow = [some[row] for row in np.argsort(-took_ms)[:3]]
        told = "; ".join(
            f"{sum(a.stage_ms.values()):.0f} ms at {a.frame_id} ({max(a.stage_ms, key=lambda s: a.stage_ms[s])})"
            for a in slow
        )
        print(f"  {name}: median {np.median(took_ms):.0f} ms, slowest {told}", flush=True)


def _ate(source: Source, trajectory: Trajectory) -> str:
    if source.reference is None or len(trajectory) < 3:
        return "unknown"
    metrics = evaluate(source.reference, trajectory)
    found = metrics.sim3 if source.sensor == "mono" else metrics.se3
    return f"{found.translation_m.rmse:.4f} m"


def _largest_step(answers: list[Tracked]) -> float:
    """Return how far the camera went at most between two frames, in the frame of odometry."""
    positions = [a.odom_from_camera.translation_m if a.odom_from_camera else np.full(3, np.nan) for a in answers]
    return float(np.nanmax(np.linalg.norm(np.diff(np.array(positions), axis=0), axis=1)))


if __name__ == "__main__":
    main(tyro.cli(Arguments))
