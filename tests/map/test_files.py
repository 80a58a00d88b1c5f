from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load, save

from slamfront.errors import MapFileError, OutputError
from slamfront.geometry.pose import Pose
from slamfront.map import KeyframeMap
from slamfront.map.files import MapHeader, check_fits, load_map, save_map
from tests.map.worlds import CAMERA, NONE, add_keyframe, add_landmarks, assert_consistent, chain

HEADER = MapHeader("stereo", "orb", "nearest", "2025-01-31T12:00:00Z", "0.1.0")


def lived_in() -> KeyframeMap:
    """Return a map with a past: rows used twice, keyframes that were culled, one of them into another that was."""
    world, records = chain(6)
    world.remove_landmarks(records[2].landmark_rows[:5].copy())
    add_landmarks(world, records[3], np.flatnonzero(records[3].landmark_rows < 0)[:3])
    world.remove_keyframe(records[1].id, records[2].id)
    world.remove_keyframe(records[2].id, records[3].id)
    records[4].world_from_camera = Pose.exp(np.array([0.1, -0.2, 0.3, 1 / 3, 2 / 7, -0.1]))
    world.landmarks.seen[: len(world.landmarks)] += 3
    some = np.flatnonzero(world.landmarks.alive)[::2]
    world.landmarks.set_patches(some, np.random.default_rng(0).integers(0, 256, (len(some), 21, 21), np.uint8))
    return world


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("maps") / "house.map"
    save_map(lived_in(), path, HEADER)
    return path.read_bytes()


def assert_equal(first: KeyframeMap, second: KeyframeMap) -> None:
    """Two maps are equal to the last digit, in all but the images of their newest keyframes."""
    assert first.camera == second.camera and first.next_id == second.next_id
    assert list(first.keyframes) == list(second.keyframes) and dict(first.retired).keys() == second.retired.keys()
    for keyframe_id in [*first.keyframes, *first.retired]:
        mine, theirs = first.world_from_keyframe(keyframe_id), second.world_from_keyframe(keyframe_id)
        np.testing.assert_array_equal(mine.matrix(), theirs.matrix())
    for a, b in zip(first.keyframes.values(), second.keyframes.values(), strict=True):
        assert (a.id, a.time_ns, a.features.image_size) == (b.id, b.time_ns, b.features.image_size)
        for name in ("keypoints_xy", "scores", "descriptors", "scales"):
            same_array(getattr(a.features, name), getattr(b.features, name))
        for name in ("right_x", "sigmas_px", "landmark_rows"):
            same_array(getattr(a, name), getattr(b, name))
        np.testing.assert_array_equal(a.shutter.angular_velocity, b.shutter.angular_velocity)
    rows = np.flatnonzero(first.landmarks.alive)
    np.testing.assert_array_equal(rows, np.flatnonzero(second.landmarks.alive))
    np.testing.assert_array_equal(first.landmarks.ids(rows), second.landmarks.ids(rows))
    for name, values in first.landmarks.values().items():
        same_array(values[rows], second.landmarks.values()[name][rows])
    same_array(first.landmarks.textured[rows], second.landmarks.textured[rows])


def same_array(first: np.ndarray, second: np.ndarray) -> None:
    assert first.dtype == second.dtype
    np.testing.assert_array_equal(first, second)


def refusal(path: Path) -> str:
    """Return the one line with which a file is refused."""
    with pytest.raises(MapFileError) as caught:
        load_map(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    return str(caught.value)


def sealed(path: Path, arrays: Mapping[str, np.ndarray], contents: str) -> Path:
    """Write a file that is whole, with the content of someone who knows the format."""
    digest = hashlib.sha256(contents.encode())
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].dtype.name} {arrays[name].shape}".encode() + arrays[name].tobytes())
    whole = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    path.write_bytes(save({**whole, "sha256": np.frombuffer(digest.digest(), np.uint8)}, {"slamfront map": contents}))
    return path


def arrays_of(data: bytes) -> dict[str, np.ndarray]:
    return {name: array for name, array in load(data).items() if name != "sha256"}


def contents_of(data: bytes) -> dict[str, Any]:
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    contents: dict[str, Any] = json.loads(header["__metadata__"]["slamfront map"])
    return contents


