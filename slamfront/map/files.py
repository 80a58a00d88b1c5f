"""Maps in files.

A map file is a safetensors file: its arrays (see `slamfront.map.arrays`) by their names, types and shapes, and as its
only metadata, under "slamfront map", a JSON text that tells what the map was made with. The array "sha256" is a digest
of that text and of all other arrays, so that a file that is not whole to the last bit is known for it before anything
is made of it. Nothing is unpickled, or given more memory than the file has bytes.

Files of version 1 (see `slamfront.map.archives`) are still read.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save

from slamfront.config import from_mapping
from slamfront.environment import version_of
from slamfront.errors import CalibrationError, ConfigError, MapFileError, OutputError, refused_as
from slamfront.geometry.camera import Camera
from slamfront.map import archives
from slamfront.map.archives import Archive
from slamfront.map.arrays import Arrays, Sizes, from_arrays, layout, to_arrays
from slamfront.map.keyframe_map import KeyframeMap
from slamfront.reading import brief, check_is_file
from slamfront.types import Sensor
from slamfront.writing import partial_path, write_atomically

FORMAT_VERSION = 2
"""Version of the files that are written, and the newest that is read."""

_KEY = "slamfront map"
_DIGEST = "sha256"
# What a file of ours begins with, behind eight bytes for the length of its header
_START = f'{{"__metadata__":{{"{_KEY}":'.encode()
_LENGTH_BYTES = 8
# The header of a map has some four thousand bytes, whatever the map's size: forty arrays and the text about it
_MAX_HEADER_BYTES = 1 << 16
# Calibrations that differ by less than this share of themselves are one
_SAME = 1e-6


@dataclass(frozen=True, slots=True)
class MapHeader:
    """What a map was made with.

    sensor      of the frames
    features    kind of the descriptors: only equal kinds can be compared
    matcher     how features were matched, for information
    created     UTC, as 2025-01-31T12:00:00Z; slamfront is the version that wrote it
    """

    sensor: Sensor
    features: str
    matcher: str
    created: str = ""
    slamfront: str = ""

    @staticmethod
    def now(sensor: Sensor, features: str, matcher: str) -> MapHeader:
        """Return the header of a map that is written now."""
        created = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return MapHeader(sensor, features, matcher, created, version_of("slamfront"))


def check_writable(path: Path) -> None:
    """Raise OutputError unless a map can be written to a path, before there is one that could be lost."""
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise IsADirectoryError(0, "it is a folder")
        probe = partial_path(path)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error


def save_map(world: KeyframeMap, path: Path, header: MapHeader) -> None:
    """Write a map; an older file of that name stays whole until the new one is on the disk.

    Everything is kept but the images that the newest keyframes hold for a while. Equal maps with equal headers give
    equal files. A process that is killed meanwhile leaves a hidden .tmp file behind. Raises OutputError.
    """
    write_atomically(Path(path), _to_bytes(world, header), durable=True)


def load_map(path: Path) -> tuple[KeyframeMap, MapHeader]:
    """Return the map in a file, equal to the one that was saved, and what it was made with.

    Raises MapFileError for a file that is missing, no map, not whole to the last bit, of a newer version, or whose
    content contradicts itself.
    """
    path = Path(path)
    try:
        unreadable = refused_as(MapFileError, f"cannot read the map {path}")
        with unreadable, _opened(path) as file, refused_as(MapFileError, f"{path} contradicts itself"):
            return _read(file, path)
    except (CalibrationError, ConfigError) as error:
        raise MapFileError(f"{path} contradicts itself: {error}") from error


def check_fits(path: Path, world: KeyframeMap, header: MapHeader, other: MapHeader, camera: Camera) -> None:
    """Raise MapFileError, with the reason, unless a map from `path` can be used with what `other` and `camera` tell.

    When depth is captured, and what disparities are off by, may be known better by now: the map has its own.
    """
    if header.sensor != other.sensor:
        raise MapFileError(f"{path} is a map of a {header.sensor} sensor, this is {other.sensor}")
    if header.features != other.features:
        raise MapFileError(f"{path} was made with {header.features} features, these are {other.features}")
    for field in dataclasses.fields(Camera):
        mine, theirs = getattr(world.camera, field.name), getattr(camera, field.name)
        if field.name not in ("depth_delay_s", "disparity_offset_px") and not _same(mine, theirs):
            raise MapFileError(f"{path} was made with another camera: its {field.name} is {mine}, not {theirs}")


def _to_bytes(world: KeyframeMap, header: MapHeader) -> bytes:
    """Return the content of a map file."""
    sizes, arrays = to_arrays(world)
    values = {
        "version": FORMAT_VERSION,
        "header": asdict(header),
        "camera": asdict(world.camera),
        "sizes": asdict(sizes),
    }
    contents = json.dumps(values)
    whole = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    return save({**whole, _DIGEST: _digest(contents, whole, whole.__getitem__)}, {_KEY: contents})


def _digest(contents: str, names: Iterable[str], array_of: Callable[[str], NDArray[Any]]) -> NDArray[np.uint8]:
    """Return the SHA-256 of what a file tells of its map and of its arrays, by order of their names, uint8 (32,)."""
    digest = hashlib.sha256(contents.encode("utf-8"))
    for name in sorted(names):
        array = array_of(name)
        digest.update(f"{name} {array.dtype.name} {array.shape}".encode())
        digest.update(array.tobytes() if sys.byteorder == "little" else array.byteswap().tobytes())
    return np.frombuffer(digest.digest(), np.uint8)


class _Tensors:
    """An open map file of the newest version; raises MapFileError for one that is not whole to the last bit."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> _Tensors:
        damaged = f"{self._path} is damaged, or was not written to its end: it cannot be used"
        with refused_as(MapFileError, damaged, told=False):
            self._file = safe_open(self._path, framework="np").__enter__()
            try:
                self._contents = self._file.metadata()[_KEY]
                names = set(self._file.keys()) - {_DIGEST}
                found = _digest(self._contents, names, self._file.get_tensor)
                if not np.array_equal(found, self._file.get_tensor(_DIGEST)):
                    raise MapFileError(damaged)
            except BaseException:
                self._file.__exit__(None, None, None)
                raise
        return self

    def __exit__(self, *_: object) -> None:
        self._file.__exit__(None, None, None)

    def contents(self) -> Any:
        """Return what the file tells of its map, as JSON values."""
        return json.loads(self._contents)

    def arrays(self, sizes: Sizes) -> Arrays:
        """Return the arrays, each exactly as large as the sizes say; ValueError for any other."""
        arrays, wanted = {}, layout(sizes)
        for name, (dtype, shape) in wanted.items():
            found = tuple(self._file.get_slice(name).get_shape())
            if found != shape:  # told before memory is taken
                raise ValueError(f"{name} is {found}, not {shape}")
            arrays[name] = self._file.get_tensor(name)
            if arrays[name].dtype != dtype:
                raise ValueError(f"{name} is {arrays[name].dtype}, not {dtype}")
        return arrays


