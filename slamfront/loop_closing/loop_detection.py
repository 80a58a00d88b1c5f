"""Loops: a keyframe that shows a place which the camera left long ago, and what follows for the map."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np

from slamfront.config import LoopConfig, RunConfig
from slamfront.geometry.pose import Sim3, rotation_angle
from slamfront.loop_closing.verification import GeometricVerifier, relative_scale
from slamfront.map import KeyframeMap, KeyframeRecord
from slamfront.map.covisibility import connected
from slamfront.map.graph import LoopEdge
from slamfront.map.places import PlaceIndex, grouped
from slamfront.mapping.landmarks import align_observations, observe_again
from slamfront.mapping.reassociation import observe_instead
from slamfront.tracking.local_map import VerifiedPose
from slamfront.types import IntArray, Sensor

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Loop:
    """A place seen again.

    keyframe_id, match_id     the newer keyframe, and the older one whose place it shows; time_ns, match_time_ns theirs
    match_from_keyframe       similarity of their camera frames by the landmarks of the old place
    landmark_ids (M,)         landmarks of the old place, at `keypoint_rows` (M,) of the newer keyframe
    error_m, way_m            how far the map had the newer keyframe from its place, and the way around the loop
    """

    keyframe_id: int
    match_id: int
    time_ns: int
    match_time_ns: int
    match_from_keyframe: Sim3
    landmark_ids: IntArray
    keypoint_rows: IntArray
    error_m: float
    way_m: float

    @property
    def edge(self) -> LoopEdge:
        """The loop as an edge of a pose graph."""
        return self.match_id, self.keyframe_id, self.match_from_keyframe

    def __str__(self) -> str:
        return (
            f"keyframe {self.keyframe_id} shows the place of keyframe {self.match_id} by {len(self.landmark_ids)} "
            f"landmarks, {self.error_m:.3g} m from where the map had it, after {self.way_m:.3g} m"
        )


class LoopDetector:
    """Looks for the place of every new keyframe among those that the camera left long ago."""

    def __init__(self, places: PlaceIndex, verifier: GeometricVerifier, config: LoopConfig, sensor: Sensor) -> None:
        self._places, self._verifier, self._config, self._scaled = places, verifier, config, sensor == "mono"
        self._streaks: list[tuple[set[int], int]] = []

    def look(self, world: KeyframeMap, keyframe: KeyframeRecord) -> Loop | None:
        """Return the loop that a keyframe closes, or None."""
        self._places.update(world)
        loops = (
            self._verify(world, keyframe, world.keyframes[candidate]) for candidate in self._candidates(world, keyframe)
        )
        # Of places that look alike, the one nearest to where the map has the keyframe
        return min((loop for loop in loops if loop is not None), key=lambda loop: loop.error_m, default=None)

    def restart(self) -> None:
        """Forget which places the last keyframes looked like."""
        self._streaks = []

    def _candidates(self, world: KeyframeMap, keyframe: KeyframeRecord) -> list[int]:
        """Return keyframes of places that are long left, and that this keyframe and those before it look like."""
        ids, scores = self._places.scores(keyframe.features, world)
        known = np.r_[connected(world, keyframe), sorted(world.keyframes, reverse=True)[: self._config.closing.recent]]
        far = ~np.isin(ids, known)
        if not far.any() or far.all():
            self._streaks = []
            return []
        likely = [i for i, _ in grouped(world, ids[far], scores[far])[: self._config.candidates]]
        groups = [{i, *world.covisible(world.keyframes[i]).tolist()} for i in likely]
        before, self._streaks = self._streaks, []
        for group in groups:
            streak = max((n for other, n in before if group & other), default=0)
            self._streaks.append((group, streak + 1))
        needed = self._config.consistent
        return [i for i, (_, streak) in zip(likely, self._streaks) if streak >= needed]

    def _verify(self, world: KeyframeMap, keyframe: KeyframeRecord, match: KeyframeRecord) -> Loop | None:
        """Return the loop between two keyframes if enough landmarks of the older one's place, well spread, agree."""
        verified = self._verifier.verify(world, match, keyframe)
        if verified is None:
            return None
        verification = self._config.verification
        scale = relative_scale(world, verified, world, keyframe, config=verification) if self._scaled else 1.0
        return None if scale is None else self._plausible(world, keyframe, match, verified, scale)

    def _plausible(
        self,
        world: KeyframeMap,
        keyframe: KeyframeRecord,
        match: KeyframeRecord,
        verified: VerifiedPose,
        scale: float,
    ) -> Loop | None:
        """Return the loop, unless it says that the map went wrong by more than it does on such a way."""
        new, old = verified.camera_from_world.inverse(), keyframe.world_from_camera
        error_m = float(np.linalg.norm(new.translation_m - old.translation_m))
        way_m = _way(world, match.id, keyframe.id)
        # A camera that turns on the spot drifts without travelling
        share = self._config.max_drift * (2.0 if self._scaled else 1.0)
        most_m = share * max(way_m, world.landmarks.typical_distance_m)
        turn = rotation_angle(new.rotation @ old.rotation.T)
        closing = self._config.closing
        turned = turn > np.deg2rad(closing.max_turn_deg)
        if error_m > most_m or turned or not 1 / closing.max_scale < scale < closing.max_scale:
            log.debug("keyframe %d is not at keyframe %d, %.3g m away", keyframe.id, match.id, error_m)
            return None
        relative = match.world_from_camera.inverse() @ new
        return Loop(
            keyframe.id,
            match.id,
            keyframe.time_ns,
            match.time_ns,
            Sim3.from_pose(relative, scale),
            world.landmarks.ids(verified.landmark_rows),
            verified.keypoint_rows,
            error_m,
            way_m,
        )


def fuse_loop(world: KeyframeMap, loop: Loop, config: RunConfig) -> None:
    """Make landmarks of both sides of a loop one, once the map is bent so that they lie at the same place.

    The newer keyframe observes what was found of the old place; it and its neighbours also look for the rest of it.
    """
    if loop.keyframe_id not in world.keyframes:
        return
    keyframe = world.keyframes[loop.keyframe_id]
    rows = world.landmarks.rows(loop.landmark_ids)
    observe_instead(world, keyframe, rows[rows >= 0], loop.keypoint_rows[rows >= 0], config=config.tracker.alignment)
    match = world.keyframes[world.heir(loop.match_id)]
    around = world.covisible(match)[: config.loops.verification.keyframes]
    old = world.observed_by(np.r_[match.id, around[around < keyframe.id]])
    neighbours = world.covisible(keyframe)
    apart = neighbours[~np.isin(neighbours, around)][: config.loops.closing.fused_keyframes]
    for keyframe_id in [keyframe.id, *apart.tolist()]:
        record = world.keyframes[keyframe_id]
        alive = old[world.landmarks.alive[old]]
        observe_again(world, record, np.setdiff1d(alive, record.landmark_rows), config=config)
        shown = np.flatnonzero(np.isin(record.landmark_rows, alive))
        align_observations(world, record, shown, config=config.tracker.alignment)


def _way(world: KeyframeMap, first_id: int, last_id: int) -> float:
    """Return the length of the way from one keyframe to a later one, m."""
    ids = [i for i in sorted(world.keyframes) if first_id <= i <= last_id]
    positions = np.array([world.keyframes[i].world_from_camera.translation_m for i in ids])
    return float(np.linalg.norm(np.diff(positions, axis=0), axis=1).sum())