# --- there and back


def test_a_loaded_map_equals_the_saved_one_to_the_last_digit(tmp_path: Path) -> None:
    world = lived_in()
    save_map(world, tmp_path / "a.map", HEADER)
    loaded, header = load_map(tmp_path / "a.map")
    assert header == HEADER
    assert_equal(world, loaded)
    assert_consistent(loaded)


def test_float_descriptors_keep_every_bit(tmp_path: Path) -> None:
    world = KeyframeMap(replace(CAMERA, baseline_m=None), np.zeros((0, 256), np.float32))
    rng = np.random.default_rng(0)
    binary = add_keyframe(chain(1)[0]).features
    floats = rng.standard_normal((30, 256)).astype(np.float32)
    record = add_keyframe(KeyframeMap(CAMERA, np.zeros((0, 32), np.uint8)))
    keyframe = world.add_keyframe(
        5, Pose.identity(), replace(binary, descriptors=floats), record.right_x, record.sigmas_px,
        np.full(30, -1, np.int64), None, record.shutter,
    )  # fmt: skip
    add_landmarks(world, keyframe, np.arange(20))
    save_map(world, tmp_path / "a.map", HEADER)
    loaded, _ = load_map(tmp_path / "a.map")
    assert_equal(world, loaded)
    assert loaded.landmarks.descriptors.dtype == np.float32


def test_an_empty_map_goes_there_and_back(tmp_path: Path) -> None:
    world, _ = chain(2)
    world.clear()
    save_map(world, tmp_path / "a.map", HEADER)
    loaded, _ = load_map(tmp_path / "a.map")
    assert_equal(world, loaded)
    assert loaded.next_id == 2


def test_equal_maps_give_equal_files(tmp_path: Path, saved: bytes) -> None:
    (tmp_path / "a.map").write_bytes(saved)
    save_map(*_swapped(load_map(tmp_path / "a.map"), tmp_path / "b.map"))
    assert (tmp_path / "b.map").read_bytes() == saved


def _swapped(loaded: tuple[KeyframeMap, MapHeader], path: Path) -> tuple[KeyframeMap, Path, MapHeader]:
    return loaded[0], path, loaded[1]


def test_a_loaded_map_grows_with_new_ids_only(tmp_path: Path) -> None:
    world = lived_in()
    used = set(world.landmarks.ids(np.arange(world.landmarks.capacity)).tolist())
    save_map(world, tmp_path / "a.map", HEADER)
    loaded, _ = load_map(tmp_path / "a.map")
    keyframe = add_keyframe(loaded, 3000, x_m=0.7)
    rows = add_landmarks(loaded, keyframe, np.arange(3000))
    rows = np.r_[rows, add_landmarks(loaded, add_keyframe(loaded, 3000, NONE), np.arange(3000))]  # beyond the capacity
    assert keyframe.id == world.next_id
    assert not used & set(loaded.landmarks.ids(rows).tolist())
    assert_consistent(loaded)


def test_the_file_is_an_ordinary_file_of_tensors(saved: bytes) -> None:
    contents, arrays = contents_of(saved), load(saved)
    assert contents["version"] == 2 and contents["header"]["features"] == "orb"
    assert arrays["landmarks/positions_m"].shape == (contents["sizes"]["landmarks"], 3)
    assert arrays["sha256"].shape == (32,)


def test_a_place_that_cannot_be_written_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        save_map(chain(1)[0], tmp_path / "file" / "a.map", HEADER)


# --- damage


def test_a_truncated_file_is_refused(tmp_path: Path, saved: bytes) -> None:
    path = tmp_path / "a.map"
    path.write_bytes(saved)
    for length in sorted({*range(1500), *range(1500, len(saved), 61)}, reverse=True):
        os.truncate(path, length)
        assert_refused(path)


@pytest.mark.slow
def test_a_file_truncated_at_any_byte_is_refused(tmp_path: Path, saved: bytes) -> None:
    path = tmp_path / "a.map"
    path.write_bytes(saved)
    for length in reversed(range(len(saved))):
        os.truncate(path, length)
        assert_refused(path)


