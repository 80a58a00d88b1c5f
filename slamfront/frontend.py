"""The algorithm on one screen: a frame in, its pose out, the map kept."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from slamfront.config import RunConfig, SmoothingConfig, TrackerConfig
from slamfront.geometry.camera import Camera
from slamfront.geometry.pose import Pose, Sim3
from slamfront.geometry.shutter import Shutter
from slamfront.imaging import grey
from slamfront.loop_closing.loop_detection import Loop
from slamfront.loop_closing.place_recognition import PlaceRecognition
from slamfront.map import KeyframeMap, KeyframeRecord
from slamfront.map.atlas import Atlas
from slamfront.map.ba_problem import apply, full_ba_problem
from slamfront.map.depths import measure_depths
from slamfront.mapping.initializer import Initializer
from slamfront.mapping.keyframes import cull_collapsed
from slamfront.mapping.landmarks import first_map, insert_keyframe
from slamfront.mapping.local_mapper import KeyframeListener, LocalMapper
from slamfront.protocols import Extractor, Matcher, Workers
from slamfront.solve.motion import PoseMeasurement
from slamfront.tracking.depth_source import depth_source_of, disparity_offset_sigma_px, disparity_sigma_px
from slamfront.tracking.guesses import Guesses
from slamfront.tracking.local_map import align_view, local_landmarks
from slamfront.tracking.locator import Locator
from slamfront.tracking.motion import MotionFilter
from slamfront.tracking.odometry import Odometry
from slamfront.tracking.overlay import Overlay
from slamfront.tracking.pairing import PairCheck
from slamfront.tracking.pose_estimation import is_credible, solve_pose
from slamfront.tracking.stopwatch import Stopwatch
from slamfront.tracking.view import View, exact_pose
from slamfront.types import BundleAdjustmentProblem, Frame, LandmarkObservations, Sensor, State, Tracked

log = logging.getLogger(__name__)

# Nobody looked around in what a frame comes after the last one by more than this
_LONGEST_INTERVAL_NS = 500_000_000


class FrontEnd:
    """Tracks frames against a keyframe map that it owns; nothing here reads files, starts threads or draws.

    `listeners` are called with every new keyframe and the problem that holds its observations, in the step after its
    own, or in `finish`: by then its neighbours have been searched for its landmarks. A front end that is given a map
    takes it over, begins lost in it, and goes on with it once it is found there; with `config.localize_only` it reads
    the map and never changes it.

    `matcher` matches frames: with the reference keyframe where they cannot be followed, with keyframes where tracking
    is lost, and the first two of a single camera. `place_matcher`, by default the same, tells whether keyframes show
    one place, for loops and to join maps.
    """

    def __init__(
        self,
        config: RunConfig,
        camera: Camera,
        sensor: Sensor,
        extractor: Extractor,
        matcher: Matcher,
        workers: Workers,
        world: KeyframeMap | None = None,
        place_matcher: Matcher | None = None,
    ) -> None:
        self._config, self._sensor = config, sensor
        self._camera = camera if sensor != "mono" else replace(camera, baseline_m=None)
        self._extractor, self._ba_worker = extractor, workers.bundle_adjustment
        self._atlas = Atlas(world)
        self._initializer = Initializer(matcher, self._camera, config.seed, config.tracker)
        self._locator = Locator(matcher, config.tracker, config.seed)
        self._local_mapper = LocalMapper(config, sensor, self._atlas, self._ba_worker)
        self._place_recognition = PlaceRecognition(
            config, sensor, self._atlas, matcher, place_matcher or matcher, workers.loop_closing
        )
        self._motion = MotionFilter(self._config.tracker.motion)
        self._odometry = Odometry()
        self._guesses = Guesses(config.guess, config.tracker, sensor, matcher, config.seed)
        self._pairs = PairCheck()
        self._state = State.INITIALIZING if world is None else State.LOST
        self._lost_ns = 0
        self._reference_id = -1
        self._late: list[Tracked] = []
        self.first_own_id = 0 if world is None else world.next_id
        if world is not None:
            world.covisibility = config.keyframes.covisibility
            sigma_px = disparity_sigma_px(sensor, config.tracker.depth)
            measure_depths(world, sigma_px, config=config.keyframes.triangulation)
        self.view: View | None = None
        self._overlay = Overlay(self._camera, self._config.tracker.overlay)

    # --- one frame

    def step(self, frame: Frame) -> Tracked:
        """Return where the camera was when the frame was taken; FrameError for a frame that does not fit the camera."""
        frame.check()
        watch = Stopwatch()
        last, view = self.view, self._observe(self._overlay.masked(frame))
        self._local_mapper.straighten(view, self._motion)
        self._apply_corrections()
        watch.mark("correct")
        self._finish_keyframe()
        watch.mark("finish keyframe")
        self.view = view
        if not self.keyframe_count:
            reason = self._begin(view)
            watch.mark("begin")
            return self._answer(view, watch, reason, is_keyframe=not reason)
        reason = self._locate(view, last)
        watch.mark("locate")
        if not reason:
            reason = self._follow_local_map(view)
            watch.mark("local map")
        if reason:
            self._lose(view, last)
            reason = self._begin_another_map(view, reason)
            watch.mark("lost")
            return self._answer(view, watch, reason, is_keyframe=not reason)
        self._filter(view)
        due = not self._frozen and self._local_mapper.due(view, self._reference)
        if due:
            self._reference_id = self._local_mapper.add(view).id
            watch.mark("keyframe")
        if self._lost_ns:
            self._lost_ns = 0
            self._initializer.restart()
        return self._answer(view, watch, "", is_keyframe=due)

    # --- what others may ask

    @property
    def world(self) -> KeyframeMap:
        """The map that frames are placed in; it may be read between two steps, on the thread that calls `step`."""
        return self._atlas.world

    @property
    def maps(self) -> Mapping[int, KeyframeMap]:
        """All maps by their numbers: more than one where tracking was lost for long; empty before the first frame."""
        return self._atlas.maps

    @property
    def keyframe_count(self) -> int:
        """Number of keyframes in the map."""
        return 0 if self._atlas.active is None else len(self.world.keyframes)

    @property
    def landmark_count(self) -> int:
        """Number of landmarks in the map."""
        return 0 if self._atlas.active is None else len(self.world.landmarks)

    @property
    def loops(self) -> tuple[Loop, ...]:
        """The loops that were closed so far, oldest first."""
        return self._place_recognition.loops

    @property
    def listeners(self) -> list[KeyframeListener]:
        """Who is told of every new keyframe."""
        return self._local_mapper.listeners

    @property
    def _frozen(self) -> bool:
        return self._config.localize_only

    @property
    def camera(self) -> Camera:
        """The camera of the frames, as the map knows it by now; without its baseline for a monocular run."""
        return self._camera if self._atlas.active is None else self.world.camera

    def full_ba_problem(self, world: KeyframeMap) -> BundleAdjustmentProblem:
        """Return the full bundle adjustment of a map."""
        sensor, depth = self._sensor, self._config.tracker.depth
        return full_ba_problem(world, disparity_sigma_px(sensor, depth), disparity_offset_sigma_px(sensor, depth))

    @property
    def observed(self) -> LandmarkObservations | None:
        """What the newest frame shows of the landmarks; None where it has no pose."""
        placed = self.view is not None and self.view.camera_from_world is not None
        return self.view.observations(self._config.smoothing.observations) if placed and self.view is not None else None

    @property
    def tracker_config(self) -> TrackerConfig:
        """How poses are found."""
        return self._config.tracker

    @property
    def smoothing_config(self) -> SmoothingConfig:
        """What is kept of frames, to place them again at the end."""
        return self._config.smoothing

    def take_late(self) -> list[Tracked]:
        """Return answers to earlier frames, which had none while a single camera waited for its first map."""
        late, self._late = self._late, []
        return late

    def finish(self) -> None:
        """Finish the last keyframe, and take the corrections that are still to come into the map."""
        self._finish_keyframe()
        self._apply_corrections()

    def reset(self) -> None:
        """Forget all frames and free the maps, to begin anew; a map that is only localised in stays, to be found again.

        Ids of keyframes and landmarks are not used again.
        """
        self._motion = MotionFilter(self._config.tracker.motion)
        self._initializer.restart()
        self._local_mapper.restart()
        self._place_recognition.lose()
        self._late, self.view = [], None
        self._overlay = Overlay(self._camera, self._config.tracker.overlay)
        self._state = State.LOST if self._frozen else State.INITIALIZING
        self._odometry, self._pairs = Odometry(), PairCheck()
        self._guesses.restart()
        self._lost_ns = 0
        if not self._frozen:
            self._place_recognition.forget(*self.maps.values())
            self._atlas.clear()

    # --- the steps

    def _observe(self, frame: Frame) -> View:
        depth_source = depth_source_of(frame, self.camera, self._sensor, self._config.tracker)
        shutter = Shutter(self.camera, self._motion.angular_velocity(frame.time_ns)[0])
        before = () if self.view is None else (self.view.landmark_ids,)
        view = View(frame, depth_source, self._extractor, shutter, *before)
        if self._sensor == "stereo" and frame.right is not None and not self._pairs.done:
            self._pairs.look(view.grey, grey(frame.right))
        if self._atlas.active is None:
            self._atlas.begin(self._new_map(view))
        return view

    def _new_map(self, view: View) -> KeyframeMap:
        """Return a map without anything in it, for features like a view's."""
        return KeyframeMap(self.camera, view.features.descriptors, self._config.keyframes.covisibility)

    def _begin(self, view: View) -> str:
        """Make the first map, and return nothing, or why that must wait."""
        self._state, config = State.INITIALIZING, self._config
        if self._sensor == "mono":
            pair = self._initializer.try_view(view)
            if isinstance(pair, str):
                return pair
            reference = first_map(self.world, pair, config=config)
            earlier = self._initializer.look_back(self.world, pair)
            for past, keyframe_id in zip(earlier, self._local_mapper.add_earlier(reference, earlier), strict=True):
                self._late.append(self._tracked(past, keyframe_id, {}, "placed when the map began"))
        else:
            view.camera_from_world = Pose.identity()
            reference = insert_keyframe(self.world, view, config=config)
            count, least = self.landmark_count, config.tracker.initializer.min_landmarks
            if count < least:
                self._begin_anew()
                return f"{count} keypoints with depth, {least} are needed"
        self._reference_id = reference.id
        self._state = State.TRACKING
        self._filter(view)
        self._local_mapper.begin(reference, view)
        return ""

    def _locate(self, view: View, last: View | None) -> str:
        """Find the view's pose by the view before it, or else near its guess, or among all keyframes; return why not,
        if so.
        """
        lost, map_id = self._state is State.LOST, self._atlas.active_id
        if not lost and self._locator.locate(view, last, self.world, self._reference, self._motion):
            return ""
        guessed = self._guesses.find(view, self.world)
        if guessed is not None:
            self._reference_id, expected = guessed
            self._state = State.RELOCALIZED if lost else self._state
            self._motion.assume(expected)
            return ""
        found = self._place_recognition.find(view, everywhere=lost)
        if isinstance(found, str):
            return found
        if self._atlas.active_id != map_id:
            self._odometry.stand_still(view.pose.inverse())
            self._ba_worker.discard_pending()
        self._reference_id = found
        if lost:
            self._state = State.RELOCALIZED
            self._motion.reset()
        return ""

    def _follow_local_map(self, view: View) -> str:
        """Find the landmarks of the local map where the pose puts them, and refine the pose on all of them."""
        config, marks = self._config.tracker, self.world.landmarks
        start = view.pose
        turning, turning_sigma = self._motion.turning(self._measured(view))
        if not view.turn_measured:
            view.turn(Shutter(self.camera, turning))
        local = local_landmarks(self.world, self._reference, config)
        looked_for = align_view(view, self.world, local, config)
        inliers = solve_pose(view, self.world, start, config, ranged=True, turning_sigma_rad_s=turning_sigma)
        factor = config.relocalization.inlier_factor if self._state is State.RELOCALIZED else 1
        needed = factor * config.min_inliers
        if inliers < needed:
            return f"{inliers} landmarks agree with the pose, {needed} are needed"
        if not is_credible(view, self._motion.predict(view.frame.time_ns), config):
            return f"{inliers} landmarks leave the pose open"
        tracked = view.landmark_rows
        if not self._frozen:
            marks.expected[looked_for] += 1
            marks.seen[tracked] += 1
            self.world.remove_landmarks(view.moving_rows)
        ids, _ = self.world.keyframes_seeing(tracked)
        self._reference_id = int(ids[0])
        if self._state is not State.RELOCALIZED:
            self._state = State.TRACKING
        return ""

    def _filter(self, view: View) -> None:
        """Move the view to where the camera is in the light of its motion so far."""
        state = self._motion.observe(self._measured(view))
        view.camera_from_world, view.covariance = state.camera_from_world, state.covariance[:6, :6]
        if view.shutter.camera.readout_s > 0 and view.measured is not None:
            view.turn(Shutter(view.shutter.camera, state.velocity[:3]))

    def _measured(self, view: View) -> PoseMeasurement:
        """Return the pose that the view's landmarks show; one with which a map begins is where it is by definition."""
        return view.measured or exact_pose(view.frame.time_ns, view.pose, self.world.landmarks.typical_distance_m)

    def _finish_keyframe(self) -> None:
        """Finish the newest keyframe, and see whether it shows a place that was seen before."""
        keyframe = self._local_mapper.finish()
        if keyframe is not None:
            self._place_recognition.look(keyframe)
        self._apply_corrections()
        if keyframe is not None and self._atlas.kept:
            self._join_maps(keyframe)

    def _join_maps(self, keyframe: KeyframeRecord) -> None:
        """Go on in one map where a new keyframe shows a place of a kept one."""
        before = self._reference.world_from_camera
        new_from_old = self._place_recognition.unite(keyframe)
        if new_from_old is None or self.view is None:
            return
        self._move_along(new_from_old, before)
        self.view.adopt(keyframe)
        self.view.settle(self.world)
        self._ba_worker.discard_pending()

    def _lose(self, view: View, last: View | None) -> None:
        view.forget()
        if last is not None and self._state is State.LOST:
            self._lost_ns += min(view.frame.time_ns - last.frame.time_ns, _LONGEST_INTERVAL_NS)
        if self._state is not State.LOST:
            self._place_recognition.lose()
        self._state = State.LOST
        self._motion.reset()
        own = [keyframe_id for keyframe_id in self.world.keyframes if keyframe_id >= self.first_own_id]
        false_start = self._config.tracker.initializer.false_start_keyframes
        if len(own) == self.keyframe_count <= false_start and self._sensor == "mono":
            self._begin_anew()

    def _begin_anew(self) -> None:
        """Forget the map, and go back to the one before where there is one."""
        self._place_recognition.forget(self.world)
        self._motion.reset()
        if self._atlas.kept:
            self._atlas.drop()
            self._state = State.LOST
        else:
            self.world.clear()
            self._state = State.INITIALIZING
            self._odometry = Odometry()

    def _begin_another_map(self, view: View, reason: str) -> str:
        """Begin a new map where tracking has been lost for long, and keep the old; return why there is no pose, if
        so.
        """
        config = self._config.maps
        long = self._lost_ns >= 1e9 * config.new_after_s
        if not long or not config.enabled or self._frozen or len(self.maps) >= config.most or not self.keyframe_count:
            return reason
        self._atlas.begin(self._new_map(view))
        self._ba_worker.discard_pending()
        self._place_recognition.restart()
        missing = self._begin(view)
        if missing:
            if not self.keyframe_count:
                self._begin_anew()
            return f"{reason}; no new map yet: {missing}"
        self._odometry.stand_still(view.pose.inverse())
        self._lost_ns = 0
        log.info("tracking was lost for long: map %d begins", self._atlas.active_id)
        return ""

    def _apply_corrections(self) -> None:
        """Take what others worked out into the map, and move along in it."""
        corrections = self._ba_worker.poll()
        if not self.keyframe_count:
            return
        reference = self._reference
        before, scale = reference.world_from_camera, self.world.scale(reference.id)
        for correction in corrections:
            apply(self.world, correction)
        if corrections:
            if self._sensor == "mono":
                cull_collapsed(self.world, reference, config=self._config.keyframes.culling)
            rows = np.concatenate([self.world.landmarks.rows(c.landmark_ids) for c in corrections])
            sigma_px, config = disparity_sigma_px(self._sensor, self._config.tracker.depth), self._config.keyframes
            measure_depths(self.world, sigma_px, rows[rows >= 0], config=config.triangulation)
        if self._place_recognition.take():
            self._ba_worker.discard_pending()
        after, scale = reference.world_from_camera, self.world.scale(reference.id) / scale
        if after is not before:
            self._move_along(Sim3.from_pose(after, scale) @ Sim3.from_pose(before.inverse()), before)

    def _move_along(self, new_from_old: Sim3, reference: Pose) -> None:
        """Expect the camera where the map has moved to about it; odometry does not notice."""
        self._motion.moved(new_from_old)
        view = self.view
        here = reference if view is None or view.camera_from_world is None else view.pose.inverse()
        there = self._odometry.moved(new_from_old, here)
        if view is not None and view.camera_from_world is not None:
            view.camera_from_world = there.inverse()

    @property
    def _reference(self) -> KeyframeRecord:
        if self._reference_id not in self.world.keyframes:
            self._reference_id = max(self.world.keyframes)
        return self.world.keyframes[self._reference_id]

    def _answer(self, view: View, watch: Stopwatch, reason: str, is_keyframe: bool = False) -> Tracked:
        state, frame = self._state, view.frame
        view.settle(self.world)
        if view.camera_from_world is None or reason:
            stage_ms, number = watch.times_ms(), self._atlas.active_id
            reason = "; ".join(filter(None, (reason, self._pairs.finding)))
            self._overlay.observe(view, self.world, None)
            lost = Tracked(frame.id, frame.time_ns, state, stage_ms=stage_ms, reason=reason, map_id=number)
            return self._carried_on(lost, frame) if state is State.LOST else lost
        answer = self._tracked(view, self._reference.id, watch.times_ms(), "", is_keyframe)
        self._odometry.observe(answer.odom_from_camera)
        self._guesses.observe(frame.guess, answer, self.world)
        self._overlay.observe(view, self.world, answer.odom_from_camera)
        if state is State.RELOCALIZED:
            self._state = State.TRACKING
        return answer

    def _carried_on(self, lost: Tracked, frame: Frame) -> Tracked:
        """Return the answer to a frame that is lost, with the pose that other odometry carries on, where it tells."""
        carried = self._guesses.carry_on(frame, self.world)
        if carried is None:
            return lost
        reference_id, expected = carried
        world_from_camera = expected.camera_from_world.inverse()
        answer = replace(
            lost,
            state=State.GUESSED,
            reference_id=reference_id,
            reference_from_camera=self.world.world_from_keyframe(reference_id).inverse() @ world_from_camera,
            online_world_from_camera=world_from_camera,
            odom_from_camera=self._odometry.place(world_from_camera),
            covariance=expected.covariance[:6, :6],
        )
        self._odometry.observe(answer.odom_from_camera)
        return answer

    def _tracked(
        self, view: View, reference_id: int, stage_ms: Mapping[str, float], reason: str, is_keyframe: bool = False
    ) -> Tracked:
        world_from_camera = view.pose.inverse()
        return Tracked(
            view.frame.id,
            view.frame.time_ns,
            self._state if not reason else State.TRACKING,
            reference_id=reference_id,
            reference_from_camera=self.world.world_from_keyframe(reference_id).inverse() @ world_from_camera,
            online_world_from_camera=world_from_camera,
            odom_from_camera=self._odometry.place(world_from_camera),
            inliers=int((view.landmark_rows >= 0).sum()),
            covariance=view.covariance,
            is_keyframe=is_keyframe,
            stage_ms=stage_ms,
            reason=reason,
            map_id=self._atlas.active_id,
        )
