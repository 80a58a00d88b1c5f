"""Files of named arrays: written whole or not at all, read without pickled code."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slamfront.errors import OutputError, TrainingError


def save_arrays(path: Path, arrays: Mapping[str, NDArray[Any]], what: str, compressed: bool = False) -> None:
    """Write arrays by name, whole or not at all; OutputError says `what` could not be written."""
    whole = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with whole.open("wb") as file:
            (np.savez_compressed if compressed else np.savez)(file, **arrays)  # type: ignore[arg-type]
        whole.replace(path)
    except OSError as error:
        whole.unlink(missing_ok=True)
        raise OutputError(f"{path}: {what} cannot be written ({error.strerror})") from error


def load_arrays(path: Path, names: Sequence[str], what: str, maker: str) -> dict[str, NDArray[Any]]:
    """Read the arrays of these names; TrainingError where the file is missing, not `what` it should be, or damaged."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as content:
            return {name: content[name] for name in names}
    except FileNotFoundError as error:
        raise TrainingError(f"{path}: no such file of {what}; {maker} makes it") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, zipfile.BadZipFile, EOFError) as error:
        raise TrainingError(f"{path}: not a file of {what}, or damaged") from error
