"""Files that are either complete or not there: written beside their place, and moved there when they are whole."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from slamfront.errors import OutputError


def partial_path(path: Path, suffix: str = ".tmp") -> Path:
    """Return the hidden file beside `path` that this process writes before it takes that name."""
    return path.with_name(f".{path.name}.{os.getpid()}{suffix}")


@contextmanager
def written_whole(path: Path, durable: bool = False) -> Iterator[Path]:
    """Give the file to write; it takes the name of `path` when the block ends well, and vanishes otherwise.

    durable: wait until content and name are on the disk, so that they outlast a power cut.

    An older file of that name stays whole until then. A process that is killed meanwhile leaves the hidden file behind.
    Raises OSError where that is not possible; the folder has to exist.
    """
    temporary = partial_path(path)
    try:
        yield temporary
        if durable:
            _synchronise(temporary)
        os.replace(temporary, path)
        if durable and os.name == "posix":  # elsewhere folders cannot be synchronised
            _synchronise(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_atomically(path: Path, content: str | bytes, durable: bool = False) -> None:
    """Write a file that is either complete or not there, making its folder; OutputError when it cannot be written."""
    path = Path(path)
    data = content.encode("utf-8") if isinstance(content, str) else content
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(path, durable) as temporary:
            temporary.write_bytes(data)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error


def _synchronise(path: Path) -> None:
    # Windows synchronises only what is open for writing, POSIX folders cannot be opened so
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
