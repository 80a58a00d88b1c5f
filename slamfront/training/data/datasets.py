"""What the trainings see: each example is a function of the seed and its number alone, and can be made again."""

from __future__ import annotations

from pathlib import Path
from typing import TypedDict

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from slamfront.errors import FrameError, TrainingError, refused_as
from slamfront.image_headers import MOST_PIXELS, check_complete, size_in
from slamfront.models.detection import CELL
from slamfront.reading import check_is_file
from slamfront.training.data.homographies import carry, random_homography, shrinkage, warp, warped_area
from slamfront.training.data.labels import load_labels, photographs_in
from slamfront.training.data.photometric import change_light
from slamfront.training.data.shapes import draw_shapes
from slamfront.training.recipe import DataRecipe, Recipe, WarpConfig
from slamfront.types import BoolArray, Float32Array, FloatArray, Image

_MOST_ENLARGED = 1.5  # pixels of a photograph, where its piece is to be shrunk
MAX_KEYPOINTS = 512
"""Rows of the arrays of keypoints; those without one are nan."""


class DetectorExample(TypedDict):
    """An image for the detector: image (1,H,W) in [0,1], keypoints_xy (512,2) px, seen (H,W) bool."""

    image: Tensor
    keypoints_xy: Tensor
    seen: Tensor


class PairExample(TypedDict):
    """Two images, (2,1,H,W), (2,512,2) and (2,H,W) as in `DetectorExample`, and points that correspond.

    area: (2,H,W) bool, what shows something. second_from_first: (3,3), nan where no plane is seen.
    points_xy: (2,N,2) px, the same places in both. valid: (N,) bool, whether both are seen.
    grid_xy: (h,w,2) px, the centres of the first image's cells in the second.
    """

    image: Tensor
    keypoints_xy: Tensor
    seen: Tensor
    area: Tensor
    second_from_first: Tensor
    points_xy: Tensor
    valid: Tensor
    grid_xy: Tensor


class Shapes(Dataset[DetectorExample]):
    """Drawn shapes with their corners."""

    def __init__(self, config: DataRecipe, seed: int, count: int) -> None:
        self._size, self._seed, self._count = (config.width, config.height), seed, count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> DetectorExample:
        shapes = draw_shapes(np.random.default_rng([self._seed, index]), self._size)
        return {
            "image": unit(shapes.image),
            "keypoints_xy": padded(shapes.corners_xy),
            "seen": torch.ones(shapes.image.shape, dtype=torch.bool),
        }


class PhotographPairs(Dataset[PairExample]):
    """Photographs in two views each, with a homography and a change of light between them."""

    def __init__(self, recipe: Recipe, count: int) -> None:
        self._config, self._loss, self._seed, self._count = recipe.data, recipe.loss, recipe.seed, count
        config = recipe.data
        labels, self.labels_origin = load_labels(config.labels)
        paths = {str(path.relative_to(config.photographs)): path for path in photographs_in(config.photographs)}
        known = [name for name in paths if name in labels]
        if not known:
            raise TrainingError(f"{config.labels}: none of its photographs lies in {config.photographs}")
        self._photographs = [(read_photograph(paths[name]), labels[name]) for name in known]

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> PairExample:
        rng = np.random.default_rng([self._seed, index])
        photograph, labels = self._photographs[rng.integers(len(self._photographs))]
        config = self._config
        size = (config.width, config.height)
        second_from_first = random_homography(rng, size, config.warp)
        first_from_photograph = cut(rng, photograph, size, zoom=1 / shrinkage(second_from_first, size))
        views = [first_from_photograph, second_from_first @ first_from_photograph]
        images = [change_light(warp(photograph, view, size), rng, config.light) for view in views]
        photograph_size = (photograph.shape[1], photograph.shape[0])
        seen = [warped_area(photograph_size, view, size) for view in views]
        for image, area in zip(images, seen):
            image[~area] = 0
        keypoints = labels.keypoints_xy.astype(np.float64)
        found = [strongest_inside(carry(view, keypoints), area, config.label_density)
                 for view, area in zip(views, seen)]  # fmt: skip
        points = some_points(rng, found[0], size, self._loss.points)
        carried = carry(second_from_first, points) + rng.normal(0, self._loss.jitter_px, points.shape)
        return {
            "image": torch.stack([unit(image) for image in images]),
            "keypoints_xy": torch.stack([padded(one) for one in found]),
            # Where nothing was seen the image is black, and the detector is to find nothing there
            "seen": torch.ones((2, config.height, config.width), dtype=torch.bool),
            "area": torch.from_numpy(np.stack(seen)),
            "second_from_first": torch.from_numpy(second_from_first.astype(np.float32)),
            "points_xy": torch.from_numpy(np.stack((points, carried)).astype(np.float32)),
            "valid": torch.from_numpy(_seen_at(seen[0], points) & _seen_at(seen[1], carried)),
            "grid_xy": torch.from_numpy(_cells(second_from_first, size)),
        }


