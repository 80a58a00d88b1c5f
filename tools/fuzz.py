"""Damaged and extreme inputs, by seed: each is read, or refused in one line, and nothing hangs, crashes or eats memory.

    python tools/fuzz.py --count 3000                  # one process for each input
    python tools/fuzz.py --kinds maps weights --seed 7 --count 1

An input is a good file of some kind (a dataset, a calibration, an image, a trajectory, a recipe, weights, a map,
settings) in which bytes, numbers, lines or whole values have been changed, and it is given to what reads it: for
datasets and settings that is a whole run of a few frames. Counted are exceptions that are not slamfront's, inputs that
take longer than --seconds, processes that die, and those that take more than --megabytes beyond what was loaded. Exit
code 1 when there are any.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import random
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load, save

from slamfront import config
from slamfront.build import build_front, resolve, write_map
from slamfront.calibration import read_calibration
from slamfront.cli import main as slamfront_main
from slamfront.commands.parsing import parse
from slamfront.errors import MOST_CHARACTERS, SlamfrontError
from slamfront.image_files import read_depth, read_image
from slamfront.map.files import load_map
from slamfront.models.checkpoints import load_network
from slamfront.models.weights import PACKAGED_FOLDER
from slamfront.pipeline import InlineWorker
from slamfront.protocols import Workers
from slamfront.sources.guess import open_source
from slamfront.training.checkpoints import load_training
from slamfront.training.data.labels import load_labels
from slamfront.training.recipe import Recipe, load_recipe
from slamfront.training.tasks.registry import task_of
from slamfront.trajectories import read_trajectory

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = ROOT / "datasets" / "sample"
OLD_MAP = ROOT / "tests" / "map" / "version-1.map"

_FRAMES = 3
_FAST = ["--extractor.kind", "orb", "--extractor.max-keypoints", "200", "--no-plots", "--no-threads"]
_OK_CODES = (0, 2, 3)

_VALUES = [
    *("nan", "inf", "-inf", "1e308", "-1e308", "1e-320", "0", "-0.0", "-1", "1", "2147483648", "-2147483649"),
    *("9223372036854775808", "99999999999999999999", "1" * 5000, "0x" + "f" * 300, "", " ", "\u00b2", "\u0663", "true"),
    *(
        "null",
        "~",
        "[]",
        "{}",
        "[[1]]",
        "'",
        '"',
        "!!int x",
        "!!python/none",
        "*a",
        "&a [*a]",
        "2001-99-99",
        "0b",
        "1e",
    ),
    *(
        "a\0b",
        "\ufeff",
        "\x1b[31mred",
        "[/red]",
        "../../../etc/passwd",
        "/",
        "~nobody/x",
        "a" * 5000,
        "-",
        "--",
        "%s%n",
    ),
]


@dataclass(frozen=True)
class Arguments:
    """Give damaged and extreme inputs to what reads them."""

    count: int = 200
    """Inputs, divided among the kinds."""
    seed: int = 0
    """The first input's; the others count on."""
    kinds: tuple[str, ...] = ()
    """Those of KINDS; all without it."""
    seconds: float = 20.0
    """Longest time of an input."""
    megabytes: float = 1024.0
    """Most memory of an input, beyond what is loaded for all."""


def attempt(kind: str, seed: int, folder: Path) -> str:
    """Make the input of a kind and a seed in an empty folder, and read it; returns "" or the fault.

    What is refused is refused by a SlamfrontError of one line.
    """
    rng = random.Random(f"{kind} {seed}")
    try:
        KINDS[kind](rng, folder)
    except SlamfrontError as error:
        text = str(error)
        if "\n" in text or not text.isprintable() or len(text) > 5 * MOST_CHARACTERS:
            return f"an error that is not one short line: {text[:MOST_CHARACTERS]!r}"
    except SystemExit as stop:
        return f"it ends the program with {stop.code!r}"
    except BaseException as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__}: {str(error)[:100]!r} at {Path(where.filename).name}:{where.lineno}"
    return ""


# --- what is done to a file


