"""Pairs of frames of a posed sequence, a chosen number of frames apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from slamfront.errors import EvaluationError
from slamfront.evaluation.matching.pairs import DepthView, PairReference, PosedPair, depth_pair, evenly_spread
from slamfront.evaluation.trajectory.association import associate
from slamfront.geometry.pose import Pose, rotation_log
from slamfront.geometry.shutter import Shutter
from slamfront.imaging import grey
from slamfront.protocols import Source
from slamfront.types import Frame, Trajectory

# Frames that are compared with each other: 5000 pairs of 100, some milliseconds each
_MOST_FRAMES = 100


@dataclass(frozen=True, slots=True)
class FramePairs:
    """Pairs of frames; `left_out` counts those that lack a frame or its true pose."""

    references: tuple[PairReference[PosedPair], ...]
    left_out: int


def frame_pairs(source: Source, gaps: Sequence[int], count: int, start: int = 0, time_offset_ns: int = 0) -> FramePairs:
    """Return pairs of frames of a source whose reference knows their poses.

    gaps    how many frames the second comes after the first, for each group of pairs
    count   first frames, the same for each gap, evenly spread; all there are where these are fewer
    start   id of the source's first frame
    time_offset_ns  is added to the frames' times wherever the reference is asked

    The frames are read once and kept: 0.3 MB each at 640x480, and 1.5 MB with depth. The pose of a frame is the
    reference, interpolated to its time. Where the camera has a rolling shutter, how it turned follows from the
    reference as well. Raises EvaluationError without a true trajectory, and where no frames are so far apart.
    """
    reference, length = _known(source)
    if not gaps or min(gaps) < 1 or max(gaps) >= length:
        told = ", ".join(map(str, gaps))
        raise EvaluationError(f"{source.name}: no frames are {told} apart, they may be 1 to {length - 1}")
    firsts = [start + row for row in evenly_spread(length - max(gaps), count)]
    pairs = [(first, first + gap, gap) for first in firsts for gap in gaps]
    ids = {number for first, second, _ in pairs for number in (first, second)}
    views = _views(source, reference, ids, time_offset_ns)
    references = tuple(
        PairReference(
            f"{source.name} {first}-{second}",
            f"{gap} frame{'s' if gap > 1 else ''} apart",
            partial(_pair, views[first], views[second]),
        )
        for first, second, gap in pairs
        if first in views and second in views
    )
    return FramePairs(references, len(pairs) - len(references))


@dataclass(frozen=True, slots=True)
class Overlap:
    """How much of two frames shows the same: shares of either image that is seen in the other, the smaller one."""

    least: float
    greatest: float


def overlapping_pairs(
    source: Source, overlap: Overlap, count: int, start: int = 0, time_offset_ns: int = 0
) -> FramePairs:
    """Return pairs of frames of a source with depth that overlap so much, however many frames apart.

    count   pairs, evenly spread over those found in the order of their overlap; all there are where these are fewer
    start, time_offset_ns   as of `frame_pairs`

    Looked for among all pairs of `_MOST_FRAMES` frames, evenly spread. Raises EvaluationError without a true
    trajectory, without depth, and where no pair overlaps so much.
    """
    reference, length = _known(source)
    ids = {start + row for row in evenly_spread(length, _MOST_FRAMES)}
    views = sorted(_views(source, reference, ids, time_offset_ns).items())
    if any(view.frame.depth_m is None for _, view in views):
        raise EvaluationError(f"{source.name} has no depth, which tells how much two frames overlap")
    shares = [
        (_pair(first, second).overlap or 0.0, i, j)
        for k, (i, first) in enumerate(views)
        for j, second in views[k + 1 :]
    ]
    found = sorted(one for one in shares if overlap.least <= one[0] <= overlap.greatest)
    if not found:
        raise EvaluationError(f"{source.name}: no frames overlap by {overlap.least:g} to {overlap.greatest:g}")
    by_id = dict(views)
    group = f"overlap {overlap.least:g} to {overlap.greatest:g}"
    return FramePairs(
        tuple(
            PairReference(f"{source.name} {i}-{j}", group, partial(_pair, by_id[i], by_id[j]))
            for _, i, j in (found[row] for row in evenly_spread(len(found), count))
        ),
        0,
    )


def _known(source: Source) -> tuple[Trajectory, int]:
    """Return the true trajectory and the number of frames of a source; EvaluationError where they are not known."""
    if source.reference is None:
        raise EvaluationError(f"{source.name} has no true trajectory, which tells how its frames lie to each other")
    if source.length is None or source.live:
        raise EvaluationError(f"{source.name}: it is not known how many frames there will be")
    return source.reference, source.length


@dataclass(frozen=True, slots=True, eq=False)
class _View:
    """A grey frame, where it was taken, and how the camera turned meanwhile."""

    frame: Frame
    world_from_camera: Pose
    shutter: Shutter


def _views(source: Source, reference: Trajectory, ids: set[int], time_offset_ns: int) -> dict[int, _View]:
    """Return the frames of those ids whose true pose is known."""
    frames = [replace(frame, image=grey(frame.image), right=None) for frame in source if frame.id in ids]
    half_ns = round(0.5e9 * source.camera.readout_s)
    shifts = [time_offset_ns + shift for shift in (-half_ns, 0, half_ns)]
    times = sorted({frame.time_ns + shift for frame in frames for shift in shifts})
    wanted = Trajectory.from_poses(times, [Pose.identity()] * len(times))
    known = associate(reference, wanted, interpolate=True)
    poses = {int(time_ns): known.reference.pose(row) for row, time_ns in enumerate(known.estimate.times_ns)}
    views = {}
    for frame in frames:
        before, middle, after = (poses.get(frame.time_ns + shift) for shift in shifts)
        if before is not None and middle is not None and after is not None:
            # Points turn against the camera
            turn = rotation_log(after.rotation.T @ before.rotation)
            shutter = Shutter(frame.camera, turn / (2e-9 * half_ns) if half_ns else np.zeros(3))
            views[frame.id] = _View(frame, middle, shutter)
    return views


def _pair(first: _View, second: _View) -> PosedPair:
    images = first.frame.image, second.frame.image
    second_from_first = second.world_from_camera.inverse() @ first.world_from_camera
    if first.frame.depth_m is not None and second.frame.depth_m is not None:
        views = (
            DepthView(first.frame.depth_m, first.frame.camera, first.shutter),
            DepthView(second.frame.depth_m, second.frame.camera, second.shutter),
        )
        return depth_pair(images, views, second_from_first)
    cameras = first.frame.camera, second.frame.camera
    return PosedPair(*images, cameras, second_from_first, shutters=(first.shutter, second.shutter))
