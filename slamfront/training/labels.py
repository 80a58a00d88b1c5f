"""Keypoints found in a folder of photographs, kept in one file."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from slamfront.errors import OutputError, TrainingError
from slamfront.types import Float32Array

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
    whole = path.with_name(f".{path.name}.{os.getpid()}")
    empty = np.zeros((0, 3), np.float32)
    table = np.concatenate([empty, *(np.column_stack((one.keypoints_xy, one.scores)) for one in found)])
    counts = np.array([len(one.scores) for one in found], np.int64)
    try:
        with whole.open("wb") as file:
            np.savez_compressed(
                file, names=np.array(list(labels), np.str_), counts=counts, table=table, origin=np.array(origin)
            )
        whole.replace(path)
    except OSError as error:
        whole.unlink(missing_ok=True)
        raise OutputError(f"{path}: the labels cannot be written ({error.strerror})") from error


def load_labels(path: Path) -> tuple[dict[str, ImageLabels], str]:
    """Read labels by file name, and how they were found; TrainingError where the file is missing or something else."""
    try:
        with np.load(path, allow_pickle=False) as file:
            names, counts, table, origin = (file[key] for key in ("names", "counts", "table", "origin"))
    except FileNotFoundError as error:
        raise TrainingError(f"{path}: no such file of labels; `slamfront label` makes it") from error
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, EOFError) as error:
        raise TrainingError(f"{path}: not a file of labels, or damaged") from error
    if len(names) != len(counts) or counts.sum() != len(table) or table.ndim != 2:
        raise TrainingError(f"{path}: not a file of labels, or damaged")
    parts = np.split(table.astype(np.float32), np.cumsum(counts)[:-1])
    return {str(name): ImageLabels(part[:, :2], part[:, 2]) for name, part in zip(names, parts)}, str(origin)
