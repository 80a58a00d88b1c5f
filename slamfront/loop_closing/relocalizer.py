"""Finding the camera again in a map, after tracking was lost or at the beginning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from slamfront.config import TrackerConfig
from slamfront.map import KeyframeMap, KeyframeRecord
from slamfront.protocols import Matcher
from slamfront.tracking.local_map import local_landmarks, match_by_appearance, match_by_projection
from slamfront.tracking.pose_estimation import solve_pose
from slamfront.tracking.view import View


class Ranking(Protocol):
    """Which keyframes a lost frame is compared with, the most promising first."""

    def ranked(self, view: View, worlds: Sequence[KeyframeMap], count: int) -> Sequence[int]:
        """Return the ids of at most `count` keyframes of some maps; a next call for a frame that was not found may give
        others.
        """
        ...

    def restart(self) -> None:
        """Forget which keyframes were tried: the next frame is lost in a new place."""
        ...


class NewestFirst:
    """The newest keyframes first, then back through the map, over and over again."""

    def __init__(self) -> None:
        self._next = 0

    def ranked(self, view: View, worlds: Sequence[KeyframeMap], count: int) -> Sequence[int]:
        """Return the next keyframes in turn."""
        ids = sorted((i for world in worlds for i in world.keyframes), reverse=True)
        chosen = [ids[(self._next + i) % len(ids)] for i in range(min(count, len(ids)))]
        self._next += count
        return chosen

    def restart(self) -> None:
        """Begin with the newest keyframe next time."""
        self._next = 0


class Relocalizer:
    """Compares a view with a few keyframes each frame, and places it where enough landmarks all over it agree."""

    def __init__(self, matcher: Matcher, config: TrackerConfig, seed: int, ranking: Ranking | None = None) -> None:
        self._matcher, self._config, self._seed = matcher, config, seed
        self._ranking = ranking or NewestFirst()

    def locate(self, view: View, *worlds: KeyframeMap) -> int | str:
        """Place the view in one of some maps and return the keyframe that it resembles, or return in one line why it
        stays without a pose.

        A pose comes from the landmarks of one keyframe by LO-RANSAC, and is accepted when `inlier_factor` times the
        inliers of tracking agree with it and determine it, counting the landmarks of the keyframes around. The maps
        share no ids of keyframes.
        """
        most, reason = 0, ""
        needed = self._config.relocalization.inlier_factor * self._config.min_inliers
        for keyframe_id in self._ranking.ranked(view, worlds, self._config.relocalization.keyframes):
            world = next(world for world in worlds if keyframe_id in world.keyframes)
            inliers = self._place(view, world, world.keyframes[keyframe_id])
            determined = inliers == 0 or view.determined(self._config)
            if inliers >= needed and determined:
                self._ranking.restart()
                return keyframe_id
            if inliers >= most:
                most = inliers
                where = "" if determined else ", which leave its place open"
                reason = f"keyframe {keyframe_id} fits best with {inliers} landmarks{where}"
            view.forget()
        return f"no keyframe shows this view of {len(view.features)} keypoints: {reason}, {needed} are needed"

    def restart(self) -> None:
        """Begin anew next time, for tracking was lost in another place."""
        self._ranking.restart()

    def _place(self, view: View, world: KeyframeMap, keyframe: KeyframeRecord) -> int:
        """Give the view the pose that most landmarks of and around a keyframe agree with; return how many do."""
        config = self._config
        view.forget()
        pose = match_by_appearance(view, world, keyframe, self._matcher, config, self._seed)
        if pose is None:
            return 0
        inliers = solve_pose(view, world, pose, config, ranged=False)
        needed = config.relocalization.inlier_factor * config.min_inliers
        if inliers and (inliers < needed or not view.determined(config)):
            rows, pose = local_landmarks(world, keyframe, config), view.pose
            match_by_projection(view, world, rows, config.search_radius_px, pose, config.projection)
            inliers = solve_pose(view, world, pose, config, ranged=False)
        return inliers
