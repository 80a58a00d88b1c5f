"""Homographic adaptation: keypoints found under many homographies (DeTone et al., CVPRW 2018, section 5)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import torch
from annotated_types import Interval
from torch import Tensor

from slamfront import config
from slamfront.config import Settings, Share
from slamfront.errors import TrainingError
from slamfront.models.detection import refine_subpixel, score_map, select_keypoints, suppress_non_maxima
from slamfront.models.digests import digest_of
from slamfront.models.superpoint import DenseExtractor
from slamfront.training.data.datasets import read_photograph
from slamfront.training.data.homographies import random_homography, warp, warped_area
from slamfront.training.data.labels import ImageLabels, load_labels, photographs_in, save_labels
from slamfront.training.data.rendered_file import RenderedPairs, RenderedView, holds_views
from slamfront.training.recipe import WarpConfig
from slamfront.types import Float32Array, Image

log = logging.getLogger(__name__)

_ADAPTING = WarpConfig(rotation_deg=90.0, scale=1.6, perspective=0.2, shift=0.1)
_BORDER_PX = 4
_ERODED_PX = 3
_SAVED_EVERY = 20


@dataclass(frozen=True)
class AdaptationConfig(Settings):
    """How keypoints are gathered over homographies."""

    warps: Annotated[int, Interval(ge=1, le=10000)] = 100
    """Views of each photograph, its own among them (Eq. 10)."""
    batch: Annotated[int, Interval(ge=1, le=1024)] = 10
    """Views that the network sees at once."""
    threshold: Share = 0.001
    """Smallest mean score of a keypoint; the recipe of a training decides how many of the strongest it takes."""
    nms_radius: Annotated[int, Interval(ge=0, le=64)] = 4
    """No two keypoints are closer than this, px."""
    max_keypoints: Annotated[int, Interval(ge=1, le=20000)] = 1000
    """Most keypoints of a photograph."""
    least_seen: Share = 0.3
    """A pixel counts when at least this share of the views shows it."""
    seed: Annotated[int, Interval(ge=0, le=2**31 - 1)] = 0
    warp: WarpConfig = field(default_factory=lambda: _ADAPTING)


@torch.no_grad()
def adapted_scores(
    network: DenseExtractor, image: Image, adaptation: AdaptationConfig, seed: list[int]
) -> Float32Array:
    """Return the mean (H,W) of a detector's scores of an image (H,W) over random homographies, carried back (Eq. 10).

    Sides are cut down to multiples of 8. Pixels that too few views show score 0.
    """
    height, width = (side // 8 * 8 for side in image.shape)
    image, size, rng = np.ascontiguousarray(image[:height, :width]), (width, height), np.random.default_rng(seed)
    device = next(network.parameters()).device
    views = [np.eye(3)] + [random_homography(rng, size, adaptation.warp) for _ in range(adaptation.warps - 1)]
    total, seen = np.zeros((height, width), np.float32), np.zeros((height, width), np.float32)
    kernel = np.ones((2 * _ERODED_PX + 1,) * 2, np.uint8)
    for begin in range(0, len(views), adaptation.batch):
        chosen = views[begin : begin + adaptation.batch]
        batch = np.stack([warp(image, view, size) for view in chosen])
        scores = score_map(network(torch.from_numpy(batch)[:, None].float().to(device) / 255).logits).cpu().numpy()
        for view, heat in zip(chosen, scores):
            area = warped_area(size, view, size).astype(np.uint8)
            area = cv2.erode(area, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0)
            flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
            total += cv2.warpPerspective(heat * area, view, size, flags=flags)
            seen += cv2.warpPerspective(area.astype(np.float32), view, size, flags=flags)
    return np.where(seen >= adaptation.least_seen * len(views), total / np.maximum(seen, 1e-6), 0).astype(np.float32)


def keypoints_of(scores: Float32Array, adaptation: AdaptationConfig) -> ImageLabels:
    """Return the maxima of mean scores (H,W), to a fraction of a pixel, strongest first."""
    heat: Tensor = torch.from_numpy(scores)
    suppressed = suppress_non_maxima(heat[None], adaptation.nms_radius)[0]
    pixels, strengths = select_keypoints(suppressed, adaptation.max_keypoints, adaptation.threshold, _BORDER_PX)
    return ImageLabels(refine_subpixel(heat, pixels).numpy(), strengths.numpy())


def label(
    network: DenseExtractor,
    source: Path,
    out: Path,
    adaptation: AdaptationConfig,
    told: Callable[[int, int], None] = lambda done, count: None,
) -> int:
    """Find the keypoints of all images of a source, into one file; returns how many images it holds.

    The source is a folder of photographs, or of rendered pairs, whose views are labelled one by one. Goes on where an
    earlier call with the same network and configuration stopped; TrainingError where the file is of others. Files that
    are no images are left out with a warning.
    """
    images = images_of(source)
    origin = f"{digest_of(network)} {config.to_mapping(adaptation)}"
    labels, earlier = load_labels(out) if out.is_file() else ({}, origin)
    if earlier != origin:
        raise TrainingError(f"{out}: holds the labels of another network or configuration: choose another file")
    for number, (name, load) in enumerate(images.items()):
        if name in labels:
            continue
        try:
            image = load()
        except TrainingError as error:
            log.warning("%s; it is left out", error)
            continue
        if min(image.shape) < 8:
            log.warning("%s: not an image that can be used, left out", name)
            continue
        scores = adapted_scores(network, np.asarray(image), adaptation, [adaptation.seed, number])
        labels[name] = keypoints_of(scores, adaptation)
        if len(labels) % _SAVED_EVERY == 0:
            save_labels(out, labels, origin)
        told(number + 1, len(images))
    save_labels(out, labels, origin)
    return len(labels)


def images_of(source: Path) -> dict[str, Callable[[], Image]]:
    """Return what loads each grey image, by name, of a folder of photographs or of rendered pairs."""
    if holds_views(source):
        return {name: partial(_image_of, load) for name, load in RenderedPairs(source).views().items()}
    return {str(path.relative_to(source)): partial(read_photograph, path) for path in photographs_in(source)}


def _image_of(load: Callable[[], RenderedView]) -> Image:
    return load().image
