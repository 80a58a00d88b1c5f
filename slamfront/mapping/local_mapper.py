"""Keyframes: which views become one, and what the map makes of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from slamfront.config import RunConfig
from slamfront.geometry.shutter import Shutter
from slamfront.map import KeyframeRecord
from slamfront.map.atlas import Atlas
from slamfront.map.ba_problem import local_ba_problem
from slamfront.map.depths import measure_depths
from slamfront.mapping.keyframes import KeyframePolicy, cull_keyframes, cull_landmarks
from slamfront.mapping.landmarks import (
    fuse_with_neighbours,
    insert_keyframe,
    place_by_parallax,
    straighten,
    triangulate_with_neighbours,
)
from slamfront.mapping.reassociation import reassociate
from slamfront.protocols import SolverWorker
from slamfront.tracking.depth_source import disparity_offset_sigma_px, disparity_sigma_px
from slamfront.tracking.local_map import follow
from slamfront.tracking.motion import MotionFilter
from slamfront.tracking.pose_estimation import solve_pose
from slamfront.tracking.view import View, exact_pose
from slamfront.types import BundleAdjustmentProblem, Correction, KeyFrame, Sensor

KeyframeListener = Callable[[KeyFrame, BundleAdjustmentProblem], None]


class LocalMapper:
    """Makes keyframes of tracked views, and finishes each in the step after its own, so that no frame takes long.

    listeners  called with every keyframe of the active map once it is finished, and the problem of all it observes
    """

    def __init__(
        self,
        config: RunConfig,
        sensor: Sensor,
        atlas: Atlas,
        ba_worker: SolverWorker[BundleAdjustmentProblem, Correction],
    ) -> None:
        self._config, self._atlas, self._ba_worker = config, atlas, ba_worker
        depth = config.tracker.depth
        self._disparity_sigma_px = disparity_sigma_px(sensor, depth)
        self._offset_sigma_px = disparity_offset_sigma_px(sensor, depth)
        self.listeners: list[KeyframeListener] = []
        self.restart()

    def restart(self) -> None:
        """Forget the newest keyframe: the next belongs to another map."""
        self._policy = self._new_policy()
        self._unturned: tuple[KeyframeRecord, View] | None = None
        self._unfinished: tuple[KeyframeRecord, View] | None = None
        self._unadjusted: tuple[int, int] | None = None
        self._offset_at = list(self._config.backend.bundle.offset_keyframes)

    def _new_policy(self) -> KeyframePolicy:
        return KeyframePolicy(self._config.keyframes, self._config.tracker.max_landmarks)

    def due(self, view: View, reference: KeyframeRecord) -> bool:
        """Return whether the tracked view should become a keyframe; called once for every tracked frame."""
        return self._policy.due(view, self._atlas.world, reference, self._ba_worker.idle)

    def begin(self, keyframe: KeyframeRecord, view: View) -> None:
        """Take in the keyframe of a view with which a map begins."""
        self._unturned = keyframe, view
        measure_depths(self._atlas.world, self._disparity_sigma_px, config=self._config.keyframes.triangulation)
        self._publish(keyframe, size=len(self._atlas.world.keyframes))

    def add_earlier(self, keyframe: KeyframeRecord, views: Sequence[View]) -> list[int]:
        """Make keyframes of some of the views that came before a keyframe, newest first, as if time ran backwards;
        return the id of the keyframe that each view is nearest to.
        """
        world, policy = self._atlas.world, self._new_policy()
        nearest, made, ids = keyframe, [], []
        first = world.keyframes[min(world.keyframes)]
        for view in views:
            if view.frame.time_ns == first.time_ns:
                nearest = first
            elif policy.due(view, world, nearest, backend_idle=False):
                nearest = insert_keyframe(world, view, config=self._config)
                place_by_parallax(world, nearest, config=self._config)
                made.append(nearest)
            ids.append(nearest.id)
        for earlier in made:
            fuse_with_neighbours(world, earlier, config=self._config)
        return ids

    def add(self, view: View) -> KeyframeRecord:
        """Make the view a keyframe."""
        world = self._atlas.world
        keyframe = insert_keyframe(world, view, config=self._config)
        place_by_parallax(world, keyframe, config=self._config)
        self._unfinished = keyframe, view
        return keyframe

    def straighten(self, next_view: View, motion: MotionFilter) -> None:
        """Correct the first keyframe of a map by how the camera turned until the view after it: with a rolling shutter,
        no landmarks showed it in the keyframe itself.
        """
        newest, self._unturned = self._unturned, None
        expected = motion.predict(next_view.frame.time_ns)
        if newest is None or expected is None or next_view.frame.camera.readout_s <= 0:
            return
        (keyframe, view), world, predicted = newest, self._atlas.world, expected.camera_from_world
        if view.turn_measured:
            return
        follow(next_view, view, world, predicted, self._config.tracker.flow)
        if solve_pose(next_view, world, predicted, self._config.tracker, ranged=False):
            turning, _ = motion.turning(next_view.measured or exact_pose(next_view.frame.time_ns, next_view.pose))
            straighten(world, keyframe, view, Shutter(world.camera, turning))
            view.adopt(keyframe)
        next_view.forget()

    def finish(self) -> KeyframeRecord | None:
        """Do for the newest keyframe what could wait until its own frame was answered; return it, or None where all is
        done.
        """
        newest, self._unfinished = self._unfinished, None
        if newest is None:
            self._adjust()
            return None
        (keyframe, view), world = newest, self._atlas.world
        config = self._config
        cull_landmarks(world, keyframe.id, config=config.keyframes.culling)
        reassociate(world, keyframe, config)
        triangulate_with_neighbours(world, keyframe, view, config=config)
        fuse_with_neighbours(world, keyframe, config=config)
        rows = keyframe.landmark_rows[keyframe.landmark_rows >= 0]
        new = rows[world.landmarks.created_by[rows] == keyframe.id]
        measure_depths(world, self._disparity_sigma_px, new, config=config.keyframes.triangulation)
        view.adopt(keyframe)
        view.settle(world)
        self._publish(keyframe, config.backend.window)
        cull_keyframes(world, keyframe, config.keyframes)
        return keyframe

    def _adjust(self) -> None:
        """Submit the local bundle adjustment of the newest finished keyframe, once the worker is idle.

        A problem copied out of the map before the last correction has reached it would undo that correction.
        """
        if self._unadjusted is None or not self._ba_worker.idle:
            return
        (keyframe_id, size), world = self._unadjusted, self._atlas.world
        self._unadjusted = None
        if keyframe_id not in world.keyframes:
            return
        offset_sigma_px = 0.0
        if self._offset_sigma_px > 0 and self._offset_at and len(world.keyframes) >= self._offset_at[0]:
            self._offset_at.pop(0)
            offset_sigma_px, size = self._offset_sigma_px, len(world.keyframes)
        sigma_px, bundle = self._disparity_sigma_px, self._config.backend.bundle
        problem = local_ba_problem(world, keyframe_id, size, sigma_px, offset_sigma_px=offset_sigma_px, config=bundle)
        self._ba_worker.submit(problem)

    def _publish(self, keyframe: KeyframeRecord, size: int) -> None:
        """Have the keyframe's local bundle adjustment solved, and tell listeners all that the keyframe observes."""
        self._unadjusted = keyframe.id, size
        self._adjust()
        if self.listeners:
            world = self._atlas.world
            sigma_px, bundle = self._disparity_sigma_px, self._config.backend.bundle
            problem = local_ba_problem(world, keyframe.id, size, sigma_px, shared=False, config=bundle)
            for listener in self.listeners:
                listener(replace(world.keyframe(keyframe.id), map_id=self._atlas.active_id), problem)
