"""Follows a source for long, and tells whether memory and time per frame stay flat.

    python tools/soak.py ["synthetic:room-loop?frames=5000&width=320&grey=1&draft=1"] [--sensor rgbd] [--every 500]

Prints, for each stretch of frames: the peak memory so far, the median and the worst time of `Slam.push` on the clock,
the median processor time of its thread, which other work on the machine hardly changes, and the size of the map. The
backend runs in its own process, and is not counted. Loops, maps and what else a run tells go to standard error.
"""

from __future__ import annotations

import logging
import resource
import statistics
import time

import tyro

import slamfront
from slamfront.types import Sensor


def main(
    source: tyro.conf.Positional[str] = "synthetic:room-loop?frames=5000&width=320&grey=1&draft=1",
    sensor: Sensor = "rgbd",
    every: int = 500,
) -> None:
    """Run the source and print a line every so many frames."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    frames = slamfront.open_source(source, sensor=sensor)
    widths = {"frames": 7, "memory MB": 10, "median ms": 10, "worst ms": 9, "busy ms": 8, "keyframes": 10}
    print(" ".join(f"{name:>{width}}" for name, width in (widths | {"landmarks": 10}).items()))
    with slamfront.Slam(camera=frames.camera, sensor=frames.sensor) as slam:
        times_ms: list[float] = []
        busy_ms: list[float] = []
        for count, frame in enumerate(frames, 1):
            start, busy = time.perf_counter(), time.thread_time()
            slam.push(frame.image, frame.time_ns, right=frame.right, depth_m=frame.depth_m)
            times_ms.append(1e3 * (time.perf_counter() - start))
            busy_ms.append(1e3 * (time.thread_time() - busy))
            if count % every == 0:
                memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
                world = slam.map()
                assert world is not None
                sizes = f"{len(world.keyframe_poses):>10} {len(world.landmarks_m):>10}"
                times = f"{statistics.median(times_ms):>10.1f} {max(times_ms):>9.1f} {statistics.median(busy_ms):>8.1f}"
                print(f"{count:>7} {memory_mb:>10.1f} {times} {sizes}", flush=True)
                times_ms.clear()
                busy_ms.clear()


if __name__ == "__main__":
    tyro.cli(main)
