"""Where the networks' weights come from: files that ship with slamfront, and official ones fetched with consent.

Nothing here needs torch. Reading a checkpoint into a network is `slamfront.models.checkpoints`.
"""

from __future__ import annotations

import contextlib
import difflib
import errno
import hashlib
import os
import re
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import BinaryIO

from slamfront.errors import WeightsError
from slamfront.writing import written_whole

Progress = Callable[[int, "int | None"], None]
"""Called with the bytes so far and the bytes in all, where these are known."""

PACKAGED_FOLDER = Path(__file__).resolve().parents[1] / "weights"
"""Folder of the weights that ship with slamfront."""

_SHARD = re.compile(r"^(?P<name>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})$")
_CHUNK_BYTES = 1 << 18
_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class WeightsEntry:
    """An official checkpoint: what it is, under which terms, where it lies and how to know that it is the right one.

    name: as in `slamfront weights fetch NAME`. architecture: class in slamfront.models. blob_id: git's id of the file,
    sha1 of `blob SIZE\\0` and the content, None where it lies in no repository. sha256: that of the content, None where
    nobody has published it. One of the two is known. size_bytes: None where it is not known beforehand.
    """

    name: str
    model: str
    architecture: str
    licence: str
    terms: str
    url: str
    file_name: str
    blob_id: str | None
    sha256: str | None = None
    size_bytes: int | None = None

    def __post_init__(self) -> None:
        if self.blob_id is None and self.sha256 is None:
            raise ValueError(f"nothing is known by which a file could be {self.name}")


_MAGIC_LEAP_TERMS = (
    "Copyright Magic Leap, Inc. For academic or non-profit research that is not commercial, only. "
    "The weights must not be passed on, and what is derived from them is bound by the same terms."
)
_MAGIC_LEAP_URL = "https://raw.githubusercontent.com/magicleap/SuperGluePretrainedNetwork/master/models/weights/"


def _magic_leap(name: str, model: str, architecture: str, blob_id: str, sha256: str) -> WeightsEntry:
    file_name = f"{name}.pth"
    licence = "Magic Leap, non-commercial research only"
    url = _MAGIC_LEAP_URL + file_name
    return WeightsEntry(name, model, architecture, licence, _MAGIC_LEAP_TERMS, url, file_name, blob_id, sha256)


_DEDODE_URL = "https://github.com/Parskatt/DeDoDe/releases/download/"
_DEDODE_TERMS = (
    "Copyright Johan Edstedt. Free for any use that keeps the MIT licence's notice; no warranty. Trained on MegaDepth, "
    "whose own terms are for research."
)


def _dedode(release: str, name: str, architecture: str, sha256: str, size_bytes: int | None = None) -> WeightsEntry:
    file_name = f"{name}.pth"
    url = f"{_DEDODE_URL}{release}/{file_name}"
    return WeightsEntry(name, "dedode", architecture, "MIT", _DEDODE_TERMS, url, file_name, None, sha256, size_bytes)


REGISTRY: dict[str, WeightsEntry] = {
    entry.name: entry
    for entry in (
        _magic_leap(
            "superpoint_v1",
            "superpoint",
            "SuperPoint",
            "107a444ca318d487390137d619d49f2f0a3b1ad8",
            "52b6708629640ca883673b5d5c097c4ddad37d8048b33f09c8ca0d69db12c40e",
        ),
        _magic_leap(
            "superglue_indoor",
            "superglue",
            "SuperGlue",
            "2b54532f1b7321505cac79ee3a2863ef2ab2d163",
            "0e710469be25ebe1e2ccf68edcae8b2945b0617c8e7e68412251d9d47f5052b1",
        ),
        _magic_leap(
            "superglue_outdoor",
            "superglue",
            "SuperGlue",
            "5ca3392bd5349790d7bc1c246961fc041b88c1e8",
            "2f5f5e9bb3febf07b69df633c4c3ff7a17f8af26a023aae2b9303d22339195bd",
        ),
        WeightsEntry(
            name="superpoint_v6",
            model="superpoint",
            architecture="OpenSuperPoint",
            licence="MIT",
            terms="Copyright Rémi Pautrat, Paul-Edouard Sarlin. Free for any use that keeps this notice; no warranty.",
            url="https://raw.githubusercontent.com/rpautrat/SuperPoint/master/weights/superpoint_v6_from_tf.pth",
            file_name="superpoint_v6_from_tf.pth",
            blob_id="f645e8db1b10a7be84d4e50d67a3c64dd240a49a",
        ),
        _dedode(
            "v2",
            "dedode_detector_L_v2",
            "DeDoDeDetector",
            "4113809dd9e0367af013a45fc2255a6b243ff241cd06520d17a65d9e231bdc17",
            58_483_585,
        ),
        _dedode(
            "dedode_pretrained_models",
            "dedode_descriptor_B",
            "DeDoDeDescriptor",
            "8eccfc270ec990ced60cd54a434411a47c4c504de13586f596d042e005b3022b",
        ),
        _dedode(
            "dedode_pretrained_models",
            "dedode_descriptor_G",
            "DeDoDeDescriptorG",
            "ef6e3f2911bb3c179960db15545a2137d0746054bb5bad75559524ccab1fee41",
            75_485_969,
        ),
        WeightsEntry(
            name="dinov2_vitl14",
            model="dinov2",
            architecture="DinoV2",
            licence="Apache-2.0",
            terms="Copyright Meta Platforms, Inc. and affiliates. Free for any use under the Apache License 2.0.",
            url="https://dl.fbaipublicfiles.com/dinov2/dinov2_vitl14/dinov2_vitl14_pretrain.pth",
            file_name="dinov2_vitl14_pretrain.pth",
            blob_id=None,
            sha256="d5383ea8f4877b2472eb973e0fd72d557c7da5d3611bd527ceeb1d7162cbf428",
            size_bytes=1_217_586_395,
        ),
    )
}
"""The official checkpoints that slamfront can fetch, by name."""


