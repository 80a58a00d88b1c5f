"""Camera models: pinhole, pinhole with radial-tangential distortion, Kannala-Brandt fisheye, rectified stereo.

Pixel (0, 0) is the centre of the top left pixel; axes are x right, y down, z forward.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from slamfront.errors import CalibrationError
from slamfront.geometry.pose import Pose

Array = NDArray[np.float64]
Model = Literal["pinhole", "radtan", "kb4"]

MAX_DISPARITY_OFFSET_PX = 1.0
"""A pair of images whose disparities are off by this much is not rectified."""
_DISTORTION_SIZES = {"pinhole": (0,), "radtan": (4, 5, 8), "kb4": (4,)}


@dataclass(frozen=True, slots=True)
class Camera:
    """A calibrated camera of one resolution.

    model       "pinhole", "radtan" (Brown-Conrady: k1 k2 p1 p2 [k3 [k4 k5 k6]], OpenCV's order) or "kb4"
                (Kannala-Brandt 2006, Eq. 6: k1..k4 on the angle)
    width, height   in pixels
    fx, fy, cx, cy  in pixels
    distortion  the model's coefficients, empty for "pinhole"
    baseline_m  distance to the rectified right camera (stereo), or None. The right camera's x is
                `x - fx * baseline_m / z`.
    readout_s   time from the exposure of the first row to that of the last; 0 = all at once (global shutter)
    depth_delay_s   how much later than the image a depth map is captured that has the image's time stamp; negative =
                earlier
    disparity_offset_px   by how much disparities are measured too large, since rectification is not exact
    """

    model: Model
    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    distortion: tuple[float, ...] = ()
    baseline_m: float | None = None
    readout_s: float = 0.0
    depth_delay_s: float = 0.0
    disparity_offset_px: float = 0.0

    def __post_init__(self) -> None:
        if self.model not in _DISTORTION_SIZES:
            raise CalibrationError(f"camera model '{self.model}' is unknown: use {', '.join(_DISTORTION_SIZES)}")
        if len(self.distortion) not in _DISTORTION_SIZES[self.model]:
            sizes = " or ".join(map(str, _DISTORTION_SIZES[self.model]))
            raise CalibrationError(f"{self.model} takes {sizes} distortion values, got {len(self.distortion)}")
        numbers = (self.fx, self.fy, self.cx, self.cy, *self.distortion)
        if not np.all(np.isfinite(numbers)) or min(self.fx, self.fy) <= 0 or min(self.width, self.height) <= 0:
            raise CalibrationError("a camera needs finite values, a positive size and positive focal lengths")
        if self.baseline_m is not None and not self.baseline_m > 0:
            raise CalibrationError(f"the stereo baseline must be positive, got {self.baseline_m}")
        if not 0 <= self.readout_s < 1:
            raise CalibrationError(f"the readout time must be from 0 to 1 s, got {self.readout_s}")
        if not -1 < self.depth_delay_s < 1:
            raise CalibrationError(f"the delay of depth must be from -1 to 1 s, got {self.depth_delay_s}")
        if not abs(self.disparity_offset_px) < MAX_DISPARITY_OFFSET_PX:
            limit = f"{MAX_DISPARITY_OFFSET_PX:g} px"
            raise CalibrationError(f"disparities must be off by less than {limit}, got {self.disparity_offset_px}")

    @property
    def matrix(self) -> Array:
        """The intrinsic matrix K (3,3)."""
        return np.array([[self.fx, 0.0, self.cx], [0.0, self.fy, self.cy], [0.0, 0.0, 1.0]])

    @property
    def disparity_times_depth(self) -> float:
        """fx times the baseline, in px m: disparity = this / depth. CalibrationError when there is no baseline."""
        if self.baseline_m is None:
            raise CalibrationError("this camera has no stereo baseline")
        return self.fx * self.baseline_m

    def project(self, points_m: ArrayLike) -> Array:
        """Return the pixels (N,2) of points (N,3) in the camera frame; NaN for points not in front of it."""
        points = np.asarray(points_m, dtype=np.float64)
        z = points[:, 2]
        with np.errstate(divide="ignore", invalid="ignore"):
            xy = np.where(z[:, None] > 0, points[:, :2] / z[:, None], np.nan)
        distorted = _DISTORT[self.model](xy, self.distortion)
        return distorted * (self.fx, self.fy) + (self.cx, self.cy)

    def unproject(self, pixels_xy: ArrayLike) -> Array:
        """Return the rays (N,3), with z = 1, of pixels (N,2); the inverse of `project` up to depth."""
        xy = self.normalized(pixels_xy)
        return np.column_stack([xy, np.ones(len(xy))])

    def normalized(self, pixels_xy: ArrayLike) -> Array:
        """Return the normalised coordinates (N,2) of pixels (N,2): their rays at z = 1, without z."""
        pixels = np.asarray(pixels_xy, dtype=np.float64).reshape(-1, 2)
        return _UNDISTORT[self.model]((pixels - (self.cx, self.cy)) / (self.fx, self.fy), self.distortion)

    def undistort(self, pixels_xy: ArrayLike) -> Array:
        """Return where the pixels (N,2) would lie in the ideal pinhole camera of the same K."""
        return self.normalized(pixels_xy) * (self.fx, self.fy) + (self.cx, self.cy)

    def pinhole(self) -> Camera:
        """Return the ideal pinhole camera with the same K and size."""
        return replace(self, model="pinhole", distortion=())

    def scaled(self, width: int, height: int) -> Camera:
        """Return this camera for the same view resampled to `width` x `height` pixels.

        The half-pixel terms keep pixel centres where resampling puts them.
        """
        sx, sy = width / self.width, height / self.height
        return replace(
            self,
            width=width,
            height=height,
            fx=self.fx * sx,
            fy=self.fy * sy,
            cx=(self.cx + 0.5) * sx - 0.5,
            cy=(self.cy + 0.5) * sy - 0.5,
            disparity_offset_px=self.disparity_offset_px * sx,
        )

    def contains(self, pixels_xy: Array, border_px: float = 0.0) -> NDArray[np.bool_]:
        """Return which pixels (N,2) lie inside the image, at least `border_px` from its edge; NaN is outside."""
        x, y = pixels_xy[:, 0], pixels_xy[:, 1]
        inside = (x >= border_px) & (x <= self.width - 1 - border_px)
        return inside & (y >= border_px) & (y <= self.height - 1 - border_px)

    def check(self, width: int, height: int) -> None:
        """Raise CalibrationError unless a frame of `width` x `height` belongs to this calibration."""
        if (width, height) != (self.width, self.height):
            raise CalibrationError(
                f"the calibration is for {self.width}x{self.height} but the frames are {width}x{height}: "
                "give the calibration of these frames, or resize them"
            )


@dataclass(frozen=True, slots=True)
class StereoRig:
    """Two calibrated cameras before rectification, and where the left one stands in the right one's frame."""

    left: Camera
    right: Camera
    right_from_left: Pose


def _distort_radtan(xy: Array, distortion: tuple[float, ...]) -> Array:
    """Apply Brown-Conrady distortion to normalised coordinates (N,2) (OpenCV's camera model, calib3d)."""
    k1, k2, p1, p2, k3, k4, k5, k6 = (*distortion, *(0.0,) * (8 - len(distortion)))
    x, y = xy[:, 0], xy[:, 1]
    r2 = x * x + y * y
    radial = (1 + r2 * (k1 + r2 * (k2 + r2 * k3))) / (1 + r2 * (k4 + r2 * (k5 + r2 * k6)))
    xd = x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x)
    yd = y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y
    return np.column_stack([xd, yd])


