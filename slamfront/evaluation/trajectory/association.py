"""Which pose of the reference belongs to which pose of the estimate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

from slamfront.errors import EvaluationError
from slamfront.trajectories import format_seconds
from slamfront.types import BoolArray, IntArray, Trajectory

DEFAULT_MAX_DIFFERENCE_NS = 10_000_000
"""Poses further apart in time than this are not compared: 10 ms, as evo's default."""


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Two trajectories of the same length whose rows belong together.

    reference, estimate  the poses that were paired; an interpolated reference has the estimate's times
    interpolated         whether the reference was interpolated to the estimate's times, or its nearest poses were taken
    max_difference_ns    most that the times of a pair, or of a pair and the nearest real reference pose, may differ
    """

    reference: Trajectory
    estimate: Trajectory
    interpolated: bool
    max_difference_ns: int

    def __len__(self) -> int:
        return len(self.estimate)


def associate(
    reference: Trajectory,
    estimate: Trajectory,
    max_difference_ns: int = DEFAULT_MAX_DIFFERENCE_NS,
    interpolate: bool = False,
) -> Pairs:
    """Return the pairs of poses that are near in time.

    Without interpolation each pose of the trajectory that has fewer takes the nearest of the other (the earlier of two
    equally near ones), as evo does; where two take the same, the nearer keeps it, so that pairs are one to one. With
    interpolation the reference is carried to the estimate's times, linearly in position and along the shortest arc in
    rotation, where the estimate lies between two reference poses and one of them is near enough.

    Raises EvaluationError when nothing can be paired.
    """
    if interpolate:
        kept = _can_interpolate(reference.times_ns, estimate.times_ns, max_difference_ns)
        taken = select(estimate, kept)
        pairs = Pairs(_interpolated(reference, taken.times_ns), taken, True, max_difference_ns)
    else:
        rows_reference, rows_estimate = _nearest_rows(reference.times_ns, estimate.times_ns, max_difference_ns)
        pairs = Pairs(select(reference, rows_reference), select(estimate, rows_estimate), False, max_difference_ns)
    if not len(pairs):
        raise EvaluationError(
            f"no two poses lie within {max_difference_ns / 1e6:g} ms of each other: the reference covers "
            f"{_span(reference)}, the estimate {_span(estimate)}"
        )
    return pairs


def select(trajectory: Trajectory, rows: IntArray | BoolArray) -> Trajectory:
    """Return the given rows (indices or mask) of a trajectory."""
    return Trajectory(trajectory.times_ns[rows], trajectory.positions_m[rows], trajectory.quaternions_xyzw[rows])


def _nearest_rows(reference_ns: IntArray, estimate_ns: IntArray, max_difference_ns: int) -> tuple[IntArray, IntArray]:
    """Return the rows of reference and estimate that pair up, both ascending."""
    estimate_is_longer = len(estimate_ns) > len(reference_ns)
    short, long = (reference_ns, estimate_ns) if estimate_is_longer else (estimate_ns, reference_ns)
    if not len(short):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    rows_long, difference = _nearest(short, long)
    rows_short = np.flatnonzero(difference <= max_difference_ns)
    nearest_first = rows_short[np.argsort(difference[rows_short], kind="stable")]
    _, first = np.unique(rows_long[nearest_first], return_index=True)
    rows_short = np.sort(nearest_first[first])
    rows_long = rows_long[rows_short]
    return (rows_short, rows_long) if estimate_is_longer else (rows_long, rows_short)


def _nearest(times_ns: IntArray, among_ns: IntArray) -> tuple[IntArray, IntArray]:
    """Return for each time the row of the nearest of the ascending `among_ns` (M > 0), and the difference."""
    after = np.searchsorted(among_ns, times_ns).clip(max=len(among_ns) - 1)
    before = (after - 1).clip(min=0)
    to_before, to_after = np.abs(times_ns - among_ns[before]), np.abs(among_ns[after] - times_ns)
    rows = np.where(to_before <= to_after, before, after)
    return rows, np.minimum(to_before, to_after)


def _can_interpolate(reference_ns: IntArray, times_ns: IntArray, max_difference_ns: int) -> BoolArray:
    if not len(reference_ns):
        return np.zeros(len(times_ns), np.bool_)
    _, difference = _nearest(times_ns, reference_ns)
    inside = (times_ns >= reference_ns[0]) & (times_ns <= reference_ns[-1])
    return np.asarray(inside & (difference <= max_difference_ns), np.bool_)


def _interpolated(reference: Trajectory, times_ns: IntArray) -> Trajectory:
    """Return the reference at times within its span."""
    if len(reference) < 2 or not len(times_ns):
        return select(reference, np.searchsorted(reference.times_ns, times_ns))
    # differences to the first time are small enough for a float to hold the nanosecond
    known, wanted = (1e-9 * (times - reference.times_ns[0]) for times in (reference.times_ns, times_ns))
    positions = np.stack([np.interp(wanted, known, column) for column in reference.positions_m.T], axis=1)
    rotations = Slerp(known, Rotation.from_quat(reference.quaternions_xyzw))(wanted)
    return Trajectory(times_ns.copy(), positions, rotations.as_quat())


def _span(trajectory: Trajectory) -> str:
    if not len(trajectory):
        return "nothing"
    return f"{format_seconds(trajectory.times_ns[0])} .. {format_seconds(trajectory.times_ns[-1])} s"
