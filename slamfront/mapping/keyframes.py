"""When a view becomes a keyframe, and which keyframes and landmarks are no longer worth their place."""

from __future__ import annotations

import numpy as np

from slamfront.config import CullingConfig, KeyframeConfig
from slamfront.geometry.balance import cells_covered
from slamfront.geometry.pose import rotation_angle
from slamfront.map import KeyframeMap, KeyframeRecord
from slamfront.tracking.view import View
from slamfront.types import IntArray


class KeyframePolicy:
    """Decides when a keyframe is due, by what has been lost from sight since the last one.

    max_landmarks is how many landmarks are looked for in a view at most, so that no more can be expected.
    """

    def __init__(self, config: KeyframeConfig, max_landmarks: int) -> None:
        self._config, self._max_landmarks = config, max_landmarks
        self._since = 0
        self._most_tracked = self._most_covered = 0

    def due(self, view: View, world: KeyframeMap, reference: KeyframeRecord, backend_idle: bool) -> bool:
        """Return whether the tracked view should become a keyframe; called once for every tracked frame.

        A view that lacks its second image or depth, from which new landmarks come, leaves that to the next one, unless
        tracking is weak.
        """
        self._since += 1
        tracked = len(view.landmark_rows)
        covered = cells_covered(view.xy, view.grey.shape[1], self._config.selection.columns)
        self._most_tracked = max(self._most_tracked, tracked)
        self._most_covered = max(self._most_covered, covered)
        trackable = min(int((reference.landmark_rows >= 0).sum()), self._max_landmarks)
        change = self._change(view, world, reference)
        selection = self._config.selection
        weak = tracked < 0.5 * self._config.tracked_ratio * self._most_tracked or (
            tracked < selection.nearly_lost * trackable and change > selection.blurred
        )
        lacking = world.camera.baseline_m is not None and not view.depth_source.measures
        if (lacking or self._since < self._config.min_interval) and not weak:
            return False
        few = tracked < self._config.tracked_ratio * self._most_tracked
        bare = covered < self._config.tracked_ratio * self._most_covered
        stale = self._since >= self._config.max_interval and backend_idle
        due = weak or few or bare or stale or change > 1.0
        if due:
            self._since = self._most_tracked = self._most_covered = 0
        return due

    def _change(self, view: View, world: KeyframeMap, reference: KeyframeRecord) -> float:
        """Return how far the view turned or moved since a keyframe, as a share of what makes it see from elsewhere."""
        motion = view.pose @ reference.world_from_camera
        positions = world.landmarks.positions_m[view.landmark_rows]
        depth = float(np.median(view.pose.apply(positions)[:, 2]))
        moved = float(np.linalg.norm(motion.translation_m))
        selection, turned = self._config.selection, rotation_angle(motion.rotation)
        return max(moved / (selection.max_move_depths * depth), turned / float(np.deg2rad(selection.max_turn_deg)))


def cull_landmarks(world: KeyframeMap, newest_id: int, *, config: CullingConfig) -> None:
    """Remove landmarks that did not prove themselves soon after they were made, and those that were seldom found for
    long, which would be looked for for ever where the camera stays.
    """
    marks = world.landmarks
    young = marks.created_by > newest_id - 2 * config.probation
    rows = np.flatnonzero(marks.alive & (young | (marks.expected >= config.min_expected)))
    age = newest_id - marks.created_by[rows]
    seldom = marks.seen[rows] < config.min_found * marks.expected[rows]
    unseen = (marks.observations[rows] < config.min_observers) & (marks.seen[rows] < 3 * config.probation)
    lonely = (age == config.probation) & unseen
    world.remove_landmarks(rows[(seldom & (age >= 1)) | lonely])


def cull_collapsed(world: KeyframeMap, keyframe: KeyframeRecord, *, config: CullingConfig) -> None:
    """Remove landmarks of a keyframe and its neighbours that adjustment drew onto a single camera.

    Where a camera only turns, nothing but noise tells its landmarks' depths. One that comes to lie next to the camera
    fits every view taken from there, and outweighs all others in saying that the camera stays.
    """
    for keyframe_id in (keyframe.id, *world.covisible(keyframe).tolist()):
        record = world.keyframes[keyframe_id]
        rows = record.landmark_rows[record.landmark_rows >= 0]
        depths = record.world_from_camera.inverse().apply(world.landmarks.positions_m[rows])[:, 2]
        if len(rows):
            world.remove_landmarks(rows[depths < config.min_nearness * np.median(depths)])


def cull_keyframes(world: KeyframeMap, newest: KeyframeRecord, config: KeyframeConfig) -> IntArray:
    """Remove keyframes about the newest one that others can stand for, and return their ids.

    Those go whose landmarks three others see as well, and where still more than `max_neighbours` share landmarks with
    the newest, the most redundant of them, so that a place visited for long costs no more than one visited for a
    minute. The first keyframe, which holds the world in place, and the newest few, stay.
    """
    removed = []
    for keyframe_id in _removable(world, newest, config.culling):
        record = world.keyframes[keyframe_id]
        if _redundancy(world, record, config.culling) > config.cull_redundancy:
            removed.append(_retire(world, record))
    spare = len(world.covisible(newest)) - config.max_neighbours
    for _ in range(spare):
        crowd = [world.keyframes[keyframe_id] for keyframe_id in _removable(world, newest, config.culling)]
        if crowd:
            removed.append(_retire(world, max(crowd, key=lambda record: _redundancy(world, record, config.culling))))
    return np.array(removed, np.int64)


def _removable(world: KeyframeMap, newest: KeyframeRecord, config: CullingConfig) -> list[int]:
    """Return the ids of keyframes that share landmarks with the newest and may go, most sharing first."""
    kept = min(world.keyframes), newest.id - config.probation
    return [i for i in world.covisible(newest).tolist() if kept[0] < i < kept[1]]


def _redundancy(world: KeyframeMap, record: KeyframeRecord, config: CullingConfig) -> float:
    """Return the share of a keyframe's landmarks that three others see as well; 0 without any."""
    rows = record.landmark_rows[record.landmark_rows >= 0]
    return float((world.landmarks.observations[rows] > config.min_observers).mean()) if len(rows) else 0.0


def _retire(world: KeyframeMap, record: KeyframeRecord) -> int:
    world.remove_keyframe(record.id, next(int(i) for i in world.covisible(record, minimum=1)))
    return record.id
