"""Photographs in two views, and rendered pairs of views among them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from scipy.spatial import cKDTree
from torch.utils.data import Dataset

from slamfront.errors import TrainingError
from slamfront.models.detection import CELL
from slamfront.training.data.datasets import (
    PairExample,
    PhotographPairs,
    cell_centres,
    padded,
    some_points,
    strongest_inside,
    unit,
)
from slamfront.training.data.labels import ImageLabels, load_labels
from slamfront.training.data.photometric import change_light
from slamfront.training.data.rendered import RenderedPair
from slamfront.training.data.rendered_file import RenderedPairs
from slamfront.training.recipe import Recipe
from slamfront.types import BoolArray, FloatArray

_MOST_MAGNIFIED = 3.5
# Keypoints of two views are the same place when they come within this of each other.
_REPEATED_PX = 2.0
_CANDIDATES = 300

Corners = tuple[tuple[int, int], tuple[int, int]]


class MixedPairs(Dataset[PairExample]):
    """Photographs, and rendered pairs among them, whose keypoints are those that both views repeat.

    Without labels of the rendered views these train the descriptors alone. Raises TrainingError where the rendered
    images are smaller than what the recipe cuts out, or where labels of other views are given.
    """

    def __init__(self, recipe: Recipe, rendered: Path, count: int) -> None:
        self._recipe, self._photographs = recipe, PhotographPairs(recipe, count)
        self._rendered = RenderedPairs(rendered)
        data = recipe.data
        if self._rendered.size[0] < data.width or self._rendered.size[1] < data.height:
            raise TrainingError(f"{rendered}: its images are smaller than {data.width}x{data.height}")
        self._labels = load_labels(data.rendered_labels)[0] if data.rendered_labels else None
        # Parts that were rendered since the views were labelled wait for the next labels.
        names = range(len(self._rendered))
        self._rows = [row for row in names if self._labels is None or self._labelled(row)]
        if not self._rows:
            raise TrainingError(f"{data.rendered_labels}: holds no labels of the views of {rendered}")

    def __len__(self) -> int:
        return len(self._photographs)

    def __getitem__(self, index: int) -> PairExample:
        rng = np.random.default_rng([self._recipe.seed, index, 1])
        if rng.random() >= self._recipe.data.rendered_share:
            return self._photographs[index]
        row = self._rows[int(rng.integers(len(self._rows)))]
        return self._example(self._rendered[row], self._labels_of(row), rng)

    def _labelled(self, row: int) -> bool:
        assert self._labels is not None
        return all(name in self._labels for name in self._rendered.names(row))

    def _labels_of(self, row: int) -> list[ImageLabels] | None:
        return None if self._labels is None else [self._labels[name] for name in self._rendered.names(row)]

    def _example(self, pair: RenderedPair, labels: list[ImageLabels] | None, rng: np.random.Generator) -> PairExample:
        data, loss = self._recipe.data, self._recipe.loss
        size = (data.width, data.height)
        corners = pieces(pair, size, rng)
        pair = pair.cropped(corners, size)
        everything = np.ones((data.height, data.width), np.bool_)
        if labels is None:
            repeated, seen = [np.zeros((0, 2))] * 2, np.zeros((2, data.height, data.width), np.bool_)
        else:
            candidates = [one.keypoints_xy.astype(np.float64) - corner for one, corner in zip(labels, corners)]
            found = [strongest_inside(one, everything, data.width * data.height / _CANDIDATES) for one in candidates]
            repeated, seen = repeated_keypoints(pair, found), np.stack([shown(pair), shown(pair.reversed())])
            repeated = [strongest_inside(one, everything, data.label_density) for one in repeated]
        points = some_points(rng, repeated[0] if labels is not None else _corners(pair, loss.points), size, loss.points)
        carried, valid = pair.warp(points)
        sizes = pair.magnification(points)
        valid &= (sizes[:, 0] < _MOST_MAGNIFIED) & (sizes[:, 1] > 1 / _MOST_MAGNIFIED)
        carried = carried + rng.normal(0, loss.jitter_px, points.shape)
        centres = cell_centres(size)
        return {
            "image": torch.stack([unit(change_light(image, rng, data.light)) for image in pair.images]),
            "keypoints_xy": torch.stack([padded(one) for one in repeated]),
            "seen": torch.from_numpy(seen),
            "area": torch.ones((2, data.height, data.width), dtype=torch.bool),
            "second_from_first": torch.full((3, 3), torch.nan),
            "points_xy": torch.from_numpy(np.stack((points, carried)).astype(np.float32)),
            "valid": torch.from_numpy(valid),
            "grid_xy": torch.from_numpy(pair.warp(centres.reshape(-1, 2))[0].reshape(centres.shape).astype(np.float32)),
        }


def pieces(pair: RenderedPair, size: tuple[int, int], rng: np.random.Generator) -> Corners:
    """Return the corners (x, y) of a piece of each view, of a size (w, h), with a place in common if the views have."""
    whole = np.array([pair.images.shape[2], pair.images.shape[1]])
    most = np.asarray(whole - size, np.int64)
    points = rng.uniform(0, 1, (64, 2)) * (whole - 1)
    carried, seen = pair.warp(points)
    if seen.any():
        row = int(np.flatnonzero(seen)[0])
        share = rng.uniform(0.25, 0.75, (2, 2)) * size
        corners = np.rint(np.stack([points[row], carried[row]]) - share).clip(0, most).astype(int)
    else:
        corners = rng.integers(0, most + 1, (2, 2))
    (left, top), (other_left, other_top) = corners.tolist()
    return (left, top), (other_left, other_top)


def repeated_keypoints(pair: RenderedPair, keypoints_xy: list[FloatArray]) -> list[FloatArray]:
    """Return of the keypoints (N,2) of each view those that the other view has as well: what it lacks is no corner."""
    kept, (first, second) = [], keypoints_xy
    for one, points, others in ((pair, first, second), (pair.reversed(), second, first)):
        carried, seen = one.warp(points)
        near = np.zeros(len(points), np.bool_)
        if len(others) and seen.any():
            near[seen] = cKDTree(others).query(carried[seen])[0] <= _REPEATED_PX
        kept.append(points[near])
    return kept


def shown(pair: RenderedPair) -> BoolArray:
    """Return which pixels (H,W) of the first view lie in cells whose middle the second view shows as well."""
    height, width = pair.images.shape[1:]
    _, seen = pair.warp(cell_centres((width, height)).reshape(-1, 2))
    cells = seen.reshape(height // CELL, width // CELL)
    return np.repeat(np.repeat(cells, CELL, axis=0), CELL, axis=1)


def _corners(pair: RenderedPair, count: int) -> FloatArray:
    found = cv2.goodFeaturesToTrack(pair.images[0], count, 0.01, 4)
    return np.zeros((0, 2)) if found is None else found.reshape(-1, 2).astype(np.float64)
