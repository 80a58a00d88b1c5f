"""The first map of a single camera: two views with enough parallax."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from slamfront.config import TrackerConfig
from slamfront.geometry.camera import Camera
from slamfront.geometry.pose import Pose, rotation_log
from slamfront.geometry.shutter import Shutter
from slamfront.map import KeyframeMap
from slamfront.patches import align_patches, cut_patches
from slamfront.protocols import Matcher
from slamfront.solve.triangulate import reprojection_error_px
from slamfront.solve.turning import motion_to_noise
from slamfront.solve.two_view import TwoView, relative_pose, rotation_between
from slamfront.tracking.local_map import align_view, follow
from slamfront.tracking.view import View
from slamfront.types import FloatArray, IntArray

_SHORTEST_INTERVAL_S = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class FirstPair:
    """Two views that make a map: rows (K,) of the features that match, the second's pixels aligned to the first's,
    (K,2), with their deviations (K,), and the geometry of both."""

    first: View
    second: View
    first_rows: IntArray
    second_rows: IntArray
    second_xy: FloatArray
    second_sigmas_px: FloatArray
    geometry: TwoView


class Initializer:
    """Keeps a first view and tries each new one against it; `waiting` holds the newest views that have no pose yet."""

    def __init__(self, matcher: Matcher, camera: Camera, seed: int, config: TrackerConfig) -> None:
        self._matcher, self._camera, self._seed, self._tracker = matcher, camera, seed, config
        self._config = config.initializer
        self.restart()

    def restart(self) -> None:
        """Begin with the next view."""
        self._first: View | None = None
        self._turned = np.eye(3)
        self._age = 0
        self.waiting: deque[View] = deque(maxlen=self._config.max_age)

    def try_view(self, view: View) -> FirstPair | str:
        """Return the first pair, or one line that says what is missing."""
        result = self._try(view)
        self.waiting.append(view)
        return result

    def look_back(self, world: KeyframeMap, pair: FirstPair) -> list[View]:
        """Place the views that came before the second of the pair, from the newest back, as far as their map reaches;
        return them, and begin with the next view.

        The whole motion between the two is a few deviations of the noise, so that none of these views can tell its own:
        the camera is taken to have moved evenly, and what it sees tells how it turned.
        """
        rows, later, placed = world.observed_by(np.array(sorted(world.keyframes))), pair.second, []
        start, end = (view.pose.inverse().translation_m for view in (pair.first, pair.second))
        start_ns, end_ns = pair.first.frame.time_ns, pair.second.frame.time_ns
        for view in [view for view in reversed(self.waiting) if view is not pair.second]:
            share = max((view.frame.time_ns - start_ns) / max(end_ns - start_ns, 1), 0.0)
            centre_m = start + share * (end - start)
            if view is not pair.first and not _placed(view, later, centre_m, world, rows, self._tracker):
                break
            placed.append(view)
            later = view
        self.restart()
        return placed

    def _try(self, view: View) -> FirstPair | str:
        if self._first is None or self._age > self._config.max_age:
            return self._start_with(view, "waiting for a second view")
        self._age += 1
        matches = self._matcher.match(self._first.features, view.features)
        if len(matches) < self._config.min_matches:
            reason = (
                f"{len(matches)} matches with the first view, {self._config.min_matches} are needed: it starts anew"
            )
            return self._start_with(view, reason)
        first_rows, second_rows = matches.indices[:, 0], matches.indices[:, 1]
        self._learn_turning(view, first_rows, second_rows)
        first_xy = self._first.features.keypoints_xy[first_rows].astype(np.float64)
        second_xy, sigmas_px = self._aligned(view, first_xy, second_rows)
        geometry = relative_pose(first_xy, second_xy, self._camera, self._seed, config=self._config)
        if isinstance(geometry, str):
            return geometry
        motion, least = geometry.second_from_first, self._config.min_motion_ratio
        ratio = motion_to_noise(first_xy, second_xy, motion, self._camera, config=self._config)
        if ratio < least:
            return f"motion is {ratio:.1f} times the noise, {least:.0f} are needed: move the camera sideways"
        return FirstPair(self._first, view, first_rows, second_rows, second_xy, sigmas_px, geometry)

    def _start_with(self, view: View, reason: str) -> str:
        self._first, self._turned, self._age = view, np.eye(3), 0
        return reason

    def _learn_turning(self, view: View, first_rows: IntArray, second_rows: IntArray) -> None:
        """Tell the views how the camera turned while they were taken: motion is not known yet, and shutters need it."""
        first = self._first
        assert first is not None
        turned = rotation_between(
            self._camera.unproject(first.features.keypoints_xy[first_rows]),
            self._camera.unproject(view.features.keypoints_xy[second_rows]),
        )
        interval_s = max(1e-9 * (view.frame.time_ns - self.waiting[-1].frame.time_ns), _SHORTEST_INTERVAL_S)
        step = rotation_log(turned @ self._turned.T)
        self._turned = turned
        if np.linalg.norm(step) > self._config.max_turn_rad:
            return
        shutter = Shutter(self._camera, step / interval_s)
        view.turn(shutter)
        if self._age == 1:
            first.turn(shutter)

    def _aligned(self, view: View, first_xy: FloatArray, second_rows: IntArray) -> tuple[FloatArray, FloatArray]:
        """Return the second view's pixels moved to where the first view's patches fit, as in tracking, and their
        sigmas.
        """
        first = self._first
        assert first is not None
        second_xy = view.features.keypoints_xy[second_rows].astype(np.float64)
        sigmas_px = view.features.scales[second_rows].astype(np.float64)
        same = np.broadcast_to(np.eye(2), (len(first_xy), 2, 2))
        patches = cut_patches(first.grey, first.shutter.to_image(first_xy))
        start_xy, config = view.shutter.to_image(second_xy), self._tracker.alignment
        xy, aligned_px, trusted = align_patches(view.float_image, patches, same, start_xy, config=config)
        second_xy[trusted], sigmas_px[trusted] = (
            view.shutter.to_middle(xy[trusted]),
            np.hypot(aligned_px[trusted], config.sigma_px),
        )
        return second_xy, sigmas_px


def _placed(
    view: View, later: View, centre_m: FloatArray, world: KeyframeMap, rows: IntArray, config: TrackerConfig
) -> bool:
    """Turn a view whose camera was at a place in the world as the landmarks ask, found by the view that came after it;
    return whether enough of them agree. What is seen of the landmarks counts for them, as in tracking.
    """
    later.settle(world)
    # What it learned of its turning by matches with another first view is less true
    view.turn(later.shutter)
    follow(view, later, world, later.pose, config.flow)
    enough = config.relocalization.inlier_factor * config.min_inliers
    interval_s = max(1e-9 * (later.frame.time_ns - view.frame.time_ns), _SHORTEST_INTERVAL_S)
    for _ in range(2):
        if len(view.xy) < enough:
            return False
        _turn_towards(view, world, centre_m)
        view.turn(Shutter(world.camera, rotation_log(later.pose.rotation @ view.pose.rotation.T) / interval_s))
        expected = align_view(view, world, rows, config)
    _turn_towards(view, world, centre_m)
    points = world.landmarks.positions_m[view.landmark_rows]
    view.keep(reprojection_error_px(view.pose, points, view.xy, world.camera) < config.max_error_px)
    world.landmarks.expected[expected] += 1
    world.landmarks.seen[view.landmark_rows] += 1
    return len(view.xy) >= enough


def _turn_towards(view: View, world: KeyframeMap, centre_m: FloatArray) -> None:
    """Let a view stand at a place in the world, turned so that it sees the landmarks where it does."""
    directions = world.landmarks.positions_m[view.landmark_rows] - centre_m
    rotation = rotation_between(directions, world.camera.unproject(view.xy))
    view.camera_from_world = Pose(rotation, -rotation @ centre_m)
