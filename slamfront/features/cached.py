"""Features kept on disk, for repeated runs over the same images."""

from __future__ import annotations

import hashlib
import os
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import Protocol

import numpy as np

from slamfront.errors import OutputError
from slamfront.protocols import Extractor
from slamfront.types import Features, Image

# What a damaged file raises, depending on where the damage is
_DAMAGED = (OSError, EOFError, LookupError, MemoryError, RuntimeError, ValueError, zipfile.BadZipFile, zlib.error)


class Fingerprinted(Extractor, Protocol):
    """An extractor that tells what, besides the image, decides its answer."""

    @property
    def fingerprint(self) -> str:
        """Equal for two extractors only if they answer alike."""
        ...


class Cached:
    """Keeps another extractor's features of each image in a folder, one .npz file an image.

    A file's name is a hash of the image and of the extractor's fingerprint, so that a folder can serve any number of
    extractors and runs, also at the same time: files appear whole. One that is damaged is written anew.
    """

    def __init__(self, extractor: Fingerprinted, folder: Path) -> None:
        """Make the folder; OutputError when that is not possible."""
        self._extractor, self._folder = extractor, folder
        self.fingerprint = extractor.fingerprint
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{folder}: cannot be made ({error.strerror})") from error

    def extract(self, image: Image) -> Features:
        """Return the features of a grey image (H,W), from the folder when they are there.

        Raises OutputError when they cannot be written.
        """
        path = self._folder / f"{self._key(image)}.npz"
        features = _read(path)
        if features is None:
            features = self._extractor.extract(image)
            _write(path, features)
        return features

    def _key(self, image: Image) -> str:
        digest = hashlib.blake2b(f"{self.fingerprint} {image.shape}".encode(), digest_size=16)
        digest.update(np.ascontiguousarray(image).data)
        return digest.hexdigest()


def _read(path: Path) -> Features | None:
    """Return the features in a file, or None where there are none that can be used."""
    try:
        with path.open("rb") as file, np.lib.npyio.NpzFile(file, allow_pickle=False) as arrays:
            width, height = arrays["image_size"]
            features = Features(
                arrays["keypoints_xy"],
                arrays["scores"],
                arrays["descriptors"],
                (int(width), int(height)),
                arrays["scales"],
            )
    except _DAMAGED:
        return None
    return features


def _write(path: Path, features: Features) -> None:
    temporary: Path | None = None
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.stem}.", dir=path.parent)
        temporary = Path(name)
        with os.fdopen(descriptor, "wb") as file:
            np.savez(
                file,
                keypoints_xy=features.keypoints_xy,
                scores=features.scores,
                descriptors=features.descriptors,
                image_size=np.array(features.image_size),
                scales=features.scales,
            )
        os.replace(temporary, path)
    except OSError as error:
        raise OutputError(f"{path.parent}: features cannot be kept ({error.strerror})") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
