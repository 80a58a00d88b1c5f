"""How landmarks' patches appear in a view."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from slamfront.geometry.camera import Camera
from slamfront.map import Landmarks
from slamfront.patches import inverses
from slamfront.types import BoolArray, FloatArray


def landmark_warps(
    landmarks: Landmarks,
    rows: NDArray[np.int64],
    anchor_rotations: FloatArray,
    anchor_positions_m: FloatArray,
    camera_from_world_rotation: FloatArray,
    camera_from_world_translation_m: FloatArray,
    camera: Camera,
    max_magnification: float,
) -> tuple[FloatArray, BoolArray]:
    """Return the warps (M,2,2) from image offsets to offsets in landmarks' patches, and which of them are usable.

    anchor_rotations (M,3,3), anchor_positions_m (M,3): world_from_camera of each landmark's anchor keyframe. A landmark
    is taken as a small plane parallel to the image plane of its anchor. A warp that shrinks or magnifies more
    than `max_magnification` is not usable.
    """
    positions = landmarks.positions_m[rows]
    in_anchor = np.einsum("nji,nj->ni", anchor_rotations, positions - anchor_positions_m)
    in_camera = positions @ camera_from_world_rotation.T + camera_from_world_translation_m
    camera_from_anchor = camera_from_world_rotation @ anchor_rotations
    z = np.maximum(in_camera[:, 2], 1e-6)
    # Moving by one pixel in the anchor moves the point by depth / f across its optical axis
    across = camera_from_anchor[:, :, :2] * (in_anchor[:, 2, None, None] / np.array([camera.fx, camera.fy]))
    slope = in_camera[:, :2] / z[:, None]
    image_from_patch = (across[:, :2] - slope[:, :, None] * across[:, 2:3]) / z[:, None, None]
    image_from_patch = image_from_patch * np.array([[camera.fx], [camera.fy]])
    patch_from_image, usable = inverses(image_from_patch, max_magnification)
    return patch_from_image, usable & (in_anchor[:, 2] > 0) & (in_camera[:, 2] > 0)
