"""Pairs of images as a matcher sees them: features that were extracted once, and which of them are the same."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, TypedDict

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from slamfront.errors import TrainingError
from slamfront.models.superpoint import DenseExtractor
from slamfront.training.data.arrays import load_arrays, save_arrays
from slamfront.training.data.correspondence import (
    IGNORED,
    Labels,
    carried_by_depth,
    carried_by_homography,
    match_labels,
    nothing_in_common,
)
from slamfront.training.data.datasets import cut, read_photograph, unit
from slamfront.training.data.homographies import random_homography, warp, warped_area
from slamfront.training.data.labels import photographs_in
from slamfront.training.data.photometric import change_light
from slamfront.training.data.rendered import RenderedPair
from slamfront.training.recipe import PairsRecipe, PhotometricConfig, WarpConfig
from slamfront.types import BoolArray, Float32Array, FloatArray, Image

_LAYOUT = {
    "keypoints_xy": ("f", 4), "scores": ("f", 3), "descriptors": ("f", 4), "counts": ("iu", 2), "labels": ("i", 3),
    "size": ("iu", 1), "origin": ("U", 0),
}  # fmt: skip
_OTHER_PHOTOGRAPH = 0.05


@dataclass(frozen=True, eq=False)
class PlanePair:
    """Two views (2,H,W) of a photograph, and where they show it (2,H,W).

    second_from_first: (3,3), None where the second view is of another photograph.
    """

    images: Image
    areas: BoolArray
    second_from_first: FloatArray | None


class FeaturePair(NamedTuple):
    """Features of two images, at most K each, and labels (see `match_labels`); rows beyond the count are zero."""

    keypoints_xy: Float32Array
    scores: Float32Array
    descriptors: NDArray[np.float16]
    counts: tuple[int, int]
    labels: NDArray[np.int16]


class MatchingExample(TypedDict):
    """keypoints_xy (2,K,2) px, scores (2,K), descriptors (2,K,D), mask (2,K) which are real, labels (2,K) int64: the
    row in the other image, -1 unmatched, -2 ignored; image_size (2,) px, width and height.
    """

    keypoints_xy: Tensor
    scores: Tensor
    descriptors: Tensor
    mask: Tensor
    labels: Tensor
    image_size: Tensor


def photograph_pairs(
    folder: Path, count: int, seed: int, size: tuple[int, int], bounds: WarpConfig, light: PhotometricConfig
) -> Iterator[PlanePair]:
    """Yield pairs of views of a folder's photographs, in another light each; a few show two different photographs.

    Where a view looks beyond its photograph it shows another one: what no homography explains.
    """
    photographs = [read_photograph(path) for path in photographs_in(folder)]
    if len(photographs) < 2:
        raise TrainingError(f"{folder}: pairs need two photographs or more")
    for index in range(count):
        rng = np.random.default_rng([seed, index])
        shown, other = (photographs[row] for row in rng.choice(len(photographs), 2, replace=False))
        first_from_photograph = cut(rng, shown, size)
        second_from_first = random_homography(rng, size, bounds)
        views = [first_from_photograph, second_from_first @ first_from_photograph]
        unrelated = rng.random() < _OTHER_PHOTOGRAPH
        if unrelated:
            shown_second, views[1] = other, cut(rng, other, size)
        else:
            shown_second = shown
        shots = [_shot(rng, image, other, view, size) for image, view in zip((shown, shown_second), views)]
        lit = np.stack([change_light(image, rng, light) for image, _ in shots])
        yield PlanePair(lit, np.stack([area for _, area in shots]), None if unrelated else second_from_first)


def lit_pairs(
    pairs: Iterable[RenderedPair], repeats: int, seed: int, light: PhotometricConfig
) -> Iterator[RenderedPair]:
    """Yield pairs with depth, each several times in other lights."""
    for index, pair in enumerate(pairs):
        rng = np.random.default_rng([seed, index])
        for _ in range(repeats):
            lit = np.stack([change_light(image, rng, light) for image in pair.images])
            yield replace(pair, images=lit)


@torch.no_grad()
def extract_pair(network: DenseExtractor, pair: PlanePair | RenderedPair, most: int) -> FeaturePair:
    """Return the keypoints of a pair, at most so many an image, and which of them are the same."""
    device = next(network.parameters()).device
    found = [network.extract(unit(image)[None].to(device), most, subpixel=True)[0] for image in pair.images]
    first, second = (np.asarray(one.keypoints_xy.cpu().numpy(), np.float64) for one in found)
    if isinstance(pair, RenderedPair):
        carried = carried_by_depth(first, pair), carried_by_depth(second, pair.reversed())
    elif pair.second_from_first is None:
        carried = nothing_in_common(len(first)), nothing_in_common(len(second))
    else:
        back = np.asarray(np.linalg.inv(pair.second_from_first), np.float64)
        carried = (
            carried_by_homography(first, pair.second_from_first, pair.areas[0]),
            carried_by_homography(second, back, pair.areas[1]),
        )
    labels = match_labels(first, second, *carried)
    return FeaturePair(
        np.stack([_rows(one.keypoints_xy, most) for one in found]),
        np.stack([_rows(one.scores, most) for one in found]),
        np.stack([_rows(one.descriptors, most) for one in found]).astype(np.float16),
        (len(first), len(second)),
        np.stack([_filled(one, most) for one in labels]),
    )


def save_feature_pairs(path: Path, pairs: Iterable[FeaturePair], size: tuple[int, int], origin: str) -> int:
    """Write pairs of images of a size (w, h), whole or not at all, and return how many; raises OutputError.

    About 140 KB a pair of 256 keypoints with 128 numbers each; `origin` tells how they were made.
    """
    columns = list(zip(*pairs)) or [()] * 5
    arrays = {key: np.array(column) for key, column in zip(_LAYOUT, columns)}
    save_arrays(path, arrays | {"size": np.array(size), "origin": np.array(origin)}, "the pairs")
    return len(arrays["counts"])


class FeaturePairs(Dataset[MatchingExample]):
    """The pairs of a file, the first K keypoints of each image.

    Raises TrainingError where the file is missing, something else, or damaged.
    """

    def __init__(self, path: Path, keypoints: int) -> None:
        self._arrays = load_arrays(path, _LAYOUT, "pairs of features", "tools/extract_pairs.py")
        count, _, most = self._arrays["scores"].shape
        shapes = {"keypoints_xy": (count, 2, most, 2), "counts": (count, 2), "labels": (count, 2, most), "size": (2,),
                  "descriptors": (count, 2, most, self._arrays["descriptors"].shape[-1])}  # fmt: skip
        fits = all(self._arrays[key].shape == shape for key, shape in shapes.items())
        labels, counts = self._arrays["labels"], self._arrays["counts"]
        within = labels.max(initial=0) < max(most, 1) and counts.min(initial=0) >= 0 and counts.max(initial=0) <= most
        if not count or not fits or not within:
            raise TrainingError(f"{path}: not a file of pairs of features, or damaged")
        self._keypoints = min(keypoints, most)
        self.origin = str(self._arrays["origin"])
        self.descriptor_dim = int(self._arrays["descriptors"].shape[-1])

    def __len__(self) -> int:
        return len(self._arrays["counts"])

    def __getitem__(self, index: int) -> MatchingExample:
        arrays, kept = self._arrays, self._keypoints
        labels = arrays["labels"][index, :, :kept].astype(np.int64)
        # A partner among the keypoints that are left out cannot be named
        labels[labels >= kept] = IGNORED
        mask = np.arange(kept) < arrays["counts"][index][:, None]
        labels[~mask] = IGNORED
        return {
            "keypoints_xy": torch.from_numpy(arrays["keypoints_xy"][index, :, :kept]),
            "scores": torch.from_numpy(arrays["scores"][index, :, :kept]),
            "descriptors": torch.from_numpy(arrays["descriptors"][index, :, :kept].astype(np.float32)),
            "mask": torch.from_numpy(mask),
            "labels": torch.from_numpy(labels),
            "image_size": torch.from_numpy(arrays["size"].astype(np.float32)),
        }


class MixedFeaturePairs(Dataset[MatchingExample]):
    """Pairs of several files, drawn by chance, each file with its share; every other one with its images exchanged.

    Raises TrainingError where the files' descriptors are of different sizes.
    """

    def __init__(self, recipe: PairsRecipe, seed: int, count: int) -> None:
        if len(recipe.files) != len(recipe.shares) or not recipe.files or not sum(recipe.shares) > 0:
            raise TrainingError("pairs.files and pairs.shares must be as many, and some share more than 0")
        self._files = [FeaturePairs(path, recipe.keypoints) for path in recipe.files]
        if len({file.descriptor_dim for file in self._files}) > 1:
            raise TrainingError("pairs.files hold descriptors of different sizes")
        self._shares = np.array(recipe.shares) / sum(recipe.shares)
        self._seed, self._count = seed, count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> MatchingExample:
        rng = np.random.default_rng([self._seed, index])
        file = self._files[rng.choice(len(self._files), p=self._shares)]
        example = file[int(rng.integers(len(file)))]
        if rng.random() < 0.5:
            return example
        exchanged = {key: value if key == "image_size" else value.flip(0) for key, value in example.items()}  # type: ignore[attr-defined]
        return MatchingExample(**exchanged)  # type: ignore[typeddict-item]


def _shot(
    rng: np.random.Generator, photograph: Image, other: Image, view: FloatArray, size: tuple[int, int]
) -> tuple[Image, BoolArray]:
    """Return a view of a photograph, with another one around it where it ends, and where it shows the first."""
    area = warped_area((photograph.shape[1], photograph.shape[0]), view, size)
    image = warp(photograph, view, size)
    if not area.all():
        image = np.where(area, image, warp(other, cut(rng, other, size), size))
    return image, area


def _rows(values: Tensor, most: int) -> Float32Array:
    return _filled(values.float().cpu().numpy(), most)


def _filled(values: NDArray[np.float32] | Labels, most: int) -> NDArray[np.float32]:
    rows = np.zeros((most, *values.shape[1:]), values.dtype)
    rows[: len(values)] = values
    return rows
