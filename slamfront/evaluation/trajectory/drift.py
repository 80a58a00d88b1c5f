"""Drift over segments of the path, as KITTI's development kit defines it.

Geiger et al., "Are we ready for Autonomous Driving? The KITTI Vision Benchmark Suite", CVPR 2012, Eq. 1 and 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from slamfront.evaluation.trajectory.association import Pairs
from slamfront.evaluation.trajectory.errors import path_m, step_errors
from slamfront.types import FloatArray, IntArray

KITTI_LENGTHS_M = (100.0, 200.0, 300.0, 400.0, 500.0, 600.0, 700.0, 800.0)
SHORT_LENGTHS_M = (10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0)
SHORTEST_LENGTHS_M = (10.0, 20.0, 30.0)

_KITTI_FROM_M = 200.0
"""KITTI's own lengths from here: on a path of little over 100 m only a handful of segments would fit."""
_SHORT_FROM_M = 40.0


@dataclass(frozen=True, slots=True)
class SegmentDrift:
    """Mean error over the segments of one length."""

    length_m: float
    segments: int
    translation_percent: float
    rotation_deg_per_100m: float


@dataclass(frozen=True, slots=True)
class Drift:
    """Drift along the path: error of the motion over a segment, divided by the segment's length, mean of all segments.

    translation_percent, rotation_deg_per_100m   means over every segment of every length
    step_frames   a segment starts at every pose that is a multiple of this
    lengths       the same for each length of which there is a segment
    note          which lengths were taken, and why
    """

    translation_percent: float
    rotation_deg_per_100m: float
    segments: int
    step_frames: int
    lengths: tuple[SegmentDrift, ...]
    note: str

    def to_mapping(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


def drift(pairs: Pairs, lengths_m: Sequence[float] | None = None, scale: float = 1.0) -> Drift | None:
    """Return the drift of the estimate, its positions multiplied by `scale`; None where no segment fits.

    Without `lengths_m` they follow from the length of the reference's path: KITTI's 100..800 m from 200 m on, 10..80 m
    from 40 m on, and 10..30 m below. Segments start at every 10th pose for KITTI's lengths, at every pose for others.
    """
    path = path_m(pairs.reference)
    lengths, note = (tuple(lengths_m), "(as asked for)") if lengths_m is not None else _choose_lengths(path[-1])
    step = 10 if lengths == KITTI_LENGTHS_M else 1
    found = []
    all_m, all_rad = [], []
    for length in lengths:
        first, last = _segments(path, length, step)
        if not len(first):
            continue
        errors_m, errors_rad = (errors / length for errors in step_errors(pairs, first, last, scale))
        found.append(SegmentDrift(float(length), len(first), _percent(errors_m), _deg_per_100m(errors_rad)))
        all_m.append(errors_m)
        all_rad.append(errors_rad)
    if not found:
        return None
    every_m, every_rad = np.concatenate(all_m), np.concatenate(all_rad)
    span = f"{found[0].length_m:g}..{found[-1].length_m:g} m" if len(found) > 1 else f"{found[0].length_m:g} m"
    return Drift(
        _percent(every_m), _deg_per_100m(every_rad), len(every_m), step, tuple(found), f"segments of {span} {note}"
    )


def _choose_lengths(length_m: float) -> tuple[tuple[float, ...], str]:
    if length_m >= _KITTI_FROM_M:
        return KITTI_LENGTHS_M, "(KITTI's lengths)"
    chosen = SHORT_LENGTHS_M if length_m >= _SHORT_FROM_M else SHORTEST_LENGTHS_M
    return chosen, f"(the path of {length_m:.0f} m is short for KITTI's 100..800 m)"


def _segments(path: FloatArray, length_m: float, step: int) -> tuple[IntArray, IntArray]:
    """Return first and last rows of the segments: the last is the first pose further along than the length."""
    first = np.arange(0, len(path), step)
    last = np.searchsorted(path, path[first] + length_m, side="right")
    return first[last < len(path)], last[last < len(path)]


def _percent(ratios: FloatArray) -> float:
    return float(100.0 * np.mean(ratios))


def _deg_per_100m(rad_per_m: FloatArray) -> float:
    return float(100.0 * np.degrees(np.mean(rad_per_m)))
