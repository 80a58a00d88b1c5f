"""Finding the pose of the next view."""

from __future__ import annotations

from slamfront.config import TrackerConfig
from slamfront.geometry.pose import Pose
from slamfront.map import KeyframeMap, KeyframeRecord
from slamfront.protocols import Matcher
from slamfront.tracking.local_map import follow, local_landmarks, match_by_appearance, match_by_projection, solve_pose
from slamfront.tracking.motion import ConstantVelocity
from slamfront.tracking.relocalizer import spread
from slamfront.tracking.view import View

# After motion has been misjudged, landmarks are looked for this many times as far about where it puts them
_WIDER = 2.5
# Landmarks matched with one keyframe must scatter at least this much in every direction (standard deviation over the
# image's width), as those do that fill a third of it
_SCATTERED = 0.1


class Locator:
    """Places each view by the one before it and the reference keyframe, in the way that is configured to come first,
    and else in the others.
    """

    def __init__(self, matcher: Matcher, config: TrackerConfig, seed: int) -> None:
        self._matcher, self._config, self._seed = matcher, config, seed

    def locate(
        self, view: View, last: View | None, world: KeyframeMap, reference: KeyframeRecord, motion: ConstantVelocity
    ) -> bool:
        """Find the view's pose, and return whether it was found; it is good enough to look for landmarks closely.

        Landmarks are followed from the last view by optical flow, looked for near where motion puts them among the
        view's features, or the features are matched with the reference keyframe's.
        """
        association, predicted = self._config.association, motion.predict(view.frame.time_ns)
        if association == "matcher" and self._match(view, world, reference, motion):
            return True
        if predicted is not None:
            if association != "projection" and last is not None:
                follow(view, last, world, predicted)
                if self._settles(view, world, predicted):
                    return True
            rows = local_landmarks(world, reference, self._config)
            for wider in (1.0, _WIDER):
                match_by_projection(view, world, rows, wider * self._config.search_radius_px, predicted)
                if self._settles(view, world, predicted):
                    return True
        view.forget()
        return association != "matcher" and self._match(view, world, reference, motion)

    def _match(self, view: View, world: KeyframeMap, reference: KeyframeRecord, motion: ConstantVelocity) -> bool:
        """Return whether landmarks of the reference keyframe, scattered over much of the view, place it.

        Those on one distant object fit many a pose, and the camera may have been carried elsewhere.
        """
        config = self._config
        pose = match_by_appearance(view, world, reference, self._matcher, config.max_error_px, self._seed, motion)
        if pose is None or not solve_pose(view, world, pose, config, ranged=False):
            return False
        return spread(view.xy) >= _SCATTERED * world.camera.width

    def _settles(self, view: View, world: KeyframeMap, predicted: Pose) -> bool:
        """Return whether twice the landmarks that are needed agree with a pose near the predicted one."""
        return solve_pose(view, world, predicted, self._config, ranged=False) >= 2 * self._config.min_inliers
