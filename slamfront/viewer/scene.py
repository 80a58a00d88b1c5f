"""What a viewer draws of a snapshot: coloured points and lines in the world, and where to look at them from.

The window and the recorder share it, so that a run looks the same in both.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from slamfront.geometry.camera import Camera
from slamfront.geometry.pose import Pose
from slamfront.types import Float32Array, FloatArray, Image, Snapshot, State

Colour = tuple[int, int, int]
Colours = NDArray[np.uint8]

BACKGROUND: Colour = (13, 16, 23)
STATE_COLOURS: dict[State, Colour] = {
    State.INITIALIZING: (240, 180, 60),
    State.TRACKING: (74, 222, 148),
    State.LOST: (248, 82, 96),
    State.RELOCALIZED: (180, 130, 255),
    State.GUESSED: (240, 150, 90),
}

_HEIGHT_COLOURS = np.array(
    [(66, 88, 200), (58, 140, 222), (64, 196, 196), (150, 214, 140), (248, 208, 112), (250, 148, 92)], np.float64
)
_KEYFRAME: Colour = (96, 150, 226)
_COVISIBILITY: Colour = (40, 62, 92)
_TRAJECTORY_OLD: Colour = (92, 84, 84)
_TRAJECTORY_NEW: Colour = (255, 246, 224)
_GRID: Colour = (30, 36, 48)
_GRID_REACH = 20  # cells from the camera to where the ground has faded
_FRUSTUM_SIZE = 0.09  # depth of a keyframe's frustum, in units of the scene's scale
_SAMPLE = 1500  # points that are enough for a robust figure


@dataclass(frozen=True, slots=True, eq=False)
class Lines:
    """Line segments of one width: `segments_m` (S,2,3) in the world, `colours` uint8 (S,3) RGB, `width_px`."""

    segments_m: FloatArray
    colours: Colours
    width_px: int


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """Points and lines of a snapshot.

    points_m    float32 (L,3) landmarks in the world; colours uint8 (L,3) RGB
    lines       what is drawn over them, from the first to the last; `ground` lies below the points
    up          (3,) unit vector in the world
    scale_m     how far cameras typically are from what they see: sizes follow it, as a monocular map has no metres
    """

    points_m: Float32Array
    colours: Colours
    ground: Lines
    lines: tuple[Lines, ...]
    up: FloatArray
    scale_m: float


def build_scene(snapshot: Snapshot) -> Scene:
    """Return what is drawn of a snapshot; one without landmarks, keyframes or pose gives what there is."""
    finite = np.isfinite(snapshot.landmarks_m).all(axis=1)
    points = snapshot.landmarks_m[finite]
    up = scene_up(snapshot.keyframe_poses)
    scale = scene_scale(points, snapshot.keyframe_poses[:, :3, 3])
    lines = (
        _covisibility(snapshot),
        _keyframes(snapshot, _FRUSTUM_SIZE * scale),
        _trajectory(snapshot.trajectory_m),
        _current_camera(snapshot, 2.0 * _FRUSTUM_SIZE * scale),
    )
    colours = height_colours(points, snapshot.landmark_intensity[finite], up)
    return Scene(points, colours, _ground(points, snapshot, up, scale), lines, up, scale)


def scene_up(keyframe_poses: FloatArray) -> FloatArray:
    """Return the unit vector (3,) that the cameras (K,4,4) hold upwards on average; -y of the world without cameras."""
    up = -keyframe_poses[:, :3, 1].sum(axis=0) if len(keyframe_poses) else np.zeros(3)
    length = float(np.linalg.norm(up))
    return up / length if length > 1e-6 else np.array([0.0, -1.0, 0.0])


def scene_scale(points_m: Float32Array, centres_m: FloatArray) -> float:
    """Return the median distance from a landmark (L,3) to the nearest camera (K,3), or 1 where there are none."""
    if not len(points_m) or not len(centres_m):
        return 1.0
    sample = points_m[:: max(1, len(points_m) // _SAMPLE)]
    distances, _ = cKDTree(centres_m).query(sample)
    return max(float(np.median(distances)), 1e-6)


def height_colours(points_m: Float32Array, intensity: NDArray[np.uint8], up: FloatArray) -> Colours:
    """Return RGB colours uint8 (L,3): the hue tells the height in the scene's middle 90 %, the light the grey value."""
    if not len(points_m):
        return np.zeros((0, 3), np.uint8)
    heights = points_m @ up
    low, high = np.percentile(heights, (5, 95))
    steps = np.clip((heights - low) / max(high - low, 1e-9), 0.0, 1.0) * (len(_HEIGHT_COLOURS) - 1)
    known = np.arange(len(_HEIGHT_COLOURS))
    hue = np.column_stack([np.interp(steps, known, channel) for channel in _HEIGHT_COLOURS.T])
    light = 0.55 + 0.55 * np.sqrt(intensity.astype(np.float64) / 255.0)
    return np.clip(hue * light[:, None], 0, 255).astype(np.uint8)