def damage_bytes(data: bytes, rng: random.Random) -> bytes:
    """Return bytes with one to three places changed: flipped, zeroed, cut out, doubled, exchanged, or cut off."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 3)):
        if not changed:
            return b""
        start = rng.randrange(len(changed)) if rng.random() < 0.7 else rng.randrange(min(len(changed), 200))
        length = min(rng.choice([1, 1, 2, 4, 8, 64, 512]), len(changed) - start)
        what = rng.randrange(7)
        if what == 0:
            changed[start] ^= 1 << rng.randrange(8)
        elif what == 1:
            changed[start : start + length] = bytes(length)
        elif what == 2:
            changed[start : start + length] = b"\xff" * length
        elif what == 3:
            del changed[start : start + length]
        elif what == 4:
            changed[start:start] = rng.randbytes(length)
        elif what == 5:
            changed[start : start + length] = rng.randbytes(length)
        else:
            del changed[start:]
    return bytes(changed)


def damage_text(text: str, rng: random.Random) -> str:
    """Return a text with one to three numbers, words, lines or columns changed."""
    for _ in range(rng.randint(1, 3)):
        lines = text.split("\n")
        row = rng.randrange(len(lines))
        numbers = list(re.finditer(r"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?", text))
        what = rng.randrange(8)
        if what <= 2 and numbers:
            match = rng.choice(numbers)
            text = text[: match.start()] + rng.choice(_VALUES) + text[match.end() :]
            continue
        if what == 3:
            del lines[row]
        elif what == 4:
            lines[row:row] = [lines[rng.randrange(len(lines))]] * rng.choice([1, 2, 50])
        elif what == 5:
            key, mark, _ = lines[row].partition(":")
            lines[row] = f"{key}{mark} {rng.choice(_VALUES)}" if mark else rng.choice(_VALUES)
        elif what == 6:
            words = lines[row].split()
            rng.shuffle(words)
            lines[row] = " ".join(words[: rng.randint(0, len(words))])
        else:
            lines[row] = rng.choice(["[" * 3000, "{a: " * 3000, "a: &a [*a]", _bomb(), "\0", "\t", "- - - -"])
        text = "\n".join(lines)
    return text


def _bomb() -> str:
    """Return aliases that stand for 10^9 values."""
    return "\n".join(
        [
            "a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]",
            *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)),
        ]
    )


def _damage_file(path: Path, rng: random.Random) -> None:
    """Change a file: as text where it is one, as bytes otherwise and sometimes; or its kind, name or existence."""
    what = rng.random()
    if what < 0.04:
        path.unlink()
    elif what < 0.06:
        path.unlink()
        path.mkdir()
    elif what < 0.08:
        path.write_bytes(b"")
    else:
        data = path.read_bytes()
        with contextlib.suppress(UnicodeDecodeError):
            if rng.random() < 0.85:
                path.write_text(damage_text(data.decode(), rng), encoding="utf-8", errors="surrogatepass")
                return
        path.write_bytes(damage_bytes(data, rng))


# --- kinds


def _run(words: list[str]) -> None:
    code = slamfront_main(words)
    assert code in _OK_CODES, f"exit code {code}"


def _datasets(rng: random.Random, folder: Path) -> None:
    made = rng.choice(list(_LAYOUTS.values()))(folder / "data", rng)
    files = sorted(path for path in made.rglob("*") if path.is_file())
    for _ in range(rng.randint(1, 2)):
        text = [path for path in files if path.suffix in (".txt", ".csv", ".yaml")]
        _damage_existing(rng.choice(text if text and rng.random() < 0.7 else files), rng)
    _run(["run", str(made), "--source.end", str(_FRAMES), "--output", str(folder / "out"), *_FAST])


def _damage_existing(path: Path, rng: random.Random) -> None:
    if path.is_file():
        _damage_file(path, rng)


def _calibrations(rng: random.Random, folder: Path) -> None:
    path = folder / "calibration.yaml"
    path.write_text(rng.choice(list(_CALIBRATIONS.values())))
    _damage_file(path, rng)
    if path.exists():
        read_calibration(path, rng.choice([(640, 480), None]))


def _images(rng: random.Random, folder: Path) -> None:
    import cv2

    suffix = rng.choice([".png", ".jpg", ".bmp", ".tif", ".pgm", ".ppm", ".webp"])
    grey = suffix == ".pgm" or (suffix != ".ppm" and rng.random() < 0.4)
    shape = (48, 64) if grey else (48, 64, 3)
    kind = np.uint16 if suffix in (".png", ".tif", ".pgm") and rng.random() < 0.4 else np.uint8
    image = np.random.default_rng(rng.randrange(99)).integers(0, np.iinfo(kind).max, shape, kind)
    path = folder / f"image{suffix}"
    assert cv2.imwrite(str(path), image)
    path.write_bytes(damage_bytes(path.read_bytes(), rng))
    if rng.random() < 0.5:
        read_depth(path, 0.001)
    else:
        read_image(path)


def _trajectories(rng: random.Random, folder: Path) -> None:
    kinds = {
        "tum": [f"{1305031102 + n / 10:.4f} {n} 0 {n * n} 0 0 0 1" for n in range(20)],
        "kitti": [f"1 0 0 {n} 0 1 0 0 0 0 1 {n * n}" for n in range(20)],
        "euroc": [f"{1403636579763555584 + n * 50_000_000},{n},0,{n * n},1,0,0,0" for n in range(20)],
    }
    lines = rng.choice(list(kinds.values()))
    reference, estimate = folder / "reference.txt", folder / "estimate.txt"
    for path in (reference, estimate):
        path.write_text("\n".join(lines) + "\n")
    _damage_file(rng.choice([reference, estimate]), rng)
    if rng.random() < 0.3 and estimate.is_file():
        read_trajectory(estimate)
    _run(["eval", str(reference), str(estimate)])


def _recipes(rng: random.Random, folder: Path) -> None:
    path = folder / "recipe.yaml"
    base = "task: magicpoint\nnetwork: {kind: superpoint-lite}\ndata: {height: 64, width: 64, workers: 0}\n"
    recipe = config.from_mapping(Recipe, {"task": "magicpoint", "data": {"width": 64, "height": 64, "workers": 0}})
    path.write_text(base if rng.random() < 0.3 else config.dump(recipe))
    _damage_file(path, rng)
    task = task_of(load_recipe(path))
    _ = task.examples(1)[0]
    if rng.random() < 0.3:
        made = folder / ("labels.npz" if rng.random() < 0.5 else "training.pt")
        if made.suffix == ".npz":
            np.savez(
                made, names=np.array(["a"]), counts=np.array([1]), table=np.zeros((1, 3), "f4"), origin=np.array("x")
            )
        else:
            made.write_bytes(b"PK\x03\x04" + rng.randbytes(300))
        _damage_file(made, rng)
        (load_labels if made.suffix == ".npz" else load_training)(made)


def _weights(rng: random.Random, folder: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    state = load_file(PACKAGED_FOLDER / f"{rng.choice(['superpoint-lite', 'lightglue-lite'])}.safetensors")
    path = folder / "weights.safetensors"
    names = sorted(state)
    what = rng.random()
    if what < 0.4:
        for _ in range(rng.randint(1, 2)):
            name = rng.choice(names)
            size = rng.choice([(0,), (1,), (60000, 1), (3, 3), (1, 1, 1, 1), (), (2, 0, 5)])
            tensor = state.pop(name, torch.zeros(1))
            changes = [
                {},
                {name: torch.zeros(size)},
                {name: torch.full_like(tensor, float("nan"))},
                {name: tensor, name.replace("0", str(rng.choice([9, 77, 10**6]))): torch.zeros(1)},
                {name: tensor.to(torch.int8)},
            ]
            state |= rng.choice(changes)
        if rng.random() < 0.2:
            torch.save({"model": state} if rng.random() < 0.5 else state, folder / "weights.pth")
            path = folder / "weights.pth"
        else:
            save_file(state, path)
    else:
        shutil.copy(PACKAGED_FOLDER / "superpoint-lite.safetensors", path)
        data = path.read_bytes()
        head = damage_bytes(data[:6000], rng) if rng.random() < 0.8 else data[:6000]
        path.write_bytes(head + data[6000:] if rng.random() < 0.8 else damage_bytes(data, rng))
    load_network(path)


def _maps(rng: random.Random, folder: Path) -> None:
    path, old = folder / "room.map", rng.random() < 0.3
    path.write_bytes(OLD_MAP.read_bytes() if old else _map_bytes())
    if rng.random() < 0.3:
        path.write_bytes(damage_bytes(path.read_bytes(), rng))
    elif old:
        _reseal_archive(path, rng)
    else:
        _reseal(path, rng)
    load_map(path)
    _run(["map", "info", str(path)])


def _map_bytes() -> bytes:
    """Return the file of a small map, made once."""
    if not _MAP:
        from slamfront.backend import local_backend

        settings = resolve(
            config.RunConfig(extractor=config.ExtractorConfig(kind="orb", max_keypoints=200), threads=False)
        )
        source = open_source(SAMPLE, config.SourceConfig(end=8, prefetch=0), "rgbd")
        front = build_front(settings, source.camera, "rgbd", Workers(InlineWorker(local_backend(settings.backend))))
        for frame in source:
            front.step(frame)
        with tempfile.TemporaryDirectory() as place:
            write_map(front.world, Path(place) / "a.map", settings, "rgbd")
            _MAP.append((Path(place) / "a.map").read_bytes())
    return _MAP[0]


_MAP: list[bytes] = []


def _reseal(path: Path, rng: random.Random) -> None:
    """Change the text or an array of a map file and seal it again, so that its digest is right."""
    data = path.read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    contents, arrays = header["__metadata__"]["slamfront map"], load(data)
    del arrays["sha256"]
    if rng.random() < 0.5:
        contents = damage_text(contents, rng).encode("utf-8", "replace").decode()
    else:
        name = rng.choice(sorted(arrays))
        changed = _damage_array(arrays.pop(name), rng)
        if changed is not None:
            arrays[name] = changed
    digest = hashlib.sha256(contents.encode())
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].dtype.name} {arrays[name].shape}".encode() + arrays[name].tobytes())
    arrays["sha256"] = np.frombuffer(digest.digest(), np.uint8)
    path.write_bytes(save(arrays, {"slamfront map": contents}))


def _damage_array(array: np.ndarray[Any, Any], rng: random.Random) -> np.ndarray[Any, Any] | None:
    """Return an array with other values, of another type or shape, or None where it is to be missing."""
    data = array.tobytes()
    changes: list[Callable[[], np.ndarray[Any, Any] | None]] = [
        lambda: np.frombuffer(damage_bytes(data, rng)[: len(data)].ljust(len(data), b"\xff"), array.dtype),
        lambda: np.full_like(array, rng.choice((-1, 0, 1, 127)) if array.dtype.kind != "f" else np.nan),
        lambda: array.astype(rng.choice((np.uint8, np.float16, np.float64, np.int32, np.bool_))),
        lambda: array[: len(array) // 2],
        lambda: array.reshape(-1, 1),
        lambda: None,
    ]
    pick = rng.randrange(len(changes))
    changed = changes[pick]()
    return changed.reshape(array.shape) if pick == 0 and changed is not None else changed


def _reseal_archive(path: Path, rng: random.Random) -> None:
    """Change one entry of a map file of version 1 and seal it again, so that its digest is right."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    name = "map.json" if rng.random() < 0.5 else rng.choice(sorted(entries))
    old = entries[name]
    if name == "map.json":
        entries[name] = damage_text(old.decode(), rng).encode("utf-8", "surrogatepass")
    elif rng.random() < 0.5:
        entries[name] = damage_bytes(old[:128], rng) + old[128:]
    else:
        entries[name] = old[:128] + damage_bytes(old[128:], rng)[: len(old) - 128].ljust(len(old) - 128, b"\xff")
    mark = b"slamfront map sha256 "
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for entry, data in entries.items():
            archive.writestr(zipfile.ZipInfo(entry), data)
        archive.comment = mark + b"0" * 64
    data = path.read_bytes()[:-64]
    path.write_bytes(data + hashlib.sha256(data).hexdigest().encode())


