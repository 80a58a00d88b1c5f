"""Small files of text that a user or another program wrote: read whole, never trusted.

A size is compared before memory is taken, a byte order mark is taken off, and an error is one line that names the file.
"""

from __future__ import annotations

import reprlib
from pathlib import Path
from typing import Any

import yaml

from slamfront.errors import SlamfrontError, refused_as

MOST_TEXT_BYTES = 256 << 20
"""A list of frames or poses: at a hundred bytes a line these are days of recording."""
MOST_YAML_BYTES = 1 << 20
"""A calibration or a configuration: the largest that programs write have some kilobytes."""
_MOST_NODES = 100_000

_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = 60
_REPR.maxlist = _REPR.maxdict = _REPR.maxtuple = 4
_REPR.maxlevel = 2


def brief(value: object) -> str:
    """Return what a value looks like, in some 60 characters, however large it is."""
    try:
        return _REPR.repr(value)
    except ValueError:  # an integer with more digits than Python writes
        return f"a {type(value).__name__} of very many digits"


def check_is_file(path: Path, kind: type[SlamfrontError]) -> None:
    """Raise an error of `kind` for a pipe or a device, which would be read for ever; one that is missing, or a folder,
    is left to whoever opens it.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        raise kind(f"cannot read {path}: it is a pipe or a device, and has to be a file")


def read_text(path: Path, kind: type[SlamfrontError], most_bytes: int = MOST_TEXT_BYTES) -> str:
    """Return a text file without its byte order mark; an error of `kind` when it is not one, or too large."""
    with refused_as(kind, f"cannot read {path}"):
        check_is_file(path, kind)
        size = path.stat().st_size
        if size > most_bytes:
            raise kind(f"{path} has {size >> 20} MB: what is looked for has at most {most_bytes >> 20}")
        try:
            return path.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError:
            raise kind(f"cannot read {path}: it is not a text file") from None


def load_yaml(text: str, kind: type[SlamfrontError], name: object = "the text") -> Any:
    """Return the value in a YAML text; an error of `kind` when it is not valid.

    Aliases may stand for more than memory holds, in a few lines: what they stand for is counted first, and refused
    beyond 100,000 values.
    """
    with refused_as(kind, f"{name} is not valid YAML"):
        loader = yaml.SafeLoader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            if _count(node, {}) > _MOST_NODES:
                raise kind(f"{name}: its aliases stand for more than {_MOST_NODES} values")
            return loader.construct_document(node)
        finally:
            loader.dispose()


def _count(node: yaml.Node, counted: dict[int, int]) -> int:
    """Return how many values a node stands for with all its aliases written out."""
    if id(node) not in counted:
        counted[id(node)] = _MOST_NODES + 1  # met again while it is being counted: it holds itself
        children = node.value if isinstance(node.value, list) else []
        pairs = [part for child in children for part in (child if isinstance(child, tuple) else (child,))]
        counted[id(node)] = 1 + sum(_count(part, counted) for part in pairs)
    return counted[id(node)]
