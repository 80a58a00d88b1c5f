"""How far away a pixel is: nothing (mono), a depth image, or a second camera.

All three answer with the x that the point has, or would have, in the right image, since the error of depth cameras
too is about constant in disparity. Khoshelham and Elberink 2012, Eq. 10, for structured light.
"""

from __future__ import annotations

from typing import Protocol

import cv2
import numpy as np

from slamfront.config import DepthConfig, TrackerConfig
from slamfront.geometry.camera import Camera
from slamfront.imaging import at_pixels, grey, painted_over, well_inside
from slamfront.tracking.surface import SurfaceDepth
from slamfront.types import BoolArray, FloatArray, Frame, Sensor


class DepthSource(Protocol):
    """Pixels to x in the right image; `disparity_offset_px` is what their disparities were lowered by."""

    disparity_sigma_px: float
    measures: bool
    disparity_offset_px: float

    def right_x(self, pixels_xy: FloatArray, expected_right_x: FloatArray | None) -> FloatArray:
        """Return x in the right image (N,) of pixels (N,2), NaN where unknown; `expected_right_x` says where to look
        first.
        """
        ...

    def near(self, depths_m: FloatArray) -> np.ndarray:
        """Return which depths (N,) are precise enough to start a landmark from one frame."""
        ...


class NoDepth:
    """One camera and nothing else."""

    disparity_sigma_px, measures, disparity_offset_px = 1.0, False, 0.0

    def right_x(self, pixels_xy: FloatArray, expected_right_x: FloatArray | None = None) -> FloatArray:
        """Return NaN for every pixel."""
        return np.full(len(pixels_xy), np.nan)

    def near(self, depths_m: FloatArray) -> np.ndarray:
        """Return False for every depth."""
        return np.zeros(len(depths_m), bool)


class DepthImageSource:
    """A registered depth image."""

    measures, disparity_offset_px = True, 0.0

    def __init__(self, depth_m: np.ndarray, camera: Camera, max_depth_m: float, config: DepthConfig) -> None:
        self._surface = SurfaceDepth(depth_m, camera.disparity_times_depth, camera.fx, config)
        self.disparity_sigma_px = config.rgbd_sigma_px
        self._max_depth_m = max_depth_m

    def right_x(self, pixels_xy: FloatArray, expected_right_x: FloatArray | None = None) -> FloatArray:
        """Return x in the virtual right image; NaN where the depths around say nothing, or lie on two surfaces."""
        disparities, sigmas_px = self._surface.at(pixels_xy)
        return pixels_xy[:, 0] - np.where(sigmas_px < self.disparity_sigma_px, disparities, np.nan)

    def near(self, depths_m: FloatArray) -> np.ndarray:
        """Return which depths are within the configured range."""
        return depths_m < self._max_depth_m


class StereoDepthSource:
    """A rectified pair, searched along rows by pyramidal Lucas-Kanade, left to right and back."""

    measures = True

    def __init__(
        self,
        left: np.ndarray,
        right: np.ndarray,
        camera: Camera,
        max_depth_baselines: float,
        config: DepthConfig,
        right_mask: BoolArray | None = None,
    ) -> None:
        """Search grey images; `right_mask` (H,W) is True where the right one may be used, None = everywhere."""
        self._left, self._right, self.disparity_offset_px = left, right, camera.disparity_offset_px
        self._config, self.disparity_sigma_px, self._right_mask = config, config.stereo_sigma_px, None
        if right_mask is not None:
            self._right = painted_over(right, right_mask)
            self._right_mask = well_inside(right_mask, config.window_px)
        assert camera.baseline_m is not None
        self._max_depth_m = max_depth_baselines * camera.baseline_m

    def right_x(self, pixels_xy: FloatArray, expected_right_x: FloatArray | None = None) -> FloatArray:
        """Return x in the right image, NaN where the search and its way back disagree."""
        if len(pixels_xy) == 0:
            return np.zeros(0)
        left_xy = pixels_xy.astype(np.float32)[:, None]
        start = left_xy.copy()
        levels, flags = 4, 0
        if expected_right_x is not None:
            known = np.isfinite(expected_right_x)
            start[known, 0, 0] = expected_right_x[known] - self.disparity_offset_px
            levels, flags = (1 if known.all() else 4), cv2.OPTFLOW_USE_INITIAL_FLOW
        left, right, config = self._left, self._right, self._config
        options = {"winSize": (config.window_px, config.window_px), "maxLevel": levels}
        around, good, _ = cv2.calcOpticalFlowPyrLK(left, right, left_xy, start, flags=flags, **options)
        options = {"winSize": (config.inner_window_px, config.inner_window_px), "flags": cv2.OPTFLOW_USE_INITIAL_FLOW}
        found, good_inside, _ = cv2.calcOpticalFlowPyrLK(left, right, left_xy, around.copy(), maxLevel=0, **options)
        back, good_back, _ = cv2.calcOpticalFlowPyrLK(right, left, found, left_xy.copy(), maxLevel=1, **options)
        around, found, back, left_xy = around[:, 0], found[:, 0], back[:, 0], left_xy[:, 0]
        agree = np.abs(found[:, 0] - around[:, 0]) < config.max_disagreement_px
        returned = np.linalg.norm(back - left_xy, axis=1) < config.max_return_error_px
        level = np.abs(found[:, 1] - left_xy[:, 1]) < config.max_row_error_px
        sound = (good & good_inside & good_back).ravel() > 0
        sound &= agree & returned & level & (found[:, 0] <= left_xy[:, 0])
        if self._right_mask is not None:
            sound &= at_pixels(self._right_mask, np.where(sound[:, None], found, 0.0))
        # A disparity below nought is noise of a far point, which keeps its direction alone
        return np.where(sound, found[:, 0] + self.disparity_offset_px, np.nan)

    def near(self, depths_m: FloatArray) -> np.ndarray:
        """Return which depths are within the configured number of baselines."""
        return depths_m < self._max_depth_m


def depth_source_of(frame: Frame, camera: Camera, sensor: Sensor, config: TrackerConfig) -> DepthSource:
    """Return what tells distances in this frame; a frame that lacks its second image or depth counts as monocular.

    camera  that of the frame, as the map knows it by now
    """
    mask = frame.mask
    if sensor == "rgbd" and frame.depth_m is not None:
        depth_m = frame.depth_m if mask is None else np.where(mask, frame.depth_m, np.float32(0))
        return DepthImageSource(depth_m, camera, config.max_depth_m, config.depth)
    if sensor == "stereo" and frame.right is not None:
        left = grey(frame.image) if mask is None else painted_over(grey(frame.image), mask)
        right = grey(frame.right)
        return StereoDepthSource(left, right, camera, config.max_depth_baselines, config.depth, frame.right_mask)
    return NoDepth()


def disparity_sigma_px(sensor: Sensor, config: DepthConfig) -> float:
    """Return the standard deviation of the disparities that a sensor's frames tell, px."""
    if sensor == "stereo":
        return config.stereo_sigma_px
    return config.rgbd_sigma_px if sensor == "rgbd" else NoDepth.disparity_sigma_px


def disparity_offset_sigma_px(sensor: Sensor, config: DepthConfig) -> float:
    """Return the standard deviation of what a sensor's disparities may be off by together, px; 0 = nothing."""
    return config.offset_sigma_px if sensor == "stereo" else 0.0
