"""slamfront inside another program: push frames, get poses, keyframes, factors and the map.

with Slam(camera=camera, sensor="stereo") as slam:
    tracked = slam.push(left, time_ns, right=right)
    print(tracked.state, slam.pose)
"""

from __future__ import annotations

import os
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

from slamfront.build import build_front, build_parts, resolve, whole_map_backend, workers_of, write_maps
from slamfront.calibration import Calibration, check_plausible, read_calibration
from slamfront.config import RunConfig, SourceConfig
from slamfront.errors import ConfigError, FrameError, MapError, SlamfrontError, SourceError
from slamfront.geometry.camera import Camera, StereoRig
from slamfront.geometry.pose import Pose
from slamfront.pipeline import Disabled, Session
from slamfront.pipeline.moves import Moves
from slamfront.protocols import Source, Workers
from slamfront.runtime import Closed, Servant
from slamfront.sources.masks import masked
from slamfront.sources.reader import for_sensor
from slamfront.sources.rectify import rectified
from slamfront.sources.wrappers import Wrapper, resized
from slamfront.types import (
    BundleAdjustmentProblem,
    Frame,
    Image,
    KeyFrame,
    Moved,
    Sensor,
    Snapshot,
    State,
    Tracked,
    Trajectory,
    read_only,
)

if TYPE_CHECKING:
    import gtsam

T = TypeVar("T")
KeyframeCallback = Callable[[KeyFrame], None]
FactorCallback = Callable[["gtsam.NonlinearFactorGraph", "gtsam.Values"], None]
CorrectionCallback = Callable[[Moved], None]

_WARM_FRAMES = 6


