"""Frames of real lenses turned into those of ideal pinhole cameras, which is all that the front end knows.

A new image has the old focal length, so the resolution stays; it is enlarged only where more than EMPTY of its pixels
would fall outside the old image. Pixels that are outside repeat the nearest edge, which makes no corner to track as a
black border would; their depth is unknown.
"""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from slamfront.calibration import Calibration
from slamfront.errors import CalibrationError
from slamfront.geometry.camera import Camera, StereoRig
from slamfront.geometry.pose import Pose
from slamfront.protocols import Source
from slamfront.sources.wrappers import ChangedMask, Wrapper
from slamfront.types import BoolArray, Float32Array, Frame, Image, Trajectory

Array = NDArray[np.float64]

EMPTY = 0.02
"""Largest share of a rectified image's pixels that may lie outside the original."""


def rectified(source: Source, calibration: Calibration) -> Source:
    """Return the source with ideal pinhole frames, and for a StereoRig with rows that correspond.

    `calibration` is that of the source's frames. One camera keeps its axes. A pair is turned into a common frame, x
    along the baseline; the reference, which holds for the left camera as it was, is turned along, so that it stays the
    truth of the frames' camera. An ideal source comes back untouched. Raises CalibrationError for a pair that is not
    side by side.
    """
    if isinstance(calibration, StereoRig):
        return _RectifiedPair(source, calibration)
    return source if calibration.model == "pinhole" else _Undistorted(source, calibration)


