"""Finding the pose of the next view."""

from __future__ import annotations

from slamfront.config import TrackerConfig
from slamfront.geometry.pose import Pose
from slamfront.map import KeyframeMap, KeyframeRecord
from slamfront.protocols import Matcher
from slamfront.tracking.local_map import follow, local_landmarks, match_by_appearance, match_by_projection, solve_pose
from slamfront.tracking.view import View

# After motion has been misjudged, landmarks are looked for this many times as far about where it puts them
_WIDER = 2.5


class Locator:
    """Places each view by the one before it, in the cheapest way that works."""

    def __init__(self, matcher: Matcher, config: TrackerConfig, seed: int) -> None:
        self._matcher, self._config, self._seed = matcher, config, seed

    def locate(
        self, view: View, last: View | None, world: KeyframeMap, reference: KeyframeRecord, predicted: Pose | None
    ) -> bool:
        """Find the view's pose, and return whether it was found; the pose is good enough to look for landmarks closely.

        Landmarks are followed from the last view by optical flow, else looked for near where motion puts them among
        the view's features, else the features are matched with the reference keyframe's.
        """
        config = self._config
        if predicted is not None:
            if config.follow and last is not None:
                follow(view, last, world, predicted)
                if self._settles(view, world, predicted):
                    return True
            rows = local_landmarks(world, reference, config)
            for radius_px in (config.search_radius_px, _WIDER * config.search_radius_px):
                match_by_projection(view, world, rows, radius_px, predicted)
                if self._settles(view, world, predicted):
                    return True
        view.forget()
        pose = match_by_appearance(view, world, reference, self._matcher, config.max_error_px, self._seed)
        return pose is not None and solve_pose(view, world, pose, config, ranged=False) > 0

    def _settles(self, view: View, world: KeyframeMap, predicted: Pose) -> bool:
        """Return whether twice the landmarks that are needed agree with a pose near the predicted one."""
        return solve_pose(view, world, predicted, self._config, ranged=False) >= 2 * self._config.min_inliers
