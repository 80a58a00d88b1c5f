"""Pairs of frames of any RGB-D sequence whose poses are known, such as TUM's and 7-Scenes'."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from slamfront.errors import TrainingError
from slamfront.geometry.pose import Pose
from slamfront.imaging import grey
from slamfront.training.data.rendered import RenderedPair
from slamfront.types import Frame, Trajectory

_NEAR_IN_TIME_NS = 20_000_000
_TRIES = 50
_SENSOR_TOLERANCE = 0.05
"""A depth camera's noise, its delay against the colour camera, and errors of measured poses, as a share of depth."""


def posed_pair(first: Frame, second: Frame, second_from_first: Pose) -> RenderedPair:
    """Return two frames with depth as a pair like rendered ones; where the depth is unknown it is 0.

    Raises TrainingError for frames without depth.
    """
    if first.depth_m is None or second.depth_m is None:
        raise TrainingError(f"frames {first.id} and {second.id} have no depth: pairs need an RGB-D sequence")
    depths = np.stack([first.depth_m, second.depth_m])
    inverse_depths = np.divide(1, depths, out=np.zeros_like(depths), where=depths > 0)
    return RenderedPair(
        np.stack([grey(first.image), grey(second.image)]),
        inverse_depths,
        (first.camera, second.camera),
        second_from_first,
        _SENSOR_TOLERANCE,
    )


def posed_pairs(
    frames: Iterable[Frame], truth: Trajectory, count: int, seed: int, overlap: tuple[float, float] = (0.1, 0.9)
) -> Iterator[RenderedPair]:
    """Yield pairs of frames drawn by chance, of which the first's part that the second sees too lies in a range.

    Frames without a pose within 20 ms are left out. All frames are held in memory: choose a stride for long sequences.
    Raises TrainingError where there are not two frames with poses, or no such pairs among many drawn.
    """
    posed = [(frame, pose) for frame in frames if (pose := _pose_at(truth, frame.time_ns)) is not None]
    if len(posed) < 2:
        raise TrainingError("the sequence has fewer than two frames with poses")
    for index in range(count):
        rng = np.random.default_rng([seed, index])
        for _ in range(_TRIES):
            (first, world_from_first), (second, world_from_second) = (
                posed[row] for row in rng.choice(len(posed), 2, replace=False)
            )
            pair = posed_pair(first, second, world_from_second.inverse() @ world_from_first)
            if overlap[0] <= pair.overlap() <= overlap[1]:
                yield pair
                break
        else:
            raise TrainingError(f"no pair of {_TRIES} shares between {overlap[0]:.0%} and {overlap[1]:.0%} of its view")


def _pose_at(truth: Trajectory, time_ns: int) -> Pose | None:
    row = int(np.abs(truth.times_ns - time_ns).argmin()) if len(truth) else -1
    near = row >= 0 and abs(int(truth.times_ns[row]) - time_ns) <= _NEAR_IN_TIME_NS
    return truth.pose(row) if near else None
