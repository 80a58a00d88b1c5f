"""Changes of light, sharpness and noise, by which the same place looks different."""

from __future__ import annotations

import cv2
import numpy as np

from slamfront.training.recipe import PhotometricConfig
from slamfront.types import Image


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
    if config.vignette > 0 and rng.random() < 0.3:
        picture *= _vignette((image.shape[1], image.shape[0]), rng.uniform(0, config.vignette))
    if config.coarser > 1 and rng.random() < 0.2:
        picture = _coarser(picture, rng.uniform(1, config.coarser))
    if rng.random() < 0.4:
        picture = cv2.GaussianBlur(picture, (0, 0), max(rng.uniform(0, config.blur_px), 0.1))
    if config.motion_px > 1 and rng.random() < 0.15:
        picture = cv2.filter2D(picture, -1, _streak(rng, config.motion_px))
    if rng.random() < 0.6:
        picture = picture + rng.standard_normal(picture.shape, np.float32) * np.float32(rng.uniform(0, config.noise))
    taken = np.asarray(np.clip(picture * 255 + 0.5, 0, 255), np.uint8)
    return (
        _compressed(taken, int(rng.integers(config.jpeg, 100))) if config.jpeg < 100 and rng.random() < 0.4 else taken
    )


def _vignette(size: tuple[int, int], strength: float) -> np.ndarray:
    x, y = (np.linspace(-1, 1, side, dtype=np.float32) for side in size)
    return np.asarray(1 - np.float32(strength / 2) * (x**2 + y[:, None] ** 2))


def _coarser(picture: np.ndarray, factor: float) -> np.ndarray:
    height, width = picture.shape
    small = max(1, round(width / factor)), max(1, round(height / factor))
    coarse = cv2.resize(picture, small, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR))


def _compressed(image: Image, quality: int) -> Image:
    return np.asarray(cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], 0))


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