class Slam:
    """Poses and a map from frames that a program pushes.

    config   `threads` lets the backend run in a process of its own; without, `push` waits for it, and runs repeat
             exactly. `source.mask`, `right_mask` and `width` hold for what is pushed; the rest of `source`, and
             `viewer`, are not used. `load_map` and `localize_only` begin in a map; `save_map` is written by `close`.
    camera   calibration of the frames as they are pushed: a Camera, distorted or not, a StereoRig that is not rectified
             yet, or the path of a calibration file that states its image size
    sensor   what is pushed: "mono", "stereo" or "rgbd"

    `camera` is that of the poses: an ideal pinhole; that of a StereoRig looks along the rectified axes. Raises
    ConfigError for an unknown sensor, CalibrationError when the calibration does not fit it, WeightsError when weights
    are missing, MapFileError for a map that cannot be used.

    Any thread may call anything: one frame is taken at a time, and what reads waits for it. Callbacks run on the thread
    that pushes, after its frame; they may read, and must not push, reset or close. A frame that fails, a callback that
    raises and an interrupt leave a state that goes on with the next frame. What is never closed ends with the program,
    or when nothing refers to it any more; in a forked child it can be read, and not pushed to.
    """

    def __init__(
        self, config: RunConfig | None = None, *, camera: Calibration | Path | str, sensor: Sensor = "mono"
    ) -> None:
        if sensor not in get_args(Sensor):
            raise ConfigError(f"sensor must be one of {', '.join(get_args(Sensor))}, got {sensor!r}")
        self._config = config = resolve(config or RunConfig())
        given = read_calibration(Path(camera)) if isinstance(camera, (str, os.PathLike)) else camera
        check_plausible(given)
        calibration = for_sensor(given, sensor)
        pushed = calibration.left if isinstance(calibration, StereoRig) else calibration
        self._pushed: Camera = pushed
        self._prepare, self.camera = _prepared(_Pushed(pushed, sensor), calibration, config.source)
        self.sensor = sensor
        self._count, self._masks = 0, (_PushedMask(), _PushedMask())
        self._owner = os.getpid()
        self._state, self._pushing, self._pusher = threading.RLock(), threading.Lock(), 0
        self._events: deque[Callable[[], None]] = deque()
        self._moves, self._movers = Moves(), list[CorrectionCallback]()
        with ExitStack() as stack:
            servant = Servant("slam")
            stack.callback(_end, servant)
            self._servant = servant
            workers = self._moves.watch(stack.enter_context(workers_of(config)))
            self._parts = build_parts(config)
            front = servant.call(partial(build_front, config, self.camera, sensor, workers, self._parts))
            self._session = Session(front, workers, whole_map=whole_map_backend(config))
            self._open: ExitStack | None = stack.pop_all()
        self._end = weakref.finalize(self, _abandon, self._open, self._owner)

    def __repr__(self) -> str:
        frames, keyframes = len(self._session.journal), self._session.front.keyframe_count
        return f"Slam({self.sensor}, {self.state.value}, {frames} frames, {keyframes} keyframes)"

    def push(
        self,
        image: Image,
        time_ns: int,
        right: Image | None = None,
        depth_m: NDArray[np.floating[Any]] | None = None,
        mask: NDArray[np.bool_] | Image | None = None,
        right_mask: NDArray[np.bool_] | Image | None = None,
        guess: Pose | None = None,
    ) -> Tracked:
        """Return where the camera was when a frame was taken, with state, covariance and number of inliers.

        image    uint8 (H,W) grey or (H,W,3) RGB, of the calibration's size
        time_ns  capture time, after that of the frame before
        right    image of the right camera, for "stereo"
        depth_m  (H,W) depth along z, m; 0 or not finite where unknown, for "rgbd"; captured with the image, or as much
                 later as the calibration's `depth_delay_s` says
        mask     bool or uint8 (H,W), 0 where the image may not be used, since it shows what stays with the camera or is
                 not of the scene; right_mask  the same of the right image. They may differ from frame to frame
        guess    pose by other odometry, odom_from_camera in a frame of its own that does not jump: of the camera that
                 poses are of, `camera`. Only its motion since the last frame that was tracked is used, and only where
                 images do not show one: to look for the map's landmarks near it, or else as the pose (State.GUESSED)

        A frame without the right image or the depth of its sensor is tracked as one camera's would be; what the sensor
        does not use is refused. Arrays are copied. Raises FrameError for a frame that cannot be used, after which the
        next one can be pushed: so it can whatever else is raised, by a callback or an interrupt. A clock that is set
        back costs one frame.
        """
        with self._one_push():
            frame = self._frame(image, time_ns, right, depth_m, mask, right_mask, guess)
            tracked = self._serve(lambda: self._session.take(self._prepare(frame)))
            self._deliver()
            return tracked

    def warm_up(self) -> None:
        """Take some frames of noise through extractor, matcher and tracking, so that the first push is no slower than
        later ones; what is tracked is not touched.
        """
        with self._one_push():
            self._serve(self._warm)

    @property
    def state(self) -> State:
        """What is known about where the camera is."""
        with self._reading():
            return self._session.state

    @property
    def pose(self) -> Pose | None:
        """world_from_camera of the newest frame, with all corrections so far; None where it has none."""
        with self._reading():
            world = self._session.world
            return None if world is None else self._session.journal.last_pose(world)

    def keyframe_pose(self, keyframe_id: int) -> Pose:
        """Return world_from_camera of a keyframe, also of one that was culled, with all corrections so far.

        Raises MapError for an id that no map knows.
        """
        with self._reading():
            for world in self._session.front.maps.values():
                if world.knows(keyframe_id):
                    return world.world_from_keyframe(keyframe_id)
        raise MapError(f"there is no keyframe {keyframe_id}")

    @property
    def map_ids(self) -> tuple[int, ...]:
        """The maps by their numbers: a further one begins where tracking was lost for long, until it is joined."""
        with self._reading():
            return tuple(self._session.front.maps)

    def trajectory(self, map_id: int | None = None) -> Trajectory:
        """Return world_from_camera of all frames that have a pose in a map, with all corrections so far.

        Without a number, it is the map that frames are placed in by now. Raises MapError for one that does not exist,
        or was joined to another.
        """
        with self._reading():
            maps = self._session.front.maps
            if map_id is None:
                return self._session.trajectory(self._session.world)
            if map_id not in maps:
                raise MapError(f"there is no map {map_id}; the maps are {', '.join(map(str, maps)) or 'none yet'}")
            return self._session.trajectory(maps[map_id])

    def map(self) -> Snapshot | None:
        """Return a copy of the map: landmarks, keyframes, trajectory and the newest image; None before a frame."""
        with self._reading():
            return self._session.snapshot()

    def save_map(self, path: Path | str) -> None:
        """Write the map as it is now, to be used again by a `config.load_map`; after `close` it is adjusted as a whole.

        Further maps, which could not be joined, go beside it: map 1 of `room.map` to `room-1.map`; the one that places
        most frames, or else the loaded one, to `path`. Raises MapError while there is no map, OutputError where it
        cannot be written.
        """
        with self._reading():
            world = self._session.main_map
            if world is None or not world.keyframes:
                raise MapError("there is no map yet that could be saved")
            write_maps(self._session.front.maps, world, Path(path), self._config, self.sensor)

    def reset(self) -> None:
        """Forget every frame so far, and begin a new map; one that is only localised in stays, to be found again.

        The memory of the map is freed, and time begins anew. Ids are not used again.
        """
        with self._one_push():
            self._events.clear()
            self._serve(self._session.reset)
            self._moves.forget()

    def on_keyframe(self, callback: KeyframeCallback) -> None:
        """Call back with every new keyframe, within the `push` after the one that makes it, or `close`."""
        self._listen(lambda keyframe, _: callback(keyframe))

    def on_factors(self, callback: FactorCallback) -> None:
        """Call back with what each keyframe adds to a factor graph, when `on_keyframe` does with the keyframe.

        The graph's keys are those of `slamfront.backend.factors`: X(keyframe id) and L(landmark id). Every key comes as
        a value once, before or with its first factor, so that `isam2.update(graph, values)` can take them as they are;
        only the gauge, a prior on the first pose, is left to whoever takes them in.
        """
        from slamfront.pipeline.factors import FactorStream

        stream = FactorStream(self._config.backend)
        self._listen(lambda _, problem: callback(*stream.take(problem)))

    def on_correction(self, callback: CorrectionCallback) -> None:
        """Call back with the keyframes that were moved, and why, within the `push` that takes the correction in.

        `keyframe_pose` has where they are now. See Moved.
        """
        self._movers.append(callback)

    def close(self) -> None:
        """Take in what the backend still has in hand, adjust the whole map, and end the backend; once is enough."""
        if os.getpid() != self._owner or self._open is None:
            return
        with self._one_push(closing=True):
            self._end.detach()
            with self._released() as stack:
                if stack is None:  # another thread has closed it meanwhile
                    return
                self._call(self._session.finish)
            self._deliver()
            if self._config.save_map is not None and self._session.front.keyframe_count:
                self.save_map(self._config.save_map)

    def __enter__(self) -> Slam:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        elif os.getpid() == self._owner:  # something went wrong: nothing is waited for
            with self._released():
                self._end.detach()

    @contextmanager
    def _released(self) -> Iterator[ExitStack | None]:
        """Give what was started, once, and end it with the block."""
        stack, self._open = self._open, None
        with stack or nullcontext():
            yield stack

    @contextmanager
    def _one_push(self, closing: bool = False) -> Iterator[None]:
        """Let one thread at a time change what there is."""
        if os.getpid() != self._owner:
            raise SourceError("this Slam belongs to the process that made it: make one in the child")
        if self._pusher == threading.get_ident():
            raise SourceError("a callback may read, but neither push, reset nor close")
        with self._pushing:
            if self._open is None and not closing:
                raise SourceError("frames cannot be pushed after close()")
            self._pusher = threading.get_ident()
            try:
                yield
            finally:
                self._pusher = 0

    def _reading(self) -> Any:
        """Return what keeps frames out while something is read; in a forked child there are none."""
        return self._state if os.getpid() == self._owner else nullcontext()

    def _serve(self, function: Callable[[], T]) -> T:
        try:
            return self._call(function)
        except Closed:
            raise SourceError("frames cannot be pushed after close()") from None

    def _call(self, function: Callable[[], T]) -> T:
        """Return what a function returns that changes the state, on the thread that no signal interrupts."""

        def changing() -> T:
            with self._state:
                try:
                    return function()
                finally:
                    moved = self._moves.take(self._session.front)
                    self._events += [partial(mover, one) for one in moved for mover in self._movers]

        return self._servant.call(changing)

    def _listen(self, listener: Callable[[KeyFrame, BundleAdjustmentProblem], None]) -> None:
        """Have a listener called after the frame: what it raises then finds a state that is whole."""
        events, session = self._events, weakref.ref(self._session)

        def keep(keyframe: KeyFrame, problem: BundleAdjustmentProblem) -> None:
            own = session()
            assert own is not None
            stamped = replace(keyframe, time_ns=own.clock.stamp(keyframe.time_ns))
            events.append(partial(listener, stamped, problem))

        with self._reading():
            self._session.front.listeners.append(keep)

    def _deliver(self) -> None:
        """Call back with all that has come up; the first error is raised when everyone was called."""
        failure: BaseException | None = None
        while self._events:
            try:
                self._events.popleft()()
            except Exception as error:
                failure = failure or error
        if failure is not None:
            raise failure

    def _frame(
        self,
        image: Image,
        time_ns: int,
        right: Image | None,
        depth_m: NDArray[Any] | None,
        mask: NDArray[Any] | None,
        right_mask: NDArray[Any] | None,
        guess: Pose | None,
    ) -> Frame:
        """Return what is pushed as a frame that has been checked."""
        number, self._count = self._count, self._count + 1
        unused = {"the depth": depth_m, "the right image": right, "the right mask": right_mask}
        unused.pop("the depth" if self.sensor == "rgbd" else "", None)
        if self.sensor == "stereo":
            unused = {"the depth": depth_m}
        for what, given in unused.items():
            if given is not None:
                raise FrameError(f"frame {number}: {what} is given, sensor is {self.sensor}")
        try:
            frame = Frame(
                number,
                int(time_ns),
                np.array(image),
                self._pushed,
                None if right is None else np.array(right),
                None if depth_m is None else np.array(depth_m),
                0.0 if depth_m is None else self._pushed.depth_delay_s,
                self._masks[0](mask),
                self._masks[1](right_mask),
                guess,
            )
            frame.check()
            if guess is not None and not _is_rigid(guess):
                raise FrameError(f"frame {number}: the guess must be a Pose with a rotation and finite numbers")
            if not -(2**63) <= frame.time_ns < 2**63:
                raise FrameError(f"frame {number}: its time is out of the range of 64 bits")
            return frame if frame.depth_m is None else replace(frame, depth_m=_metres(frame.depth_m))
        except SlamfrontError:
            raise
        except Exception as error:  # whatever NumPy makes of what was given
            raise FrameError(f"frame {number} cannot be used: {error}") from error

    def _warm(self) -> None:
        """Follow noise that moves a little, in a front end of its own with the extractor and matcher of this one."""
        config = replace(self._config, load_map=None, save_map=None, localize_only=False)
        front = build_front(config, self.camera, self.sensor, Workers(Disabled()), self._parts)
        camera, rng = self._pushed, np.random.default_rng(0)
        coarse = rng.integers(0, 256, (camera.height // 8 + 2, camera.width // 8 + 2 + _WARM_FRAMES), np.uint8)
        noise = np.kron(coarse, np.ones((8, 8), np.uint8))
        for number in range(_WARM_FRAMES):
            image = np.ascontiguousarray(noise[: camera.height, 2 * number : 2 * number + camera.width])
            depth_m = np.full(image.shape, 2.0, np.float32) if self.sensor == "rgbd" else None
            right = image if self.sensor == "stereo" else None
            front.step(self._prepare(Frame(number, 33_000_000 * (number + 1), image, camera, right, depth_m)))


def _prepared(
    pushed: Source, calibration: Calibration, config: SourceConfig
) -> tuple[Callable[[Frame], Frame], Camera]:
    """Return what masks, rectifies and resamples a frame, and the camera of what comes out."""
    covered = masked(pushed, config.mask, config.right_mask)
    source = rectified(covered, calibration)
    last = source if config.width is None else resized(source, config.width)
    stages = {id(stage): stage for stage in (covered, source, last) if isinstance(stage, Wrapper)}
    steps = [stage.take for stage in stages.values()]

    def prepare(frame: Frame) -> Frame:
        for step in steps:
            frame = step(frame)
        return frame

    return prepare, last.camera


def _is_rigid(guess: object) -> bool:
    """Return whether something is a pose that turns and moves, within the rounding of float32."""
    if not isinstance(guess, Pose) or not np.isfinite(guess.matrix()).all():
        return False
    apart = guess.rotation @ guess.rotation.T - np.eye(3)
    return bool(np.abs(apart).max() < 1e-4 and np.linalg.det(guess.rotation) > 0)


def _metres(depth_m: NDArray[Any]) -> NDArray[np.float32]:
    """Return depth as float32, 0 wherever it is not a finite number of metres."""
    with np.errstate(over="ignore"):
        metres = depth_m.astype(np.float32)
    metres[~np.isfinite(metres)] = 0.0
    return metres


def _end(servant: Servant) -> None:
    servant.close()
    servant.join()


def _abandon(stack: ExitStack, owner: int) -> None:
    """End what a Slam that nobody closed has started, in the process that started it."""
    if os.getpid() == owner:
        stack.close()


class _PushedMask:
    """Copies masks that are pushed, the same array for the same mask, so that it is undistorted once."""

    def __init__(self) -> None:
        self._last: NDArray[Any] | None = None

    def __call__(self, mask: NDArray[Any] | None) -> NDArray[Any] | None:
        """Return a mask as bool, None for none; one of another type is left for `Frame.check` to refuse."""
        if mask is None:
            return None
        given = np.asarray(mask)
        given = given > 0 if given.dtype == np.uint8 else given.copy()
        if self._last is None or not np.array_equal(given, self._last):
            self._last = read_only(given)
        return self._last


class _Pushed:
    """The frames that are pushed as a source, so that what rectifies and resamples any other can be asked for it."""

    name, live, length, reference = "pushed", True, None, None

    def __init__(self, camera: Camera, sensor: Sensor) -> None:
        self.camera, self.sensor = camera, sensor

    def __iter__(self) -> Iterator[Frame]:
        return iter(())
