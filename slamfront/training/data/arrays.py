"""Files of named arrays: written whole or not at all, read without pickled code."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slamfront.errors import OutputError, TrainingError, refused_as
from slamfront.writing import written_whole

Field = tuple[str, int]
"""Kinds and dimensions of an array."""

# Packed tables of keypoints shrink to a third, drawn depth to a twentieth; only what was made for it to thousandths
_MOST_UNPACKED = 100
_ALWAYS_UNPACKED_BYTES = 16 << 20


def save_arrays(path: Path, arrays: Mapping[str, NDArray[Any]], what: str, compressed: bool = False) -> None:
    """Write arrays by name, whole or not at all; OutputError says `what` could not be written."""
    try:
        with written_whole(path) as whole, whole.open("wb") as file:
            (np.savez_compressed if compressed else np.savez)(file, **arrays)  # type: ignore[arg-type]
    except OSError as error:
        raise OutputError(f"{path}: {what} cannot be written ({error.strerror})") from error


def load_arrays(path: Path, layout: Mapping[str, Field], what: str, maker: str) -> dict[str, NDArray[Any]]:
    """Read the arrays of a layout, which gives kinds of numbers and number of dimensions of each by name.

    Kinds are NumPy's, such as "f" or "iu"; "U" is text. Raises TrainingError where the file is missing, not `what` it
    should be, or damaged.
    """
    damaged = f"{path}: not a file of {what}, or damaged"
    if not path.is_file():
        raise TrainingError(f"{path}: no such file of {what}; {maker} makes it")
    with refused_as(TrainingError, damaged, told=False), path.open("rb") as file:
        _check_sizes(path, damaged)
        with np.load(file, allow_pickle=False) as content:
            arrays = {name: content[name] for name in layout}
    for name, (kinds, dimensions) in layout.items():
        array = arrays[name]
        if array.dtype.kind not in kinds or array.ndim != dimensions:
            found = f"{array.dtype} of {array.ndim} dimensions"
            raise TrainingError(f"{damaged}: {name} is {found}, not of {dimensions} and kind {kinds}")
    return arrays


def _check_sizes(path: Path, damaged: str) -> None:
    """Refuse what would unpack to far more than its file holds, before it is unpacked."""
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(member.file_size for member in archive.infolist())
    if unpacked > _ALWAYS_UNPACKED_BYTES + _MOST_UNPACKED * path.stat().st_size:
        raise TrainingError(f"{damaged}: it would unpack to {unpacked >> 20} MB")
