"""Maps in files.

A map file is a plain zip archive without compression: `map.json` tells what it is and what it was made with, and each
`NAME.npy` holds one array (see `slamfront.map.arrays`). The archive's comment, its last bytes, holds a SHA-256 digest
of every byte before it, so that a file that is not whole to the last bit is known for it before anything is made of it.
Nothing is unpacked to disk, unpickled, or given more memory than the file has bytes.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import os
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from slamfront.config import from_mapping
from slamfront.environment import version_of
from slamfront.errors import CalibrationError, ConfigError, MapFileError, OutputError, refused_as
from slamfront.geometry.camera import Camera
from slamfront.map.arrays import Sizes, from_arrays, layout, to_arrays
from slamfront.map.keyframe_map import KeyframeMap
from slamfront.types import Sensor

FORMAT_VERSION = 1
"""Version of the files that are written, and the newest that is read."""

_FORMAT = "slamfront map"
_CONTENTS = "map.json"
_MAX_CONTENTS_BYTES = 1 << 16
_MARK = b"slamfront map sha256 "
_DIGEST_BYTES = 64
_ZIP_START = b"PK\x03\x04"
_CHUNK = 1 << 20
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
        probe = _temporary(path)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error


def save_map(world: KeyframeMap, path: Path, header: MapHeader) -> None:
    """Write a map; an older file of that name stays whole until the new one is on the disk.

    Everything is kept but the images that the newest keyframes hold for a while. Equal maps with equal headers give
    equal files. A process that is killed meanwhile leaves a hidden .tmp file behind. Raises OutputError.
    """
    path = Path(path)
    temporary = _temporary(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("w+b") as file:
                _write(file, world, header)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
            _sync_folder(path.parent)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error


def load_map(path: Path) -> tuple[KeyframeMap, MapHeader]:
    """Return the map in a file, equal to the one that was saved, and what it was made with.

    Raises MapFileError for a file that is missing, no map, not whole to the last bit, of a newer version, or whose
    content contradicts itself.
    """
    path = Path(path)
    try:
        with refused_as(MapFileError, f"cannot read the map {path}"), path.open("rb") as file:
            _check_digest(file, path)
            with refused_as(MapFileError, f"{path} contradicts itself"), zipfile.ZipFile(file) as archive:
                return _read(archive, path, os.fstat(file.fileno()).st_size)
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


def _write(file: IO[bytes], world: KeyframeMap, header: MapHeader) -> None:
    sizes, arrays = to_arrays(world)
    contents = {
        "format": _FORMAT,
        "version": FORMAT_VERSION,
        "header": asdict(header),
        "camera": asdict(world.camera),
        "sizes": asdict(sizes),
    }
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        _add(archive, _CONTENTS, json.dumps(contents, indent=1).encode("utf-8"))
        for name, array in arrays.items():
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)
            _add(archive, f"{name}.npy", buffer.getvalue())
        archive.comment = _MARK + b"0" * _DIGEST_BYTES
    digest = _digest(file, file.seek(0, os.SEEK_END) - _DIGEST_BYTES)
    file.seek(-_DIGEST_BYTES, os.SEEK_END)
    file.write(digest)


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    """Add an entry that depends on its name and content alone."""
    entry = zipfile.ZipInfo(name)
    entry.external_attr = 0o644 << 16
    archive.writestr(entry, data)


def _digest(file: IO[bytes], size: int) -> bytes:
    """Return the SHA-256 of the first `size` bytes of a file, as hexadecimal digits."""
    file.seek(0)
    digest = hashlib.sha256()
    while size > 0:
        chunk = file.read(min(size, _CHUNK))
        if not chunk:
            break
        digest.update(chunk)
        size -= len(chunk)
    return digest.hexdigest().encode("ascii")


def _check_digest(file: IO[bytes], path: Path) -> None:
    """Raise MapFileError unless a file is a map file and whole to the last bit."""
    start = file.read(64)
    if not start.startswith(_ZIP_START) or _CONTENTS.encode() not in start:
        raise MapFileError(f"{path} is not a map file, or its beginning is damaged")
    size = file.seek(0, os.SEEK_END)
    tail = len(_MARK) + _DIGEST_BYTES
    file.seek(max(size - tail, 0))
    end = file.read()
    if not end.startswith(_MARK) or end[len(_MARK) :] != _digest(file, size - _DIGEST_BYTES):
        raise MapFileError(f"{path} is damaged, or was not written to its end: it cannot be used")


def _read(archive: zipfile.ZipFile, path: Path, file_size: int) -> tuple[KeyframeMap, MapHeader]:
    stored = all(entry.compress_type == zipfile.ZIP_STORED for entry in archive.infolist())
    if not stored or sum(entry.file_size for entry in archive.infolist()) > file_size:
        raise ValueError("its entries are compressed, or lie within each other")
    entries = {entry.filename: entry for entry in archive.infolist()}
    if entries[_CONTENTS].file_size > _MAX_CONTENTS_BYTES:
        raise ValueError(f"{_CONTENTS} is too long")
    values = json.loads(archive.read(_CONTENTS))
    if not isinstance(values, dict) or values.get("format") != _FORMAT:
        raise ValueError(f"{_CONTENTS} tells of no map")
    if values.get("version") != FORMAT_VERSION:
        raise MapFileError(
            f"{path} is a map file of version {values.get('version')}, this slamfront reads version {FORMAT_VERSION}: "
            "use the slamfront that wrote it, or a newer one"
        )
    header = from_mapping(MapHeader, values.get("header"), "header")
    camera = from_mapping(Camera, values.get("camera"), "camera")
    sizes = from_mapping(Sizes, values.get("sizes"), "sizes")
    world = from_arrays(camera, sizes, _arrays(archive, entries, sizes))
    return world, header


def _arrays(archive: zipfile.ZipFile, entries: Mapping[str, zipfile.ZipInfo], sizes: Sizes) -> dict[str, NDArray[Any]]:
    """Return the arrays of an archive, each exactly as large as the sizes say; ValueError for any other."""
    arrays = {}
    for name, (dtype, shape) in layout(sizes).items():
        entry = entries[f"{name}.npy"]
        data = io.BytesIO(archive.read(entry))
        if np.lib.format.read_magic(data) != (1, 0):
            raise ValueError(f"{name} is no array")
        found_shape, by_columns, found_dtype = np.lib.format.read_array_header_1_0(data)
        if (found_shape, by_columns, found_dtype) != (shape, False, dtype):
            raise ValueError(f"{name} is {found_dtype} {found_shape}, not {dtype} {shape}")
        values = np.frombuffer(data.getbuffer()[data.tell() :], dtype)
        arrays[name] = values.reshape(shape).astype(dtype.newbyteorder("="))
    return arrays


def _same(first: object, second: object) -> bool:
    if isinstance(first, float) and isinstance(second, float):
        return abs(first - second) <= _SAME * max(abs(first), abs(second))
    return first == second


def _temporary(path: Path) -> Path:
    """Return the file beside `path` that becomes it when it is complete."""
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


def _sync_folder(folder: Path) -> None:
    """Let the new name of a file reach the disk too, where folders can be synchronised."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
