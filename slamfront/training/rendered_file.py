"""One file of rendered pairs: images as JPEG, inverse depth as 16 bit PNG, cameras and poses as numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, overload

import cv2
import numpy as np
from numpy.typing import NDArray

from slamfront.errors import TrainingError, refused_as
from slamfront.geometry.camera import Camera
from slamfront.geometry.pose import Pose
from slamfront.training.arrays import load_arrays, save_arrays
from slamfront.training.rendered import RenderedPair
from slamfront.types import Float32Array, Image

_QUALITY = 90
_STEPS = 65535
_LAYOUT = {
    "images": ("u", 1), "image_ends": ("i", 1), "depths": ("u", 1), "depth_ends": ("i", 1), "scales": ("f", 2),
    "cameras": ("f", 3), "second_from_first": ("f", 3), "size": ("i", 1), "origin": ("U", 0),
}  # fmt: skip


def save_pairs(path: Path, pairs: Iterable[RenderedPair], origin: str) -> int:
    """Write pairs, all of one size, whole or not at all, and return how many; `origin` tells how they were made.

    About 45 KB a pair of 240x180 px. Inverse depth is rounded to a 65535th of its largest value in the view, which
    moves no point by more than some hundredths of a pixel. Raises OutputError.
    """
    images: list[bytes] = []
    depths: list[bytes] = []
    scales, cameras, poses, size = [], [], [], (0, 0)
    for pair in pairs:
        size = pair.images.shape[2], pair.images.shape[1]
        for image, inverse_depth in zip(pair.images, pair.inverse_depths):
            scale = float(inverse_depth.max()) / _STEPS or 1.0
            images.append(_encoded(".jpg", image, cv2.IMWRITE_JPEG_QUALITY, _QUALITY))
            rounded = np.rint(inverse_depth / scale).astype(np.uint16)
            depths.append(_encoded(".png", rounded, cv2.IMWRITE_PNG_COMPRESSION, 6))
            scales.append(scale)
        cameras.append([(camera.fx, camera.fy, camera.cx, camera.cy) for camera in pair.cameras])
        poses.append(pair.second_from_first.matrix())
    arrays: dict[str, NDArray[Any]] = {
        "images": _bytes(images), "image_ends": _ends(images), "depths": _bytes(depths), "depth_ends": _ends(depths),
        "scales": np.array(scales, np.float64).reshape(-1, 2),
        "cameras": np.array(cameras, np.float64).reshape(-1, 2, 4),
        "second_from_first": np.array(poses, np.float64).reshape(-1, 4, 4),
        "size": np.array(size, np.int64), "origin": np.array(origin),
    }  # fmt: skip
    save_arrays(path, arrays, "the pairs")
    return len(poses)


class RenderedPairs(Sequence[RenderedPair]):
    """The pairs of a file, which stays packed in memory; each is unpacked when it is asked for.

    Raises TrainingError where the file is missing, something else, or damaged.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._arrays = load_arrays(path, _LAYOUT, "rendered pairs", "tools/render_pairs.py")
        count = len(self._arrays["second_from_first"])
        shapes = {"image_ends": (2 * count,), "depth_ends": (2 * count,), "scales": (count, 2), "size": (2,),
                  "cameras": (count, 2, 4), "second_from_first": (count, 4, 4)}  # fmt: skip
        fits = all(self._arrays[key].shape == shape for key, shape in shapes.items())
        finite = all(np.isfinite(self._arrays[key]).all() for key in ("scales", "cameras", "second_from_first"))
        ends = all((np.diff(self._arrays[f"{kind}_ends"], prepend=0) >= 0).all() for kind in ("image", "depth"))
        if not (fits and finite and ends):
            raise TrainingError(f"{path}: not a file of rendered pairs, or damaged")
        self.origin = str(self._arrays["origin"])
        self.size = int(self._arrays["size"][0]), int(self._arrays["size"][1])

    def __len__(self) -> int:
        return len(self._arrays["second_from_first"])

    @overload
    def __getitem__(self, index: int) -> RenderedPair: ...
    @overload
    def __getitem__(self, index: slice) -> list[RenderedPair]: ...
    def __getitem__(self, index: int | slice) -> RenderedPair | list[RenderedPair]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        row = range(len(self))[index]
        arrays = self._arrays
        images = np.stack([self._decoded("image", 2 * row + view) for view in (0, 1)])
        steps = np.stack([self._decoded("depth", 2 * row + view) for view in (0, 1)])
        inverse_depths: Float32Array = (steps * arrays["scales"][row][:, None, None]).astype(np.float32)
        width, height = self.size
        with refused_as(TrainingError, f"{self._path}: the cameras of pair {row} are damaged"):
            first, second = (Camera("pinhole", width, height, *camera) for camera in arrays["cameras"][row].tolist())
        return RenderedPair(
            images.astype(np.uint8), inverse_depths, (first, second), Pose.from_matrix(arrays["second_from_first"][row])
        )

    def _decoded(self, kind: str, row: int) -> Image | NDArray[np.uint16]:
        ends = self._arrays[f"{kind}_ends"]
        packed = self._arrays[f"{kind}s"][(ends[row - 1] if row else 0) : ends[row]]
        with refused_as(TrainingError, f"{self._path}: the {kind} of pair {row // 2} is damaged"):
            image = cv2.imdecode(packed, cv2.IMREAD_UNCHANGED) if packed.size else None
        if image is None or image.shape != self.size[::-1]:
            raise TrainingError(f"{self._path}: the {kind} of pair {row // 2} is damaged")
        return np.asarray(image)


def _encoded(suffix: str, image: NDArray[np.uint8] | NDArray[np.uint16], option: int, value: int) -> bytes:
    return bytes(cv2.imencode(suffix, np.ascontiguousarray(image), [option, value])[1])


def _bytes(parts: list[bytes]) -> Image:
    return np.frombuffer(b"".join(parts), np.uint8)


def _ends(parts: list[bytes]) -> NDArray[np.int64]:
    return np.cumsum([len(part) for part in parts], dtype=np.int64)
