"""Files of rendered views, each of which takes part in several pairs: images as JPEG, inverse depth as 16 bit PNG."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, overload

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from slamfront.errors import TrainingError, refused_as
from slamfront.geometry.camera import Camera
from slamfront.geometry.pose import Pose
from slamfront.training.data.arrays import load_arrays, save_arrays
from slamfront.training.data.rendered import RenderedPair
from slamfront.types import Float32Array, Image

_QUALITY = 92
_STEPS = 65535
_LAYOUT = {
    "images": ("u", 1), "image_ends": ("i", 1), "depths": ("u", 1), "depth_ends": ("i", 1), "scales": ("f", 1),
    "cameras": ("f", 2), "poses": ("f", 3), "pairs": ("i", 2), "size": ("i", 1), "origin": ("U", 0),
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class RenderedView:
    """What a pinhole camera sees of a world: image (H,W) uint8, inverse_depth (H,W) 1/m along z, 0 where is nothing."""

    image: Image
    inverse_depth: Float32Array
    camera: Camera
    world_from_camera: Pose


def save_views(path: Path, views: Sequence[RenderedView], pairs: ArrayLike, origin: str) -> None:
    """Write views, all of one size, and which of them are pairs, rows (P,2), whole or not at all. Raises OutputError.

    `origin` tells how they were made. Inverse depth is rounded to a 65535th of its largest value in the view, which
    moves no point by more than some hundredths of a pixel.
    """
    scales = [float(view.inverse_depth.max()) / _STEPS or 1.0 for view in views]
    images = [_encoded(".jpg", view.image, cv2.IMWRITE_JPEG_QUALITY, _QUALITY) for view in views]
    depths = [
        _encoded(".png", np.rint(view.inverse_depth / scale).astype(np.uint16), cv2.IMWRITE_PNG_COMPRESSION, 6)
        for view, scale in zip(views, scales)
    ]
    cameras = [(view.camera.fx, view.camera.fy, view.camera.cx, view.camera.cy) for view in views]
    arrays: dict[str, NDArray[Any]] = {
        "images": _bytes(images), "image_ends": _ends(images), "depths": _bytes(depths), "depth_ends": _ends(depths),
        "scales": np.array(scales, np.float64), "cameras": np.array(cameras, np.float64).reshape(-1, 4),
        "poses": np.array([view.world_from_camera.matrix() for view in views], np.float64).reshape(-1, 4, 4),
        "pairs": np.array(pairs, np.int64).reshape(-1, 2),
        "size": np.array(views[0].image.shape[::-1] if views else (0, 0), np.int64), "origin": np.array(origin),
    }  # fmt: skip
    save_arrays(path, arrays, "the views")


def holds_views(path: Path) -> bool:
    """Say whether a path is a file of rendered views, or a folder of such, by its name alone."""
    return path.suffix == ".npz" or any(path.glob("*.npz"))


class RenderedPairs(Sequence[RenderedPair]):
    """The pairs of a file, or of all files of a folder, which stay packed in memory; each is unpacked when asked for.

    Raises TrainingError where files are missing, something else, damaged, or of different sizes of images.
    """

    def __init__(self, path: Path) -> None:
        files = sorted(path.glob("*.npz")) if path.is_dir() else [path]
        if not files:
            raise TrainingError(f"{path}: holds no rendered pairs; tools/render_pairs.py makes them")
        self._parts = [_Part(file) for file in files]
        self._rows = [(part, row) for part in self._parts for row in range(len(part.pairs))]
        self.origin, self.size = self._parts[0].origin, self._parts[0].size
        for part, file in zip(self._parts, files):
            if part.size != self.size:
                raise TrainingError(f"{file}: its images are of another size than those of {files[0].name}")

    def __len__(self) -> int:
        return len(self._rows)

    def names(self, row: int) -> tuple[str, str]:
        """Return the names of the two views of a pair."""
        part, own = self._rows[row]
        first, second = (part.name_of(int(number)) for number in part.pairs[own])
        return first, second

    def views(self) -> dict[str, Callable[[], RenderedView]]:
        """Return what loads each view, by name."""
        return {part.name_of(row): partial(part.view, row) for part in self._parts for row in range(part.count)}

    @overload
    def __getitem__(self, index: int) -> RenderedPair: ...
    @overload
    def __getitem__(self, index: slice) -> list[RenderedPair]: ...
    def __getitem__(self, index: int | slice) -> RenderedPair | list[RenderedPair]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        part, row = self._rows[index]
        first, second = (part.view(int(number)) for number in part.pairs[row])
        return RenderedPair(
            np.stack([first.image, second.image]),
            np.stack([first.inverse_depth, second.inverse_depth]),
            (first.camera, second.camera),
            second.world_from_camera.inverse() @ first.world_from_camera,
        )


class _Part:
    """The views of one file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        arrays = self._arrays = load_arrays(path, _LAYOUT, "rendered pairs", "tools/render_pairs.py")
        count = len(arrays["poses"])
        shapes = {"image_ends": (count,), "depth_ends": (count,), "scales": (count,), "size": (2,),
                  "cameras": (count, 4), "poses": (count, 4, 4), "pairs": (len(arrays["pairs"]), 2)}  # fmt: skip
        fits = all(arrays[key].shape == shape for key, shape in shapes.items())
        finite = all(np.isfinite(arrays[key]).all() for key in ("scales", "cameras", "poses"))
        ends = all((np.diff(arrays[f"{kind}_ends"], prepend=0) >= 0).all() for kind in ("image", "depth"))
        if not (fits and finite and ends) or ((arrays["pairs"] < 0) | (arrays["pairs"] >= count)).any():
            raise TrainingError(f"{path}: not a file of rendered pairs, or damaged")
        self.pairs, self.origin = arrays["pairs"], str(arrays["origin"])
        self.size = int(arrays["size"][0]), int(arrays["size"][1])
        self.count = count

    def name_of(self, row: int) -> str:
        """Return the name of a view, which the same part has in any folder."""
        return f"{self._path.stem}/{row}"

    def view(self, row: int) -> RenderedView:
        """Return a view."""
        steps, arrays = self._decoded("depth", row), self._arrays
        inverse_depth = (steps * arrays["scales"][row]).astype(np.float32)
        with refused_as(TrainingError, f"{self._path}: the camera of view {row} is damaged"):
            camera = Camera("pinhole", *self.size, *arrays["cameras"][row].tolist())
            pose = Pose.from_matrix(arrays["poses"][row])
        return RenderedView(np.asarray(self._decoded("image", row), np.uint8), inverse_depth, camera, pose)

    def _decoded(self, kind: str, row: int) -> Image | NDArray[np.uint16]:
        ends = self._arrays[f"{kind}_ends"]
        packed = self._arrays[f"{kind}s"][(ends[row - 1] if row else 0) : ends[row]]
        with refused_as(TrainingError, f"{self._path}: the {kind} of view {row} is damaged"):
            image = cv2.imdecode(packed, cv2.IMREAD_UNCHANGED) if packed.size else None
        if image is None or image.shape != self.size[::-1]:
            raise TrainingError(f"{self._path}: the {kind} of view {row} is damaged")
        return np.asarray(image)


def _encoded(suffix: str, image: NDArray[np.uint8] | NDArray[np.uint16], option: int, value: int) -> bytes:
    return bytes(cv2.imencode(suffix, np.ascontiguousarray(image), [option, value])[1])


def _bytes(parts: list[bytes]) -> Image:
    return np.frombuffer(b"".join(parts), np.uint8)


def _ends(parts: list[bytes]) -> NDArray[np.int64]:
    return np.cumsum([len(part) for part in parts], dtype=np.int64)