def cache_dir() -> Path:
    """Return the folder for fetched files: $SLAMFRONT_CACHE, else slamfront's in $XDG_CACHE_HOME or the platform's."""
    if own := os.environ.get("SLAMFRONT_CACHE"):
        return Path(own).expanduser()
    if shared := os.environ.get("XDG_CACHE_HOME"):
        return Path(shared) / "slamfront"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "slamfront"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "slamfront" / "cache"
    return Path.home() / ".cache" / "slamfront"


def git_blob_id(path: Path) -> str:
    """Return the id that git gives a file's content: the sha1 of `blob SIZE\\0` and the bytes."""
    digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def entry_named(name: str) -> WeightsEntry:
    """Return the registry's entry of a name; WeightsError names the nearest one where there is none."""
    if name in REGISTRY:
        return REGISTRY[name]
    near = difflib.get_close_matches(name, [*REGISTRY, *packaged_weights()], n=1)
    hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(REGISTRY)}"
    raise WeightsError(f"no weights are called '{name}', and there is no such file: {hint}")


def packaged_weights() -> dict[str, tuple[Path, ...]]:
    """Return the weights that ship with slamfront: the files of each name, more than one where they are split."""
    found: dict[str, list[Path]] = {}
    for path in sorted(PACKAGED_FOLDER.glob("*.safetensors")):
        shard = _SHARD.match(path.stem)
        found.setdefault(shard["name"] if shard else path.stem, []).append(path)
    return {name: tuple(paths) for name, paths in found.items()}


def shards_of(path: Path) -> tuple[Path, ...]:
    """Return all files of a checkpoint split as NAME-00001-of-00003.safetensors, or the one file itself.

    Raises WeightsError where a part is missing.
    """
    shard = _SHARD.match(path.stem)
    if shard is None:
        return (path,)
    count = int(shard["count"])
    parts = tuple(path.with_name(f"{shard['name']}-{i:05d}-of-{count:05d}{path.suffix}") for i in range(1, count + 1))
    missing = [part.name for part in parts if not part.is_file()]
    if missing:
        raise WeightsError(f"{path.parent}: the checkpoint {shard['name']} lacks its part {missing[0]}")
    return parts


def cached_path(entry: WeightsEntry, folder: Path | None = None) -> Path:
    """Return where an official checkpoint lies once it has been fetched."""
    return (cache_dir() / "weights" if folder is None else folder) / entry.file_name


def resolve(name_or_path: str | Path) -> Path:
    """Return the local file of a path, of packaged weights or of a fetched official checkpoint.

    Of split weights it is the first part. Raises WeightsError with the command that fetches what is not there.
    """
    path = Path(name_or_path).expanduser()
    if path.is_file():
        return path
    name = str(name_or_path)
    if packaged := packaged_weights().get(name):
        return packaged[0]
    if path.suffix or len(path.parts) > 1:
        raise WeightsError(f"{path}: no such checkpoint file")
    entry = entry_named(name)
    cached = cached_path(entry)
    if not cached.is_file():
        raise WeightsError(f"weights {name} are not on this machine: get them with `slamfront weights fetch {name}`")
    return cached


def check(entry: WeightsEntry, path: Path | None = None) -> Path:
    """Verify that a file, by default the fetched one, is the official checkpoint; returns its path.

    Raises WeightsError where the file is missing, or its git blob id or its SHA-256 differs, as far as these are known.
    """
    path = resolve(entry.name) if path is None else path
    _compare(entry, path, str(path))
    return path


