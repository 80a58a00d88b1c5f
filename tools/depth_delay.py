"""How much later than its image a depth camera captures its depth, told by the images alone.

    python tools/depth_delay.py $SLAMFRONT_DATA/tum/rgbd_dataset_freiburg1_rpy --config configs/run/tum.yaml

The sequence is followed inline. Where the camera turns fast, the disparities of landmarks that several keyframes have
seen are compared with what depth says about them under different delays; the true trajectory is not needed. The delay
with the smallest error, less the one that time stamps tell, is the calibration's `depth_delay_s`.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace
from typing import Annotated

import numpy as np
from tyro.conf import Positional, arg

from slamfront.build import build_front, build_source, resolve, workers_of
from slamfront.commands.parsing import Settings, parse, settings_of
from slamfront.frontend import FrontEnd
from slamfront.geometry.pose import rotation_log
from slamfront.geometry.shutter import Shutter
from slamfront.types import FloatArray

_DELAYS_S = np.arange(-0.030, 0.0301, 0.002)
# A landmark that so many keyframes have seen lies where their images put it rather than where depth does
_OBSERVERS = 4
_FAST_RAD_S = 0.8
# Differences beyond this come from edges and wrong landmarks, px
_LARGEST_PX = 3.0


@dataclass(frozen=True)
class Arguments:
    """Follow an RGB-D sequence, and tell which delay of depth fits."""

    source: Annotated[str, Positional]
    """What to follow, as `slamfront run` does."""
    settings: Annotated[Settings, arg(name="")] = field(default_factory=Settings)


def main() -> None:
    """Print the error of disparities for each delay."""
    words = sys.argv[1:]
    given = parse(Arguments, words, "depth_delay", Arguments("", settings_of(words)))
    config = replace(given.settings.run, threads=False, sensor="rgbd")
    source = build_source(given.source, config)
    differences: dict[float, list[FloatArray]] = {delay: [] for delay in _DELAYS_S.tolist()}
    stamped: list[float] = []
    resolved = resolve(config)
    with workers_of(resolved) as workers:
        front = build_front(resolved, source.camera, "rgbd", workers)
        last: tuple[int, FloatArray] | None = None
        for frame in source:
            tracked = front.step(frame)
            pose = tracked.online_world_from_camera
            if pose is None:
                last = None
                continue
            if last is not None:
                turn = rotation_log(pose.rotation.T @ last[1]) / (1e-9 * (frame.time_ns - last[0]))
                if np.linalg.norm(turn) > _FAST_RAD_S:
                    stamped.append(frame.depth_delay_s - source.camera.depth_delay_s)
                    for delay, found in differences.items():
                        found.append(_differences(front, Shutter(front.camera, turn), delay))
            last = frame.time_ns, pose.rotation
    print(f"{len(stamped)} frames that turn fast; by time stamps alone depth is {np.median(stamped):+.4f} s later")
    for delay, found in differences.items():
        values = np.concatenate(found)
        rms = np.sqrt(np.mean(np.square(np.clip(values, -_LARGEST_PX, _LARGEST_PX))))
        print(f"delay {delay:+.3f} s: median {np.median(np.abs(values)):.3f} px, rms {rms:.3f} px of {len(values)}")


def _differences(front: FrontEnd, shutter: Shutter, delay_s: float) -> FloatArray:
    """Return how far the disparities that depth tells of landmarks are from what the map says, px."""
    view, marks = front.view, front.world.landmarks
    assert view is not None
    seen = marks.observations[view.landmark_rows] >= _OBSERVERS
    positions = marks.positions_m[view.landmark_rows[seen]]
    expected = front.camera.disparity_times_depth / view.pose.apply(positions)[:, 2]
    then_xy, deeper = shutter.later(view.shutter.to_image(view.xy[seen]), delay_s)
    measured = (then_xy[:, 0] - view.depth_source.right_x(then_xy, None)) * deeper
    return (measured - expected)[np.isfinite(measured)]


if __name__ == "__main__":
    main()
