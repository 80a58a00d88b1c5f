"""Extracts the features of pairs of images, and which of them are the same, into one file that matchers learn from.

    python tools/extract_pairs.py PHOTOS photograph-features.npz --count 12000
    python tools/extract_pairs.py worlds rendered-features.npz --repeats 3
    python tools/extract_pairs.py rgbd_dataset_freiburg1_desk desk-features.npz --posed --stride 5

A folder of photographs gives pairs by homographies, what tools/render_pairs.py made pairs with parallax and occlusion,
and an RGB-D sequence with known poses (TUM, 7-Scenes, any that slamfront reads) pairs of its frames.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import torch

from slamfront.errors import SlamfrontError, TrainingError
from slamfront.models.precision import prepare_for_inference
from slamfront.models.superpoint import DenseExtractor
from slamfront.training.data.feature_pairs import (
    FeaturePair,
    PlanePair,
    extract_pair,
    lit_pairs,
    photograph_pairs,
    save_feature_pairs,
)
from slamfront.training.data.posed import posed_pairs
from slamfront.training.data.rendered import RenderedPair
from slamfront.training.data.rendered_file import RenderedPairs, holds_views
from slamfront.training.recipe import PhotometricConfig, WarpConfig
from slamfront.training.tasks.registry import network_of

_TOLD_EVERY = 500


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="folder of photographs, or of rendered pairs")
    parser.add_argument("out", type=Path, help="file to write")
    parser.add_argument("--weights", default="superpoint-lite", help="extractor: known weights or a file")
    parser.add_argument("--keypoints", type=int, default=256, help="at most so many of an image are kept")
    parser.add_argument("--count", type=int, default=12000, help="pairs of photographs, or of a sequence's frames")
    parser.add_argument("--posed", action="store_true", help="the source is an RGB-D sequence with known poses")
    parser.add_argument("--stride", type=int, default=1, help="take every n-th frame of a sequence")
    parser.add_argument("--width", type=int, default=320, help="width of the views, px")
    parser.add_argument("--height", type=int, default=240, help="height of the views of photographs, px")
    parser.add_argument("--repeats", type=int, default=3, help="lights in which each rendered pair is taken")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    cv2.setNumThreads(1)
    network = network_of(given.weights)
    if not isinstance(network, DenseExtractor):
        sys.exit(f"{given.weights} are no weights of an extractor")
    prepare_for_inference(network, "cuda" if torch.cuda.is_available() else "cpu")
    origin = " ".join(f"{name}={value}" for name, value in vars(given).items() if name != "out")
    pairs, size = pairs_of(given)
    count = save_feature_pairs(given.out, _extracted(network, pairs, given.keypoints), size, origin)
    print(f"{given.out}: {count} pairs, {given.out.stat().st_size / 1e6:.0f} MB")


def pairs_of(given: argparse.Namespace) -> tuple[Iterator[PlanePair | RenderedPair], tuple[int, int]]:
    """Return the pairs of images that the source gives, and their size."""
    light = PhotometricConfig()
    if given.posed:
        return posed(given, light)
    if given.source.is_dir() and not holds_views(given.source):
        size = (given.width, given.height)
        return photograph_pairs(given.source, given.count, given.seed, size, WarpConfig(), light), size
    rendered = RenderedPairs(given.source)
    return lit_pairs(rendered, given.repeats, given.seed, light), rendered.size


def posed(given: argparse.Namespace, light: PhotometricConfig) -> tuple[Iterator[RenderedPair], tuple[int, int]]:
    """Return the pairs of frames of a sequence, and their size."""
    from slamfront import open_source
    from slamfront.config import SourceConfig

    source = open_source(str(given.source), SourceConfig(stride=given.stride, width=given.width), "rgbd")
    if source.reference is None:
        raise TrainingError(f"{given.source} has no known poses")
    pairs = posed_pairs(source, source.reference, given.count, given.seed)
    return lit_pairs(pairs, given.repeats, given.seed, light), (source.camera.width, source.camera.height)


def _extracted(network: DenseExtractor, pairs: Iterator[PlanePair | RenderedPair], most: int) -> Iterator[FeaturePair]:
    for done, pair in enumerate(pairs, 1):
        yield extract_pair(network, pair, most)
        if done % _TOLD_EVERY == 0:
            print(f"{done} pairs", flush=True)


if __name__ == "__main__":
    try:
        main()
    except SlamfrontError as error:
        sys.exit(str(error))
