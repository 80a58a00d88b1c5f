"""Finding the camera again after tracking was lost."""

from __future__ import annotations

from slamfront.geometry.pose import Pose
from slamfront.map import KeyframeMap
from slamfront.protocols import Matcher
from slamfront.tracking.local_map import match_by_appearance
from slamfront.tracking.view import View

# Keyframes tried in one frame, so that a lost frame costs no more than a tracked one
_TRIES = 3


class Relocalizer:
    """Tries the newest keyframes first and then goes back through the map, a few keyframes each frame."""

    def __init__(self, matcher: Matcher, min_inliers: int, max_error_px: float, seed: int) -> None:
        self._matcher, self._min_inliers = matcher, min_inliers
        self._max_error_px, self._seed = max_error_px, seed
        self._next = 0

    def locate(self, view: View, world: KeyframeMap) -> tuple[int, Pose] | None:
        """Return a keyframe's id and camera_from_world, or None when no keyframe that was tried shows the view."""
        ids = sorted(world.keyframes, reverse=True)
        for _ in range(min(_TRIES, len(ids))):
            keyframe_id = ids[self._next % len(ids)]
            self._next += 1
            keyframe = world.keyframes[keyframe_id]
            pose = match_by_appearance(view, world, keyframe, self._matcher, self._max_error_px, self._seed)
            if pose is not None and len(view.landmark_rows) >= self._min_inliers:
                self._next = 0
                return keyframe_id, pose
        return None

    def restart(self) -> None:
        """Begin with the newest keyframe next time."""
        self._next = 0
