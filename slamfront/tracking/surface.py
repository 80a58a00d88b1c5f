"""Depth at a place in an image, from the valid pixels around it that lie on one surface.

On a plane inverse depth is linear in the pixel, so that missing pixels cost precision and add no bias; and the error of
depth cameras is about constant in inverse depth (Khoshelham and Elberink, "Accuracy and resolution of Kinect depth data
for indoor mapping applications", Sensors 2012, Eq. 10).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from slamfront.config import DepthConfig
from slamfront.solve.statistics import MAD_TO_SIGMA
from slamfront.types import BoolArray, FloatArray, IntArray

# Pixels up to this far around are looked at, counting less the farther away they are
_RADIUS = 2
# Rounds in which pixels off the surface lose weight (Geman and McClure), beyond `outlier_sigmas`
_ROUNDS = 3
# Places along each side of an image that tell how noisy it is
_SAMPLES = 12

_Y, _X = (d.ravel() for d in np.mgrid[-_RADIUS : _RADIUS + 1, -_RADIUS : _RADIUS + 1])
_PLANE = np.stack([np.ones(_X.size), _X, _Y], 1)
_PRODUCTS = (_PLANE[:, :, None] * _PLANE[:, None, :]).reshape(-1, 9)


class SurfaceDepth:
    """A depth image (H,W), m, 0 or not finite where unknown, to be asked for disparities.

    disparity_times_depth  px m, what a disparity is times its depth
    focal_px               the focal length
    noise_px               deviation of a pixel's depth, as disparity: `config`'s, or more where the image shows more
    """

    def __init__(
        self,
        depth_m: NDArray[np.floating[Any]],
        disparity_times_depth: float,
        focal_px: float,
        config: DepthConfig,
    ) -> None:
        self._depth_m, self._disparity_times_depth, self._focal_px = depth_m, disparity_times_depth, focal_px
        self._config, self.noise_px = config, config.rgbd_noise_px
        self.noise_px = max(self.noise_px, self._shown_noise_px())

    def at(self, pixels_xy: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the disparities (N,) at pixels (N,2), and their deviations (N,), px.

        Both are NaN where too few depths are known around, where they lie to one side, or on more than one surface.
        """
        middles, beside = _nearest(pixels_xy)
        values = self._around(middles)
        all_near = _nearness(beside, self._config.surface_sigma_px) * self._contains(middles)
        near = all_near * (values > 0)
        total = np.maximum(near.sum(1), 1e-12)
        planes, covariances, errors = self._fitted(values, near)
        elsewhere = (near * (np.abs(errors) > self._config.outlier_sigmas * self.noise_px)).sum(1) / total
        away_px = np.linalg.norm(_middles(near) - _middles(all_near), axis=1)
        here = np.concatenate([np.ones((len(near), 1)), beside], 1)
        disparities = np.einsum("ni,ni->n", here, planes)
        variances = np.einsum("ni,nij,nj->n", here, covariances, here)
        sound = (np.count_nonzero(values, axis=1) >= self._config.min_pixels) & (disparities > 0)
        sound &= (elsewhere <= self._config.max_elsewhere) & (away_px <= self._config.max_off_centre_px)
        return np.where(sound, disparities, np.nan), np.where(sound, self.noise_px * np.sqrt(variances), np.nan)

    def _around(self, middles: IntArray) -> FloatArray:
        """Return the disparities (N,25) of the pixels around some (N,2), 0 where unknown."""
        height, width = self._depth_m.shape
        x, y = np.clip(middles[:, :1] + _X, 0, width - 1), np.clip(middles[:, 1:] + _Y, 0, height - 1)
        depth_m = self._depth_m[y, x].astype(np.float64)
        known = self._contains(middles) & (depth_m > 0) & np.isfinite(depth_m)
        return np.asarray(np.divide(self._disparity_times_depth, depth_m, out=np.zeros(x.shape), where=known))

    def _contains(self, middles: IntArray) -> BoolArray:
        """Return which of the pixels around some (N,2) the image has, (N,25)."""
        height, width = self._depth_m.shape
        x, y = middles[:, :1] + _X, middles[:, 1:] + _Y
        return np.asarray((x >= 0) & (x < width) & (y >= 0) & (y < height))

    def _fitted(self, values: FloatArray, near: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return planes (N,3), disparity and slopes in the middle of values (N,25) with weights, their covariances
        (N,3,3) for a noise of 1, and how far each value is off, (N,25).

        Iteratively reweighted least squares, with a prior on the slopes.
        """
        typical = _weighted_median(values, near)[:, None]
        slope_px = np.maximum(self._config.slant / self._focal_px * typical, 1e-9)
        prior = np.zeros((len(near), 3, 3))
        prior[:, 0, 0] = 1e-12  # where nothing is known there is still a solution
        prior[:, 1, 1] = prior[:, 2, 2] = (self.noise_px / slope_px[:, 0]) ** 2
        # At first a value may be off by as much as surfaces slant
        errors, scale_px = values - typical, np.hypot(self.noise_px, slope_px * np.hypot(_X, _Y))
        for _ in range(_ROUNDS):
            weights = near / (1 + (errors / (self._config.outlier_sigmas * scale_px)) ** 2) ** 2
            inverse = np.linalg.inv((weights @ _PRODUCTS).reshape(-1, 3, 3) + prior)
            planes = np.einsum("nij,nj->ni", inverse, (weights * values) @ _PLANE)
            errors, scale_px = values - planes @ _PLANE.T, np.full_like(near, self.noise_px)
        # All values are equally noisy, whatever they count for being near
        covariances = inverse @ ((weights**2 @ _PRODUCTS).reshape(-1, 3, 3) + prior) @ inverse
        return planes, covariances, errors

    def _shown_noise_px(self) -> float:
        """Return the deviation of disparities about smooth surfaces over the image, 0 where it shows none."""
        height, width = self._depth_m.shape
        middles = np.meshgrid(np.linspace(0, width - 1, _SAMPLES), np.linspace(0, height - 1, _SAMPLES))
        values = self._around(np.rint(np.stack([m.ravel() for m in middles], 1)).astype(np.int64))
        values = values[np.count_nonzero(values, axis=1) > 2 * self._config.min_pixels]
        near = _nearness(np.zeros((len(values), 2)), self._config.surface_sigma_px) * (values > 0)
        errors = np.abs(self._fitted(values, near)[2])[values > 0]
        return MAD_TO_SIGMA * float(np.median(errors)) if len(errors) else 0.0


def _nearest(pixels_xy: FloatArray) -> tuple[IntArray, FloatArray]:
    """Return the whole pixels (N,2) nearest to places, and how far these lie beside them, (N,2)."""
    middles = np.rint(pixels_xy).astype(np.int64)
    return middles, pixels_xy - middles


def _nearness(beside: FloatArray, sigma_px: float) -> FloatArray:
    """Return what pixels around places count, (N,25), that lie `beside` (N,2) the middle one."""
    squares = (_X - beside[:, :1]) ** 2 + (_Y - beside[:, 1:]) ** 2
    return np.asarray(np.exp(-0.5 / sigma_px**2 * squares))


def _middles(weights: FloatArray) -> FloatArray:
    """Return the middles (N,2) of pixels with weights (N,25)."""
    return np.asarray(weights @ _PLANE[:, 1:] / np.maximum(weights.sum(1), 1e-12)[:, None])


def _weighted_median(values: FloatArray, weights: FloatArray) -> FloatArray:
    """Return the medians (N,) of values (N,P) with weights."""
    order = np.argsort(values, axis=1)
    total = np.cumsum(np.take_along_axis(weights, order, 1), 1)
    pick = np.argmax(total >= 0.5 * total[:, -1:], axis=1)[:, None]
    return np.take_along_axis(values, np.take_along_axis(order, pick, 1), 1)[:, 0]
