"""Whether a run is as good as its user may expect: frames placed, errors, and poses that are wrong and do not say so.

A pose that calls itself right is judged by the motion since the pose of a second before it, not by where it lies in the
world: nobody can know what drifts over a long path, and an alignment of the whole trajectory would spread one wrong
pose over the right ones. That motion needs no alignment. It is wrong where it misses the true one by more than a tenth
of how far away the camera sees there (the median depth of what stands in its view), or by 5 degrees: then what is drawn
into the image, or driven around, is visibly elsewhere. Where frames between have no pose the last pose before them is
compared with, so that a place that was recognised wrongly counts; in the first second the first pose is. A single
camera's motions are compared in the unit of length that fits best within two seconds of them, since its map may drift
in scale, and must not jump.

Drift is judged by the absolute error after the usual alignment of least squares: SE(3), for a single camera Sim(3).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np

from slamfront.errors import EvaluationError
from slamfront.evaluation.trajectory.association import associate
from slamfront.evaluation.trajectory.errors import path_m, step_errors
from slamfront.evaluation.trajectory.metrics import TrajectoryMetrics, evaluate
from slamfront.evaluation.trajectory.online import Online
from slamfront.geometry.align import AlignmentKind
from slamfront.types import FloatArray, IntArray, Trajectory

WRONG_DEPTHS, WRONG_DEG = 0.10, 5.0
"""A motion over a second that is off by this share of the median depth, or this angle, is wrong."""
_STEP_NS = 1_000_000_000
_SCALE_NS = 2_000_000_000
# Shorter motions, in median depths, say nothing about the unit of length
_MOVED = 0.02
# Share of the ratios at either end that may be of wrong poses
_TRIMMED = 0.1


@dataclass(frozen=True)
class Mark:
    """What a recording has to reach, online and in the end; besides, no pose may be wrong that calls itself right."""

    placed: float = 95.0
    """Least share of the frames that get a pose while the run goes on, and at the end, %."""
    error: float | None = 2.0
    """Largest root mean square error of the positions, % of what `of` says; None where there need not be any pose."""
    of: Literal["path", "depth"] = "path"
    """What errors are compared with: the length of the path, or the median depth of the views."""
    says: str = ""
    """Words, in lower case, that a warning of the run must hold."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """How a run did against its mark.

    placed_percent, final_percent    frames with a pose in the map that has most: online, and at the end
    ate_online_m, ate_final_m        root mean square errors of the positions; None without poses
    rpe_online_m, rpe_online_deg     those of the motion over a second, as is rpe_final_m, rpe_final_deg
    path_m, depth_m                  length of the path, and the median depth of the views
    wrong                            frames whose pose is wrong and does not say so
    worst_depths, worst_deg          largest errors over a second, in median depths and degrees
    reasons                          why the mark was missed; none when it was reached
    """

    frames: int
    placed_percent: float
    final_percent: float
    path_m: float
    depth_m: float
    ate_online_m: float | None = None
    ate_final_m: float | None = None
    rpe_online_m: float | None = None
    rpe_online_deg: float | None = None
    rpe_final_m: float | None = None
    rpe_final_deg: float | None = None
    wrong: tuple[int, ...] = ()
    worst_depths: float = 0.0
    worst_deg: float = 0.0
    reasons: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether the mark was reached."""
        return not self.reasons

    def to_mapping(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {**asdict(self), "passed": self.passed}


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """What is known about a recording: the true pose of each frame, and how far away the camera sees (T,), m, at times
    (T,), ns.
    """

    reference: Trajectory
    depth_times_ns: IntArray
    depths_m: FloatArray

    def depth_m(self, times_ns: IntArray) -> FloatArray:
        """Return the median depths at times (N,)."""
        return np.interp(times_ns, self.depth_times_ns, self.depths_m)


def judge(
    mark: Mark, online: Online, final: Trajectory | None, truth: Truth, alignment: AlignmentKind, said: str = ""
) -> Judgement:
    """Return how a run did: its online answers and its final trajectory, None without one, against the truth.

    said    what the run printed
    """
    main, frames = online.main, len(truth.reference)
    poses = online.poses(main) if main.any() else None
    then, at_end = (_metrics(truth.reference, some, alignment) for some in (poses, final))
    wrong, worst_depths, worst_deg = _wrong(online, truth, alignment)
    result = Judgement(
        frames,
        100.0 * (len(poses) if poses is not None else 0) / frames,
        100.0 * (len(final) if final is not None else 0) / frames,
        float(path_m(truth.reference)[-1]),
        float(np.median(truth.depths_m)),
        then.ate.translation_m.rmse if then else None,
        at_end.ate.translation_m.rmse if at_end else None,
        *_rpe(then),
        *_rpe(at_end),
        wrong,
        worst_depths,
        worst_deg,
    )
    return replace(result, reasons=_reasons(result, mark, online, said))


def _reasons(result: Judgement, mark: Mark, online: Online, said: str) -> tuple[str, ...]:
    """Return why a run misses its mark; nothing when it does not."""
    reasons = []
    for name, percent in (("online", result.placed_percent), ("final", result.final_percent)):
        if percent < mark.placed:
            reasons.append(f"{name}: {percent:.0f} % of the frames placed, {mark.placed:.0f} % wanted")
    if reasons:
        reasons += _why_unplaced(online)
    scale = result.path_m if mark.of == "path" else result.depth_m
    for name, ate in (("online", result.ate_online_m), ("final", result.ate_final_m)):
        if mark.error is None or ate is None:
            continue
        percent = 100.0 * ate / scale if scale > 0 else np.inf
        if percent > mark.error:
            reasons.append(f"{name}: ATE {percent:.2f} % of the {mark.of}, {mark.error:g} % allowed")
    if result.wrong:
        reasons.append(
            f"wrong and sure of it: {len(result.wrong)} frames ({ranges(result.wrong)}), off within a second by up to "
            f"{100 * result.worst_depths:.0f} % of the depth and {result.worst_deg:.1f} deg"
        )
    if mark.says and mark.says not in said.lower():
        reasons.append(f"no warning says '{mark.says}'")
    return tuple(reasons)


def _why_unplaced(online: Online) -> list[str]:
    """Return the frames outside the main map, and the first reason that was told."""
    outside = np.flatnonzero(~online.main)
    told = next((online.reasons[row] for row in outside if online.reasons[row]), "")
    where = f"outside the main map: frames {ranges(online.frame_ids[outside].tolist())}" if len(outside) else ""
    return [part for part in (where + (f" ({told})" if told else ""),) if part]


def _metrics(reference: Trajectory, poses: Trajectory | None, alignment: AlignmentKind) -> TrajectoryMetrics | None:
    if poses is None or not len(poses):
        return None
    try:
        return evaluate(reference, poses, alignment=alignment)
    except EvaluationError:
        return None


def _rpe(metrics: TrajectoryMetrics | None) -> tuple[float | None, float | None]:
    """Return the root mean square error of the motion over a second: metres, degrees."""
    step = next((one for one in metrics.rpe if one.unit == "seconds"), None) if metrics else None
    return (step.translation_m.rmse, step.rotation_deg.rmse) if step else (None, None)


def _wrong(online: Online, truth: Truth, alignment: AlignmentKind) -> tuple[tuple[int, ...], float, float]:
    """Return the frames whose motion over the last second is wrong, and the largest errors: depths, degrees."""
    wrong: list[int] = []
    worst_depths = worst_deg = 0.0
    for world in np.unique(online.worlds[online.rows >= 0]):
        frames = np.flatnonzero((online.worlds == world) & (online.rows >= 0))
        if len(frames) < 2:
            continue
        share, degrees = _errors(online, frames, truth, alignment)
        wrong += online.frame_ids[frames[1:][(share > WRONG_DEPTHS) | (degrees > WRONG_DEG)]].tolist()
        worst_depths, worst_deg = max(worst_depths, float(share.max())), max(worst_deg, float(degrees.max()))
    return tuple(sorted(wrong)), worst_depths, worst_deg


def _errors(online: Online, frames: IntArray, truth: Truth, alignment: AlignmentKind) -> tuple[FloatArray, FloatArray]:
    """Return what the motions of the second before each frame but the first of one world are off by, (F-1,) each: in
    median depths and in degrees.
    """
    mask = np.zeros(len(online.rows), np.bool_)
    mask[frames] = True
    pairs = associate(truth.reference, online.poses(mask))
    times = pairs.estimate.times_ns
    last = np.arange(1, len(times))
    # Times may be off by their rounding
    first = np.maximum(np.searchsorted(times, times[last] - _STEP_NS + 1000, side="right") - 1, 0)
    first = np.minimum(first, last - 1)
    depths = truth.depth_m(times[last])
    scales = np.ones(len(last))
    if alignment == "sim3":
        scales = _local_scales(pairs.reference, pairs.estimate, first, last, depths)
    errors = [step_errors(pairs, first[i : i + 1], last[i : i + 1], scale) for i, scale in enumerate(scales)]
    return np.array([m[0] for m, _ in errors]) / depths, np.degrees([rad[0] for _, rad in errors])


def _local_scales(
    reference: Trajectory, estimate: Trajectory, first: IntArray, last: IntArray, depths_m: FloatArray
) -> FloatArray:
    """Return the unit of length (S,) about each motion: the trimmed mean of true over estimated lengths, in logarithms.

    A median would follow a jump as well as it follows drift, for it is the middle value of whatever grows. 0 where the
    camera never moves: then no unit is known, and turns alone can be judged.
    """
    true, found = (np.linalg.norm(t.positions_m[last] - t.positions_m[first], axis=1) for t in (reference, estimate))
    tells = (true > _MOVED * depths_m) & (found > 0)
    ratios, times = np.log(true[tells] / found[tells]), estimate.times_ns[last]
    if not len(ratios):
        return np.zeros(len(last))
    near = [ratios[np.abs(times[tells] - time) <= _SCALE_NS] for time in times]
    return np.exp([_trimmed_mean(some if len(some) else ratios) for some in near])


def _trimmed_mean(values: FloatArray) -> float:
    cut = int(_TRIMMED * len(values))
    return float(np.sort(values)[cut : len(values) - cut].mean())


def ranges(numbers: Sequence[int]) -> str:
    """Return ascending numbers as ranges: `3, 5-9`; of many the first few."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    shown = [f"{a}" if a == b else f"{a}-{b}" for a, b in parts[:6]]
    return ", ".join(shown) + (", ..." if len(parts) > 6 else "")