def _opened(path: Path) -> Archive | _Tensors:
    """Return what opens a map file of one version or the other; MapFileError for a file that is neither."""
    check_is_file(path, MapFileError)
    with path.open("rb") as file:
        start = file.read(_LENGTH_BYTES + len(_START))
    if start.startswith(archives.START):
        return Archive(path)
    length = int.from_bytes(start[:_LENGTH_BYTES], "little")
    if start[_LENGTH_BYTES:] != _START or length > _MAX_HEADER_BYTES:
        raise MapFileError(f"{path} is not a map file, or its beginning is damaged")
    return _Tensors(path)


def _read(file: Archive | _Tensors, path: Path) -> tuple[KeyframeMap, MapHeader]:
    values = file.contents()
    if not isinstance(values, dict):
        raise ValueError("it tells of no map")
    if values.get("version") != (archives.VERSION if isinstance(file, Archive) else FORMAT_VERSION):
        raise MapFileError(
            f"{path} is a map file of version {brief(values.get('version'))}, this slamfront reads version "
            f"{archives.VERSION} to {FORMAT_VERSION}: use the slamfront that wrote it, or a newer one"
        )
    header = from_mapping(MapHeader, values.get("header"), "header")
    camera = from_mapping(Camera, values.get("camera"), "camera")
    sizes = from_mapping(Sizes, values.get("sizes"), "sizes")
    return from_arrays(camera, sizes, file.arrays(sizes)), header


def _same(first: object, second: object) -> bool:
    if isinstance(first, float) and isinstance(second, float):
        return abs(first - second) <= _SAME * max(abs(first), abs(second))
    return first == second