def verified(name_or_path: str | Path) -> Path:
    """Return what `resolve` does; a file that comes with slamfront, or was fetched, has been compared with what it
    should be. Raises WeightsError where it differs.
    """
    path = resolve(name_or_path)
    if path.parent == PACKAGED_FOLDER:
        check_packaged(path)
    for entry in REGISTRY.values():
        if path == cached_path(entry):
            check(entry, path)
    return path


def check_packaged(path: Path) -> None:
    """Raise WeightsError unless all parts of weights that ship with slamfront have the SHA-256 that SHA256SUMS, beside
    them, has of them.
    """
    sums = _packaged_sums()
    for part in shards_of(path):
        found = _of_file(sha256_of, part)
        if found != sums.get(part.name):
            raise WeightsError(f"{part}: damaged or changed since it was packaged: install slamfront again")


def _packaged_sums() -> dict[str, str]:
    """Return the SHA-256 of each packaged file by its name, as `sha256sum` writes them."""
    path = PACKAGED_FOLDER / "SHA256SUMS"
    lines = _of_file(lambda file: file.read_text(encoding="utf-8", errors="replace"), path).splitlines()
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines)}


def _of_file(read: Callable[[Path], str], path: Path) -> str:
    try:
        return read(path)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({_reason(error)})") from error


def _compare(entry: WeightsEntry, path: Path, origin: str) -> None:
    """Raise WeightsError, which names the origin of a file, unless it is the official checkpoint."""
    for what, wanted, digest in (("SHA-256", entry.sha256, sha256_of), ("git id", entry.blob_id, git_blob_id)):
        found = wanted and _of_file(digest, path)
        if found != wanted:
            raise WeightsError(f"{origin}: not the official {entry.file_name}: its {what} is {found}, not {wanted}")


def fetch(
    entry: WeightsEntry,
    folder: Path | None = None,
    *,
    consent: bool,
    source: str | Path | None = None,
    progress: Progress | None = None,
) -> Path:
    """Fetch an official checkpoint into a folder (default: the cache), verify it and return its path.

    source: a local file, or another http(s) address, to take it from instead of the entry's. Proxies are those of the
    environment (http_proxy, https_proxy, no_proxy). The file appears under its name only when it is whole and its
    SHA-256 and git blob id are right; one that is already there and right is left as it is.

    Raises WeightsError without consent to the licence, where the address does not answer, where the file is cut short
    or another one, and where the folder cannot be written.
    """
    if not consent:
        raise WeightsError(f"{entry.name} is under the licence '{entry.licence}': fetching it needs your consent")
    target = cached_path(entry, folder)
    if target.is_file():
        with contextlib.suppress(WeightsError):
            return check(entry, target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(target) as temporary:
            with (
                temporary.open("wb") as file,
                _opened(source if source is not None else entry.url) as (stream, total, origin),
            ):
                _copy(stream, file, total or entry.size_bytes, origin, progress)
            _compare(entry, temporary, origin)
    except OSError as error:
        raise WeightsError(f"{target.parent}: cannot be written ({_reason(error)})") from error
    return target


@contextmanager
def _opened(source: str | Path) -> Iterator[tuple[BinaryIO, int | None, str]]:
    """Open a local file or an address; gives the stream, its length where known, and a name for messages."""
    origin = str(source)
    try:
        if re.match(r"https?://", origin):
            request = urllib.request.Request(origin, headers={"User-Agent": "slamfront"})
            stream = urllib.request.build_opener().open(request, timeout=_TIMEOUT_S)
            length = stream.headers.get("Content-Length")
            total = int(length) if length else None
        else:
            stream = Path(origin).expanduser().open("rb")
            total = os.fstat(stream.fileno()).st_size
    except urllib.error.HTTPError as error:
        raise WeightsError(f"{origin}: the server answers {error.code} {error.reason}") from error
    except (OSError, HTTPException, ValueError) as error:
        raise WeightsError(f"{origin}: cannot be opened ({_reason(error)})") from error
    with stream:
        yield stream, total, origin


def _copy(stream: BinaryIO, file: BinaryIO, total: int | None, origin: str, progress: Progress | None) -> None:
    done = 0
    while chunk := _read(stream, origin):
        file.write(chunk)
        done += len(chunk)
        if progress is not None:
            progress(done, total)
    if total is not None and done < total:
        raise WeightsError(f"{origin}: cut short after {done} of {total} bytes: try again")
    file.flush()


def _read(stream: BinaryIO, origin: str) -> bytes:
    try:
        return stream.read(_CHUNK_BYTES)
    except (OSError, HTTPException) as error:
        raise WeightsError(f"{origin}: the connection broke ({_reason(error)}): try again") from error


def _reason(error: Exception) -> str:
    """Return an error's cause in a few words."""
    if isinstance(error, urllib.error.URLError):
        return str(getattr(error.reason, "strerror", None) or error.reason)
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return "the disk is full"
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
