"""A small software renderer for points and lines: no graphics library, no display, the same picture everywhere."""

from __future__ import annotations

import cv2
import numpy as np

from slamfront.geometry.camera import Camera
from slamfront.types import BoolArray, FloatArray, Image
from slamfront.viewer.scene import BACKGROUND, Colours, Lines, Scene, Viewpoint

_POINT_SIZE = 0.006  # radius of a point, in units of the scene's scale
_POINT_RADII_PX = (1.1, 2.0)
_FIELD_OF_VIEW_RAD = 1.0
_NEAR = 0.02  # nearest distance drawn, in units of the scene's scale
_SUBPIXEL_BITS = 3
_LARGEST_PX = 1e6  # beyond, fixed-point pixel coordinates would overflow


def render(scene: Scene, viewpoint: Viewpoint, width: int, height: int, centre_xy: tuple[float, float]) -> Image:
    """Return the RGB picture (height,width,3) of a scene; `centre_xy`, px, is where the viewpoint's target appears."""
    focal = 0.5 * height / np.tan(0.5 * _FIELD_OF_VIEW_RAD)
    camera = Camera("pinhole", width, height, focal, focal, *centre_xy)
    picture = np.empty((height, width, 3), np.uint8)
    picture[:] = np.tile(
        np.array(BACKGROUND, np.uint8), (width, 1)
    )  # row by row: a colour at a time is ten times slower
    view_from_world = viewpoint.world_from_view().inverse()
    near_m = _NEAR * scene.scale_m
    _draw_lines(picture, scene.ground, view_from_world.apply(scene.ground.segments_m), camera, near_m)
    _draw_points(picture, view_from_world.apply(scene.points_m), scene.colours, camera, scene.scale_m)
    for lines in scene.lines:
        _draw_lines(picture, lines, view_from_world.apply(lines.segments_m), camera, near_m)
    return picture


def _draw_points(picture: Image, points_m: FloatArray, colours: Colours, camera: Camera, scale_m: float) -> None:
    """Paint smooth discs that grow towards the viewer and fade into the background away from him.

    Where discs overlap, their colours are averaged with weights that favour the nearer: no sorting, no seams.
    """
    pixels = camera.project(points_m)
    reach = 2  # pixels around a point's own that a disc can touch
    seen = camera.contains(pixels, reach + 1) & (points_m[:, 2] > _NEAR * scale_m)
    if not seen.any():
        return
    depth, pixels = points_m[seen, 2].astype(np.float32) / scale_m, pixels[seen].astype(np.float32)
    nearest = np.round(pixels).astype(np.int32)
    offsets = np.stack(np.meshgrid(*[np.arange(-reach, reach + 1)] * 2), axis=-1).reshape(-1, 2)
    apart = (nearest - pixels)[:, None] + offsets.astype(np.float32)
    edge = np.clip(camera.fx * _POINT_SIZE / depth, *_POINT_RADII_PX)[:, None] + np.float32(0.5)
    cover = (edge - np.einsum("pod,pod->po", apart, apart) / edge).clip(0.0, 1.0)  # about edge - distance, at the rim
    point, offset = np.nonzero(cover)
    column, row = (nearest[point] + offsets[offset]).T
    pixel, place = np.unique(row * camera.width + column, return_inverse=True)
    alpha = cover[point, offset]
    opacity = np.minimum(np.bincount(place, alpha * np.exp(-np.maximum(depth - 2.5, 0.0) / 9.0)[point]), 1.0)
    weight = alpha / depth[point] ** 2
    total = np.bincount(place, weight)
    canvas = picture.reshape(-1, 3)
    for channel in range(3):
        colour = np.bincount(place, weight * colours[seen, channel][point]) / total
        canvas[pixel, channel] = opacity * colour + (1.0 - opacity) * canvas[pixel, channel]


def _draw_lines(picture: Image, lines: Lines, segments_m: FloatArray, camera: Camera, near_m: float) -> None:
    segments, kept = _clip_near(segments_m, near_m)
    pixels = camera.project(segments.reshape(-1, 3)).reshape(-1, 2, 2)
    drawable = (np.abs(pixels) < _LARGEST_PX).all(axis=(1, 2))
    fixed = np.round(pixels[drawable] * (1 << _SUBPIXEL_BITS)).astype(np.int32)
    colours = lines.colours[kept][drawable]
    codes = colours @ np.array([1 << 16, 1 << 8, 1])
    for code in np.unique(codes).tolist():
        colour = (code >> 16, (code >> 8) & 255, code & 255)
        cv2.polylines(picture, list(fixed[codes == code]), False, colour, lines.width_px, cv2.LINE_AA, _SUBPIXEL_BITS)


def _clip_near(segments_m: FloatArray, near_m: float) -> tuple[FloatArray, BoolArray]:
    """Return the parts of segments (S,2,3) beyond the near plane, and which segments (S,) have one."""
    z = segments_m[:, :, 2]
    kept = np.asarray((z > near_m).any(axis=1) & np.isfinite(segments_m).all(axis=(1, 2)), bool)
    clipped = segments_m[kept].copy()
    for end in (0, 1):
        this, other = clipped[:, end], clipped[:, 1 - end]
        behind = this[:, 2] <= near_m
        share = (near_m - this[behind, 2]) / (other[behind, 2] - this[behind, 2])
        clipped[behind, end] = this[behind] + share[:, None] * (other[behind] - this[behind])
        clipped[behind, end, 2] = near_m * 1.0000001
    return clipped, kept
