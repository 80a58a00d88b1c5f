#!/usr/bin/env python3
"""How runs and programs end: signals, callbacks that raise, and Slams that nobody closes.

    python tools/endings.py --signals 10 --callbacks 20 --unclosed 20

Each signal (SIGTERM and SIGHUP) goes to a run of its own, at another moment between the first frame and some seconds
later, and counts where the run ends with code 0 and all its results. Each callback raises in one keyframe and counts
where all later frames are tracked. The Slams that nobody closes are made by one program, which has to end with code 0
and leave no thread, process or file behind. Exit code 1 where anything does not count.
"""

from __future__ import annotations

import argparse
import itertools
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import slamfront
from slamfront.config import ExtractorConfig, KeyframeConfig, RunConfig, SourceConfig
from slamfront.evaluation.trajectory.results import read_result
from slamfront.map.files import load_map
from slamfront.sources.guess import open_source
from slamfront.trajectories import read_tum

SAMPLE = Path(__file__).resolve().parents[1] / "datasets" / "sample"
CONFIG = RunConfig(
    extractor=ExtractorConfig(kind="orb", max_keypoints=400), keyframes=KeyframeConfig(max_interval=4, min_interval=1)
)
_FRAMES, _PATIENCE_S = 24, 300.0

_UNCLOSED = """
import os, sys
import slamfront
from slamfront.config import SourceConfig
from tools.endings import CONFIG, SAMPLE
source = slamfront.open_source(SAMPLE, SourceConfig(end=4, prefetch=0), "rgbd")
frames, slams = list(source), []
for _ in range(int(sys.argv[1])):
    slams.append(slamfront.Slam(CONFIG, camera=source.camera, sensor="rgbd"))
    for frame in frames:
        slams[-1].push(frame.image, frame.time_ns, depth_m=frame.depth_m)
print(*open(f"/proc/self/task/{os.getpid()}/children").read().split())
"""


def signals(count: int) -> int:
    """Return how many of `count` runs for each signal end with all their results."""
    good = 0
    for number in (signal.SIGTERM, signal.SIGHUP):
        for turn in range(count):
            with tempfile.TemporaryDirectory() as folder:
                fault = _told_to_end(number, Path(folder), 0.3 * turn)
            good += not fault
            if fault:
                print(f"{number.name} {turn}: {fault}")
    return good


def _told_to_end(number: signal.Signals, folder: Path, after_s: float) -> str:
    """End a run some time after its first frame; return what is wrong with that end, or nothing."""
    words = ["run", "synthetic:room?frames=5000&width=320&grey=1&draft=1", "--extractor.kind", "orb"]
    words += ["--output", str(folder / "run"), "--save-map", str(folder / "room.map")]
    with (folder / "printed").open("wb") as printed:
        process = subprocess.Popen(
            [sys.executable, "-m", "slamfront", *words],
            stdout=printed,
            stderr=subprocess.STDOUT,
            preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
        )
        while b"frame " not in (folder / "printed").read_bytes() and process.poll() is None:
            time.sleep(0.05)
        time.sleep(after_s)
        process.send_signal(number)
        code = process.wait(_PATIENCE_S)
    if code:
        return f"exit code {code}: {(folder / 'printed').read_text()[-200:]}"
    online, final = (len(read_tum(folder / "run" / name)) for name in ("online.tum", "final.tum"))
    world, _ = load_map(folder / "room.map")
    result = read_result(folder / "run")
    missing = [name for name in ("map.png", "landmarks.ply", "colmap") if not (folder / "run" / name).exists()]
    whole = 0 < online == final < 5000 and world.keyframes and result.ate_se3_m is not None
    return "" if whole and not missing else f"{online} and {final} poses, {len(world.keyframes)} keyframes, {missing}"


def callbacks(count: int) -> int:
    """Return how many of `count` Slams go on after a callback that raises."""
    source = open_source(SAMPLE, SourceConfig(end=_FRAMES, prefetch=0), "rgbd")
    frames, good = list(source), 0
    inline = replace(CONFIG, threads=False)  # corrections come while frames are pushed, always in the same ones
    for turn in range(count):
        with slamfront.Slam(inline, camera=source.camera, sensor="rgbd") as slam:
            (slam.on_keyframe, slam.on_factors, slam.on_correction)[turn % 3](_raising(1 + turn % 2))
            raised = 0
            for frame in frames:
                try:
                    slam.push(frame.image, frame.time_ns, depth_m=frame.depth_m)
                except RuntimeError:
                    raised += 1
            tracked = slam.state is slamfront.State.TRACKING and len(slam.trajectory()) == len(frames)
            good += tracked and raised == 1
            if not tracked or raised != 1:
                print(f"callback {turn}: raised {raised} times, {slam}")
    return good


def _raising(when: int) -> Callable[..., None]:
    """Return a callback whose call of that number, from 1 on, raises."""
    calls = itertools.count(1)

    def callback(*_: object) -> None:
        if next(calls) == when:
            raise RuntimeError("a callback that fails")

    return callback


def unclosed(count: int) -> bool:
    """Return whether a program that makes `count` Slams and closes none ends well and leaves nothing behind."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-c", _UNCLOSED, str(count)],
            capture_output=True,
            text=True,
            cwd=Path(__file__).resolve().parents[1],
            env={**os.environ, "TMPDIR": folder},
            timeout=_PATIENCE_S,
        )
        left = sorted(os.listdir(folder))
    living = [number for number in done.stdout.split() if Path("/proc", number).exists()]
    started = len(done.stdout.split())
    print(
        f"{count} Slams that nobody closed: exit code {done.returncode}, {len(living)} of {started} processes left, "
        f"files left {left}{done.stderr[-300:]}"
    )
    return done.returncode == 0 and not living and not left and not done.stderr


def main() -> int:
    """Try what is asked for and print how many ended well."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("signals", "callbacks", "unclosed"):
        parser.add_argument(f"--{name}", type=int, default=0)
    given = parser.parse_args()
    right = True
    if given.signals:
        good = signals(given.signals)
        print(f"{good} of {2 * given.signals} runs ended by SIGTERM and SIGHUP with all their results")
        right &= good == 2 * given.signals
    if given.callbacks:
        good = callbacks(given.callbacks)
        print(f"{good} of {given.callbacks} Slams went on after a callback that raised")
        right &= good == given.callbacks
    if given.unclosed:
        right &= unclosed(given.unclosed)
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