def blend(first: Sequence[float], second: Sequence[float], share: FloatArray) -> Colours:
    """Return colours uint8 (N,3) between two RGB colours, `share` (N,) of the second."""
    mixed = np.outer(1.0 - share, np.asarray(first, float)) + np.outer(share, np.asarray(second, float))
    return mixed.astype(np.uint8)


def frustum(world_from_camera: FloatArray, camera: Camera, depth_m: float) -> FloatArray:
    """Return the segments (S,2,3) of a camera's viewing pyramid in the world; `world_from_camera` is (4,4)."""
    aspect = min(camera.width / camera.height, 1.8)  # a panorama's pyramid would hide its neighbours
    x, y = 0.5 * aspect * depth_m, 0.5 * depth_m
    corners = np.array([(-x, -y, depth_m), (x, -y, depth_m), (x, y, depth_m), (-x, y, depth_m)])
    apex, top = np.zeros(3), np.array([0.0, -1.35 * y, depth_m])
    pairs = [(apex, corner) for corner in corners]
    pairs += [(corners[i], corners[(i + 1) % 4]) for i in range(4)]
    pairs += [(corners[0], top), (top, corners[1])]  # the small roof shows which way is up
    return np.array(pairs) @ world_from_camera[:3, :3].T + world_from_camera[:3, 3]


def _uniform(segments_m: FloatArray, colour: Colour, width_px: int) -> Lines:
    return Lines(segments_m, np.tile(np.array(colour, np.uint8), (len(segments_m), 1)), width_px)


def _covisibility(snapshot: Snapshot) -> Lines:
    return _uniform(snapshot.keyframe_poses[:, :3, 3][snapshot.covisibility].reshape(-1, 2, 3), _COVISIBILITY, 1)


def _keyframes(snapshot: Snapshot, depth_m: float) -> Lines:
    pyramids = [frustum(pose, snapshot.camera, depth_m) for pose in snapshot.keyframe_poses]
    return _uniform(np.concatenate(pyramids) if pyramids else np.zeros((0, 2, 3)), _KEYFRAME, 1)


def _trajectory(positions_m: FloatArray) -> Lines:
    """Return the path, whose light grows towards the present."""
    segments = np.stack([positions_m[:-1], positions_m[1:]], axis=1).reshape(-1, 2, 3)
    age = np.floor(np.linspace(0.0, 1.0, len(segments)) ** 2 * 12) / 12  # few colours: they are drawn one by one
    return Lines(segments, blend(_TRAJECTORY_OLD, _TRAJECTORY_NEW, age), 2)


def _current_camera(snapshot: Snapshot, depth_m: float) -> Lines:
    pose = snapshot.world_from_camera
    segments = np.zeros((0, 2, 3)) if pose is None else frustum(pose.matrix(), snapshot.camera, depth_m)
    return _uniform(segments, STATE_COLOURS[snapshot.state], 2)


def _ground(points_m: Float32Array, snapshot: Snapshot, up: FloatArray, scale_m: float) -> Lines:
    """Return a grid of round spacing below the scene that fades into the background."""
    centre = current_position(snapshot)
    floor = float(np.percentile(points_m @ up, 3)) if len(points_m) else float(centre @ up) - 0.5 * scale_m
    across = np.cross(up, np.eye(3)[int(np.argmin(np.abs(up)))])
    axes = np.array([across / np.linalg.norm(across), np.cross(up, across / np.linalg.norm(across))])
    spacing = _round_number(0.45 * scale_m)
    cells, colours = _grid()
    middle = np.round(axes @ centre / spacing)
    return Lines((cells + middle) * spacing @ axes + floor * up, colours, 1)


