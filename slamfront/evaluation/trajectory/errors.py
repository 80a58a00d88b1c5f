"""Errors of paired trajectories: absolute (ATE) and relative (RPE).

Sturm et al., "A Benchmark for the Evaluation of RGB-D SLAM Systems", IROS 2012.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from scipy.spatial.transform import Rotation

from slamfront.errors import EvaluationError
from slamfront.evaluation.trajectory.association import Pairs
from slamfront.geometry.align import Alignment, AlignmentKind, align
from slamfront.types import FloatArray, IntArray, Trajectory

DeltaUnit = Literal["frames", "seconds", "metres"]

_DELTA_TOLERANCE = 0.1
"""Pairs of RPE over seconds or metres may be off by this part of delta, as evo's."""


@dataclass(frozen=True, slots=True)
class Statistics:
    """Summary of errors, in their unit."""

    rmse: float
    mean: float
    median: float
    max: float

    @staticmethod
    def of(errors: FloatArray) -> Statistics:
        """Return the summary of errors (N,), N > 0."""
        rmse = float(np.sqrt(np.mean(errors**2)))
        return Statistics(rmse, float(np.mean(errors)), float(np.median(errors)), float(np.max(errors)))

    def to_mapping(self) -> dict[str, float]:
        """Return plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True, eq=False)
class AbsoluteError:
    """Absolute trajectory error under one alignment.

    alignment        the transform that carried the estimate onto the reference
    translation_m    distances between aligned and true positions; rotation_deg angles between the orientations
    errors_m, errors_deg  the errors themselves, a row a pair
    """

    alignment: Alignment
    translation_m: Statistics
    rotation_deg: Statistics
    errors_m: FloatArray
    errors_deg: FloatArray

    def to_mapping(self) -> dict[str, Any]:
        """Return plain values for JSON; the single errors are left out."""
        return {
            "alignment": self.alignment.kind,
            "scale": self.alignment.target_from_source.scale,
            "note": self.alignment.note,
            "translation_m": self.translation_m.to_mapping(),
            "rotation_deg": self.rotation_deg.to_mapping(),
        }


@dataclass(frozen=True, slots=True)
class RelativeError:
    """Relative pose error over a fixed step.

    delta, unit      the step: frames (rows of the pairs), seconds, or metres of the reference's path
    all_pairs        every pose starts a step (they overlap), or steps follow one another
    steps            number of steps
    """

    delta: float
    unit: DeltaUnit
    all_pairs: bool
    steps: int
    translation_m: Statistics
    rotation_deg: Statistics

    def to_mapping(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


def absolute_error(pairs: Pairs, kind: AlignmentKind) -> AbsoluteError:
    """Return the absolute trajectory error of the estimate, aligned to the reference first."""
    alignment = align(pairs.estimate.positions_m, pairs.reference.positions_m, kind)
    aligned = transformed(pairs.estimate, alignment)
    errors_m = np.linalg.norm(aligned.positions_m - pairs.reference.positions_m, axis=1)
    difference = rotations(pairs.reference).inv() * rotations(aligned)
    errors_deg = np.degrees(difference.magnitude())
    return AbsoluteError(alignment, Statistics.of(errors_m), Statistics.of(errors_deg), errors_m, errors_deg)


def relative_error(
    pairs: Pairs, delta: float = 1, unit: DeltaUnit = "frames", all_pairs: bool = True, scale: float = 1.0
) -> RelativeError | None:
    """Return the relative pose error of the estimate, its positions multiplied by `scale`, over steps of `delta`.

    A step of seconds or metres among all pairs ends at the pose whose distance is nearest to delta, and is left out
    when that is off by more than a tenth; one among consecutive pairs ends where delta is reached. None when not one
    step fits. Raises EvaluationError when delta is not positive, or not whole for frames.
    """
    if not delta > 0 or (unit == "frames" and delta != int(delta)):
        raise EvaluationError(f"a step of {delta:g} {unit} is not possible: it must be positive, and whole for frames")
    tolerance = 0.0 if unit == "frames" else _DELTA_TOLERANCE
    first, last = _steps(_progress(pairs.reference, unit), delta, all_pairs, tolerance)
    if not len(first):
        return None
    errors_m, errors_rad = step_errors(pairs, first, last, scale)
    return RelativeError(
        float(delta), unit, all_pairs, len(first), Statistics.of(errors_m), Statistics.of(np.degrees(errors_rad))
    )


def step_errors(pairs: Pairs, first: IntArray, last: IntArray, scale: float) -> tuple[FloatArray, FloatArray]:
    """Return errors in metres and radians (S,) of the motions from rows `first` to rows `last` (S,).

    The error of a motion is the transform between the estimated and the true one (Sturm et al. 2012, Eq. 1).
    """
    turned, moved = _motions(pairs.reference, first, last)
    turned_estimate, moved_estimate = _motions(pairs.estimate, first, last)
    # the rotation in front of the difference does not change its length
    errors_m = np.linalg.norm(scale * moved_estimate - moved, axis=1)
    return errors_m, (turned.inv() * turned_estimate).magnitude()


def path_m(trajectory: Trajectory) -> FloatArray:
    """Return the path travelled up to each pose (N,), in metres; 0 for the first."""
    lengths = np.linalg.norm(np.diff(trajectory.positions_m, axis=0), axis=1)
    return np.concatenate([[0.0], np.cumsum(lengths)])


def rotations(trajectory: Trajectory) -> Rotation:
    """Return the orientations of all poses as one stack."""
    return Rotation.from_quat(trajectory.quaternions_xyzw)


def transformed(trajectory: Trajectory, alignment: Alignment) -> Trajectory:
    """Return the trajectory moved by an alignment: positions scaled, turned and moved, orientations turned."""
    similarity = alignment.target_from_source
    turned = Rotation.from_matrix(similarity.rotation) * rotations(trajectory)
    return Trajectory(trajectory.times_ns.copy(), similarity.apply(trajectory.positions_m), turned.as_quat())


def _motions(trajectory: Trajectory, first: IntArray, last: IntArray) -> tuple[Rotation, FloatArray]:
    """Return rotation and translation of first_from_last for each pair of rows."""
    world_from_first = rotations(trajectory)[first]
    motion = trajectory.positions_m[last] - trajectory.positions_m[first]
    return world_from_first.inv() * rotations(trajectory)[last], world_from_first.inv().apply(motion)


def _progress(reference: Trajectory, unit: DeltaUnit) -> FloatArray:
    """Return how far each pose (N,) lies along the trajectory, in the unit."""
    if unit == "frames":
        return np.arange(len(reference), dtype=np.float64)
    if unit == "seconds":
        return 1e-9 * (reference.times_ns - reference.times_ns[0])
    return path_m(reference)


def _steps(progress: FloatArray, delta: float, all_pairs: bool, tolerance: float) -> tuple[IntArray, IntArray]:
    """Return first and last rows (S,) of the steps of length delta along ascending progress (N,)."""
    if all_pairs:
        last = _nearest_later_row(progress, progress + delta)
        first = np.arange(len(progress) - 1)
        fits = np.abs(progress[last] - progress[first] - delta) <= tolerance * delta
        return first[fits], last[fits]
    ends = [0]
    travelled = 0.0
    for row, advance in enumerate(np.diff(progress), start=1):
        travelled += advance
        if travelled >= delta:
            ends.append(row)
            travelled = 0.0
    return np.array(ends[:-1], np.int64), np.array(ends[1:], np.int64)


def _nearest_later_row(progress: FloatArray, targets: FloatArray) -> IntArray:
    """Return for each row but the last the later row whose progress is nearest to its target, the first of equals."""
    rows = np.arange(len(progress) - 1)
    after = np.searchsorted(progress, targets[:-1]).clip(rows + 1, len(progress) - 1)
    before = (after - 1).clip(rows + 1)
    nearer = np.abs(progress[before] - targets[:-1]) <= np.abs(progress[after] - targets[:-1])
    # of poses that stand at one place the first is taken
    return np.maximum(np.searchsorted(progress, progress[np.where(nearer, before, after)]), rows + 1)
