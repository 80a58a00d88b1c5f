"""Point clouds as PLY files, which every 3D program reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from slamfront.types import Float32Array, FloatArray
from slamfront.writing import write_atomically

_VERTEX = np.dtype([("xyz", "<f4", 3), ("rgb", "u1", 3)])


def write_ply(path: Path, points_m: FloatArray | Float32Array, colours: NDArray[np.uint8]) -> None:
    """Write points (L,3), in metres, as a binary little-endian PLY file; points that are not finite are left out.

    `colours` is uint8, grey (L,) or RGB (L,3). An older file stays whole until the new one is complete. Raises
    OutputError.
    """
    finite = np.isfinite(points_m).all(axis=1)
    vertices = np.empty(int(finite.sum()), _VERTEX)
    vertices["xyz"] = points_m[finite]
    vertices["rgb"] = rgb_colours(colours)[finite]
    header = [
        "ply",
        "format binary_little_endian 1.0",
        f"element vertex {len(vertices)}",
        *(f"property float {axis}" for axis in "xyz"),
        *(f"property uchar {channel}" for channel in ("red", "green", "blue")),
        "end_header",
    ]
    write_atomically(path, "\n".join(header).encode("ascii") + b"\n" + vertices.tobytes())


def rgb_colours(colours: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return grey values (L,) or RGB colours (L,3) as RGB colours (L,3)."""
    return colours if colours.ndim == 2 else np.repeat(colours[:, None], 3, axis=1)