def _settings(rng: random.Random, folder: Path) -> None:
    words = ["run", str(SAMPLE), "--output", str(folder / "out"), "--source.end", str(_FRAMES), *_FAST]
    if rng.random() < 0.5:
        path = folder / "run.yaml"
        given = config.RunConfig(threads=False, extractor=config.ExtractorConfig(kind="orb", max_keypoints=200))
        path.write_text(config.dump(given))
        _damage_file(path, rng)
        _run([*words, "--config", str(path)])
        return
    for _ in range(rng.randint(1, 2)):
        section, name = rng.choice(_numbers())
        option = f"--{section}.{name}" if section else f"--{name}"
        words += [option.replace("_", "-"), rng.choice([v for v in _VALUES if "\0" not in v])]
    _run(words)


def _numbers() -> list[tuple[str, str]]:
    """Return section and name of every setting."""
    found = []
    for name, hint in config.hints_of(config.RunConfig).items():
        if isinstance(hint, type) and issubclass(hint, config.Settings):
            found += [(name, inner) for inner in config.hints_of(hint) if (name, inner) != ("viewer", "kind")]
        elif name not in ("threads", "save_map"):
            found.append(("", name))
    return [pair for pair in found if pair != ("viewer", "record")]


KINDS: dict[str, Callable[[random.Random, Path], None]] = {
    "calibrations": _calibrations,
    "datasets": _datasets,
    "images": _images,
    "maps": _maps,
    "recipes": _recipes,
    "settings": _settings,
    "trajectories": _trajectories,
    "weights": _weights,
}
"""What makes an input of a kind in a folder, and reads it."""