def assert_refused(path: Path) -> None:
    try:
        load_map(path)
    except MapFileError:
        return
    pytest.fail(f"{path.stat().st_size} bytes were taken for a map")


def test_a_flipped_bit_is_refused_wherever_it_is(tmp_path: Path, saved: bytes) -> None:
    path = tmp_path / "a.map"
    rng = np.random.default_rng(0)
    path.write_bytes(saved)
    with path.open("r+b", buffering=0) as file:
        for position in [*range(200), *range(200, len(saved) - 2000, 97), *range(len(saved) - 2000, len(saved))]:
            file.seek(position)
            file.write(bytes([saved[position] ^ (1 << int(rng.integers(8)))]))
            assert_refused(path)
            file.seek(position)
            file.write(saved[position : position + 1])
    load_map(path)


def test_a_file_with_something_behind_it_is_refused(tmp_path: Path, saved: bytes) -> None:
    (tmp_path / "a.map").write_bytes(saved + b"\0")
    assert "damaged" in refusal(tmp_path / "a.map")


def test_damage_is_told_from_contradiction(tmp_path: Path, saved: bytes) -> None:
    path = tmp_path / "a.map"
    for text in (b'landmarks\\":', b'"F64"', b"-01-31T12", b"0.1.0"):
        path.write_bytes(saved.replace(text, text[:-2] + bytes([text[-2] ^ 1]) + text[-1:], 1))
        assert path.read_bytes() != saved and "damaged" in refusal(path)


_KILLED = """
import os, resource, signal, sys
from pathlib import Path
from slamfront.map.files import load_map, save_map

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

path = Path(sys.argv[1])
world, header = load_map(path)
world.landmarks.positions_m += 1.0
if sys.argv[2] == "half way":
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # kills; Python turns it into an error
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size // 2, resource.RLIM_INFINITY))
else:
    setattr(os, sys.argv[2], die)
save_map(world, path, header)
"""


@pytest.mark.parametrize("moment", ["half way", "fsync", "replace"])
def test_killing_the_process_while_it_saves_leaves_the_old_file(tmp_path: Path, saved: bytes, moment: str) -> None:
    path = tmp_path / "a.map"
    path.write_bytes(saved)
    done = subprocess.run([sys.executable, "-c", _KILLED, str(path), moment], capture_output=True, timeout=60)
    assert done.returncode in (-signal.SIGKILL, -signal.SIGXFSZ), done.stderr
    assert path.read_bytes() == saved


# --- foreign files


@pytest.mark.parametrize("content", [b"", b"PK", b"ply\nformat ascii 1.0\n", os.urandom(3000)], ids=range(4))
def test_what_is_no_map_is_said_to_be_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.map").write_bytes(content)
    assert "is not a map file" in refusal(tmp_path / "a.map")


