"""What cameras and light do to images of synthetic shapes: blur, shadows, uneven light and noise, all seeded.

Nothing here moves a corner: blur is symmetric about each pixel, and shadows are too soft to have corners of their own.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from slamfront.types import Float32Array, Image


@dataclass(frozen=True, slots=True)
class ShapeEffects:
    """The most that an image may suffer; each effect has a random strength up to this, and occurs with `probability`.

    blur_px         standard deviation of Gaussian blur
    motion_px       length of linear motion blur
    contrast        share of the range of brightness that may be lost
    vignette        share of light lost in the corners
    shadow          share of light lost in a shadow
    noise           standard deviation of additive noise, grey levels
    speckle         standard deviation of multiplicative noise
    impulses        share of pixels that turn black or white
    """

    probability: float = 0.5
    blur_px: float = 1.3
    motion_px: float = 5.0
    contrast: float = 0.5
    vignette: float = 0.4
    shadow: float = 0.5
    noise: float = 15.0
    speckle: float = 0.12
    impulses: float = 0.01


DEFAULT_EFFECTS = ShapeEffects()
_FULL = ShapeEffects(1.0, 1.0, 3.0, 0.4, 0.4, 0.5, 35.0, 0.2, 0.03)


def augment(image: Image, rng: np.random.Generator, effects: ShapeEffects) -> Image:
    """Return an image (H,W) with random effects up to the given strengths."""

    def drawn(limit: float) -> float:
        return limit * rng.random() * (rng.random() < effects.probability)

    result = image.astype(np.float32)
    if contrast := drawn(effects.contrast):
        result = _stretched(result, rng, 1 - contrast)
    if blur := drawn(effects.blur_px):
        result = cv2.GaussianBlur(result, (0, 0), max(blur, 0.1))
    if (motion := drawn(effects.motion_px)) > 1:
        result = _moved(result, motion, rng.uniform(0, np.pi))
    result = _lit(result, rng, drawn(effects.vignette), drawn(effects.shadow))
    return _noisy(result, rng, drawn(effects.noise), drawn(effects.speckle), drawn(effects.impulses))


def corrupt(image: Image, rng: np.random.Generator, strength: float) -> Image:
    """Return an image (H,W) between itself at strength 0, all effects in full at 1, and nothing but noise at 2.

    The scale of noise is that of DeTone et al., "Toward Geometric Deep SLAM" (2017), section 5: images in between are
    linear blends.
    """
    full = _FULL
    blurred = _moved(
        cv2.GaussianBlur(image.astype(np.float32), (0, 0), full.blur_px), full.motion_px, rng.uniform(0, np.pi)
    )
    lit = _lit(_stretched(blurred, rng, 1 - full.contrast), rng, full.vignette, full.shadow)
    noisy = _noisy(lit, rng, full.noise, full.speckle, full.impulses).astype(np.float32)
    pure = np.clip(rng.normal(128, 60, image.shape), 0, 255).astype(np.float32)
    blend = (
        (1 - strength) * image + strength * noisy if strength <= 1 else (2 - strength) * noisy + (strength - 1) * pure
    )
    return np.clip(np.rint(blend), 0, 255).astype(np.uint8)


def _stretched(image: Float32Array, rng: np.random.Generator, share: float) -> Float32Array:
    """Return the image with a `share` of its range of brightness, moved anywhere within black and white."""
    low, high = float(image.min()), float(image.max())
    scale = share if high - low <= 255 * share else share * 255 / max(high - low, 1)
    scale = max(scale, share)
    start = rng.uniform(0, max(255 - scale * (high - low), 1e-3))
    return (image - np.float32(low)) * np.float32(scale) + np.float32(start)


def _moved(image: Float32Array, length_px: float, angle_rad: float) -> Float32Array:
    """Return the image with motion blur along a line whose middle is each pixel's centre."""
    radius = int(np.ceil(length_px / 2))
    kernel = np.zeros((2 * radius + 1, 2 * radius + 1), np.float32)
    half = length_px / 2 * np.array([np.cos(angle_rad), np.sin(angle_rad)])
    start, end = (np.rint((radius + s * half) * 256).astype(int) for s in (-1, 1))
    cv2.line(kernel, tuple(map(int, start)), tuple(map(int, end)), 1.0, 1, cv2.LINE_8, 8)
    # Rounding may favour one end; a kernel that is symmetric about its middle moves nothing.
    kernel += kernel[::-1, ::-1]
    return cv2.filter2D(image, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT_101)


def _lit(image: Float32Array, rng: np.random.Generator, vignette: float, shadow: float) -> Float32Array:
    height, width = image.shape
    if vignette:
        x, y = np.linspace(-1, 1, width, dtype=np.float32), np.linspace(-1, 1, height, dtype=np.float32)[:, None]
        image = image * (1 - np.float32(vignette / 2) * (x * x + y * y))
    if shadow:
        coarse = np.zeros((30, 40), np.float32)
        centre, axes = rng.uniform(0, 1, 2) * (40, 30), rng.uniform(4, 20, 2)
        angle = float(rng.uniform(0, 180))
        cv2.ellipse(coarse, (tuple(map(float, centre)), tuple(map(float, 2 * axes)), angle), 1.0, -1)
        soft = cv2.resize(cv2.GaussianBlur(coarse, (0, 0), 2.5), (width, height), interpolation=cv2.INTER_LINEAR)
        image = image * (1 - np.float32(shadow) * soft)
    return image


def _noisy(image: Float32Array, rng: np.random.Generator, noise: float, speckle: float, impulses: float) -> Image:
    if noise or speckle:
        deviation = np.sqrt(np.float32(noise**2) + np.float32(speckle**2) * image * image)
        image = image + deviation * rng.standard_normal(image.shape, np.float32)
    result = np.clip(np.rint(image), 0, 255).astype(np.uint8)
    if impulses:
        count = rng.poisson(impulses * result.size)
        result.flat[rng.integers(0, result.size, count)] = 255 * rng.integers(0, 2, count)
    return result