# --- datasets of every layout, from the frames of the sample


def _sample(kind: str, rng: random.Random) -> list[tuple[str, Path]]:
    rows = [line.split() for line in (SAMPLE / f"{kind}.txt").read_text().splitlines() if line and line[0] != "#"]
    return [(time_s, SAMPLE / name) for time_s, name in rows[: _FRAMES + rng.randint(0, 2)]]


def _copy(path: Path, target: Path) -> str:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, target)
    return target.name


def _tum(folder: Path, rng: random.Random) -> Path:
    for kind in ("rgb", "depth"):
        lines = [f"{t} {kind}/{_copy(path, folder / kind / path.name)}" for t, path in _sample(kind, rng)]
        (folder / f"{kind}.txt").write_text("\n".join(lines) + "\n")
    for name in ("groundtruth.txt", "calibration.yaml"):
        _copy(SAMPLE / name, folder / name)
    return folder


def _associations(folder: Path, rng: random.Random) -> Path:
    pairs = zip(_sample("rgb", rng), _sample("depth", rng))
    lines = [
        f"{t} rgb/{_copy(a, folder / 'rgb' / a.name)} {u} depth/{_copy(b, folder / 'depth' / b.name)}"
        for (t, a), (u, b) in pairs
    ]
    (folder / "associations.txt").write_text("\n".join(lines) + "\n")
    _copy(SAMPLE / "calibration.yaml", folder / "calibration.yaml")
    return folder


