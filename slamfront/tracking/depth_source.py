"""How far away a pixel is: nothing (mono), a depth image, or a second camera.

All three answer with the x that the point has, or would have, in the right image, since the error of depth cameras
too is about constant in disparity. Khoshelham and Elberink 2012, Eq. 10, for structured light.
"""

from __future__ import annotations

from typing import Protocol

import cv2
import numpy as np

from slamfront.config import TrackerConfig
from slamfront.geometry.camera import Camera
from slamfront.imaging import at_pixels, grey, painted_over, well_inside
from slamfront.tracking.surface import SurfaceDepth
from slamfront.types import BoolArray, FloatArray, Frame, Sensor

# Windows of the search, and of the last step, px. Where both do not end at one place the wider shows two depths
_STEREO_WINDOW, _INNER_WINDOW = (13, 13), (7, 7)
_MAX_DISAGREEMENT_PX = 0.5
# Left to right and back again must end where it began, px
_MAX_RETURN_ERROR_PX = 0.7
_MAX_ROW_ERROR_PX = 1.0
# Of what rectification may be off by along rows: a hundredth or two of a degree
_OFFSET_SIGMA_PX = 0.2
# Deviation of structured light's depth as disparity: up to 4 cm at 5 m (Khoshelham and Elberink 2012), where a baseline
# of 8 cm and a focal length of 520 px make it 8.3 px; about smooth surfaces of fr1 and 7-Scenes it is .04 px
_DEPTH_NOISE_PX = 0.06


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

    # With a baseline of 8 cm this is 2 cm at 1.3 m: more than the sensor's own noise, since the depths around a pixel
    # differ, and a moving camera captures them before or after its image (measured by tools/depth_delay.py)
    disparity_sigma_px, measures, disparity_offset_px = 0.5, True, 0.0

    def __init__(self, depth_m: np.ndarray, camera: Camera, max_depth_m: float) -> None:
        self._surface = SurfaceDepth(depth_m, camera.disparity_times_depth, camera.fx, _DEPTH_NOISE_PX)
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

    disparity_sigma_px, measures = 0.4, True

    def __init__(
        self,
        left: np.ndarray,
        right: np.ndarray,
        camera: Camera,
        max_depth_baselines: float,
        right_mask: BoolArray | None = None,
    ) -> None:
        """Search grey images; `right_mask` (H,W) is True where the right one may be used, None = everywhere."""
        self._left, self._right, self.disparity_offset_px = left, right, camera.disparity_offset_px
        self._right_mask = None
        if right_mask is not None:
            self._right = painted_over(right, right_mask)
            self._right_mask = well_inside(right_mask, _STEREO_WINDOW[0])
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
        left, right = self._left, self._right
        options = {"winSize": _STEREO_WINDOW, "maxLevel": levels}
        around, good, _ = cv2.calcOpticalFlowPyrLK(left, right, left_xy, start, flags=flags, **options)
        options = {"winSize": _INNER_WINDOW, "flags": cv2.OPTFLOW_USE_INITIAL_FLOW}
        found, good_inside, _ = cv2.calcOpticalFlowPyrLK(left, right, left_xy, around.copy(), maxLevel=0, **options)
        back, good_back, _ = cv2.calcOpticalFlowPyrLK(right, left, found, left_xy.copy(), maxLevel=1, **options)
        around, found, back, left_xy = around[:, 0], found[:, 0], back[:, 0], left_xy[:, 0]
        agree = np.abs(found[:, 0] - around[:, 0]) < _MAX_DISAGREEMENT_PX
        returned = np.linalg.norm(back - left_xy, axis=1) < _MAX_RETURN_ERROR_PX
        level = np.abs(found[:, 1] - left_xy[:, 1]) < _MAX_ROW_ERROR_PX
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
        return DepthImageSource(depth_m, camera, config.max_depth_m)
    if sensor == "stereo" and frame.right is not None:
        left = grey(frame.image) if mask is None else painted_over(grey(frame.image), mask)
        return StereoDepthSource(left, grey(frame.right), camera, config.max_depth_baselines, frame.right_mask)
    return NoDepth()


def disparity_sigma_px(sensor: Sensor) -> float:
    """Return the standard deviation of the disparities that a sensor's frames tell, px."""
    if sensor == "stereo":
        return StereoDepthSource.disparity_sigma_px
    return DepthImageSource.disparity_sigma_px if sensor == "rgbd" else NoDepth.disparity_sigma_px


def disparity_offset_sigma_px(sensor: Sensor) -> float:
    """Return the standard deviation of what a sensor's disparities may be off by together, px; 0 = nothing."""
    return _OFFSET_SIGMA_PX if sensor == "stereo" else 0.0
