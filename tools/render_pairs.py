"""Renders pairs of views, with exact depth and pose, into one file for training.

python tools/render_pairs.py PHOTOS pairs.npz --count 1200
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import tyro

from slamfront.errors import SlamfrontError
from slamfront.training.rendered import RenderConfig, RenderedPair, render_pairs
from slamfront.training.rendered_file import save_pairs


def main(
    folder: tyro.conf.Positional[Path],
    out: tyro.conf.Positional[Path],
    count: int = 1200,
    seed: int = 0,
    config: tyro.conf.OmitArgPrefixes[RenderConfig] = RenderConfig(),  # noqa: B008 - its values are the defaults
) -> None:
    """Render `count` pairs of worlds with the photographs of a folder in them."""
    cv2.setNumThreads(1)
    origin = f"render_pairs --count {count} --seed {seed} with {config}"
    save_pairs(out, _counted(render_pairs(folder, count, seed, config), count), origin)
    print(f"{out}: {out.stat().st_size / 1e6:.1f} MB")


def _counted(pairs: Iterator[RenderedPair], count: int) -> Iterator[RenderedPair]:
    for done, pair in enumerate(pairs, 1):
        yield pair
        if done % 100 == 0:
            print(f"{done} of {count}", flush=True)


if __name__ == "__main__":
    try:
        tyro.cli(main)
    except SlamfrontError as error:
        sys.exit(str(error))
