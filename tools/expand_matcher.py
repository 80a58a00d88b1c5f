#!/usr/bin/env python3
"""Writes the weights of a LightGlue of the official size that does what a small one does, for it to learn on from.

    python tools/expand_matcher.py photos/train lightglue-expanded.safetensors

The small one has learned on the descriptors of another extractor; what these are to the descriptors of `--extractor` is
measured at the keypoints of photographs, of which two views each are taken, in other lights.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from slamfront.errors import SlamfrontError
from slamfront.models.lightglue import LightGlue
from slamfront.models.superpoint import DenseExtractor
from slamfront.training.data.datasets import unit
from slamfront.training.data.feature_pairs import photograph_pairs
from slamfront.training.recipe import PhotometricConfig, WarpConfig
from slamfront.training.tasks.net2net import descriptor_translation, expanded
from slamfront.training.tasks.registry import network_of

_SIZE = (320, 240)


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", type=Path, help="folder of photographs")
    parser.add_argument("out", type=Path, help="file to write")
    parser.add_argument("--matcher", default="lightglue-lite", help="the small one: known weights or a file")
    parser.add_argument("--learned-on", default="superpoint-lite", help="extractor whose features it learned on")
    parser.add_argument("--extractor", default="superpoint", help="extractor whose features the large one is for")
    parser.add_argument("--count", type=int, default=200, help="pairs of views that descriptors are compared in")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.manual_seed(given.seed)
    small, learned, wanted = (network_of(name) for name in (given.matcher, given.learned_on, given.extractor))
    if not isinstance(small, LightGlue):
        sys.exit(f"{given.matcher} are no weights of LightGlue")
    if not isinstance(learned, DenseExtractor) or not isinstance(wanted, DenseExtractor):
        sys.exit(f"{given.learned_on} and {given.extractor} must be weights of extractors")
    translation = descriptor_translation(learned, wanted, views(given.photographs, given.count, given.seed))
    large = expanded(small.float(), translation, LightGlue())
    state = {name: tensor.contiguous() for name, tensor in large.state_dict().items()}
    given.out.parent.mkdir(parents=True, exist_ok=True)
    save_file(state, given.out, metadata={"expanded from": given.matcher})
    print(f"{given.out}: {given.out.stat().st_size / 1e6:.0f} MB")


def views(folder: Path, count: int, seed: int) -> Iterator[Tensor]:
    """Yield both views (1,1,H,W) of pairs of a folder's photographs."""
    for pair in photograph_pairs(folder, count, seed, _SIZE, WarpConfig(), PhotometricConfig()):
        yield from (unit(image)[None] for image in pair.images)


if __name__ == "__main__":
    try:
        main()
    except SlamfrontError as error:
        sys.exit(str(error))