class Remap:
    """Resamples images of `camera` as the pinhole `target` sees them whose axes are `target_from_camera` (3,3).

    The map is computed once, in fixed point: 1/32 of a pixel.
    """

    def __init__(self, camera: Camera, target: Camera, target_from_camera: Array) -> None:
        x, y = np.meshgrid(np.arange(target.width, dtype=np.float64), np.arange(target.height, dtype=np.float64))
        pixels = _source_pixels(camera, target, target_from_camera, np.column_stack([x.ravel(), y.ravel()]))
        # Rays behind the camera have no pixel: they are sent far outside, within the range of the fixed point map.
        pixels = np.clip(np.where(np.isnan(pixels), -1e4, pixels), -1e4, 3e4).astype(np.float32)
        x, y = np.moveaxis(pixels.reshape(target.height, target.width, 2), 2, 0).copy()
        self._linear = cv2.convertMaps(x, y, cv2.CV_16SC2)
        self._nearest = cv2.convertMaps(x, y, cv2.CV_16SC2, nninterpolation=True)

    def image(self, image: Image) -> Image:
        """Return the image (H,W) or (H,W,3), interpolated linearly."""
        return cast(Image, cv2.remap(image, *self._linear, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))

    def depth(self, depth_m: Float32Array) -> Float32Array:
        """Return the depth map (H,W) of a camera that keeps its axes, by nearest value; 0 outside."""
        return cast(Float32Array, cv2.remap(depth_m, *self._nearest, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT))

    def mask(self, mask: BoolArray) -> BoolArray:
        """Return the mask (H,W) by nearest value; a pixel that repeats an edge is as usable as the edge is."""
        nearest = cv2.remap(mask.view(np.uint8), *self._nearest, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(nearest > 0)


class _Undistorted(Wrapper):
    """One camera without its distortion."""

    def __init__(self, source: Source, calibration: Camera) -> None:
        super().__init__(source)
        same_axes = np.eye(3)
        self._camera = _enlarged(calibration.pinhole(), [(calibration, same_axes)])
        self._remap = Remap(calibration, self._camera, same_axes)
        self._mask = ChangedMask(self._remap.mask)

    @property
    def camera(self) -> Camera:
        return self._camera

    def take(self, frame: Frame) -> Frame:
        depth_m = None if frame.depth_m is None else self._remap.depth(frame.depth_m)
        image, mask = self._remap.image(frame.image), self._mask(frame.mask)
        return replace(frame, camera=self._camera, image=image, depth_m=depth_m, mask=mask)


class _RectifiedPair(Wrapper):
    """Two cameras turned into one frame."""

    def __init__(self, source: Source, rig: StereoRig) -> None:
        super().__init__(source)
        self._camera, self._rotation, right_rotation = rectify_rig(rig)
        self._left = Remap(rig.left, self._camera, self._rotation)
        self._right = Remap(rig.right, self._camera, right_rotation)
        self._masks = ChangedMask(self._left.mask), ChangedMask(self._right.mask)

    @property
    def camera(self) -> Camera:
        return self._camera

    @property
    def reference(self) -> Trajectory | None:
        truth = self._source.reference
        if truth is None:
            return None
        left_from_rectified = Pose(self._rotation.T, np.zeros(3))
        poses = [truth.pose(row) @ left_from_rectified for row in range(len(truth))]
        return Trajectory.from_poses(truth.times_ns, poses)

    def take(self, frame: Frame) -> Frame:
        right = None if frame.right is None else self._right.image(frame.right)
        mask, right_mask = self._masks[0](frame.mask), self._masks[1](frame.right_mask)
        image = self._left.image(frame.image)
        return replace(frame, camera=self._camera, image=image, right=right, mask=mask, right_mask=right_mask)


def rectify_rig(rig: StereoRig) -> tuple[Camera, Array, Array]:
    """Return the rectified camera, and the rotations (3,3) into its axes from the left and from the right camera.

    The new x axis runs along the baseline, the new z axis as near as it can to the mean of the old ones (Fusiello et
    al., "A compact algorithm for rectification of stereo pairs", 2000, Sec. 3.1). The principal point is common to
    both, so that points at infinity have no disparity, and puts the centres of the old images in the middle of the new
    one.
    """
    left_from_right = rig.right_from_left.inverse()
    baseline = left_from_right.translation_m
    if baseline[0] <= abs(baseline[1]) or baseline[0] <= abs(baseline[2]):
        raise CalibrationError(
            "the second camera must be to the right of the first, side by side, but it is at "
            f"x {baseline[0]:.3f}, y {baseline[1]:.3f}, z {baseline[2]:.3f} m"
        )
    x = baseline / np.linalg.norm(baseline)
    y = np.cross(np.array([0.0, 0.0, 1.0]) + left_from_right.rotation[:, 2], x)
    y /= np.linalg.norm(y)
    from_left = np.stack([x, y, np.cross(x, y)])
    from_right = from_left @ left_from_right.rotation
    sides = [(rig.left, from_left), (rig.right, from_right)]
    focal = float(np.mean([value for camera, _ in sides for value in (camera.fx, camera.fy)]))
    ideal = Camera(
        "pinhole", rig.left.width, rig.left.height, focal, focal, 0.0, 0.0, (), float(np.linalg.norm(baseline))
    )
    return _enlarged(_centred(ideal, sides), sides), from_left, from_right


def _centred(target: Camera, sides: list[tuple[Camera, Array]]) -> Camera:
    """Return `target` with the principal point that shows the old images' centres in the middle on the average."""
    middle = np.array([(target.width - 1) / 2, (target.height - 1) / 2])
    offsets = []
    for camera, target_from_camera in sides:
        ray = target_from_camera @ camera.unproject([[(camera.width - 1) / 2, (camera.height - 1) / 2]])[0]
        offsets.append(middle - target.fx * ray[:2] / ray[2])
    cx, cy = np.mean(offsets, axis=0)
    return replace(target, cx=float(cx), cy=float(cy))


def _enlarged(target: Camera, sides: list[tuple[Camera, Array]]) -> Camera:
    """Return `target` with the focal length enlarged about the middle until at most EMPTY of its pixels are outside."""
    for zoom in np.arange(1.0, 2.0, 0.01):
        camera = _zoomed(target, float(zoom))
        if max(_empty_share(source, camera, rotation) for source, rotation in sides) <= EMPTY:
            return camera
    raise CalibrationError("undistorting leaves most of the image empty: the distortion does not fit these frames")


def _zoomed(camera: Camera, zoom: float) -> Camera:
    x, y = (camera.width - 1) / 2, (camera.height - 1) / 2
    return replace(
        camera,
        fx=camera.fx * zoom,
        fy=camera.fy * zoom,
        cx=x + (camera.cx - x) * zoom,
        cy=y + (camera.cy - y) * zoom,
    )


def _empty_share(camera: Camera, target: Camera, target_from_camera: Array) -> float:
    """Return the share of the target's pixels that lie outside the original image, on a grid of 64 x 64."""
    x, y = np.meshgrid(np.linspace(0, target.width - 1, 64), np.linspace(0, target.height - 1, 64))
    pixels = _source_pixels(camera, target, target_from_camera, np.column_stack([x.ravel(), y.ravel()]))
    return float(np.mean(~camera.contains(pixels, -0.5)))


def _source_pixels(camera: Camera, target: Camera, target_from_camera: Array, pixels_xy: Array) -> Array:
    """Return where the target's pixels (N,2) lie in the original image; NaN behind the camera."""
    return camera.project(target.unproject(pixels_xy) @ target_from_camera)
