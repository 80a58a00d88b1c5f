"""Frames of the sample sequence, and sources, backends and viewers that do what a test wants."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from slamfront.build import build_front, resolve, workers_of
from slamfront.config import ExtractorConfig, KeyframeConfig, RunConfig, SourceConfig
from slamfront.geometry.camera import Camera
from slamfront.pipeline import Audience, RunSummary, run
from slamfront.pipeline.session import WholeMapBackend
from slamfront.protocols import Sink, Workers
from slamfront.sources.guess import open_source
from slamfront.types import Frame, Sensor, Snapshot, Trajectory

COUNT = 24
SAMPLE = Path(__file__).resolve().parents[1] / "datasets" / "sample"

# Few keypoints, so that tests are fast, and many keyframes, so that the backend has something to do
INLINE = RunConfig(
    threads=False,
    extractor=ExtractorConfig(kind="orb", max_keypoints=400, levels=4),
    keyframes=KeyframeConfig(max_interval=4, min_interval=1),
)
THREADED = replace(INLINE, threads=True)


@lru_cache(maxsize=1)
def _sample() -> tuple[Camera, Trajectory, tuple[Frame, ...]]:
    source = open_source(str(SAMPLE), SourceConfig(end=COUNT, prefetch=0), "rgbd")
    assert source.reference is not None
    return source.camera, source.reference, tuple(source)


class Recorded:
    """Frames in memory as a source; `before` is called with the row of each frame before it is given."""

    def __init__(self, count: int = COUNT, live: bool = False, before: Callable[[int], None] = lambda _: None) -> None:
        self.name, self.live, self.before = "recorded", live, before
        self.camera, self.reference, frames = _sample()
        self.sensor: Sensor = "rgbd"
        self.frames = list(frames[:count])

    @property
    def length(self) -> int:
        return len(self.frames)

    def __iter__(self) -> Iterator[Frame]:
        for row, frame in enumerate(self.frames):
            self.before(row)
            yield frame


class Watching:
    """A viewer that keeps what it is shown, and is closed by its user after so many snapshots."""

    def __init__(self, closed_after: int | None = None) -> None:
        self.closed_after = closed_after
        self.shown: list[Snapshot] = []

    def show(self, snapshot: Snapshot) -> bool:
        if not self.shown or snapshot is not self.shown[-1]:
            self.shown.append(snapshot)
        return self.closed_after is None or len(self.shown) < self.closed_after

    def close(self) -> None:
        pass


def run_on(
    source: Recorded,
    config: RunConfig = INLINE,
    workers: Workers | None = None,
    audience: Audience | None = None,
    sinks: Sequence[Sink] = (),
    whole_map: WholeMapBackend | None = None,
) -> RunSummary:
    """Run the whole line on a source."""
    config = resolve(config)
    with workers_of(config if workers is None else INLINE) as own:
        used = workers if workers is not None else own
        front = build_front(config, source.camera, source.sensor, used)
        return run(source, front, used, audience, sinks, threads=config.threads, whole_map=whole_map)


def copy_sample(folder: Path, count: int = 12) -> Path:
    """Copy the first frames of the sample sequence as a TUM folder of its own."""
    folder.mkdir(parents=True)
    for name in ("groundtruth.txt", "calibration.yaml"):
        shutil.copy(SAMPLE / name, folder / name)
    for kind in ("rgb", "depth"):
        lines = [line for line in (SAMPLE / f"{kind}.txt").read_text().splitlines() if not line.startswith("#")]
        (folder / f"{kind}.txt").write_text("\n".join(lines[:count]) + "\n")
        (folder / kind).mkdir()
        for line in lines[:count]:
            shutil.copy(SAMPLE / line.split()[1], folder / line.split()[1])
    return folder
