"""Keypoints found in a folder of photographs, kept in one file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from slamfront.errors import TrainingError
from slamfront.training.data.arrays import load_arrays, save_arrays
from slamfront.types import Float32Array

_LAYOUT = {"names": ("U", 1), "counts": ("iu", 1), "table": ("f", 2), "origin": ("U", 0)}
_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".ppm", ".pgm", ".webp", ".tif", ".tiff"})


@dataclass(frozen=True, slots=True)
class ImageLabels:
    """Keypoints of one photograph: keypoints_xy (N,2) px and scores (N,), strongest first."""

    keypoints_xy: Float32Array
    scores: Float32Array


def photographs_in(folder: Path) -> list[Path]:
    """Return the image files below a folder, by name; TrainingError where there are none."""
    if not folder.is_dir():
        raise TrainingError(f"{folder}: no such folder of photographs")
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES)
    if not paths:
        raise TrainingError(f"{folder}: holds no photographs")
    return paths


def save_labels(path: Path, labels: Mapping[str, ImageLabels], origin: str) -> None:
    """Write labels by file name, whole or not at all; `origin` tells how they were found. Raises OutputError."""
    found = [labels[name] for name in labels]
    empty = np.zeros((0, 3), np.float32)
    arrays = {
        "names": np.array(list(labels), np.str_),
        "counts": np.array([len(one.scores) for one in found], np.int64),
        "table": np.concatenate([empty, *(np.column_stack((one.keypoints_xy, one.scores)) for one in found)]),
        "origin": np.array(origin),
    }
    save_arrays(path, arrays, "the labels", compressed=True)


def load_labels(path: Path) -> tuple[dict[str, ImageLabels], str]:
    """Read labels by file name, and how they were found; TrainingError where the file is missing or something else."""
    arrays = load_arrays(path, _LAYOUT, "labels", "`slamfront label`")
    names, counts, table, origin = (arrays[key] for key in _LAYOUT)
    fits = len(names) == len(counts) and table.shape[1] == 3 and not (counts < 0).any()
    if not fits or sum(counts.tolist()) != len(table) or not np.isfinite(table).all():
        raise TrainingError(f"{path}: not a file of labels, or damaged")
    parts = np.split(table.astype(np.float32), np.cumsum(counts)[:-1])
    return {str(name): ImageLabels(part[:, :2], part[:, 2]) for name, part in zip(names, parts)}, str(origin)