def _kitti(folder: Path, rng: random.Random) -> Path:
    place = folder / "sequences" / "00"
    for number, (_, path) in enumerate(_sample("rgb", rng)):
        for camera in (0, 1):
            _copy(path, place / f"image_{camera}" / f"{number:06d}{path.suffix}")
    (place / "times.txt").write_text("".join(f"{n / 10:e}\n" for n in range(_FRAMES + 2)))
    rows = (f"P{n}: 256 0 159.5 {shift} 0 256 119.5 0 0 0 1 0\n" for n, shift in enumerate((0, -30)))
    (place / "calib.txt").write_text("".join(rows))
    (folder / "poses").mkdir()
    (folder / "poses" / "00.txt").write_text("".join(f"1 0 0 0 0 1 0 0 0 0 1 {n}\n" for n in range(_FRAMES + 2)))
    return place


def _euroc(folder: Path, rng: random.Random) -> Path:
    for camera in (0, 1):
        base = folder / "mav0" / f"cam{camera}"
        times = []
        for number, (_, path) in enumerate(_sample("rgb", rng)):
            times.append(1_400_000_000_000_000_000 + number * 50_000_000)
            _copy(path, base / "data" / f"{times[-1]}{path.suffix}")
        suffix = next((base / "data").iterdir()).suffix
        (base / "data.csv").write_text("#timestamp [ns],filename\n" + "".join(f"{t},{t}{suffix}\n" for t in times))
        (base / "sensor.yaml").write_text(_CALIBRATIONS["euroc"].replace("0.01,", f"{-0.1 * camera},", 1))
    truth = folder / "mav0" / "state_groundtruth_estimate0"
    truth.mkdir()
    (truth / "data.csv").write_text(
        "#timestamp\n" + "".join(f"{t},{n},0,0,1,0,0,0,0,0,0\n" for n, t in enumerate(times))
    )
    return folder


