"""Light of few paths made even: it varies slowly over a surface, while the surface's picture is known exactly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from slamfront.types import Float32Array

_RAYS = 8
_LEVELS = 5
_KERNEL = (1 / 16, 1 / 4, 3 / 8, 1 / 4, 1 / 16)
_NORMAL_POWER = 32
_RELATIVE_DEPTH = 0.02
# Light may differ by this many standard deviations of its own noise between places that are averaged.
_NOISE = 3.0
_SPARK = 4.0
# Light is compared by its logarithm, but for light much darker than this share of the median.
_TOE = 10.0


@dataclass(frozen=True, eq=False)
class Guides:
    """What is seen of surfaces.

    reflectance (H,W), glowing: (H,W) share of lamps, normals (H,W,3), inverse_depth: (H,W) along rays, 1/m.
    """

    reflectance: Float32Array
    glowing: Float32Array
    normals: Float32Array
    inverse_depth: Float32Array


def seen_surfaces(mi: Any, scene: Any, sensor: Any, size: tuple[int, int], seed: int) -> Guides:
    """Return the mean over many rays through each pixel of an image (w, h) of what they meet first."""
    width, height = size
    total = np.zeros((height * width, 6), np.float32)
    index = mi.UInt32(np.arange(width * height, dtype=np.uint32))
    for number in range(_RAYS):
        sampler = mi.load_dict({"type": "independent"})
        sampler.seed(seed * _RAYS + number, width * height)
        jitter = mi.Vector2f(mi.Float(index % width), mi.Float(index // width)) + sampler.next_2d()
        place = jitter / mi.ScalarVector2f(width, height)
        ray, _ = sensor.sample_ray(0.0, sampler.next_1d(), place, sampler.next_2d())
        met = scene.ray_intersect(ray)
        reflectance = met.bsdf().eval_diffuse_reflectance(met, met.is_valid())[0]
        glowing = mi.Float(met.shape.is_emitter() & met.is_valid())
        near = 1 / met.t  # 0 where nothing is met
        columns = (reflectance, glowing, met.sh_frame.n.x, met.sh_frame.n.y, met.sh_frame.n.z, near)
        total += np.stack([np.array(column, np.float32) for column in columns], axis=1)
    mean = np.nan_to_num(total / np.float32(_RAYS), posinf=0.0).reshape(height, width, 6).astype(np.float32)
    return Guides(mean[..., 0], mean[..., 1], mean[..., 2:5], mean[..., 5])


def smoothed_light(light: Float32Array, guides: Guides) -> Float32Array:
    """Return light (H,W), divided by what surfaces reflect, averaged over places of one surface that are lit alike.

    An edge-avoiding a-trous transform (Dammertz et al., "Edge-Avoiding A-Trous Wavelet Transform for fast Global
    Illumination Filtering", HPG 2010), whose edges are those of the surfaces and of the light, as far as that rises
    above its noise (after Schied et al., "Spatiotemporal Variance-Guided Filtering", HPG 2017).
    """
    # A single path that happened on a lamp is no light of its surroundings.
    light = np.minimum(light, _SPARK * cv2.medianBlur(light, 5) + 0.02 * float(light.mean()))
    value = np.log1p(light * _TOE / max(float(np.median(light)), 1e-6))
    mean = cv2.blur(value, (7, 7))
    variance = np.maximum(cv2.blur(value * value, (7, 7)) - mean * mean, 1e-6)
    variance = np.maximum(variance, cv2.blur(variance, (7, 7)) * 0.5)
    normals = guides.normals / np.maximum(np.linalg.norm(guides.normals, axis=-1, keepdims=True), 1e-3)
    for level in range(_LEVELS):
        value, variance = _pass(value, variance, guides, normals, 2**level)
    return np.asarray(np.expm1(value) * max(float(np.median(light)), 1e-6) / _TOE, np.float32)


def _pass(
    value: Float32Array, variance: Float32Array, guides: Guides, normals: Float32Array, step: int
) -> tuple[Float32Array, Float32Array]:
    height, width = value.shape
    reach = 2 * step
    padded = [np.pad(part, ((reach, reach), (reach, reach)) + ((0, 0),) * (part.ndim - 2), mode="edge")
              for part in (value, variance, guides.inverse_depth, normals, guides.glowing)]  # fmt: skip
    spread = _NOISE * np.sqrt(cv2.GaussianBlur(variance, (3, 3), 0)) + 1e-4
    # On a plane inverse depth is nearly linear in the pixel: a step along its slope is no edge.
    slope_y, slope_x = np.gradient(cv2.GaussianBlur(guides.inverse_depth, (3, 3), 0))
    total, weights, variances = np.zeros_like(value), np.zeros_like(value), np.zeros_like(value)
    for row, down in enumerate(range(-2, 3)):
        for column, right in enumerate(range(-2, 3)):
            y, x = reach + down * step, reach + right * step
            near = [part[y : y + height, x : x + width] for part in padded]
            expected = guides.inverse_depth + step * (down * slope_y + right * slope_x)
            apart = np.abs(near[2] - expected) / (_RELATIVE_DEPTH * np.maximum(guides.inverse_depth, 1e-3))
            aligned = np.maximum((near[3] * normals).sum(-1), 0) ** _NORMAL_POWER
            weight = np.exp(
                -apart / np.sqrt(step) - np.abs(near[0] - value) / spread - 8 * np.abs(near[4] - guides.glowing)
            )
            weight *= aligned * (_KERNEL[row] * _KERNEL[column])
            total += weight * near[0]
            variances += weight * weight * near[1]
            weights += weight
    weights = np.maximum(weights, 1e-9)
    return total / weights, variances / (weights * weights)
