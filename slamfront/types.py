"""The values that travel between rooms: frozen, their arrays read-only, nothing in them has behaviour beyond views.

Frames of reference: `world` is the map's frame, `camera` the left camera's (x right, y down, z forward). Times are
integer nanoseconds. Pixels are of the rectified pinhole image unless a docstring says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from slamfront.errors import FrameError
from slamfront.geometry.camera import Camera
from slamfront.geometry.pose import Pose

Sensor = Literal["mono", "stereo", "rgbd"]
FloatArray = NDArray[np.float64]
Float32Array = NDArray[np.float32]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
Image = NDArray[np.uint8]


def read_only(array: NDArray[Any]) -> NDArray[Any]:
    """Return `array` itself, marked read-only."""
    array.setflags(write=False)
    return array


def _no_ids() -> IntArray:
    return np.zeros(0, np.int64)


class _Frozen:
    """Holds every array as a read-only view: the array of whoever made the value stays as writeable as it was."""

    __slots__ = ()

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:  # type: ignore[attr-defined]
            value = getattr(self, name)
            if isinstance(value, np.ndarray) and value.flags.writeable:
                object.__setattr__(self, name, read_only(value.view()))

    def __repr__(self) -> str:
        shown = ((name, getattr(self, name)) for name in self.__dataclass_fields__)  # type: ignore[attr-defined]
        texts = [f"{name}={_short(value)}" for name, value in shown if value is not None and not _is_empty(value)]
        return f"{type(self).__name__}({', '.join(texts)})"


def _is_empty(value: object) -> bool:
    return isinstance(value, (str, Mapping)) and not value


def _short(value: object) -> str:
    """Return what a value looks like in a few words: of an array its type and shape, of times their sum."""
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {value.shape}"
    if isinstance(value, Camera):
        return f"Camera({value.model} {value.width}x{value.height})"
    if isinstance(value, Mapping):
        return f"{len(value)} of {sum(value.values()):.1f}"
    return value.value if isinstance(value, StrEnum) else repr(value)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Frame(_Frozen):
    """One instant of a camera: images as they reach the front end.

    id          counts frames of the source from 0; skipped frames leave gaps
    time_ns     capture time
    image       uint8 (H,W) grey or (H,W,3) RGB
    camera      calibration of `image`; its size is the image's
    right       uint8 image of the rectified right camera, the same shape, or None
    depth_m     float32 (H,W), depth along z in metres, 0 = unknown, or None
    depth_delay_s   how much later than the image the depth was captured, s; negative = earlier
    mask        bool (H,W), True where the image may be used: nothing is tracked where it shows something that stays
                with the camera, or is not of the scene; None = everywhere
    right_mask  the same of the right image
    guess       pose by other odometry, odom_from_camera in any frame that does not jump, or None: only motion from
                frame to frame is taken from it, where images do not show it
    """

    id: int
    time_ns: int
    image: Image
    camera: Camera
    right: Image | None = None
    depth_m: Float32Array | None = None
    depth_delay_s: float = 0.0
    mask: BoolArray | None = None
    right_mask: BoolArray | None = None
    guess: Pose | None = None

    def check(self) -> None:
        """Raise FrameError when the images do not fit the camera or each other."""
        masks = ("mask", self.mask), ("right mask", self.right_mask)
        images = ("image", self.image), ("right image", self.right), ("depth", self.depth_m)
        for name, image in (*images, *masks):
            if image is not None and image.shape[:2] != (self.camera.height, self.camera.width):
                size = f"{image.shape[1]}x{image.shape[0]}" if image.ndim > 1 else f"of shape {image.shape}"
                raise FrameError(
                    f"frame {self.id}: the {name} is {size}, its calibration is for "
                    f"{self.camera.width}x{self.camera.height}"
                )
        check_image(self.image, f"frame {self.id}: the image")
        if self.right is not None and (self.right.dtype, self.right.shape) != (self.image.dtype, self.image.shape):
            raise FrameError(f"frame {self.id}: the right image must be grey or RGB as the left one is")
        depth = self.depth_m
        if depth is not None and (depth.ndim != 2 or not np.issubdtype(depth.dtype, np.floating)):
            found = f"{depth.dtype} {depth.shape}"
            raise FrameError(f"frame {self.id}: the depth must be metres in floating point (H,W), got {found}")
        for name, mask in masks:
            if mask is not None and (mask.ndim != 2 or mask.dtype != np.bool_):
                raise FrameError(f"frame {self.id}: the {name} must be bool (H,W), got {mask.dtype} {mask.shape}")


def check_image(image: Image, name: str) -> None:
    """Raise FrameError, which calls the image by a name, when it is not uint8 grey (H,W) or RGB (H,W,3)."""
    if image.dtype != np.uint8 or image.ndim < 2 or image.shape[2:] not in ((), (3,)) or 0 in image.shape:
        raise FrameError(f"{name} must be uint8 (H,W) or (H,W,3), got {image.dtype} {image.shape}")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Keypoints(_Frozen):
    """Keypoints of one image, which nothing describes yet; fields as those of `Features`."""

    keypoints_xy: Float32Array
    scores: Float32Array
    image_size: tuple[int, int]
    scales: Float32Array

    def __len__(self) -> int:
        return len(self.keypoints_xy)

    def described(self, descriptors: NDArray[Any]) -> Features:
        """Return features of these keypoints with descriptors (N,D)."""
        return Features(self.keypoints_xy, self.scores, descriptors, self.image_size, self.scales)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Features(_Frozen):
    """Keypoints of one image with their descriptors.

    keypoints_xy  float32 (N,2), px
    scores        float32 (N,), higher is better
    descriptors   float32 (N,D) of unit length, compared by dot product; or uint8 (N,B), packed bits, compared by
                  Hamming distance
    image_size    (width, height), px
    scales        float32 (N,): standard deviation of a keypoint's position, px, as 1.2^level for a pyramid level
    """

    keypoints_xy: Float32Array
    scores: Float32Array
    descriptors: NDArray[Any]
    image_size: tuple[int, int]
    scales: Float32Array

    def __len__(self) -> int:
        return len(self.keypoints_xy)

    @property
    def binary(self) -> bool:
        """Whether descriptors are packed bits."""
        return self.descriptors.dtype == np.uint8

    def take(self, rows: NDArray[Any]) -> Features:
        """Return the features of the given rows (indices or mask)."""
        return Features(
            self.keypoints_xy[rows], self.scores[rows], self.descriptors[rows], self.image_size, self.scales[rows]
        )

    def moved(self, rows: NDArray[Any] | slice, xy: FloatArray) -> Features:
        """Return the features with the keypoints of the given rows at `xy` (K,2)."""
        keypoints_xy = self.keypoints_xy.copy()
        keypoints_xy[rows] = xy
        return Features(keypoints_xy, self.scores, self.descriptors, self.image_size, self.scales)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Matches(_Frozen):
    """Pairs of features of two images.

    indices int64 (K,2), rows into each; scores float32 (K,), higher is better
    """

    indices: IntArray
    scores: Float32Array

    def __len__(self) -> int:
        return len(self.indices)

    def pixels(self, first: Features, second: Features) -> tuple[FloatArray, FloatArray]:
        """Return the keypoints float64 (K,2) of either image that belong together, px."""
        rows = self.indices
        return first.keypoints_xy[rows[:, 0]].astype(np.float64), second.keypoints_xy[rows[:, 1]].astype(np.float64)

    def take(self, rows: NDArray[Any]) -> Matches:
        """Return the matches of the given rows (indices or mask)."""
        return Matches(self.indices[rows], self.scores[rows])

    @staticmethod
    def empty() -> Matches:
        """Return no matches at all."""
        return Matches(np.zeros((0, 2), np.int64), np.zeros(0, np.float32))


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class KeyFrame(_Frozen):
    """A frame that the map keeps.

    landmark_ids  int64 (N,): the landmark that each feature observes, -1 = none
    right_x       float32 (N,): the keypoint's x in the right image, px, NaN = unknown. With a depth camera it is
                  that of a right camera at `camera.baseline_m`.
    map_id        the map that it was made in, whose world the pose is in: see Tracked
    """

    id: int
    time_ns: int
    world_from_camera: Pose
    features: Features
    landmark_ids: IntArray
    right_x: Float32Array
    camera: Camera
    map_id: int = 0


class State(StrEnum):
    """What the front end knows about where it is.

    RELOCALIZED is the first frame that is found again. GUESSED is lost as far as images go: the pose is the last one
    that an image has shown, carried on by other odometry.
    """

    INITIALIZING = "initializing"
    TRACKING = "tracking"
    LOST = "lost"
    RELOCALIZED = "relocalized"
    GUESSED = "guessed"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Tracked(_Frozen):
    """The answer to one frame.

    The pose is relative to a keyframe, so that a later correction of the keyframe moves it along:
    `world_from_camera = world_from_keyframe @ reference_from_camera`.

    reference_id            keyframe id, None while there is no pose
    reference_from_camera   pose, None while initialising or lost, unless other odometry carries it on (GUESSED)
    online_world_from_camera  the pose as it was known when the frame was answered, None without a pose
    odom_from_camera        the same pose in a frame in which corrections of the map move nothing: the map's own at
                            first, then apart from it (the `odom` frame of ROS REP-105); None without a pose
    inliers                 landmarks whose observation agrees with the pose
    covariance              (6,6) of the camera's pose, tangent of the camera frame, rotation (rad) before
                            translation (m): it grows as fewer landmarks, or nearer to each other, agree, and with
                            the way of a pose that is GUESSED. None without a pose, which is then unknown without
                            bound: nothing is made up for a frame that is lost
    stage_ms                time of each stage, ms
    reason                  why there is no pose, or what was unusual; empty when all is well
    map_id                  the map whose world the pose is in: 0, until tracking was lost for long and a new map was
                            begun, whose world is another until the maps are joined
    """

    frame_id: int
    time_ns: int
    state: State
    reference_id: int | None = None
    reference_from_camera: Pose | None = None
    online_world_from_camera: Pose | None = None
    odom_from_camera: Pose | None = None
    inliers: int = 0
    covariance: FloatArray | None = None
    is_keyframe: bool = False
    stage_ms: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    reason: str = ""
    map_id: int = 0

    @property
    def map_from_odom(self) -> Pose | None:
        """Where the odometry frame lies in the map, as was known when the frame was answered; None without a pose."""
        if self.online_world_from_camera is None or self.odom_from_camera is None:
            return None
        return self.online_world_from_camera @ self.odom_from_camera.inverse()


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class LandmarkObservations(_Frozen):
    """What a frame shows of the map's landmarks.

    landmark_ids        int64 (N,)
    pixels_xy           float32 (N,2), px, as if all rows had been exposed with the middle one
    right_x             float32 (N,), px, NaN = unknown
    sigmas_px           float32 (N,) standard deviation of each coordinate
    disparity_sigma_px  that of x - right_x
    disparity_offset_px `Camera.disparity_offset_px` that right_x was corrected by
    """

    landmark_ids: IntArray
    pixels_xy: Float32Array
    right_x: Float32Array
    sigmas_px: Float32Array
    disparity_sigma_px: float
    disparity_offset_px: float = 0.0

    def __len__(self) -> int:
        return len(self.landmark_ids)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class BundleAdjustmentProblem(_Frozen):
    """The map or part of it, copied out for bundle adjustment: K keyframes, L landmarks, M observations.

    keyframe_ids    int64 (K,) ascending
    rotations       (K,3,3), positions_m (K,3): world_from_camera
    fixed           bool (K,): poses that must not move (the gauge, and keyframes that only hold the others)
    landmark_ids    int64 (L,), landmarks_m (L,3) in the world
    keyframe_rows   int64 (M,): row of the observing keyframe; landmark_rows (M,): row of the landmark
    keypoint_rows   int64 (M,): which feature of that keyframe observes it
    pixels_xy       (M,2); right_x (M,), px, NaN = seen by one camera only
    sigmas_px       (M,) standard deviation of each coordinate; disparity_sigma_px (M,) that of x - right_x
    camera          the pinhole camera of all keyframes
    offset_sigma_px standard deviation of what all disparities may be off by together; 0 = that is not asked for
    """

    keyframe_ids: IntArray
    rotations: FloatArray
    positions_m: FloatArray
    fixed: BoolArray
    landmark_ids: IntArray
    landmarks_m: FloatArray
    keyframe_rows: IntArray
    landmark_rows: IntArray
    keypoint_rows: IntArray
    pixels_xy: FloatArray
    right_x: FloatArray
    sigmas_px: FloatArray
    disparity_sigma_px: FloatArray
    camera: Camera
    offset_sigma_px: float = 0.0


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Correction(_Frozen):
    """The solution of a bundle adjustment, in the same order of rows.

    keyframe_ids, rotations, positions_m    new world_from_camera of the keyframes that were free
    landmark_ids, landmarks_m               new landmark positions in the world
    outliers                                int64 (R,2): (keyframe id, keypoint row) of observations to drop
    initial_error, final_error              weighted squared error before and after (half the chi-square)
    disparity_offset_px                     `Camera.disparity_offset_px` as it should be; NaN where none was asked for
    """

    keyframe_ids: IntArray
    rotations: FloatArray
    positions_m: FloatArray
    landmark_ids: IntArray
    landmarks_m: FloatArray
    outliers: IntArray
    initial_error: float
    final_error: float
    disparity_offset_px: float = np.nan


@dataclass(frozen=True, slots=True)
class Moved:
    """Keyframes that a correction has moved, for whoever keeps their poses.

    why           "adjustment" of a part of the map or of all of it, "loop" that was closed, or maps that were "joined"
    keyframe_ids  those that may have moved: newer ones have moved along rigidly with the last of them
    """

    why: Literal["adjustment", "loop", "joined"]
    keyframe_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class PoseGraph(_Frozen):
    """Keyframes and how they lie to each other, copied out for the backend: K keyframes, E edges.

    keyframe_ids        int64 (K,) ascending; the first one is held
    rotations           (K,3,3), positions_m (K,3): world_from_camera
    edges               int64 (E,2): rows a and b of keyframes
    relative_rotations  (E,3,3), relative_positions_m (E,3), relative_scales (E,): the similarity a_from_b that was
                        measured; a scale other than 1 tells that the map's unit of length has drifted between them
    loops               bool (E,): edges that are dropped where they contradict the others
    scaled              whether the unit of length may drift, as it does with a single camera
    seen_m              how far away the camera typically sees, which tells what a move is wrong by where it is short
    """

    keyframe_ids: IntArray
    rotations: FloatArray
    positions_m: FloatArray
    edges: IntArray
    relative_rotations: FloatArray
    relative_positions_m: FloatArray
    relative_scales: FloatArray
    loops: BoolArray
    scaled: bool
    seen_m: float = 0.0


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class GraphCorrection(_Frozen):
    """The solution of a pose graph, in the same order of rows.

    former_rotations, former_positions_m    world_from_camera that the graph was made of
    rotations, positions_m, scales          new similarity world_from_camera: camera coordinates, in the former unit of
                                            length, are scaled as well
    accepted                                bool (E,): edges that were kept
    """

    keyframe_ids: IntArray
    former_rotations: FloatArray
    former_positions_m: FloatArray
    rotations: FloatArray
    positions_m: FloatArray
    scales: FloatArray
    accepted: BoolArray


LoopClosingProblem = PoseGraph | BundleAdjustmentProblem
"""The pose graph of a loop, or the full bundle adjustment after one."""
LoopClosingSolution = GraphCorrection | Correction


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Trajectory(_Frozen):
    """Timed camera poses, world_from_camera.

    times_ns int64 (N,) ascending, positions_m (N,3), quaternions_xyzw (N,4)
    """

    times_ns: IntArray
    positions_m: FloatArray
    quaternions_xyzw: FloatArray

    def __len__(self) -> int:
        return len(self.times_ns)

    @staticmethod
    def from_poses(times_ns: list[int] | IntArray, poses: list[Pose]) -> Trajectory:
        """Return the trajectory of world_from_camera poses at the given times."""
        positions = np.array([p.translation_m for p in poses]).reshape(-1, 3)
        quaternions = np.array([p.quaternion_xyzw() for p in poses]).reshape(-1, 4)
        return Trajectory(np.asarray(times_ns, np.int64).copy(), positions, quaternions)

    def pose(self, row: int) -> Pose:
        """Return world_from_camera of one row."""
        return Pose.from_quaternion(self.quaternions_xyzw[row], self.positions_m[row])


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Snapshot(_Frozen):
    """Copies for a viewer.

    trajectory_m        (T,3) camera positions of the tracked frames, corrected
    keyframe_poses      (K,4,4) world_from_camera
    covisibility        int64 (E,2): rows of keyframes that share landmarks
    landmarks_m         float32 (L,3); landmark_intensity uint8 (L,) grey value of each
    image               the frame's image; tracks_xy float32 (N,2) its tracked keypoints, px
    reason              why the frame has no pose, or what was unusual; empty when all is well
    keyframe_ids        int64 (K,) of `keyframe_poses`; keyframe_times_ns (K,) their time stamps
    landmark_ids        int64 (L,) of `landmarks_m`
    """

    frame_id: int
    time_ns: int
    state: State
    world_from_camera: Pose | None
    camera: Camera
    trajectory_m: FloatArray
    keyframe_poses: FloatArray
    covisibility: IntArray
    landmarks_m: Float32Array
    landmark_intensity: NDArray[np.uint8]
    image: Image
    tracks_xy: Float32Array
    reason: str = ""
    keyframe_ids: IntArray = field(default_factory=_no_ids)
    keyframe_times_ns: IntArray = field(default_factory=_no_ids)
    landmark_ids: IntArray = field(default_factory=_no_ids)
