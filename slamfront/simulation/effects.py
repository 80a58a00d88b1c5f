"""What a real camera adds to a perfect image: noise, exposure, vignetting, motion blur, and a depth sensor's faults."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from slamfront.simulation.patterns import noise as smooth_noise
from slamfront.types import BoolArray, Float32Array, Image

_IMAGE, _DEPTH, _GAIN, _SPECKS = 1, 2, 3, 4  # streams of random numbers that must not repeat each other
# How long a camera keeps its gain before it jumps to another
_GAIN_S = 0.7


@dataclass(frozen=True, slots=True)
class Effects:
    """How imperfect the images are; zeros mean perfect.

    seed          the same seed and frame give the same noise
    noise         image noise: 1 is an indoor camera, 1.2 grey levels in black and 3.4 in white
    exposure      share by which brightness drifts up and down, 0.3 = +-30 %
    jumps         share by which the gain jumps, at once and anew every 0.7 s: 0.4 = to somewhere within +-40 %
    gamma         as exposure, for the exponent of the tone curve
    vignette      share of light lost in the corners
    blur_ms       exposure time, whose motion is averaged
    depth_noise   depth noise: 1 is a Kinect
    depth_holes   share of the depth image without a value, in patches, besides silhouettes
    depth_specks  share of single pixels without a value
    """

    seed: int = 0
    noise: float = 0.0
    exposure: float = 0.0
    jumps: float = 0.0
    gamma: float = 0.0
    vignette: float = 0.0
    blur_ms: float = 0.0
    depth_noise: float = 0.0
    depth_holes: float = 0.0
    depth_specks: float = 0.0

    def image(self, image: Float32Array, frame_id: int, time_s: float, side: int = 0) -> Image:
        """Return the uint8 image of a perfect one (0..255); `side` is 1 for the right camera.

        Noise has a constant part and a part whose variance grows with the light (Foi et al., "Practical
        Poissonian-Gaussian noise modeling", IEEE TIP 2008, Eq. 2).
        """
        result: NDArray[Any] = image
        if self.vignette:
            falloff = _falloff(image.shape[0], image.shape[1], self.vignette)
            result = result * (falloff[..., None] if image.ndim == 3 else falloff)
        if self.exposure:
            result = result * np.float32(1 + self.exposure * self._drift(time_s, 0))
        if self.jumps:
            result = result * np.float32(self._gain(time_s))
        if self.gamma:
            result = 255 * (np.clip(result, 0, 255) / 255) ** np.float32(1 + self.gamma * self._drift(time_s, 1))
        if self.noise:
            rng = np.random.default_rng([self.seed, _IMAGE, frame_id, side])
            deviation = self.noise * np.sqrt(1.2**2 + 0.04 * np.clip(result, 0, 255))
            result = result + deviation * rng.standard_normal(result.shape, np.float32)
        return np.clip(np.rint(result), 0, 255).astype(np.uint8)

    def depth(self, depth_m: Float32Array, frame_id: int) -> Float32Array:
        """Return a depth image as a sensor gives it, 0 = unknown.

        The axial noise of a Kinect is 0.0012 + 0.0019 (z - 0.4)^2 metres (Nguyen, Izadi and Lovell, "Modeling Kinect
        sensor noise for improved 3D reconstruction and tracking", 3DIMPVT 2012, Eq. 6).
        """
        rng = np.random.default_rng([self.seed, _DEPTH, frame_id])
        result = depth_m
        if self.depth_noise:
            deviation = self.depth_noise * (0.0012 + 0.0019 * (depth_m - 0.4) ** 2)
            noisy = depth_m + deviation * rng.standard_normal(depth_m.shape, np.float32)
            result = np.where((depth_m > 0) & (noisy > 0), noisy, 0).astype(np.float32)
        if self.depth_holes:
            height, width = depth_m.shape
            blobs = smooth_noise(rng, height, width, (height / 8, height / 8), 4)
            lost = blobs > np.quantile(blobs[::4, ::4], 1 - min(self.depth_holes, 1.0))
            result = np.where(lost | _jumps(depth_m), np.float32(0), result)
        if self.depth_specks:
            specks = np.random.default_rng([self.seed, _SPECKS, frame_id]).random(depth_m.shape) < self.depth_specks
            result = np.where(specks, np.float32(0), result)
        return result

    def _gain(self, time_s: float) -> float:
        """Return the gain, 1 at first, which stays for a while and then jumps."""
        period = int(time_s / _GAIN_S)
        if period == 0:
            return 1.0
        return float(1 + self.jumps * np.random.default_rng([self.seed, _GAIN, period]).uniform(-1, 1))

    def _drift(self, time_s: float, stream: int) -> float:
        """Return a slow drift in [-1, 1] that starts anywhere."""
        phases = np.random.default_rng([self.seed, stream]).uniform(0, 2 * np.pi, 2)
        slow, quick = np.sin(2 * np.pi * time_s / np.array([4.7, 1.9]) + phases)
        return float(0.6 * slow + 0.4 * quick)


def _falloff(height: int, width: int, share: float) -> Float32Array:
    """Return the light that reaches each pixel: it falls with the square of the radius, by `share` in the corners."""
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, width, dtype=np.float32)
    return (1 - share / 2 * (x * x + y * y)).astype(np.float32)


def _jumps(depth_m: Float32Array) -> BoolArray:
    """Return where depth jumps by more than 5 % to a neighbour: structured light is shadowed there."""
    neighbours = np.ones((3, 3), np.uint8)
    spread: Float32Array = cv2.dilate(depth_m, neighbours) - cv2.erode(depth_m, neighbours)
    return spread > 0.05 * depth_m
