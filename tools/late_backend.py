"""How exact a run is when the backend answers late, as on a busy machine; repeatable to the last digit.

    python tools/late_backend.py $SLAMFRONT_DATA/tum/rgbd_dataset_freiburg1_rpy --config configs/run/tum.yaml \
        --late 0 2 4 8 --starts 0 1 2 --extractor.kind orb

The front end runs inline. A problem that it hands out is solved at once, and the correction is given to it so many
frames later; no other is taken until then, as with threads. There is no last adjustment of the whole map, but with
`--final`. `--frames 49 100` scores these frames alone, and tells their drift.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace
from typing import Annotated

from tyro.conf import Positional, arg

from slamfront.build import build_front, build_source, resolve, whole_map_backend, workers_of
from slamfront.commands.parsing import Settings, parse, settings_of
from slamfront.config import RunConfig
from slamfront.evaluation.trajectory import evaluate
from slamfront.pipeline import Session
from slamfront.protocols import SolverWorker
from slamfront.types import BundleAdjustmentProblem, Correction


@dataclass(frozen=True)
class Arguments:
    """Follow a sequence with a backend that answers late."""

    source: Annotated[str, Positional]
    """What to follow, as `slamfront run` does."""
    late: tuple[int, ...] = (0, 2, 4, 8)
    """Frames that a problem takes, for each run."""
    starts: tuple[int, ...] = (0,)
    """First frames, for each run."""
    frames: tuple[int, int] | None = None
    """Score only these frames of the sequence, the first and the one after the last."""
    final: bool = False
    """Adjust the whole map at the end, as `slamfront run` does."""
    settings: Annotated[Settings, arg(name="")] = field(default_factory=Settings)


class LateWorker:
    """Solves as another worker does, and keeps its solutions back by `late` frames of the backend's time."""

    def __init__(self, inner: SolverWorker[BundleAdjustmentProblem, Correction], late: int) -> None:
        self._inner, self._late = inner, late
        self._waiting: list[Correction] = []
        self.frame = self._busy_until = 0

    @property
    def failed(self) -> int:
        """Number of problems that could not be solved."""
        return self._inner.failed

    @property
    def idle(self) -> bool:
        """Whether the solutions of all problems have been polled."""
        return not self._waiting and self.frame >= self._busy_until

    def submit(self, problem: BundleAdjustmentProblem) -> bool:
        """Solve the problem, unless there is one already."""
        if not self.idle:
            return False
        self._inner.submit(problem)
        self._busy_until = self.frame + self._late
        self._waiting = list(self._inner.poll())
        return True

    def poll(self) -> list[Correction]:
        """Return what the backend would have solved by now."""
        if self.frame < self._busy_until:
            return []
        ready, self._waiting = self._waiting, []
        return ready

    def discard_pending(self) -> None:
        """Drop what waits."""
        self._waiting = []

    def finish(self) -> None:
        """Give out what waits."""
        self._inner.finish()
        self._busy_until = self.frame

    def close(self) -> None:
        """Take no problem any more."""
        self._inner.close()


def main() -> None:
    """Print the error of each run."""
    words = sys.argv[1:]
    given = parse(Arguments, words, "late_backend", Arguments("", settings=settings_of(words)))
    for start in given.starts:
        for late in given.late:
            config = given.settings.run
            _follow(given, replace(config, threads=False, source=replace(config.source, start=start)), late)


def _follow(given: Arguments, config: RunConfig, late: int) -> None:
    source = build_source(given.source, config)
    config = replace(resolve(config), sensor=source.sensor)
    assert source.reference is not None, "the sequence has no true trajectory"
    with workers_of(config) as inner:
        worker = LateWorker(inner.bundle_adjustment, late)
        workers = replace(inner, bundle_adjustment=worker)
        whole_map = whole_map_backend(config) if given.final else None
        session = Session(build_front(config, source.camera, source.sensor, workers), workers, whole_map=whole_map)
        count, times_ns = 0, []
        for frame in source:
            worker.frame += 1
            times_ns.append(frame.time_ns)
            count += session.take(frame).online_world_from_camera is not None
        session.finish()
    assert session.main_map is not None
    trajectory = session.journal.trajectory(session.main_map)
    first, last = given.frames or (0, config.source.start + len(times_ns))
    scored = max(first - config.source.start, 0), last - config.source.start
    found = evaluate(source.reference, trajectory, frame_times_ns=times_ns, frame_range=scored)
    aligned = found.sim3 if source.sensor == "mono" else found.se3
    drift = "" if found.drift is None else f", drift {found.drift.translation_percent:.2f} %"
    print(
        f"{source.name} {source.sensor} from frame {config.source.start}, {late} frames late: {count} tracked, "
        f"{len(session.main_map.keyframes)} keyframes, ATE {aligned.translation_m.rmse:.4f} m{drift}",
        flush=True,
    )


if __name__ == "__main__":
    main()
