"""Map files of version 1, which are still read: zip archives without compression.

`map.json` tells what a map was made with, and each `NAME.npy` holds one array. The archive's comment, its last bytes,
holds a SHA-256 digest of every byte before it. Nothing is unpacked to disk, unpickled, or given more memory than the
file has bytes.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np

from slamfront.errors import MapFileError, refused_as
from slamfront.map.arrays import Arrays, Sizes, layout

VERSION = 1
START = b"PK\x03\x04"
"""The first bytes of such a file."""

_FORMAT = "slamfront map"
_CONTENTS = "map.json"
_MAX_CONTENTS_BYTES = 1 << 16
_MARK = b"slamfront map sha256 "
_DIGEST_BYTES = 64
_CHUNK = 1 << 20


class Archive:
    """An open map file of version 1; raises MapFileError for one that is not whole to the last bit."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> Archive:
        self._file = self._path.open("rb")
        try:
            _check_digest(self._file, self._path)
            with refused_as(MapFileError, f"{self._path} contradicts itself"):
                self._archive = zipfile.ZipFile(self._file)
                self._entries = _entries(self._archive, os.fstat(self._file.fileno()).st_size)
        except BaseException:
            self._file.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._archive.close()
        self._file.close()

    def contents(self) -> Any:
        """Return what the file tells of its map, as JSON values; ValueError where that is too long, or nothing."""
        if self._entries[_CONTENTS].file_size > _MAX_CONTENTS_BYTES:
            raise ValueError(f"{_CONTENTS} is too long")
        values = json.loads(self._archive.read(_CONTENTS))
        if not isinstance(values, dict) or values.get("format") != _FORMAT:
            raise ValueError(f"{_CONTENTS} tells of no map")
        return values

    def arrays(self, sizes: Sizes) -> Arrays:
        """Return the arrays, each exactly as large as the sizes say; ValueError for any other."""
        arrays = {}
        for name, (dtype, shape) in layout(sizes).items():
            data = io.BytesIO(self._archive.read(self._entries[f"{name}.npy"]))
            if np.lib.format.read_magic(data) != (1, 0):
                raise ValueError(f"{name} is no array")
            found_shape, by_columns, found_dtype = np.lib.format.read_array_header_1_0(data)
            if (found_shape, by_columns, found_dtype) != (shape, False, dtype):
                raise ValueError(f"{name} is {found_dtype} {found_shape}, not {dtype} {shape}")
            values = np.frombuffer(data.getbuffer()[data.tell() :], dtype)
            arrays[name] = values.reshape(shape).astype(dtype.newbyteorder("="))
        return arrays


def _entries(archive: zipfile.ZipFile, file_size: int) -> dict[str, zipfile.ZipInfo]:
    stored = all(entry.compress_type == zipfile.ZIP_STORED for entry in archive.infolist())
    if not stored or sum(entry.file_size for entry in archive.infolist()) > file_size:
        raise ValueError("its entries are compressed, or lie within each other")
    return {entry.filename: entry for entry in archive.infolist()}


def _check_digest(file: IO[bytes], path: Path) -> None:
    """Raise MapFileError unless a file is a map file and whole to the last bit."""
    if _CONTENTS.encode() not in file.read(64):
        raise MapFileError(f"{path} is not a map file, or its beginning is damaged")
    size = file.seek(0, os.SEEK_END)
    file.seek(max(size - len(_MARK) - _DIGEST_BYTES, 0))
    end = file.read()
    if not end.startswith(_MARK) or end[len(_MARK) :] != _digest(file, size - _DIGEST_BYTES):
        raise MapFileError(f"{path} is damaged, or was not written to its end: it cannot be used")


def _digest(file: IO[bytes], size: int) -> bytes:
    """Return the SHA-256 of the first `size` bytes of a file, as hexadecimal digits."""
    file.seek(0)
    digest = hashlib.sha256()
    while size > 0 and (chunk := file.read(min(size, _CHUNK))):
        digest.update(chunk)
        size -= len(chunk)
    return digest.hexdigest().encode("ascii")
