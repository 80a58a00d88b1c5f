"""Renders pairs of views of path-traced rooms and streets, with exact depth and pose, into a folder for training.

python tools/render_pairs.py PHOTOS worlds --parts 100

Goes on where it stopped: parts that are there are left alone. Needs slamfront[render] and libllvm.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import cv2
import tyro

from slamfront.errors import SlamfrontError
from slamfront.training.data.parts import PartConfig, make_parts


def main(
    photographs: tyro.conf.Positional[Path],
    folder: tyro.conf.Positional[Path],
    parts: int = 100,
    seed: int = 0,
    workers: int = 1,
    cluster: str = "",
    config: tyro.conf.OmitArgPrefixes[PartConfig] = PartConfig(),  # noqa: B008 - its values are the defaults
) -> None:
    """Render `parts` files, with the photographs of a folder on walls and screens, by processes or a Dask cluster."""
    cv2.setNumThreads(1)
    started, total = time.monotonic(), 0
    for part, pairs in make_parts(folder, photographs, parts, seed, config, workers, cluster):
        total += pairs
        rate = 3600 * total / (time.monotonic() - started)
        print(f"{part.path.name}: {pairs} pairs, {rate:.0f} an hour", flush=True)


if __name__ == "__main__":
    try:
        tyro.cli(main)
    except SlamfrontError as error:
        sys.exit(str(error))
