"""How soon a camera that was carried off, or whose lens was covered, is found again in the map of the same run.

    python tools/kidnapping.py "synthetic:house?frames=720&width=320&grey=1&draft=1&noise=1" --sensor rgbd
    python tools/kidnapping.py $SLAMFRONT_DATA/tum/rgbd_dataset_freiburg1_rpy --warm 40

The source is followed once, inline. At moments drawn by seed the run is forked. In one fork nothing is seen for three
seconds, and then a place from earlier: of a recording, whose even frames alone are followed, odd frames; of a simulated
scene, views up to 20 cm and 10 degrees beside the path. In the other the lens is covered for two seconds, black or grey
with noise in turn, while the camera stands still. A case counts as found when a pose within 5 cm and 5 degrees of the
truth, in the map as it is, comes within half a second of the scene being visible, in the same map, and the last of the
frames played, 0.8 s later, is right too. `wrong` counts poses of all cases that are farther off.

    python tools/kidnapping.py "synthetic:house?frames=870&width=320&grey=1&draft=1&noise=1" --cut 200 420

With `--cut` there are no such cases: the frames between two are left out, so that the camera is carried off to where it
never was, and it is told when a new map begins, when it is joined to the old one, and the error of all frames.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Protocol

import cv2
import numpy as np
import tyro

from slamfront.build import build_front, resolve, workers_of
from slamfront.config import RunConfig
from slamfront.evaluation.trajectory import evaluate
from slamfront.evaluation.trajectory.association import associate
from slamfront.geometry.camera import Camera
from slamfront.geometry.pose import Pose, rotation_angle
from slamfront.pipeline import Session
from slamfront.simulation import Scene, scene
from slamfront.sources.guess import open_source
from slamfront.sources.synthetic import SyntheticSource
from slamfront.types import Frame, Sensor, Trajectory

_NEAR_M, _NEAR_RAD = 0.05, math.radians(5.0)
_GAP_S, _COVERED_S, _IN_TIME_S, _PLAYED_S = 3.0, 2.0, 0.5, 0.8
_ASIDE_M, _TURN_RAD = 0.2, math.radians(10.0)
# Frames before and after one that tell the unit of length of a single camera's map there
_ABOUT = 20
# Ids of frames that are not of the run
_DARK, _LATER = 10**6, 2 * 10**6

View = tuple[Frame, Pose]
"""A frame, and its true world_from_camera."""


@dataclass(frozen=True)
class Case:
    """What became of a case: seconds until it was found, whether the last frame was right, and poses that were not."""

    found_s: float
    stays: bool
    wrong: int


@dataclass(frozen=True)
class Arguments:
    """Follow a source, and carry the camera off again and again."""

    source: tyro.conf.Positional[str]
    """What to follow, as `slamfront run` does."""
    sensor: Sensor = "rgbd"
    """What the frames carry."""
    cases: int = 40
    """How often the camera is carried off, and the lens covered."""
    warm: int = 150
    """Frames that are followed before the first case."""
    seed: int = 0
    """Of the moments and the places."""
    cut: tuple[int, int] | None = None
    """Leave out the frames from one on and before another, and tell what becomes of the two maps."""
    verbose: bool = False
    """Print a line for each case that is not found."""
    config: RunConfig = field(default_factory=RunConfig)
    """Everything else."""


class Stage(Protocol):
    """What can be followed and seen again: `length` frames, `rate_hz` a second."""

    length: int
    rate_hz: float
    camera: Camera

    def view(self, row: int) -> View:
        """Return a frame of the run."""
        ...

    def again(self, row: int, count: int, rng: np.random.Generator) -> list[View]:
        """Return other views of the places from a row of the run on."""
        ...


class Simulated:
    """A scene, seen again from beside its path and with other noise."""

    def __init__(self, name: str, sensor: Sensor) -> None:
        self._scene, self._sensor = scene(name), sensor
        self.camera = SyntheticSource(self._scene, sensor).camera
        self.length, self.rate_hz = len(self._scene), self._scene.rate_hz

    def view(self, row: int) -> View:
        """Return a frame of the scene."""
        return self._view(self._scene, row)

    def again(self, row: int, count: int, rng: np.random.Generator) -> list[View]:
        """Return the views from a row on, all of them as far beside the path."""
        turn = Pose.exp([0.0, rng.uniform(-_TURN_RAD, _TURN_RAD), 0.0, 0.0, 0.0, 0.0]).rotation
        beside, path = Pose(turn, rng.uniform(-1.0, 1.0, 3) * _ASIDE_M / math.sqrt(3)), self._scene.path
        effects = replace(self._scene.effects, seed=int(rng.integers(1 << 30)))
        other = replace(self._scene, path=lambda time_s: path(time_s) @ beside, effects=effects)
        return [self._view(other, r) for r in range(row, row + count)]

    def _view(self, place: Scene, row: int) -> View:
        return replace(place.frame(row, self._sensor), camera=self.camera), place.pose(row)


class Recorded:
    """A recording: its even frames are followed, and its odd ones are what is seen again."""

    def __init__(self, spec: str, config: RunConfig) -> None:
        source = open_source(spec, replace(config.source, prefetch=0), config.sensor)
        assert source.reference is not None, "the recording has no true trajectory"
        self._frames, self._truth = list(source), source.reference
        self.camera, self.length = source.camera, len(self._frames) // 2
        interval_ns = np.median(np.diff([frame.time_ns for frame in self._frames]))
        self.rate_hz = 0.5e9 / float(interval_ns)

    def view(self, row: int) -> View:
        """Return an even frame."""
        return self._view(2 * row)

    def again(self, row: int, count: int, rng: np.random.Generator) -> list[View]:
        """Return odd frames."""
        return [self._view(2 * r + 1) for r in range(row, row + count)]

    def _view(self, number: int) -> View:
        frame = self._frames[number]
        asked = Trajectory.from_poses([frame.time_ns], [Pose.identity()])
        return frame, associate(self._truth, asked, 20_000_000, interpolate=True).reference.pose(0)


@dataclass(eq=False)
class Followed:
    """A run up to a moment: the ids of its frames with their true poses, and the map that they were placed in."""

    session: Session
    rate_hz: float
    frame_ids: list[int] = field(default_factory=list)
    true_poses: list[Pose] = field(default_factory=list)
    map_id: int = 0

    def take(self, view: View) -> None:
        """Follow one more frame."""
        frame, truth = view
        self.map_id = self.session.take(frame).map_id
        self.frame_ids.append(frame.id)
        self.true_poses.append(truth)

    def judge(self, views: list[View], start_ns: int, row: int) -> Case:
        """Follow views from a time on, of places about a row, and return what became of them."""
        right, wrong = [], 0
        for number, (frame, truth) in enumerate(views):
            time_ns = start_ns + round(1e9 * number / self.rate_hz)
            answer = self.session.take(replace(frame, id=_LATER + number, time_ns=time_ns))
            expected, scale = self._expected(row, truth)
            pose = answer.online_world_from_camera
            right.append(pose is not None and answer.map_id == self.map_id and _near(pose, expected, scale))
            wrong += pose is not None and not right[-1]
        found_s = right.index(True) / self.rate_hz if any(right) else math.inf
        return Case(found_s, bool(right[-1]), int(wrong))

    def _expected(self, row: int, truth: Pose) -> tuple[Pose, float]:
        """Return where the map, as it is by now, has a true pose near that of a row, and its unit of length there."""
        known = self.session.journal.poses(self.session.front.maps[self.map_id])
        rows = [r for r, frame_id in enumerate(self.frame_ids) if frame_id in known]
        base = min(rows, key=lambda r: abs(r - row))
        relative, scale = self.true_poses[base].inverse() @ truth, self._scale(known, rows, base)
        return known[self.frame_ids[base]] @ Pose(relative.rotation, scale * relative.translation_m), scale

    def _scale(self, known: dict[int, Pose], rows: list[int], base: int) -> float:
        """Return the unit of length of the map about a row."""
        if self.session.front.camera.baseline_m is not None:
            return 1.0
        about = [r for r in rows if abs(r - base) <= _ABOUT]
        mine = np.array([known[self.frame_ids[r]].translation_m for r in about])
        true = np.array([self.true_poses[r].translation_m for r in about])
        return float(np.linalg.norm(mine - mine.mean(axis=0)) / np.linalg.norm(true - true.mean(axis=0)))


def main(given: Arguments) -> None:
    """Follow the source, and print what became of it."""
    config = resolve(replace(given.config, sensor=given.sensor, threads=False))
    _, simulated, name = given.source.rpartition("synthetic:")
    stage: Stage = Simulated(name, given.sensor) if simulated else Recorded(given.source, config)
    if given.cut is None:
        carry_off(given, config, stage)
    else:
        cut_out(given.cut, config, stage, given.sensor)


def carry_off(given: Arguments, config: RunConfig, stage: Stage) -> None:
    """Follow a stage, and print what became of all cases."""
    cv2.setNumThreads(1)  # threads do not survive a fork
    rng = np.random.default_rng(given.seed)
    carried: list[Case] = []
    covered: list[Case] = []
    played = round(stage.rate_hz * _PLAYED_S)
    moments = np.linspace(given.warm, stage.length - played - 1, given.cases).astype(int).tolist()
    with workers_of(config) as workers:
        run = Followed(Session(build_front(config, stage.camera, given.sensor, workers), workers), stage.rate_hz)
        for row in range(stage.length):
            run.take(stage.view(row))
            if row in moments:
                earlier = int(rng.integers(0, max(row - round(_GAP_S * stage.rate_hz), played)))
                carried.append(_forked(partial(_carried_off, run, stage, row, earlier, int(rng.integers(1 << 30)))))
                covered.append(_forked(partial(_covered, run, stage, row, len(covered))))
                if given.verbose:
                    print(f"frame {row}, then {earlier}: {carried[-1]}; covered: {covered[-1]}", flush=True)
    for kind, cases in (("carried off", carried), ("lens covered", covered)):
        found = sum(case.found_s <= _IN_TIME_S and case.stays for case in cases)
        times_s = [case.found_s for case in cases]
        print(
            f"{given.sensor:<6} {kind:<12} found within {_IN_TIME_S} s {found}/{len(cases)}, after "
            f"{np.median(times_s):.2f} s (median), {max(times_s):.2f} s (last); wrong poses "
            f"{sum(case.wrong for case in cases)}",
            flush=True,
        )


def cut_out(cut: tuple[int, int], config: RunConfig, stage: Stage, sensor: Sensor) -> None:
    """Follow a stage but for the frames of a cut, and print what became of the maps before and after it."""
    rows = [*range(cut[0]), *range(cut[1], stage.length)]
    map_ids, frames, true_poses = [], [], []
    with workers_of(config) as workers:
        session = Session(build_front(config, stage.camera, sensor, workers), workers)
        for number, row in enumerate(rows):
            frame, truth = stage.view(row)
            frames.append(replace(frame, id=number, time_ns=round(1e9 * number / stage.rate_hz)))
            answer = session.take(frames[-1])
            frames[-1] = replace(frames[-1], image=frame.image[:0], right=None, depth_m=None)
            true_poses.append(truth)
            map_ids.append(-1 if answer.online_world_from_camera is None else answer.map_id)
        session.finish()
    world = session.main_map
    truth_of_all = Trajectory.from_poses([frame.time_ns for frame in frames], true_poses)
    found = evaluate(truth_of_all, session.journal.trajectory(world))
    begins = map_ids.index(1) if 1 in map_ids else None
    joined = None if begins is None or 0 not in map_ids[begins:] else map_ids.index(0, begins)
    print(
        f"{sensor:<6} carried off at frame {cut[0]}, a new map from {begins and rows[begins]} on, joined at "
        f"{joined and rows[joined]}; {map_ids.count(-1)} of {len(rows)} frames lost; the main map places "
        f"{session.journal.count_placed_by(world) if world else 0}, ATE "
        f"{1e3 * (found.sim3 if sensor == 'mono' else found.se3).translation_m.rmse:.1f} mm"
    )


def _carried_off(run: Followed, stage: Stage, row: int, earlier: int, seed: int) -> Case:
    """See nothing for a while, and then an earlier place again."""
    views = stage.again(earlier, round(stage.rate_hz * _PLAYED_S), np.random.default_rng(seed))
    last, _ = stage.view(row)
    return run.judge(views, last.time_ns + round(1e9 * _GAP_S), earlier)


def _covered(run: Followed, stage: Stage, row: int, number: int) -> Case:
    """Cover the lens for a while, and then go on."""
    last, _ = stage.view(row)
    rng, time_ns = np.random.default_rng(number), last.time_ns
    for count in range(round(_COVERED_S * stage.rate_hz)):
        time_ns += round(1e9 / stage.rate_hz)
        grey = rng.normal(60.0, 8.0, last.image.shape) if number % 2 else np.zeros(last.image.shape)
        image = np.clip(grey, 0, 255).astype(np.uint8)
        right = None if last.right is None else image.copy()
        depth_m = None if last.depth_m is None else np.zeros_like(last.depth_m)
        dark = Frame(_DARK + count, time_ns, image, last.camera, right, depth_m)
        if run.session.take(dark).online_world_from_camera is not None:
            return Case(math.inf, False, 1)
    views = [stage.view(row + 1 + ahead) for ahead in range(round(stage.rate_hz * _PLAYED_S))]
    return run.judge(views, time_ns + round(1e9 / stage.rate_hz), row)


def _near(pose: Pose, expected: Pose, scale: float) -> bool:
    error_m = float(np.linalg.norm(pose.translation_m - expected.translation_m)) / scale
    return error_m < _NEAR_M and rotation_angle(pose.rotation.T @ expected.rotation) < _NEAR_RAD


def _forked(tell: Callable[[], Case]) -> Case:
    """Return what a function gives that leaves this process as it is."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writing, json.dumps(asdict(tell())).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        text = answer.read()
    os.waitpid(child, 0)
    return Case(**json.loads(text))


if __name__ == "__main__":
    main(tyro.cli(Arguments))
