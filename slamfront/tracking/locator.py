"""Finding the pose of the next view."""

from __future__ import annotations

from slamfront.config import TrackerConfig
from slamfront.map import KeyframeMap, KeyframeRecord
from slamfront.protocols import Matcher
from slamfront.solve.motion import MotionState
from slamfront.tracking.local_map import (
    follow,
    local_landmarks,
    match_by_appearance,
    match_by_projection,
)
from slamfront.tracking.motion import MotionFilter
from slamfront.tracking.pose_estimation import is_credible, likeliest_pose, reach_px, solve_pose
from slamfront.tracking.view import FLOW_LEVELS, FLOW_WINDOW, View

# After motion has been misjudged, landmarks are looked for this many times as far about where it puts them
_WIDER = 2.5
# How far optical flow reaches, px: half of its window, on the smallest image of the pyramid
FLOW_REACH_PX = FLOW_WINDOW[0] / 2 * 2**FLOW_LEVELS


class Locator:
    """Places each view by the one before it and the reference keyframe, in the way that is configured to come first,
    and else in the others.
    """

    def __init__(self, matcher: Matcher, config: TrackerConfig, seed: int) -> None:
        self._matcher, self._config, self._seed = matcher, config, seed

    def locate(
        self, view: View, last: View | None, world: KeyframeMap, reference: KeyframeRecord, motion: MotionFilter
    ) -> bool:
        """Find the view's pose, and return whether it was found; it is good enough to look for landmarks closely.

        Landmarks are followed from the last view by optical flow, looked for near where motion puts them among the
        view's features, or the features are matched with the reference keyframe's: first of all where motion leaves
        them anywhere within more than optical flow reaches, as after the first view.
        """
        association, predicted = self._config.association, motion.predict(view.frame.time_ns)
        beyond = predicted is not None and reach_px(predicted, world) > FLOW_REACH_PX
        if (association == "matcher" or beyond) and self._match(view, world, reference, motion):
            return True
        if predicted is not None:
            expected = predicted.camera_from_world
            if association != "projection" and last is not None:
                follow(view, last, world, expected)
                if self._settles(view, world, predicted, beyond):
                    return True
            rows = local_landmarks(world, reference, self._config)
            for wider in (1.0, _WIDER):
                match_by_projection(view, world, rows, wider * self._config.search_radius_px, expected)
                if self._settles(view, world, predicted, beyond):
                    return True
        view.forget()
        tried = association == "matcher" or beyond
        return not tried and self._match(view, world, reference, motion)

    def _match(self, view: View, world: KeyframeMap, reference: KeyframeRecord, motion: MotionFilter) -> bool:
        """Return whether landmarks of the reference keyframe determine the view's pose."""
        config = self._config
        pose = match_by_appearance(view, world, reference, self._matcher, config.max_error_px, self._seed, motion)
        if pose is None or not solve_pose(view, world, pose, config, ranged=False):
            return False
        # Guided by them, others are found among the features nearby
        rows, pose = local_landmarks(world, reference, config), view.pose
        match_by_projection(view, world, rows, config.search_radius_px, pose)
        return solve_pose(view, world, pose, config, ranged=False) > 0 and view.determined(config)

    def _settles(self, view: View, world: KeyframeMap, predicted: MotionState, beyond: bool) -> bool:
        """Return whether twice the landmarks that are needed agree with the likeliest pose, and it is credible.

        Beyond its reach a search finds what looks alike near where it starts, and that agrees on no motion: most have
        to agree then.
        """
        config, enough = self._config, 2 * self._config.min_inliers
        if beyond:
            enough = max(enough, (len(view.xy) + 1) // 2)
        pose = likeliest_pose(view, world, predicted, config, self._seed)
        if pose is None or solve_pose(view, world, pose, config, ranged=False) < enough:
            return False
        return is_credible(view, predicted, config)
