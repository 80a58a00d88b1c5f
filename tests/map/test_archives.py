"""Map files of version 1, of which `version-1.map` is one: it was written by the slamfront that wrote no other."""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slamfront.map.files import MapHeader, load_map, save_map
from tests.map.test_files import HEADER, assert_equal, lived_in, refusal
from tests.map.worlds import assert_consistent

FILE = Path(__file__).with_name("version-1.map")


@pytest.fixture(scope="module")
def saved() -> bytes:
    return FILE.read_bytes()


def test_an_old_map_is_read_and_written_anew_without_losing_a_digit(tmp_path: Path) -> None:
    old, header = load_map(FILE)
    assert header == HEADER
    assert_consistent(old)
    save_map(old, tmp_path / "new.map", header)
    new, header = load_map(tmp_path / "new.map")
    assert header == MapHeader("stereo", "orb", "nearest", "2025-01-31T12:00:00Z", "0.1.0")
    assert_equal(old, new)


def test_an_old_map_is_the_one_that_was_saved() -> None:
    old, world = load_map(FILE)[0], lived_in()
    assert list(old.keyframes) == list(world.keyframes) and old.retired.keys() == world.retired.keys()
    rows = np.flatnonzero(world.landmarks.alive)
    np.testing.assert_array_equal(old.landmarks.ids(rows), world.landmarks.ids(rows))
    np.testing.assert_array_equal(old.landmarks.patches[rows], world.landmarks.patches[rows])
    # Another machine's sine and square root may differ in the last digit from those that wrote the file
    np.testing.assert_allclose(old.landmarks.positions_m[rows], world.landmarks.positions_m[rows], rtol=1e-12)
    for mine, theirs in zip(old.keyframes.values(), world.keyframes.values(), strict=True):
        matrix = theirs.world_from_camera.matrix()
        np.testing.assert_allclose(mine.world_from_camera.matrix(), matrix, rtol=1e-12, atol=1e-15)


def sealed(path: Path, entries: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    """Write a file that is whole, with the entries of someone who knows the format."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
        archive.comment = b"slamfront map sha256 " + b"0" * 64
    data = buffer.getvalue()[:-64]
    path.write_bytes(data + hashlib.sha256(data).hexdigest().encode())
    return path


def entries_of(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def npy(array: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.asarray(array), version=(1, 0), **options)
    return buffer.getvalue()


def test_a_truncated_old_map_is_refused(tmp_path: Path, saved: bytes) -> None:
    path = tmp_path / "a.map"
    path.write_bytes(saved)
    for length in range(len(saved) - 1, 0, -977):
        os.truncate(path, length)
        refusal(path)


def test_a_flipped_bit_of_an_old_map_is_refused_wherever_it_is(tmp_path: Path, saved: bytes) -> None:
    path = tmp_path / "a.map"
    for position in [*range(200), *range(200, len(saved), 997), *range(len(saved) - 200, len(saved))]:
        path.write_bytes(saved[:position] + bytes([saved[position] ^ 4]) + saved[position + 1 :])
        refusal(path)


@pytest.mark.parametrize("version", [2, 99, 0, "1", None])
def test_another_version_is_refused_by_name(tmp_path: Path, saved: bytes, version: Any) -> None:
    entries = entries_of(saved)
    contents = {**json.loads(entries["map.json"]), "version": version}
    path = sealed(tmp_path / "a.map", {**entries, "map.json": json.dumps(contents).encode()})
    assert f"version {version!r}, this slamfront reads version 1 to 2" in refusal(path)


def test_a_compressed_archive_is_refused_before_it_is_unpacked(tmp_path: Path, saved: bytes) -> None:
    bomb = {**entries_of(saved), "bomb.npy": bytes(50_000_000)}
    path = sealed(tmp_path / "a.map", bomb, zipfile.ZIP_DEFLATED)
    # The start of a map file is not compressed: its first entry is the description
    assert "compressed" in refusal(path)


def test_entries_that_lead_elsewhere_are_left_alone(tmp_path: Path, saved: bytes) -> None:
    (tmp_path / "in").mkdir()
    path = sealed(tmp_path / "in" / "a.map", {**entries_of(saved), "../evil.txt": b"x", "/evil.txt": b"x"})
    load_map(path)
    assert sorted(tmp_path.rglob("*")) == [tmp_path / "in", path]


def _with(saved: bytes, name: str, data: bytes) -> dict[str, bytes]:
    return {**entries_of(saved), name: data}


def test_pickled_objects_are_refused(tmp_path: Path, saved: bytes) -> None:
    evil = npy(np.array([{"a": 1}], object), allow_pickle=True)
    path = sealed(tmp_path / "a.map", _with(saved, "keyframes/ids.npy", evil))
    assert "contradicts itself" in refusal(path)


def test_an_array_that_is_not_as_large_as_it_should_be_is_refused(tmp_path: Path, saved: bytes) -> None:
    array = np.load(io.BytesIO(entries_of(saved)["keyframes/ids.npy"]))
    path = sealed(tmp_path / "a.map", _with(saved, "keyframes/ids.npy", npy(array[:-1])))
    assert "is int64" in refusal(path)


@pytest.mark.parametrize("header", [b"{'descr': (", b"{['descr']: 1, 'shape': ()}"])
def test_a_header_that_cannot_be_parsed_is_refused(tmp_path: Path, saved: bytes, header: bytes) -> None:
    padded = header + b" " * (117 - len(header)) + b"\n"
    array = b"\x93NUMPY\x01\x00" + len(padded).to_bytes(2, "little") + padded
    assert "contradicts itself" in refusal(sealed(tmp_path / "a.map", _with(saved, "keyframes/ids.npy", array)))


def test_sizes_that_no_array_has_take_no_memory(tmp_path: Path, saved: bytes) -> None:
    contents = json.loads(entries_of(saved)["map.json"])
    for key in ("keyframes", "features", "landmarks", "retired", "descriptor_width"):
        wrong = {**contents, "sizes": {**contents["sizes"], key: 10**12}}
        refusal(sealed(tmp_path / "a.map", _with(saved, "map.json", json.dumps(wrong).encode())))


@pytest.mark.parametrize("text", ["[]", "{", "[" * 50_000, '{"format": "slamfront map", "version": 1}', " " * 70_000])
def test_a_description_that_tells_nothing_is_refused(tmp_path: Path, saved: bytes, text: str) -> None:
    refusal(sealed(tmp_path / "a.map", _with(saved, "map.json", text.encode())))