def _sevenscenes(folder: Path, rng: random.Random) -> Path:
    for number, ((_, image), (_, depth)) in enumerate(zip(_sample("rgb", rng), _sample("depth", rng))):
        _copy(image, folder / f"frame-{number:06d}.color{image.suffix}")
        _copy(depth, folder / f"frame-{number:06d}.depth.png")
        np.savetxt(folder / f"frame-{number:06d}.pose.txt", np.eye(4))
    _copy(SAMPLE / "calibration.yaml", folder / "calibration.yaml")
    return folder


def _pictures(folder: Path, rng: random.Random) -> Path:
    for number, (_, path) in enumerate(_sample("rgb", rng)):
        _copy(path, folder / f"{rng.choice(['', '1400000000', '1400000000000000'])}{number:03d}{path.suffix}")
    _copy(SAMPLE / "calibration.yaml", folder / "calibration.yaml")
    return folder


_LAYOUTS: dict[str, Callable[[Path, random.Random], Path]] = {
    "associations": _associations,
    "euroc": _euroc,
    "kitti": _kitti,
    "pictures": _pictures,
    "sevenscenes": _sevenscenes,
    "tum": _tum,
}

_CALIBRATIONS = {
    "own": "model: radtan\nwidth: 640\nheight: 480\nfx: 517.3\nfy: 516.5\ncx: 318.6\ncy: 255.3\n"
    "distortion: [0.26, -0.95, -0.005, 0.002, 1.16]\nbaseline_m: 0.08\nreadout_s: 0.02\n",
    "rig": "left: {width: 640, height: 480, fx: 517, fy: 516, cx: 318, cy: 255}\n"
    "right: {width: 640, height: 480, fx: 517, fy: 516, cx: 318, cy: 255}\n"
    "right_from_left: [[1, 0, 0, -0.1], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]\n",
    "kalibr": "cam0:\n  camera_model: pinhole\n  distortion_coeffs: [0.1, 0, 0, 0]\n  distortion_model: radtan\n"
    "  intrinsics: [458, 457, 367, 248]\n  resolution: [752, 480]\ncam1:\n  camera_model: pinhole\n"
    "  distortion_coeffs: [0, 0, 0, 0]\n  distortion_model: equidistant\n  intrinsics: [458, 457, 367, 248]\n"
    "  resolution: [752, 480]\n  T_cn_cnm1: [[1, 0, 0, -0.1], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]\n",
    "ros": "image_width: 640\nimage_height: 480\ncamera_name: a\ncamera_matrix:\n  rows: 3\n  cols: 3\n"
    "  data: [517.3, 0, 318.6, 0, 516.5, 255.3, 0, 0, 1]\ndistortion_model: plumb_bob\ndistortion_coefficients:\n"
    "  rows: 1\n  cols: 5\n  data: [0.26, -0.95, -0.005, 0.002, 1.16]\nbinning_x: 1\n",
    "opencv": "%YAML:1.0\n---\nimage_width: 640\nimage_height: 480\ncamera_matrix: !!opencv-matrix\n   rows: 3\n"
    "   cols: 3\n   dt: d\n   data: [517.3, 0., 318.6, 0., 516.5, 255.3, 0., 0., 1.]\n"
    "distortion_coefficients: !!opencv-matrix\n   rows: 5\n   cols: 1\n   dt: d\n   data: [0.2, -0.9, 0, 0, 1]\n",
    "orbslam": '%YAML:1.0\nCamera.type: "PinHole"\nCamera.fx: 517.3\nCamera.fy: 516.5\nCamera.cx: 318.6\n'
    "Camera.cy: 255.3\nCamera.k1: 0.26\nCamera.k2: -0.95\nCamera.p1: -0.005\nCamera.p2: 0.002\nCamera.width: 640\n"
    "Camera.height: 480\nCamera.bf: 40.0\nDepthMapFactor: 5000.0\n",
    "euroc": "sensor_type: camera\nT_BS:\n  cols: 4\n  rows: 4\n"
    "  data: [0, 0, 1, 0.01, -1, 0, 0, 0.01, 0, -1, 0, 0, 0, 0, 0, 1]\nresolution: [320, 240]\ncamera_model: pinhole\n"
    "intrinsics: [256, 256, 159.5, 119.5]\ndistortion_model: radial-tangential\n"
    "distortion_coefficients: [-0.01, 0.01, 0, 0]\n",
    "colmap": "# Camera list\n1 OPENCV 640 480 517.3 516.5 318.6 255.3 0.26 -0.95 -0.005 0.002\n",
    "kitti": "P0: 718 0 607 0 0 718 185 0 0 0 1 0\nP1: 718 0 607 -386 0 718 185 0 0 0 1 0\n",
    "line": "517.3 516.5 318.6 255.3 0.26 -0.95 -0.005 0.002 1.16\n",
}


