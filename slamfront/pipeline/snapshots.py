"""What a viewer is shown, and how often: nothing is copied for a run that nobody watches."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np

from slamfront.frontend import FrontEnd
from slamfront.map import KeyframeMap
from slamfront.pipeline.clock import Clock
from slamfront.pipeline.journal import Journal
from slamfront.types import IntArray, Snapshot, Tracked
from slamfront.viewer.controls import Controls
from slamfront.viewer.null import NullViewer
from slamfront.viewer.wrappers import ClosableViewer

_MIN_SHARED = 30
"""Landmarks that two keyframes share before a line is drawn between them."""


@dataclass(frozen=True)
class Audience:
    """Who watches a run, on the main thread.

    interval_s  least time between two snapshots; 0 shows every frame, None shows nothing
    controls    the gate at which frames wait while the run is paused
    window      whether someone sits before a window, which stays open after the run
    """

    viewer: ClosableViewer = field(default_factory=NullViewer)
    interval_s: float | None = None
    controls: Controls = field(default_factory=Controls)
    window: bool = False


class Pace:
    """Says when the next snapshot is due."""

    def __init__(self, interval_s: float | None) -> None:
        self._interval_s = interval_s
        self._last_s = -np.inf

    def due(self) -> bool:
        """Return whether a snapshot should be made now, and count it as made."""
        now = time.monotonic()
        if self._interval_s is None or now - self._last_s < self._interval_s:
            return False
        self._last_s = now
        return True


def snapshot_of(front: FrontEnd, journal: Journal, tracked: Tracked, clock: Clock) -> Snapshot:
    """Return copies of the map and of the frame that was answered last; call it where, or after, `step` is called."""
    view = front.view
    assert view is not None
    world = front.world
    rows = np.flatnonzero(world.landmarks.alive)
    patches = world.landmarks.patches
    middle = patches.shape[1] // 2
    poses = [record.world_from_camera.matrix() for record in world.keyframes.values()]
    here = journal.last_pose(world)
    return Snapshot(
        frame_id=tracked.frame_id,
        time_ns=clock.stamp(tracked.time_ns),
        state=tracked.state,
        world_from_camera=here,
        camera=front.camera,
        trajectory_m=journal.positions_m(world),
        keyframe_poses=np.array(poses).reshape(-1, 4, 4),
        covisibility=covisibility(world),
        landmarks_m=world.landmarks.positions_m[rows].astype(np.float32),
        landmark_intensity=patches[rows, middle, middle],
        image=view.frame.image,
        tracks_xy=view.xy[view.landmark_rows >= 0].astype(np.float32),
        reason=tracked.reason,
        keyframe_ids=np.array(list(world.keyframes), np.int64),
        keyframe_times_ns=clock.stamps([record.time_ns for record in world.keyframes.values()]),
        landmark_ids=world.landmarks.ids(rows),
    )


def covisibility(world: KeyframeMap) -> IntArray:
    """Return pairs of keyframes (E,2), as rows in ascending order of id, that share landmarks."""
    row_of = {keyframe_id: row for row, keyframe_id in enumerate(world.keyframes)}
    pairs = [
        (row_of[other], row)
        for row, record in enumerate(world.keyframes.values())
        for other in world.covisible(record, _MIN_SHARED).tolist()
        if row_of[other] < row
    ]
    return np.array(pairs, np.int64).reshape(-1, 2)