def cut(rng: np.random.Generator, photograph: Image, size: tuple[int, int], zoom: float = 1.0) -> FloatArray:
    """Return the homography that cuts a piece of `size` out of a photograph, a little turned, scaled and tilted.

    zoom: how much larger the piece will be shown afterwards. It is cut so that what comes into view then is still of
    the photograph, and no pixel of that grows more than it must.
    """
    height, width = photograph.shape
    fit = max(size[0] / width, size[1] / height)
    fit, larger = max(fit, min(fit / zoom, _MOST_ENLARGED)), max(zoom, 1.0)
    scale = float(np.exp(rng.uniform(np.log(max(fit, 0.5 / larger)), np.log(max(fit, 1.1 / larger)))))
    room = np.array([width, height]) * scale - size
    margin = np.minimum(np.array(size) * (1 / min(zoom, 1.0) - 1) / 2, room / 2)  # which comes into view around it
    shift = margin + rng.uniform(0, 1, 2) * (room - 2 * margin)
    cut = np.array([[scale, 0, -shift[0]], [0, scale, -shift[1]], [0, 0, 1]])
    tilt = random_homography(rng, size, WarpConfig(rotation_deg=10.0, scale=1.1, perspective=0.05, shift=0.0))
    if rng.random() < 0.5:
        tilt = tilt @ np.array([[-1.0, 0, size[0] - 1], [0, 1, 0], [0, 0, 1]])
    return tilt @ cut


def some_points(rng: np.random.Generator, keypoints_xy: FloatArray, size: tuple[int, int], count: int) -> FloatArray:
    """Return points (count,2) of the first image: most of them keypoints as far as there are, the others anywhere."""
    chosen = rng.permutation(len(keypoints_xy))[: count * 3 // 4]
    anywhere = rng.uniform(0, 1, (count - len(chosen), 2)) * (np.array(size) - 1)
    return np.concatenate([keypoints_xy[chosen], anywhere])


def strongest_inside(keypoints_xy: FloatArray, area: BoolArray, density: float) -> FloatArray:
    """Return those keypoints (N,2), strongest first, that lie where a view shows something (H,W).

    At most one for each `density` pixels of that area: a view that shrinks shows more of them than it has room for.
    """
    inside = keypoints_xy[_seen_at(area, keypoints_xy)]
    return inside[: max(int(area.sum() / density), 1)]


def _seen_at(area: np.ndarray, points_xy: FloatArray) -> np.ndarray:
    height, width = area.shape
    columns, rows = np.rint(np.clip(points_xy, -1e4, 1e4)).astype(np.int64).T
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    return np.asarray(inside & area[rows.clip(0, height - 1), columns.clip(0, width - 1)])


def cell_centres(size: tuple[int, int]) -> FloatArray:
    """Return the centres (h,w,2) of the cells of an image of a size (w, h), px."""
    rows, columns = np.mgrid[0 : size[1] : CELL, 0 : size[0] : CELL]
    return np.stack((columns, rows), axis=-1) + (CELL - 1) / 2


def _cells(second_from_first: FloatArray, size: tuple[int, int]) -> Float32Array:
    centres = cell_centres(size)
    return carry(second_from_first, centres.reshape(-1, 2)).reshape(centres.shape).astype(np.float32)


def read_photograph(path: Path) -> Image:
    """Return a grey image (H,W); TrainingError where it cannot be read."""
    try:
        return _decoded(path)
    except FrameError as error:
        raise TrainingError(f"{path}: not an image that can be read: {error}") from error


def _decoded(path: Path) -> Image:
    with refused_as(TrainingError, f"{path}: not an image that can be read"):
        check_is_file(path, TrainingError)
        data = path.read_bytes()
        width, height = size_in(data, str(path))
        if width * height > MOST_PIXELS:
            raise ValueError(f"it has {width}x{height} pixels")
        check_complete(data, str(path))
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
        if image is None:
            raise ValueError("it cannot be decoded")
        return np.asarray(image)


def unit(image: Image) -> Tensor:
    """Return an image (H,W) of bytes as (1,H,W) in [0,1]."""
    return torch.from_numpy(image)[None].float() / 255


def padded(keypoints_xy: np.ndarray) -> Tensor:
    """Return keypoints (N,2) as rows of (512,2), the others nan; the first ones where there are more."""
    rows = torch.full((MAX_KEYPOINTS, 2), torch.nan)
    kept = torch.from_numpy(np.ascontiguousarray(keypoints_xy[:MAX_KEYPOINTS], np.float32))
    rows[: len(kept)] = kept
    return rows
