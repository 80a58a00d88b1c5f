"""Times the backends on a synthetic problem: 10 free keyframes, 10 fixed, 2000 landmarks.

    python tools/backend_speed.py [--observations 6000] [--sensor stereo|mono] [--iterations 8] [--repeat 5]

Prints, for the graph, the bundle adjustment and the remote round trip, the least processor time and wall time of the
repetitions, ms. Set OMP_NUM_THREADS=1 for figures of a single thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import tyro

from slamfront.backend import BundleAdjustment, NullBackend, RemoteBackend, graph_from_problem
from slamfront.config import BackendConfig
from slamfront.geometry.camera import Camera
from slamfront.geometry.pose import Pose
from slamfront.types import BundleAdjustmentProblem


@dataclass(frozen=True)
class Options:
    """What is timed."""

    observations: int = 6000
    """About how many observations the problem has."""
    landmarks: int = 2000
    """How many landmarks."""
    sensor: Literal["stereo", "mono"] = "stereo"
    """With or without disparities."""
    iterations: int = 8
    """Most iterations of Levenberg-Marquardt."""
    outliers: float = 0.02
    """Share of observations that are wrong."""
    start_m: float = 0.01
    """How far free poses start from the truth; also rad."""
    repeat: int = 5
    """Repetitions; the fastest counts."""


def make_problem(options: Options, keyframes: int = 20, fixed: int = 10) -> BundleAdjustmentProblem:
    """Return a problem of sideways motion with half a pixel of noise."""
    rng = np.random.default_rng(0)
    camera = Camera("pinhole", 640, 480, 450.0, 450.0, 320.0, 240.0, (), 0.12)
    poses = [Pose.exp(np.r_[rng.normal(0, 0.02, 3), 0.1 * i, rng.normal(0, 0.05, 2)]) for i in range(keyframes)]
    count = options.landmarks
    points = np.column_stack([rng.uniform(-2, 4, count), rng.uniform(-2, 2, count), rng.uniform(3, 10, count)])
    local = np.array([p.inverse().apply(points) for p in poses])
    pixels = np.array([camera.project(x) for x in local])
    visible = np.array([camera.contains(x) for x in pixels])
    # Of those that could be seen, as many as are asked for; each landmark keeps a share of its own.
    visible &= rng.random(visible.shape) < min(1.0, options.observations / visible.sum())
    rows, marks = np.nonzero(visible)
    uv = pixels[rows, marks] + rng.normal(0, 0.5, (len(rows), 2))
    disparity = camera.disparity_times_depth / local[rows, marks, 2] + rng.normal(0, 0.5, len(rows))
    wrong = rng.random(len(rows)) < options.outliers
    uv[wrong] += rng.uniform(-60, 60, (wrong.sum(), 2))
    start = [p if i < fixed else p @ Pose.exp(rng.normal(0, options.start_m, 6)) for i, p in enumerate(poses)]
    return BundleAdjustmentProblem(
        keyframe_ids=np.arange(keyframes),
        rotations=np.array([p.rotation for p in start]),
        positions_m=np.array([p.translation_m for p in start]),
        fixed=np.arange(keyframes) < fixed,
        landmark_ids=np.arange(count),
        landmarks_m=points + rng.normal(0, 0.05, points.shape),
        keyframe_rows=rows,
        landmark_rows=marks,
        keypoint_rows=np.arange(len(rows)),
        pixels_xy=uv,
        right_x=uv[:, 0] - disparity if options.sensor == "stereo" else np.full(len(rows), np.nan),
        sigmas_px=np.full(len(rows), 0.5) * 1.2 ** rng.integers(0, 8, len(rows)),
        disparity_sigma_px=np.full(len(rows), 0.5),
        camera=camera,
    )


def report(name: str, work: Callable[[], object], repeat: int) -> None:
    """Print the least processor and wall time of some repetitions."""
    times = []
    for _ in range(repeat):
        cpu, wall = time.process_time(), time.perf_counter()
        work()
        times.append((time.process_time() - cpu, time.perf_counter() - wall))
    cpu_ms, wall_ms = (1e3 * min(column) for column in zip(*times))
    print(f"{name:32s} processor {cpu_ms:7.1f} ms   wall {wall_ms:7.1f} ms")


def main(options: Options) -> None:
    """Time the pieces one after the other."""
    problem = make_problem(options)
    config = BackendConfig(max_iterations=options.iterations)
    print(f"{len(problem.pixels_xy)} {options.sensor} observations, {len(problem.landmark_ids)} landmarks")
    report("graph_from_problem", lambda: graph_from_problem(problem, config), options.repeat)
    report("BundleAdjustment", lambda: BundleAdjustment(config).solve(problem), options.repeat)
    with RemoteBackend(BackendConfig(kind="none")) as remote:
        report("RemoteBackend, round trip alone", lambda: remote.solve(problem), options.repeat)
    with RemoteBackend(config) as remote:
        report("RemoteBackend", lambda: remote.solve(problem), options.repeat)
    correction = BundleAdjustment(config).solve(problem)
    moved = NullBackend().solve(problem)
    print(f"{len(correction.outliers)} outliers; error of the inliers {correction.final_error:.1f}")
    print(f"keyframes moved by up to {np.abs(correction.positions_m - moved.positions_m).max() * 1e3:.1f} mm")


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
