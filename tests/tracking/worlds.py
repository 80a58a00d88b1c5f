"""Short clips of simulated scenes, front ends that run on them in one loop, and views to work on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from slamfront.backend import local_backend
from slamfront.build import build_front, resolve
from slamfront.config import ExtractorConfig, MatcherConfig, RunConfig
from slamfront.evaluation.trajectory import evaluate
from slamfront.features.classical import Orb
from slamfront.frontend import FrontEnd
from slamfront.geometry.camera import Camera
from slamfront.geometry.pose import Pose
from slamfront.geometry.shutter import Shutter
from slamfront.pipeline import InlineWorker
from slamfront.protocols import Extractor, Workers
from slamfront.simulation import Scene, scene
from slamfront.sources.synthetic import SyntheticSource
from slamfront.tracking.depth_source import depth_source_of
from slamfront.tracking.view import View
from slamfront.types import Frame, Sensor, State, Tracked, Trajectory

# Small and without antialiasing: a frame renders in 15 ms
SIZE = "width=320&draft=1&grey=1"
CONFIG = RunConfig(
    threads=False,
    extractor=ExtractorConfig(kind="orb", max_keypoints=500),
    matcher=MatcherConfig(kind="nearest"),
)


@dataclass(frozen=True)
class Clip:
    """Frames of a scene with their exact trajectory, world_from_camera."""

    camera: Camera
    sensor: Sensor
    frames: tuple[Frame, ...]
    truth: Trajectory

    def true_pose(self, row: int) -> Pose:
        """Return first_from_camera of a frame: a map that begins with a distance has the first camera as its world."""
        return self.truth.pose(0).inverse() @ self.truth.pose(row)


def clip_of(place: Scene, sensor: Sensor) -> Clip:
    """Render a scene."""
    source = SyntheticSource(place, sensor)
    return Clip(source.camera, sensor, tuple(source), source.reference)


@lru_cache(maxsize=16)
def clip(name: str, sensor: Sensor, frames: int = 30) -> Clip:
    """Return the first frames of the scene of a name with options, rendered once."""
    join = "&" if "?" in name else "?"
    return clip_of(scene(f"{name}{join}{SIZE}&frames={frames}"), sensor)


@dataclass(frozen=True)
class Run:
    """A front end that has seen a clip, and what it answered."""

    front: FrontEnd
    answers: tuple[Tracked, ...]
    clip: Clip

    @property
    def states(self) -> list[State]:
        return [answer.state for answer in self.answers]

    @property
    def tracked(self) -> list[int]:
        """Rows of the frames that have a pose."""
        return [row for row, answer in enumerate(self.answers) if answer.reference_from_camera is not None]

    def pose(self, row: int) -> Pose:
        """Return world_from_camera of a tracked frame as the map has it now."""
        answer = self.answers[row]
        assert answer.reference_id is not None and answer.reference_from_camera is not None
        return self.front.world.world_from_keyframe(answer.reference_id) @ answer.reference_from_camera

    def errors_m(self) -> np.ndarray:
        """Return how far each tracked frame is from its true place, without any alignment."""
        return np.array(
            [np.linalg.norm(self.pose(r).translation_m - self.clip.true_pose(r).translation_m) for r in self.tracked]
        )

    def ate_sim3_m(self) -> float:
        """Return the root mean square error after alignment with scale."""
        times = [self.clip.frames[row].time_ns for row in self.tracked]
        estimate = Trajectory.from_poses(times, [self.pose(row) for row in self.tracked])
        return evaluate(self.clip.truth, estimate).sim3.translation_m.rmse


def front_for(clip: Clip, config: RunConfig = CONFIG, workers: Workers | None = None) -> FrontEnd:
    """Return a front end for a clip, with bundle adjustment in the same loop unless there are other workers."""
    config = resolve(replace(config, sensor=clip.sensor))
    return build_front(
        config, clip.camera, clip.sensor, workers or Workers(InlineWorker(local_backend(config.backend)))
    )


def run_on(
    clip: Clip,
    config: RunConfig = CONFIG,
    workers: Workers | None = None,
    frames: Iterable[Frame] | None = None,
    listener: Callable[..., None] | None = None,
) -> Run:
    """Run a front end over a clip, or over other frames of its camera."""
    front = front_for(clip, config, workers)
    if listener is not None:
        front.listeners.append(listener)
    answers = tuple(front.step(frame) for frame in (clip.frames if frames is None else frames))
    front.finish()
    return Run(front, answers, clip)


def blinded(frames: Sequence[Frame], rows: Iterable[int], grey: int = 0) -> list[Frame]:
    """Return the frames, those of the given rows showing nothing but one grey value."""
    changed = list(frames)
    for row in rows:
        frame = changed[row]
        image = np.full_like(frame.image, grey)
        changed[row] = replace(frame, image=image, right=None if frame.right is None else image.copy())
    return changed


def view_of(frame: Frame, sensor: Sensor = "mono", extractor: Extractor | None = None) -> View:
    """Return the view of a frame before anything is known about it."""
    orb = Orb(CONFIG.extractor)
    return View(
        frame,
        depth_source_of(frame, frame.camera, sensor, CONFIG.tracker),
        extractor or orb,
        Shutter(frame.camera, np.zeros(3)),
    )
