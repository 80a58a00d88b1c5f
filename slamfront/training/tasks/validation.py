"""How good a network is while it learns; the full figures are those of `slamfront eval-features`."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from slamfront.models.detection import Keypoints
from slamfront.models.superpoint import DenseExtractor
from slamfront.training.data.datasets import read_photograph
from slamfront.training.data.homographies import carry, random_homography, warp, warped_area
from slamfront.training.data.labels import photographs_in
from slamfront.training.data.photometric import change_light
from slamfront.training.data.rendered import RenderedPair
from slamfront.training.data.rendered_file import RenderedPairs
from slamfront.training.recipe import PhotometricConfig, WarpConfig
from slamfront.types import BoolArray, FloatArray, Image

_WARP = WarpConfig(rotation_deg=30.0, scale=1.3, perspective=0.12, shift=0.05)
_SIDE, _KEYPOINTS, _RIGHT_PX, _SEED = 240, 300, 3.0, 99
_CORNER_PX = 4.0
_NAMES = ("repeatability", "error_px", "precision", "recall", "within_1px")

ValidationPair = tuple[Image, Image, FloatArray, BoolArray]


@torch.no_grad()
def validate_detector(network: DenseExtractor, examples: Dataset[object]) -> dict[str, float]:
    """Return precision and recall of corners, 4 px being near enough, and the error of those found, px."""
    found_count = right_count = true_count = 0
    errors = []
    for index in range(len(examples)):  # type: ignore[arg-type]
        example = examples[index]
        assert isinstance(example, dict)
        true = example["keypoints_xy"]
        true = true[~true.isnan().any(dim=1)]
        image = example["image"][None].to(_device_of(network))
        found = network.extract(image, threshold=0.05, subpixel=True)[0].keypoints_xy.cpu()
        found_count, true_count = found_count + len(found), true_count + len(true)
        if len(found) and len(true):
            nearest = torch.cdist(true, found).amin(1)
            right = nearest[nearest <= _CORNER_PX]
            right_count += int((torch.cdist(found, true).amin(1) <= _CORNER_PX).sum())
            errors.append(right)
    near = torch.cat(errors) if errors else torch.zeros(0)
    return {
        "precision": right_count / max(found_count, 1),
        "recall": len(near) / max(true_count, 1),
        "error_px": float(near.mean()) if len(near) else float("nan"),
    }


@torch.no_grad()
def validate_pairs(network: DenseExtractor, folder: Path, count: int) -> dict[str, float]:
    """Return repeatability, localisation error, and precision and recall of mutual nearest neighbours, over pairs."""
    figures = [_pair_figures(network, pair) for pair in _pairs(folder, count)]
    means = np.nanmean(np.array(figures), axis=0)
    return dict(zip(_NAMES, means.tolist()))


@torch.no_grad()
def validate_rendered(network: DenseExtractor, path: Path, count: int) -> dict[str, float]:
    """Return the same figures over rendered pairs evenly spread over a file or folder; those with nothing in common
    are left out.
    """
    pairs = _rendered(path)
    rows = np.linspace(0, len(pairs) - 1, min(count, len(pairs))).astype(int)
    figures = [_posed_figures(network, pairs[int(row)]) for row in rows]
    means = np.nanmean(np.array([one for one in figures if one]), axis=0)
    return dict(zip(_NAMES, means.tolist()))


def _pair_figures(network: DenseExtractor, pair: ValidationPair) -> tuple[float, ...]:
    first_image, second_image, second_from_first, seen = pair
    first, second = _extracted(network, (first_image, second_image))
    warped = torch.from_numpy(carry(second_from_first, _doubles(first.keypoints_xy))).float()
    back = torch.from_numpy(
        carry(np.asarray(np.linalg.inv(second_from_first), np.float64), _doubles(second.keypoints_xy))
    ).float()
    return _figures(first, second, warped, _inside(warped, seen), _inside(back, np.ones_like(seen)))


def _posed_figures(network: DenseExtractor, pair: RenderedPair) -> tuple[float, ...]:
    """Return the figures of a rendered pair; none where neither view shows a keypoint of the other."""
    first, second = _extracted(network, pair.images)
    warped, seen = pair.warp(_doubles(first.keypoints_xy))
    _, seen_back = pair.reversed().warp(_doubles(second.keypoints_xy))
    if not (seen.any() and seen_back.any()):
        return ()
    return _figures(
        first, second, torch.from_numpy(warped).float(), torch.from_numpy(seen), torch.from_numpy(seen_back)
    )


def _extracted(network: DenseExtractor, images: Iterable[Image]) -> list[Keypoints]:
    return [
        network.extract(
            torch.from_numpy(image)[None, None].to(_device_of(network)).float() / 255, _KEYPOINTS, subpixel=True
        )[0]
        for image in images
    ]


def _figures(first: Keypoints, second: Keypoints, warped: Tensor, kept: Tensor, kept_back: Tensor) -> tuple[float, ...]:
    """Return `_NAMES` of keypoints, the first ones carried (N,2) into the second image, and those that both show."""
    warped, second_xy = warped[kept], second.keypoints_xy.cpu()[kept_back]
    if len(warped) < 2 or len(second_xy) < 2:
        return (0.0, float("nan"), 0.0, 0.0, 0.0)
    distances = torch.cdist(warped, second_xy)
    nearest = torch.cat((distances.amin(0), distances.amin(1)))
    near = nearest[nearest <= _RIGHT_PX]
    similarity = first.descriptors.cpu()[kept] @ second.descriptors.cpu()[kept_back].T
    forward, backward = similarity.argmax(1), similarity.argmax(0)
    rows = torch.arange(len(warped))
    mutual = backward[forward] == rows
    matched = distances[rows, forward][mutual]
    true_forward, true_backward = distances.argmin(1), distances.argmin(0)
    true = (true_backward[true_forward] == rows) & (distances.amin(1) <= _RIGHT_PX)
    recalled = (mutual & true & (forward == true_forward)).sum() / true.sum().clamp_min(1)
    right = matched <= _RIGHT_PX
    exact = (matched[right] <= 1.0).float().mean() if right.any() else torch.tensor(0.0)
    figures = (len(near) / len(nearest), near.mean(), right.float().mean(), recalled, exact)
    return tuple(float(figure) for figure in figures)


def _device_of(network: DenseExtractor) -> torch.device:
    return next(network.parameters()).device


def _doubles(points_xy: Tensor) -> FloatArray:
    return np.asarray(points_xy.cpu().numpy(), np.float64)


def _inside(points_xy: Tensor, area: BoolArray) -> Tensor:
    height, width = area.shape
    columns, rows = points_xy.round().long().unbind(1)
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    seen = torch.from_numpy(area)[rows.clamp(0, height - 1), columns.clamp(0, width - 1)]
    return inside & seen


@lru_cache(maxsize=1)
def _rendered(path: Path) -> RenderedPairs:
    return RenderedPairs(path)


@lru_cache(maxsize=2)
def _pairs(folder: Path, count: int) -> tuple[ValidationPair, ...]:
    """Return pairs made from photographs evenly spread over a folder, of a short side of 240 px; always the same."""
    paths = photographs_in(folder)
    chosen = [paths[i] for i in np.linspace(0, len(paths) - 1, min(count, len(paths))).astype(int)]
    return tuple(_pair(path, np.random.default_rng([_SEED, number])) for number, path in enumerate(chosen))


def _pair(path: Path, rng: np.random.Generator) -> ValidationPair:
    photograph = read_photograph(path)
    scale = _SIDE / min(photograph.shape)
    first = np.asarray(cv2.resize(photograph, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))
    size = (first.shape[1], first.shape[0])
    second_from_first = random_homography(rng, size, _WARP)
    area = warped_area(size, second_from_first, size)
    second = change_light(warp(first, second_from_first, size), rng, PhotometricConfig())
    second[~area] = 0
    safe = cv2.erode(area.astype(np.uint8), np.ones((17, 17), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=1)
    return first, second, second_from_first, safe.astype(np.bool_)