# --- processes


def _guarded(kind: str, seed: int, seconds: float, megabytes: float) -> str:
    """Make an attempt in a process of its own, and return its fault, or nothing."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        fault = _in_child(kind, seed, megabytes)
        os.write(write, fault.encode("utf-8", "replace")[:4000])
        os._exit(0)
    os.close(write)
    end_s = time.monotonic() + seconds
    status = None
    while status is None and time.monotonic() < end_s:
        done, code = os.waitpid(child, os.WNOHANG)
        if done:
            status = code
        else:
            time.sleep(0.005)
    if status is None:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    with os.fdopen(read, "rb") as pipe:
        fault = pipe.read().decode()
    if status is None:
        return f"hang: longer than {seconds:g} s"
    return f"crash: {signal.Signals(os.WTERMSIG(status)).name}" if os.WIFSIGNALED(status) else fault


def _in_child(kind: str, seed: int, megabytes: float) -> str:
    before_mb = _peak_mb()
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    limit = int(
        (before_mb + 4 * megabytes + 8192) * 1e6
    )  # of addresses, so that a bomb does not take the machine along
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    with tempfile.TemporaryDirectory() as folder:
        fault = attempt(kind, seed, Path(folder))
    used_mb = _peak_mb() - before_mb
    return fault or (f"memory: {used_mb:.0f} MB" if used_mb > megabytes else "")


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def plan(count: int, first_seed: int, kinds: tuple[str, ...] = ()) -> Iterator[tuple[str, int]]:
    """Yield kind and seed of each input."""
    chosen = sorted(kinds or KINDS)
    for number in range(count):
        yield chosen[number % len(chosen)], first_seed + number // len(chosen)


def main() -> int:
    """Give the inputs, each to a process of its own, and tell the faults."""
    given = parse(Arguments, sys.argv[1:], "fuzz")
    with contextlib.redirect_stderr(io.StringIO()):
        _map_bytes()
        attempt_all_kinds_once()
    faults: Counter[str] = Counter()
    for number, (kind, seed) in enumerate(plan(given.count, given.seed, given.kinds), 1):
        fault = _guarded(kind, seed, given.seconds, given.megabytes)
        if fault:
            faults[fault.split(":")[0]] += 1
            print(f"{kind} {seed}: {fault}", flush=True)
        if number % 100 == 0:
            print(f"{number} inputs, {faults.total()} faults", file=sys.stderr, flush=True)
    print(f"{given.count} inputs by seed, {faults.total()} faults: {dict(faults)}")
    return 1 if faults else 0


def attempt_all_kinds_once() -> None:
    """Load what the kinds need, so that it counts as nobody's memory."""
    for kind in KINDS:
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
            attempt(kind, -1, Path(folder))


if __name__ == "__main__":
    sys.exit(main())
