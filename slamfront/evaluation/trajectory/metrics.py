"""One call that compares an estimated trajectory with the true one, and says how it was done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from slamfront.errors import EvaluationError
from slamfront.evaluation.trajectory.association import DEFAULT_MAX_DIFFERENCE_NS, Pairs, associate, select
from slamfront.evaluation.trajectory.drift import Drift, drift
from slamfront.evaluation.trajectory.errors import (
    AbsoluteError,
    DeltaUnit,
    RelativeError,
    Statistics,
    absolute_error,
    path_m,
    relative_error,
    transformed,
)
from slamfront.geometry.align import AlignmentKind
from slamfront.types import FloatArray, IntArray, Trajectory

DEFAULT_STEPS: tuple[tuple[float, DeltaUnit], ...] = ((1, "frames"), (1.0, "seconds"))
"""Steps of RPE that are reported unless others are asked for."""


@dataclass(frozen=True, slots=True, eq=False)
class TrajectoryMetrics:
    """How well an estimate follows its reference.

    pairs           the poses that were compared, with how they were paired
    estimated       poses of the estimate in the range; frames those of the source there, None when not known
    alignment       the alignment that counts: that of `ate`, and whose scale RPE and drift use
    se3, sim3       ATE under both alignments, always; unaligned is ATE without any
    rpe             relative pose error of each step that fits
    drift           KITTI drift, None where the path is too short for any segment
    path_m, duration_s   of the reference over the pairs
    """

    pairs: Pairs
    estimated: int
    frames: int | None
    alignment: AlignmentKind
    se3: AbsoluteError
    sim3: AbsoluteError
    unaligned: AbsoluteError
    rpe: tuple[RelativeError, ...]
    drift: Drift | None
    path_m: float
    duration_s: float

    @property
    def ate(self) -> AbsoluteError:
        """ATE under the alignment that was asked for: SE(3), Sim(3) or none."""
        return {"se3": self.se3, "sim3": self.sim3, "none": self.unaligned}[self.alignment]

    @property
    def aligned(self) -> Trajectory:
        """The compared poses of the estimate in the reference's world, by the alignment that counts."""
        return transformed(self.pairs.estimate, self.ate.alignment)

    @property
    def times_s(self) -> FloatArray:
        """Times of the pairs (N,) in seconds from the first of them."""
        times_ns = self.pairs.estimate.times_ns
        return np.asarray(1e-9 * (times_ns - times_ns[0]), np.float64)

    @property
    def tracked_percent(self) -> float | None:
        """Share of the source's frames that have a pose; None when their number is not known."""
        return 100.0 * min(self.estimated, self.frames) / self.frames if self.frames else None

    @property
    def association(self) -> str:
        """How the poses were paired, as a sentence's part."""
        limit = f"at most {self.pairs.max_difference_ns / 1e6:g} ms away"
        if self.pairs.interpolated:
            return f"reference interpolated to the estimate's times, a pose of it {limit}"
        return f"reference's nearest pose in time, {limit}"

    def to_mapping(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "pairs": len(self.pairs),
            "estimated": self.estimated,
            "frames": self.frames,
            "tracked_percent": self.tracked_percent,
            "association": self.association,
            "interpolated": self.pairs.interpolated,
            "max_difference_ns": self.pairs.max_difference_ns,
            "alignment": self.alignment,
            "ate": {one.alignment.kind: one.to_mapping() for one in (self.se3, self.sim3, self.unaligned)},
            "rpe": [one.to_mapping() for one in self.rpe],
            "drift": self.drift.to_mapping() if self.drift else None,
            "path_m": self.path_m,
            "duration_s": self.duration_s,
        }


@dataclass(frozen=True, slots=True)
class FrameTimes:
    """Percentiles of the time that a frame takes, in milliseconds, with its mean."""

    p50_ms: float
    p95_ms: float
    max_ms: float
    mean_ms: float

    @property
    def fps(self) -> float:
        """Frames a second when frames follow each other at once."""
        return 1000.0 / self.mean_ms

    @staticmethod
    def of(times_ms: Sequence[float] | FloatArray) -> FrameTimes | None:
        """Return the percentiles of times (N,) in milliseconds; None without any."""
        times = np.asarray(times_ms, np.float64)
        if not len(times):
            return None
        p50, p95 = np.percentile(times, [50, 95])
        return FrameTimes(float(p50), float(p95), float(times.max()), float(times.mean()))

    def to_mapping(self) -> dict[str, float]:
        """Return plain values for JSON."""
        return {
            "p50_ms": self.p50_ms,
            "p95_ms": self.p95_ms,
            "max_ms": self.max_ms,
            "mean_ms": self.mean_ms,
            "fps": self.fps,
        }


