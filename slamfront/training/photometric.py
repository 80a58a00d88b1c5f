"""Changes of light, sharpness and noise, by which the same place looks different."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import cv2
import numpy as np
from annotated_types import Interval

from slamfront.config import Settings, Share
from slamfront.types import Image


@dataclass(frozen=True)
class PhotometricConfig(Settings, section="data.light"):
    """How much an image's light, sharpness and noise change; each change is drawn evenly up to its bound."""

    brightness: Share = 0.2
    """Added, as a share of white."""
    contrast: Share = 0.5
    """Factor about the mean: from 1 - this to 1 + this."""
    gamma: Annotated[float, Interval(ge=1, le=10)] = 1.6
    """Exponent, from one over this to this."""
    shade: Share = 0.4
    """Lights and shadows that vary slowly over the image: darker or brighter by this share."""
    noise: Share = 0.04
    """Standard deviation of white noise, as a share of white."""
    blur_px: Annotated[float, Interval(ge=0, le=100)] = 1.2
    """Standard deviation of a Gaussian blur."""
    motion_px: Annotated[int, Interval(ge=0, le=100)] = 5
    """Length of a motion blur."""


def change_light(image: Image, rng: np.random.Generator, config: PhotometricConfig) -> Image:
    """Return an image (H,W), uint8, in another light, blurred and with noise; the same for the same `rng`."""
    picture = np.asarray(image, np.float32) * np.float32(1 / 255)
    if rng.random() < 0.5:
        picture = picture ** np.float32(np.exp(rng.uniform(-1, 1) * np.log(config.gamma)))
    mean = float(picture.mean())
    factor, offset = 1 + rng.uniform(-1, 1) * config.contrast, rng.uniform(-1, 1) * config.brightness
    picture = (picture - mean) * np.float32(factor) + np.float32(mean + offset)
    if rng.random() < 0.5:
        picture *= _shade(rng, (image.shape[1], image.shape[0]), config.shade)
    if rng.random() < 0.4:
        picture = cv2.GaussianBlur(picture, (0, 0), max(rng.uniform(0, config.blur_px), 0.1))
    if config.motion_px > 1 and rng.random() < 0.15:
        picture = cv2.filter2D(picture, -1, _streak(rng, config.motion_px))
    if rng.random() < 0.6:
        picture = picture + rng.standard_normal(picture.shape, np.float32) * np.float32(rng.uniform(0, config.noise))
    return np.asarray(np.clip(picture * 255 + 0.5, 0, 255), np.uint8)


def _shade(rng: np.random.Generator, size: tuple[int, int], strength: float) -> np.ndarray:
    coarse = 1 + rng.uniform(-strength, strength, (int(rng.integers(2, 6)), int(rng.integers(2, 6))))
    return np.asarray(cv2.resize(coarse.astype(np.float32), size, interpolation=cv2.INTER_CUBIC))


def _streak(rng: np.random.Generator, longest_px: int) -> np.ndarray:
    """Return the kernel of a straight motion, centred, so that nothing moves on the whole."""
    length, angle = rng.uniform(1, longest_px), rng.uniform(0, np.pi)
    side = longest_px // 2 * 2 + 3
    kernel = np.zeros((side, side), np.float32)
    for step in np.linspace(-length / 2, length / 2, 4 * side):
        x, y = side // 2 + step * np.cos(angle), side // 2 + step * np.sin(angle)
        kernel[round(y), round(x)] += 1
    return np.asarray((kernel + kernel[::-1, ::-1]) / (2 * kernel.sum()))