def test_other_archives_are_no_maps(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", a=np.zeros(3))
    assert "is not a map file" in refusal(tmp_path / "a.npz")


def test_a_missing_file_and_a_folder_are_told_apart_from_damage(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "nowhere.map")
    assert "Is a directory" in refusal(tmp_path)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.map")
    assert "a pipe or a device" in refusal(tmp_path / "a.map")


@pytest.mark.parametrize("version", [1, 99, 0, "2", None])
def test_another_version_is_refused_by_name(tmp_path: Path, saved: bytes, version: Any) -> None:
    contents = {**contents_of(saved), "version": version}
    path = sealed(tmp_path / "a.map", arrays_of(saved), json.dumps(contents))
    assert f"version {version!r}, this slamfront reads version 1 to 2" in refusal(path)


def test_other_files_of_tensors_are_no_maps(tmp_path: Path, saved: bytes) -> None:
    for metadata in (None, {"other": "text"}):
        (tmp_path / "a.map").write_bytes(save(arrays_of(saved), metadata))
        assert "is not a map file" in refusal(tmp_path / "a.map")


def test_a_header_longer_than_any_of_ours_is_not_read(tmp_path: Path, saved: bytes) -> None:
    path = sealed(tmp_path / "a.map", arrays_of(saved), json.dumps(contents_of(saved)) + " " * 70_000)
    assert "is not a map file" in refusal(path)


def test_arrays_that_no_map_has_are_left_alone(tmp_path: Path, saved: bytes) -> None:
    arrays = {**arrays_of(saved), "../evil": np.zeros(3)}
    load_map(sealed(tmp_path / "a.map", arrays, json.dumps(contents_of(saved))))


def _changed(array: np.ndarray, index: Any, value: Any) -> np.ndarray:
    copy = array.copy()
    copy[index] = value
    return copy


@pytest.mark.parametrize(
    ("name", "change", "told"),
    [
        ("keyframes/ids", lambda a: a[:-1], r"is (3,), not (4,)"),
        ("keyframes/ids", lambda a: _changed(a, 0, a[1]), "twice"),
        ("keyframes/ids", lambda a: _changed(a, 0, 10**6), "out of order"),
        ("keyframes/positions_m", lambda a: _changed(a, (0, 0), np.nan), "not finite"),
        ("keyframes/rotations", lambda a: 2 * a, "no rotation"),
        ("keyframes/feature_counts", lambda a: _changed(a, 0, -1), "no keyframe"),
        ("features/landmark_rows", lambda a: _changed(a, 0, 10**9), "no landmark"),
        ("features/landmark_rows", lambda a: _changed(a, np.argmax(a >= 0), -1), "miscounted"),
        ("features/descriptors", lambda a: a.astype(np.float32), "float32"),
        ("landmarks/rows", lambda a: _changed(a, -1, 1 << 40), "beyond all others"),
        ("landmarks/rows", lambda a: a[::-1], "out of order"),
        ("landmarks/anchor_ids", lambda a: a + 1000, "hangs on no keyframe"),
        ("landmarks/uses", lambda a: a * 0, "ids of landmarks"),
        ("retired/heirs", lambda a: a * 0 + 777, "no heir"),
    ],
)
def test_a_whole_file_that_contradicts_itself_is_refused(
    tmp_path: Path, saved: bytes, name: str, change: Any, told: str
) -> None:
    arrays = arrays_of(saved)
    path = sealed(tmp_path / "a.map", {**arrays, name: change(arrays[name])}, json.dumps(contents_of(saved)))
    assert told in refusal(path)


def test_an_array_that_is_missing_is_named(tmp_path: Path, saved: bytes) -> None:
    arrays = arrays_of(saved)
    del arrays["landmarks/positions_m"]
    path = sealed(tmp_path / "a.map", arrays, json.dumps(contents_of(saved)))
    assert "landmarks/positions_m" in refusal(path)


def test_sizes_that_no_array_has_take_no_memory(tmp_path: Path, saved: bytes) -> None:
    contents = contents_of(saved)
    for key in ("keyframes", "features", "landmarks", "retired", "descriptor_width"):
        wrong = {**contents, "sizes": {**contents["sizes"], key: 10**12}}
        assert "contradicts itself" in refusal(sealed(tmp_path / "a.map", arrays_of(saved), json.dumps(wrong)))


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 50_000, '{"version": 2}', '{"version": 2, "header": 3}'])
def test_a_description_that_tells_nothing_is_refused(tmp_path: Path, saved: bytes, text: str) -> None:
    assert "map" in refusal(sealed(tmp_path / "a.map", arrays_of(saved), text))


def test_a_map_fits_only_what_it_was_made_with() -> None:
    world, path = lived_in(), Path("a.map")
    check_fits(path, world, HEADER, replace(HEADER, matcher="lightglue", created="now"), CAMERA)
    check_fits(path, world, HEADER, HEADER, replace(CAMERA, fx=CAMERA.fx * (1 + 1e-9)))
    check_fits(path, world, HEADER, HEADER, replace(CAMERA, depth_delay_s=-0.019))
    for other, camera, told in (
        (replace(HEADER, sensor="mono"), CAMERA, "a map of a stereo sensor, this is mono"),
        (replace(HEADER, features="sift"), CAMERA, "orb features, these are sift"),
        (HEADER, replace(CAMERA, fx=260.0), "its fx is 250.0, not 260.0"),
        (HEADER, replace(CAMERA, baseline_m=None), "its baseline_m is 0.1, not None"),
    ):
        with pytest.raises(MapFileError, match=told):
            check_fits(path, world, HEADER, other, camera)
