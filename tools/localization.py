"""How well a second lap is localised in the map of the first, in a simulated place whose truth is exact.

    python tools/localization.py room-loop --sensor stereo

The first lap is mapped and saved; the map is loaded again for each second lap: with frames between those of the first,
under other exposure and noise, and beside the first path. A frame counts as localised within 5 cm and 5 degrees of the
truth, in the world of the map, which is laid over the truth by the first lap alone. `recall` follows the lap, `alone`
takes each frame as if it were the first, and `wrong` counts poses of both that are farther off.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path as FilePath

import numpy as np
import tyro

from slamfront.build import build_front, resolve, whole_map_backend, workers_of, write_map
from slamfront.config import RunConfig
from slamfront.frontend import FrontEnd
from slamfront.geometry.align import align
from slamfront.geometry.pose import Pose, Sim3, rotation_angle
from slamfront.map.files import load_map
from slamfront.pipeline import Disabled, RunSummary, run
from slamfront.protocols import Workers
from slamfront.simulation import Effects, Scene, scene
from slamfront.simulation.paths import Path
from slamfront.sources.synthetic import SyntheticSource
from slamfront.types import Frame, Sensor

_NEAR_M, _NEAR_RAD = 0.05, math.radians(5.0)
_OTHER_PLACES = ("house?frames=800", "corridor?frames=400", "room-loop?frames=300&seed=5")
_EVERY = 8


@dataclass(frozen=True)
class Localization:
    """Map a lap, save it, and localise further laps in what was saved."""

    name: tyro.conf.Positional[str] = "room-loop"
    """Scene, with options as in `synthetic:NAME`, whose laps take 300 frames."""
    sensor: Sensor = "rgbd"
    """What the frames carry."""
    frames: int = 330
    """Frames of the first lap; the others have 300."""
    map: FilePath = FilePath("runs") / "first-lap.map"
    """Where the map goes in between."""


def laps(first: Scene) -> Iterator[tuple[str, Scene]]:
    """Yield second laps by name; their frames fall between those of the first."""
    again = replace(first, length=300, path=lambda time_s: first.path(1.07 * time_s + 0.4))
    yield "the same path", again
    yield "exposure +-30 %, noise", replace(again, effects=Effects(seed=7, exposure=0.3, noise=1.5))
    yield (
        "exposure, gamma +-40 %, noise x 2.5",
        replace(again, effects=Effects(seed=8, exposure=0.4, gamma=0.4, noise=2.5, vignette=0.3)),
    )
    for aside_m, degrees in ((0.15, 4.0), (0.8, 20.0)):
        yield (
            f"{aside_m} m and {degrees:.0f} degrees beside",
            replace(again, path=_beside(again.path, aside_m, degrees)),
        )


def _beside(path: Path, aside_m: float, degrees: float) -> Path:
    turned = Pose.exp([0.0, math.radians(degrees), 0.0, 0.0, 0.0, 0.0]).rotation
    shift = Pose(turned, np.array([aside_m, 0.05, 0.0]))
    return lambda time_s: path(time_s) @ shift


def strangers(name: str, sensor: Sensor) -> Iterator[Frame]:
    """Yield frames of other places, and of the same room with other textures, by the same camera."""
    for place in _OTHER_PLACES:
        other = scene(f"{place}&{name.partition('?')[2]}".rstrip("&"))
        source = SyntheticSource(other, sensor)
        for row in range(0, len(other), _EVERY):
            yield replace(other.frame(row, sensor), camera=source.camera)


def truth_from_map(summary: RunSummary, first: Scene, scaled: bool) -> Sim3:
    """Return how the map lies in the scene, by the poses of the first lap."""
    times_ns = {first.time_ns(row): row for row in range(len(first))}
    found = summary.trajectory
    true_m = np.array([first.pose(times_ns[t]).translation_m for t in found.times_ns.tolist()])
    return align(found.positions_m, true_m, "sim3" if scaled else "se3").target_from_source


def near(front: FrontEnd, frame: Frame, truth: Pose, truth_from_map: Sim3) -> tuple[bool, bool, float]:
    """Return whether a frame has a pose, whether it is near the truth, and its error in metres."""
    pose = front.step(frame).online_world_from_camera
    if pose is None:
        return False, False, math.nan
    found = truth_from_map.apply_to_pose(pose)
    error_m = float(np.linalg.norm(found.translation_m - truth.translation_m))
    turned = rotation_angle(found.rotation.T @ truth.rotation)
    return True, error_m < _NEAR_M and turned < _NEAR_RAD, error_m


def main(given: Localization) -> None:
    """Map, save, load, localise, and print a table."""
    first = replace(scene(given.name), length=given.frames)
    source = SyntheticSource(first, given.sensor)
    config = resolve(RunConfig(sensor=given.sensor, threads=False))
    with workers_of(config) as workers:
        front = build_front(config, source.camera, given.sensor, workers)
        summary = run(source, front, workers, whole_map=whole_map_backend(config))
    assert summary.world is not None
    start_s = time.process_time()
    write_map(summary.world, given.map, config, given.sensor)
    saved_s = time.process_time()
    load_map(given.map)
    print(
        f"{given.sensor}: {len(summary.world.keyframes)} keyframes, {len(summary.world.landmarks)} landmarks, "
        f"{given.map.stat().st_size / 1e6:.1f} MB, saved in {saved_s - start_s:.2f} s, "
        f"loaded in {time.process_time() - saved_s:.2f} s of processor time"
    )
    placed = truth_from_map(summary, first, given.sensor == "mono")
    only = resolve(replace(config, load_map=given.map, localize_only=True))
    print(f"{'second lap':<38}{'recall':>9}{'alone':>9}{'wrong':>8}{'median':>10}")
    for name, lap in laps(first):
        following = build_front(only, source.camera, given.sensor, Workers(Disabled()))
        alone = build_front(only, source.camera, given.sensor, Workers(Disabled()))
        rows = []
        for row, frame in enumerate(SyntheticSource(lap, given.sensor)):
            answer = near(following, frame, lap.pose(row), placed)
            alone.reset()
            rows.append((*answer, *near(alone, frame, lap.pose(row), placed)))
        table = np.array(rows, float)
        wrong = int((table[:, 0] - table[:, 1]).sum() + (table[:, 3] - table[:, 4]).sum())
        recall, single = 100 * table[:, 1].mean(), 100 * table[:, 4].mean()
        print(
            f"{name:<38}{recall:>7.1f} %{single:>7.1f} %{wrong:>8}{1e3 * np.nanmedian(table[:, 2]):>7.1f} mm",
            flush=True,
        )
    alone = build_front(only, source.camera, given.sensor, Workers(Disabled()))
    found = []
    for frame in strangers(given.name, given.sensor):
        alone.reset()
        found.append(alone.step(frame).online_world_from_camera is not None)
    print(f"in other places: {sum(found)} of {len(found)} frames were given a pose")


if __name__ == "__main__":
    main(tyro.cli(Localization))
