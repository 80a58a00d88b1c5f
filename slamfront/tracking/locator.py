"""Finding the pose of the next view."""

from __future__ import annotations

from slamfront.config import FlowConfig, TrackerConfig
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
from slamfront.tracking.view import View


class Locator:
    """Places each view by the one before it and the reference keyframe, in the way that is configured to come first,
    and else in the others.
    """

    def __init__(self, matcher: Matcher, config: TrackerConfig, seed: int) -> None:
        self._matcher, self._config, self._seed = matcher, config, seed
        self._flow_reach_px = flow_reach_px(config.flow)

    def locate(
        self, view: View, last: View | None, world: KeyframeMap, reference: KeyframeRecord, motion: MotionFilter
    ) -> bool:
        """Find the view's pose, and return whether it was found; it is good enough to look for landmarks closely.

        Landmarks are followed from the last view by optical flow, looked for near where motion puts them among the
        view's features, or the features are matched with the reference keyframe's: first of all where motion leaves
        them anywhere within more than optical flow reaches, as after the first view.
        """
        association, predicted = self._config.association, motion.predict(view.frame.time_ns)
        beyond = predicted is not None and reach_px(predicted, world) > self._flow_reach_px
        if (association == "matcher" or beyond) and self._match(view, world, reference, motion):
            return True
        if predicted is not None:
            expected = predicted.camera_from_world
            if association != "projection" and last is not None:
                follow(view, last, world, expected, self._config.flow)
                if self._settles(view, world, predicted, beyond):
                    return True
            rows = local_landmarks(world, reference, self._config)
            for wider in (1.0, self._config.projection.wider):
                radius_px = wider * self._config.search_radius_px
                match_by_projection(view, world, rows, radius_px, expected, self._config.projection)
                if self._settles(view, world, predicted, beyond):
                    return True
        view.forget()
        tried = association == "matcher" or beyond
        return not tried and self._match(view, world, reference, motion)

    def _match(self, view: View, world: KeyframeMap, reference: KeyframeRecord, motion: MotionFilter) -> bool:
        """Return whether landmarks of the reference keyframe determine the view's pose."""
        config = self._config
        pose = match_by_appearance(view, world, reference, self._matcher, config, self._seed, motion)
        if pose is None or not solve_pose(view, world, pose, config, ranged=False):
            return False
        # Guided by them, others are found among the features nearby
        rows, pose = local_landmarks(world, reference, config), view.pose
        match_by_projection(view, world, rows, config.search_radius_px, pose, config.projection)
        return solve_pose(view, world, pose, config, ranged=False) > 0 and view.determined(config)

    def _settles(self, view: View, world: KeyframeMap, predicted: MotionState, beyond: bool) -> bool:
        """Return whether twice the landmarks that are needed agree with the likeliest pose, and it is credible.

        Beyond its reach a search finds what looks alike near where it starts, and that agrees on no motion: most have
        to agree then.
        """
        config, enough = self._config, self._config.relocalization.inlier_factor * self._config.min_inliers
        if beyond:
            enough = max(enough, (len(view.xy) + 1) // 2)
        pose = likeliest_pose(view, world, predicted, config, self._seed)
        if pose is None or solve_pose(view, world, pose, config, ranged=False) < enough:
            return False
        return is_credible(view, predicted, config)


def flow_reach_px(config: FlowConfig) -> float:
    """Return how far optical flow reaches, px: half of its window, on the smallest image of the pyramid."""
    return float(config.window_px / 2 * 2**config.levels)
