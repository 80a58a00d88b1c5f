"""The map as a COLMAP text model: cameras.txt, images.txt and points3D.txt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from slamfront.geometry.camera import Camera
from slamfront.sinks.cloud import rgb_colours
from slamfront.types import FloatArray, IntArray, KeyFrame
from slamfront.writing import write_atomically

_PIXEL_CENTRE = 0.5
"""COLMAP's pixel (0, 0) is the corner of the first pixel; ours is its centre."""


@dataclass(frozen=True, slots=True, eq=False)
class _Observations:
    """M observations in order of their landmarks: row of the landmark, COLMAP's image id, keypoint, error in px."""

    landmark_rows: IntArray
    image_ids: IntArray
    keypoints: IntArray
    errors_px: FloatArray


def write_colmap(
    folder: Path,
    camera: Camera,
    keyframes: Sequence[KeyFrame],
    landmark_ids: IntArray,
    landmarks_m: FloatArray,
    colours: NDArray[np.uint8],
    names: Sequence[str] | None = None,
) -> None:
    """Write keyframes and landmarks as a COLMAP text model into a folder.

    camera        the pinhole camera of the keyframes' keypoints
    landmark_ids  int64 (L,) unique; landmarks_m (L,3) in the world; colours uint8 (L,) grey or (L,3) RGB
    names         file names of the keyframes' images, by default `000042.png` for keyframe 42

    COLMAP's ids are ours plus one. Observations of landmarks that are not given count as unmatched keypoints, and
    landmarks that no keyframe observes are left out. Raises OutputError.
    """
    names = names if names is not None else [f"{keyframe.id:06d}.png" for keyframe in keyframes]
    row_of = {landmark: row for row, landmark in enumerate(landmark_ids.tolist())}
    rows = [np.array([row_of.get(i, -1) for i in keyframe.landmark_ids.tolist()], np.int64) for keyframe in keyframes]
    observations = _gather(camera, keyframes, rows, landmarks_m)
    write_atomically(folder / "cameras.txt", _cameras(camera))
    write_atomically(folder / "images.txt", _images(keyframes, names, rows, landmark_ids))
    write_atomically(folder / "points3D.txt", _points(observations, landmark_ids, landmarks_m, rgb_colours(colours)))


def _gather(
    camera: Camera, keyframes: Sequence[KeyFrame], rows: list[IntArray], landmarks_m: FloatArray
) -> _Observations:
    parts: list[tuple[IntArray, IntArray, IntArray, FloatArray]] = []
    for keyframe, landmark_rows in zip(keyframes, rows):
        keypoints = np.flatnonzero(landmark_rows >= 0)
        seen = landmark_rows[keypoints]
        projected = camera.project(keyframe.world_from_camera.inverse().apply(landmarks_m[seen]))
        errors_px = np.linalg.norm(projected - keyframe.features.keypoints_xy[keypoints], axis=1)
        parts.append((seen, np.full(len(seen), keyframe.id + 1), keypoints, errors_px))
    if not parts:
        none = np.zeros(0, np.int64)
        return _Observations(none, none, none, np.zeros(0))
    landmark_rows, image_ids, keypoints, errors_px = (np.concatenate(columns) for columns in zip(*parts))
    order = np.argsort(landmark_rows, kind="stable")
    return _Observations(landmark_rows[order], image_ids[order], keypoints[order], errors_px[order])


def _cameras(camera: Camera) -> str:
    cx, cy = camera.cx + _PIXEL_CENTRE, camera.cy + _PIXEL_CENTRE
    parameters = " ".join(f"{value:.9g}" for value in (camera.fx, camera.fy, cx, cy))
    return f"# CAMERA_ID MODEL WIDTH HEIGHT fx fy cx cy\n1 PINHOLE {camera.width} {camera.height} {parameters}\n"


def _images(keyframes: Sequence[KeyFrame], names: Sequence[str], rows: list[IntArray], landmark_ids: IntArray) -> str:
    lines = ["# IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME (camera_from_world)", "# X Y POINT3D_ID ..."]
    for keyframe, name, landmark_rows in zip(keyframes, names, rows):
        pose = keyframe.world_from_camera.inverse()
        x, y, z, w = pose.quaternion_xyzw().tolist()
        values = " ".join(f"{value:.12g}" for value in (w, x, y, z, *pose.translation_m.tolist()))
        lines.append(f"{keyframe.id + 1} {values} 1 {name}")
        points = [landmark_ids[row] + 1 if row >= 0 else -1 for row in landmark_rows.tolist()]
        pixels = (keyframe.features.keypoints_xy.astype(np.float64) + _PIXEL_CENTRE).tolist()
        lines.append(" ".join(f"{u:.3f} {v:.3f} {point}" for (u, v), point in zip(pixels, points)))
    return "\n".join(lines) + "\n"


def _points(
    observations: _Observations, landmark_ids: IntArray, landmarks_m: FloatArray, colours: NDArray[np.uint8]
) -> str:
    lines = ["# POINT3D_ID X Y Z R G B ERROR_PX (IMAGE_ID POINT2D_INDEX) ..."]
    observed, starts = np.unique(observations.landmark_rows, return_index=True)
    ends = [*starts[1:].tolist(), len(observations.landmark_rows)]
    for row, start, end in zip(observed.tolist(), starts.tolist(), ends):
        position = " ".join(f"{value:.9g}" for value in landmarks_m[row].tolist())
        colour = " ".join(map(str, colours[row].tolist()))
        track = zip(observations.image_ids[start:end].tolist(), observations.keypoints[start:end].tolist())
        error_px = np.nan_to_num(observations.errors_px[start:end], nan=0.0).mean()
        places = " ".join(f"{image} {keypoint}" for image, keypoint in track)
        lines.append(f"{landmark_ids[row] + 1} {position} {colour} {error_px:.4f} {places}")
    return "\n".join(lines) + "\n"