@functools.cache
def _grid() -> tuple[FloatArray, Colours]:
    """Return the edges (S,2,2) of unit cells around the origin, and their colours (S,3)."""
    steps = np.arange(-_GRID_REACH, _GRID_REACH + 1)
    corners = np.stack(np.meshgrid(steps, steps, indexing="ij"), axis=-1).reshape(-1, 2)
    edges = np.concatenate([np.stack([corners, corners + step], axis=1) for step in np.eye(2)])
    share = np.clip(1.0 - np.linalg.norm(edges.mean(axis=1), axis=1) / _GRID_REACH, 0.0, 1.0)
    near = share > 0.02
    return edges[near], blend(BACKGROUND, _GRID, np.ceil(share[near] * 8) / 8)


def current_position(snapshot: Snapshot) -> FloatArray:
    """Return where the camera is (3,), or was last."""
    if snapshot.world_from_camera is not None:
        return snapshot.world_from_camera.translation_m
    return snapshot.trajectory_m[-1] if len(snapshot.trajectory_m) else np.zeros(3)


def _round_number(value: float) -> float:
    """Return the largest of 1, 2 and 5 times a power of ten that is not above `value`."""
    power = 10.0 ** np.floor(np.log10(value))
    return float(power * max(step for step in (1, 2, 5) if step * power <= value * (1 + 1e-9)))


def image_rgb(image: Image) -> Image:
    """Return an image (H,W) or (H,W,3) as RGB (H,W,3)."""
    return image if image.ndim == 3 else np.repeat(image[:, :, None], 3, axis=2)


@dataclass(frozen=True, slots=True, eq=False)
class Viewpoint:
    """Where the scene is looked at from: `eye_m`, `target_m` and `up`, each (3,) in the world."""

    eye_m: FloatArray
    target_m: FloatArray
    up: FloatArray

    def world_from_view(self) -> Pose:
        """Return the pose of the camera that looks so: x right, y down, z forward."""
        forward = self.target_m - self.eye_m
        forward = forward / np.linalg.norm(forward)
        right = np.cross(forward, self.up)
        right = right / np.linalg.norm(right)
        return Pose(np.column_stack([right, np.cross(forward, right), forward]), self.eye_m)


class Follower:
    """A calm viewpoint behind and above the current camera."""

    def __init__(self, calmness: float = 0.9) -> None:
        """`calmness` is the share of the last viewpoint that the next one keeps, in [0, 1)."""
        self._calmness = calmness
        self._last: Viewpoint | None = None
        self._forward = np.array([0.0, 0.0, 1.0])

    def look(self, snapshot: Snapshot, scene: Scene) -> Viewpoint:
        """Return the viewpoint for the newest snapshot; without a pose, that of the last one."""
        if snapshot.world_from_camera is not None:
            level = snapshot.world_from_camera.rotation[:, 2]
            level = level - (level @ scene.up) * scene.up
            if np.linalg.norm(level) > 0.2:  # looking straight up or down has no direction ahead
                self._forward = level / np.linalg.norm(level)
        at = current_position(snapshot)
        spread = (
            float(np.median(np.linalg.norm(snapshot.trajectory_m - at, axis=1))) if len(snapshot.trajectory_m) else 0.0
        )
        away = 1.3 * scene.scale_m + min(0.6 * spread, 1.6 * scene.scale_m)  # a path that is long is seen from further
        ahead = self._forward * away
        wanted = Viewpoint(at - ahead + 0.65 * away * scene.up, at + 0.35 * ahead, scene.up)
        self._last = wanted if self._last is None else _between(self._last, wanted, self._calmness)
        return self._last


def _between(first: Viewpoint, second: Viewpoint, share: float) -> Viewpoint:
    def mix(a: FloatArray, b: FloatArray) -> FloatArray:
        return share * a + (1.0 - share) * b

    return Viewpoint(mix(first.eye_m, second.eye_m), mix(first.target_m, second.target_m), mix(first.up, second.up))