def evaluate(
    reference: Trajectory,
    estimate: Trajectory,
    *,
    alignment: AlignmentKind = "se3",
    interpolate: bool = False,
    max_difference_ns: int = DEFAULT_MAX_DIFFERENCE_NS,
    frame_times_ns: Sequence[int] | IntArray | None = None,
    frame_range: tuple[int, int] | None = None,
    time_range_ns: tuple[int, int] | None = None,
    steps: Sequence[tuple[float, DeltaUnit]] = DEFAULT_STEPS,
    segment_lengths_m: Sequence[float] | None = None,
) -> TrajectoryMetrics:
    """Return how well `estimate` follows `reference`; both give world_from_camera, each in a world of its own.

    alignment        `se3` for metric scale (stereo, RGB-D), `sim3` for monocular, `none` for a shared world
    interpolate      compare with the reference at the estimate's times instead of its nearest poses
    frame_times_ns   times of all frames of the source, ascending; they give the share that was tracked
    frame_range      score frames first..last-1 only, counted along `frame_times_ns`, or without those along the
                     estimate's poses
    time_range_ns    score poses of these times only, both ends included
    steps            steps of the relative pose error; those that do not fit are left out
    segment_lengths_m   lengths for the drift; by default they follow from the path

    Raises EvaluationError when nothing can be compared.
    """
    frames_ns = np.asarray(frame_times_ns, np.int64) if frame_times_ns is not None else None
    low, high = _time_range(estimate.times_ns if frames_ns is None else frames_ns, frame_range, time_range_ns)
    scored = select(estimate, (estimate.times_ns >= low) & (estimate.times_ns <= high))
    pairs = associate(reference, scored, max_difference_ns, interpolate)
    errors = {kind: absolute_error(pairs, kind) for kind in ("se3", "sim3", "none")}
    scale = errors[alignment].alignment.target_from_source.scale
    relative = [relative_error(pairs, delta, unit, scale=scale) for delta, unit in steps]
    return TrajectoryMetrics(
        pairs,
        estimated=len(scored),
        frames=None if frames_ns is None else int(np.sum((frames_ns >= low) & (frames_ns <= high))),
        alignment=alignment,
        se3=errors["se3"],
        sim3=errors["sim3"],
        unaligned=errors["none"],
        rpe=tuple(error for error in relative if error is not None),
        drift=drift(pairs, segment_lengths_m, scale),
        path_m=float(path_m(pairs.reference)[-1]),
        duration_s=1e-9 * float(pairs.reference.times_ns[-1] - pairs.reference.times_ns[0]),
    )


def metrics_table(metrics: TrajectoryMetrics) -> str:
    """Return the metrics as a plain text table, without a newline at its end."""
    lines = [
        f"compared   {len(metrics.pairs)} of {metrics.estimated} poses ({metrics.association})",
        f"path       {metrics.path_m:.2f} m in {metrics.duration_s:.1f} s",
    ]
    if metrics.tracked_percent is not None:
        lines.append(f"tracked    {metrics.tracked_percent:.1f} % of {metrics.frames} frames")
    lines.append(f"\n{'':<28}{'rmse':>10}{'mean':>10}{'median':>10}{'max':>10}")
    for error in (metrics.se3, metrics.sim3, metrics.unaligned):
        if error.alignment.kind != "none" or metrics.alignment == "none":
            lines += _ate_rows(error, counts=error is metrics.ate)
    for step in metrics.rpe:
        label = f"RPE {step.delta:g} {step.unit if step.delta != 1 else step.unit[:-1]}"
        lines += [_row(f"{label}, m", step.translation_m), _row(f"{label}, deg", step.rotation_deg)]
    lines.append("\n* the alignment that counts; RPE and drift use its scale")
    lines.append(_drift_line(metrics))
    lines += [f"{error.alignment.kind}: {error.alignment.note}" for error in (metrics.ate,) if error.alignment.note]
    return "\n".join(lines)


def _ate_rows(error: AbsoluteError, counts: bool) -> list[str]:
    kind, scale = error.alignment.kind, error.alignment.target_from_source.scale
    label = f"ATE {'unaligned' if kind == 'none' else kind}"
    rows = [_row(f"{label}, m{' *' if counts else ''}", error.translation_m), _row(f"{label}, deg", error.rotation_deg)]
    if kind == "sim3":
        rows[0] += f"   scale {scale:.5g}"
    return rows


def _row(label: str, values: Statistics) -> str:
    return f"{label:<28}" + "".join(f"{v:>10.4f}" for v in (values.rmse, values.mean, values.median, values.max))


def _drift_line(metrics: TrajectoryMetrics) -> str:
    found = metrics.drift
    if found is None:
        return f"drift      none: the path of {metrics.path_m:.2f} m is shorter than a segment"
    return (
        f"drift      {found.translation_percent:.3f} %, {found.rotation_deg_per_100m:.3f} deg/100 m over "
        f"{found.segments} {found.note}"
    )


def _time_range(
    frames_ns: IntArray, frame_range: tuple[int, int] | None, time_range_ns: tuple[int, int] | None
) -> tuple[int, int]:
    """Return the first and last time that are scored."""
    low, high = time_range_ns or (np.iinfo(np.int64).min, np.iinfo(np.int64).max)
    if frame_range is not None:
        chosen = frames_ns[max(frame_range[0], 0) : frame_range[1]]
        if not len(chosen):
            first, last = frame_range
            raise EvaluationError(f"frames {first}..{last - 1} hold nothing: there are {len(frames_ns)} frames")
        low, high = max(low, int(chosen[0])), min(high, int(chosen[-1]))
    return low, high
