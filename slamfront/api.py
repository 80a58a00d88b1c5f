"""slamfront inside another program: push frames, get poses, keyframes, factors and the map.

with Slam(camera=camera, sensor="stereo") as slam:
    tracked = slam.push(left, time_ns, right=right)
    print(tracked.state, slam.pose)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from slamfront.build import adjuster_of, build_front, resolve, whole_map_backend, write_maps
from slamfront.calibration import Calibration
from slamfront.config import RunConfig
from slamfront.errors import FrameError, MapError, SourceError
from slamfront.geometry.camera import Camera, StereoRig
from slamfront.geometry.pose import Pose
from slamfront.pipeline import Session
from slamfront.sources.reader import for_sensor
from slamfront.sources.rectify import rectified
from slamfront.sources.wrappers import resized
from slamfront.types import Frame, Image, KeyFrame, Sensor, Snapshot, State, Tracked, Trajectory

if TYPE_CHECKING:
    import gtsam

KeyframeCallback = Callable[[KeyFrame], None]
FactorCallback = Callable[["gtsam.NonlinearFactorGraph", "gtsam.Values"], None]


class Slam:
    """Poses and a map from frames that a program pushes; one thread uses it at a time.

    config   `threads` lets the backend run in a process of its own; without, `push` waits for it, and runs repeat
             exactly. `source.width` resamples frames; the rest of `source`, and `viewer`, are not used. `load_map` and
             `localize_only` begin in a map; `save_map` is written by `close`.
    camera   calibration of the frames as they are pushed: a Camera, distorted or not, or a StereoRig that is not
             rectified yet. `slamfront.read_calibration` reads one from a file.
    sensor   what is pushed: "mono", "stereo" or "rgbd"

    `camera` is that of the poses: an ideal pinhole; that of a StereoRig looks along the rectified axes. Raises
    CalibrationError when the calibration does not fit the sensor, WeightsError when weights are missing, MapFileError
    for a map that cannot be used.
    """

    def __init__(self, config: RunConfig | None = None, *, camera: Calibration, sensor: Sensor = "mono") -> None:
        self._config = config = resolve(config or RunConfig())
        calibration = for_sensor(camera, sensor)
        self._pushed = _Pushed(calibration, sensor)
        source = rectified(self._pushed, calibration)
        source = source if config.source.width is None else resized(source, config.source.width)
        self._frames = iter(source)
        self.camera, self.sensor = source.camera, sensor
        self._count = 0
        with ExitStack() as stack:
            adjuster = stack.enter_context(adjuster_of(config))
            front = build_front(config, source.camera, sensor, adjuster)
            self._session = Session(front, adjuster, whole_map=whole_map_backend(config))
            self._open: ExitStack | None = stack.pop_all()

    def push(
        self,
        image: Image,
        time_ns: int,
        right: Image | None = None,
        depth_m: NDArray[np.floating[Any]] | None = None,
    ) -> Tracked:
        """Return where the camera was when a frame was taken, with state, covariance and number of inliers.

        image    uint8 (H,W) grey or (H,W,3) RGB, of the calibration's size
        time_ns  capture time, after that of the frame before
        right    image of the right camera, for "stereo"
        depth_m  (H,W) depth along z, m; 0 or not finite where unknown, for "rgbd"; captured with the image, or as much
                 later as the calibration's `depth_delay_s` says

        Arrays are copied. Raises FrameError for a frame that cannot be used, after which the next one can be pushed.
        """
        if self._open is None:
            raise SourceError("frames cannot be pushed after close()")
        frame = Frame(
            self._count,
            int(time_ns),
            np.array(image),
            self._pushed.camera,
            None if right is None else np.array(right),
            None if depth_m is None else np.where(np.isfinite(depth_m), depth_m, np.zeros_like(depth_m)),
            self._pushed.camera.depth_delay_s,
        )
        self._count += 1
        frame.check()
        missing = {"stereo": right is None, "rgbd": depth_m is None}
        if missing.get(self.sensor):
            needs = "the right image" if self.sensor == "stereo" else "the depth"
            raise FrameError(f"frame {frame.id}: {needs} is missing, sensor is {self.sensor}")
        self._pushed.frame = frame
        return self._session.take(next(self._frames))

    @property
    def state(self) -> State:
        """What is known about where the camera is."""
        return self._session.state

    @property
    def pose(self) -> Pose | None:
        """world_from_camera of the newest frame, with all corrections so far; None where it has none."""
        world = self._session.world
        return None if world is None else self._session.journal.last_pose(world)

    @property
    def map_ids(self) -> tuple[int, ...]:
        """The maps by their numbers: a further one begins where tracking was lost for long, until it is joined."""
        return tuple(self._session.front.maps)

    def trajectory(self, map_id: int | None = None) -> Trajectory:
        """Return world_from_camera of all frames that have a pose in a map, with all corrections so far.

        Without a number, it is the map that frames are placed in by now. Raises MapError for one that does not exist,
        or was joined to another.
        """
        if map_id is None:
            return self._session.journal.trajectory(self._session.world)
        if map_id not in self._session.front.maps:
            raise MapError(f"there is no map {map_id}; the maps are {', '.join(map(str, self.map_ids)) or 'none yet'}")
        return self._session.journal.trajectory(self._session.front.maps[map_id])

    def map(self) -> Snapshot | None:
        """Return a copy of the map: landmarks, keyframes, trajectory and the newest image; None before a frame."""
        return self._session.snapshot()

    def save_map(self, path: Path | str) -> None:
        """Write the map as it is now, to be used again by a `config.load_map`; after `close` it is adjusted as a whole.

        Further maps, which could not be joined, go beside it: map 1 of `room.map` to `room-1.map`; the one that places
        most frames, or else the loaded one, to `path`. Raises MapError while there is no map, OutputError where it
        cannot be written.
        """
        world = self._session.main_map
        if world is None or not world.keyframes:
            raise MapError("there is no map yet that could be saved")
        write_maps(self._session.front.maps, world, Path(path), self._config, self.sensor)

    def reset(self) -> None:
        """Forget every frame so far, and begin a new map; one that is only localised in stays, to be found again.

        The memory of the map is freed. Ids are not used again, and times go on.
        """
        self._session.reset()

    def on_keyframe(self, callback: KeyframeCallback) -> None:
        """Call back with every new keyframe, within the `push` after the one that makes it, or `close`."""
        self._session.front.listeners.append(lambda keyframe, _: callback(keyframe))

    def on_factors(self, callback: FactorCallback) -> None:
        """Call back with what each keyframe adds to a factor graph, when `on_keyframe` does with the keyframe.

        The graph's keys are those of `slamfront.backend.factors`: X(keyframe id) and L(landmark id). Every key comes as
        a value once, before or with its first factor, so that `isam2.update(graph, values)` can take them as they are;
        only the gauge, a prior on the first pose, is left to whoever takes them in.
        """
        from slamfront.pipeline.factors import FactorStream

        stream = FactorStream(self._config.backend)
        self._session.front.listeners.append(lambda _, window: callback(*stream.take(window)))

    def close(self) -> None:
        """Take in what the backend still has in hand, adjust the whole map, and end the backend; once is enough."""
        stack, self._open = self._open, None
        if stack is not None:
            with stack:
                self._session.finish()
            if self._config.save_map is not None and self._session.front.keyframe_count:
                self.save_map(self._config.save_map)

    def __enter__(self) -> Slam:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        elif self._open is not None:  # something went wrong: nothing is waited for
            stack, self._open = self._open, None
            stack.close()


class _Pushed:
    """The frames that are pushed as a source, so that they can be rectified and resampled as any other."""

    name, live, length, reference = "pushed", True, None, None

    def __init__(self, calibration: Calibration, sensor: Sensor) -> None:
        self.camera: Camera = calibration.left if isinstance(calibration, StereoRig) else calibration
        self.sensor: Sensor = sensor
        self.frame: Frame | None = None

    def __iter__(self) -> Iterator[Frame]:
        while self.frame is not None:
            frame, self.frame = self.frame, None
            yield frame