def _undistort_radtan(xy: Array, distortion: tuple[float, ...]) -> Array:
    """Invert `_distort_radtan` by Newton's method with a numeric Jacobian."""
    estimate = xy.copy()
    step = 1e-6
    for _ in range(12):
        error = _distort_radtan(estimate, distortion) - xy
        dx = (_distort_radtan(estimate + (step, 0.0), distortion) - xy - error) / step
        dy = (_distort_radtan(estimate + (0.0, step), distortion) - xy - error) / step
        determinant = dx[:, 0] * dy[:, 1] - dy[:, 0] * dx[:, 1]
        determinant = np.where(np.abs(determinant) < 1e-9, 1e-9, determinant)
        delta_x = (dy[:, 1] * error[:, 0] - dy[:, 0] * error[:, 1]) / determinant
        delta_y = (dx[:, 0] * error[:, 1] - dx[:, 1] * error[:, 0]) / determinant
        delta = np.column_stack([delta_x, delta_y])
        estimate = estimate - delta
        if not np.any(np.abs(delta) > 1e-12):
            break
    return estimate


def _distort_kb4(xy: Array, distortion: tuple[float, ...]) -> Array:
    """Apply the fisheye polynomial of the angle (Kannala and Brandt 2006, Eq. 6) to (N,2)."""
    k1, k2, k3, k4 = distortion
    r = np.hypot(xy[:, 0], xy[:, 1])
    theta = np.arctan(r)
    t2 = theta * theta
    distorted = theta * (1 + t2 * (k1 + t2 * (k2 + t2 * (k3 + t2 * k4))))
    return xy * np.where(r > 1e-12, distorted / np.maximum(r, 1e-12), 1.0)[:, None]


def _undistort_kb4(xy: Array, distortion: tuple[float, ...]) -> Array:
    """Invert `_distort_kb4` by Newton's method on the angle, which is kept below 90 degrees."""
    k1, k2, k3, k4 = distortion
    distorted = np.hypot(xy[:, 0], xy[:, 1])
    theta = np.minimum(distorted, np.pi / 2 - 1e-3)
    for _ in range(15):
        t2 = theta * theta
        value = theta * (1 + t2 * (k1 + t2 * (k2 + t2 * (k3 + t2 * k4)))) - distorted
        slope = 1 + t2 * (3 * k1 + t2 * (5 * k2 + t2 * (7 * k3 + t2 * 9 * k4)))
        theta = np.clip(theta - value / np.where(np.abs(slope) < 1e-9, 1e-9, slope), 0.0, np.pi / 2 - 1e-3)
    return xy * np.where(distorted > 1e-12, np.tan(theta) / np.maximum(distorted, 1e-12), 1.0)[:, None]


def _unchanged(xy: Array, _distortion: tuple[float, ...]) -> Array:
    return xy


_DISTORT = {"pinhole": _unchanged, "radtan": _distort_radtan, "kb4": _distort_kb4}
_UNDISTORT = {"pinhole": _unchanged, "radtan": _undistort_radtan, "kb4": _undistort_kb4}
