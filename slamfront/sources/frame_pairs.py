"""Pairs of frames of a posed sequence, a chosen number of frames apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from slamfront.errors import EvaluationError
from slamfront.evaluation.association import associate
from slamfront.evaluation.pairs import DepthView, PairReference, PosedPair, depth_pair, evenly_spread
from slamfront.geometry.pose import Pose, rotation_log
from slamfront.geometry.shutter import Shutter
from slamfront.imaging import grey
from slamfront.protocols import Source
from slamfront.types import Frame, Trajectory


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
    if source.reference is None:
        raise EvaluationError(f"{source.name} has no true trajectory, which tells how its frames lie to each other")
    if source.length is None or source.live:
        raise EvaluationError(f"{source.name}: it is not known how many frames there will be")
    if not gaps or min(gaps) < 1 or max(gaps) >= source.length:
        told = ", ".join(map(str, gaps))
        raise EvaluationError(f"{source.name}: no frames are {told} apart, they may be 1 to {source.length - 1}")
    firsts = [start + row for row in evenly_spread(source.length - max(gaps), count)]
    pairs = [(first, first + gap, gap) for first in firsts for gap in gaps]
    ids = {number for first, second, _ in pairs for number in (first, second)}
    views = _views(source, source.reference, ids, time_offset_ns)
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
