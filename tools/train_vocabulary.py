"""Makes the vocabulary by which places are recognised from the features that an extractor finds in photographs.

    python tools/train_vocabulary.py PHOTOS slamfront/vocabularies/orb.safetensors --extractor orb

A vocabulary holds means over many thousand descriptors, and nothing of any photograph.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import tyro

from slamfront.build import build_extractor, resolve
from slamfront.config import ExtractorConfig, RunConfig
from slamfront.errors import SourceError
from slamfront.map.places import Vocabulary


def main(
    folder: tyro.conf.Positional[Path],
    out: tyro.conf.Positional[Path],
    extractor: Literal["orb", "sift", "superpoint"] = "orb",
    weights: str = "superpoint-lite",
    pattern: tuple[str, ...] = ("*.jpg", "*.png"),
    seed: int = 0,
) -> None:
    """Extract features of the photographs in a folder whose names fit a pattern, and write their vocabulary."""
    config = resolve(RunConfig(extractor=ExtractorConfig(kind=extractor, weights=weights, max_keypoints=500)))
    finder = build_extractor(replace(config, seed=seed))
    paths = sorted({path for one in pattern for path in folder.glob(one)})
    if not paths:
        raise SourceError(f"{folder} holds no photograph {' or '.join(pattern)}")
    images = (cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in paths)
    descriptors = np.concatenate([finder.extract(image).descriptors for image in images if image is not None])
    Vocabulary.train(descriptors, seed).save(out)
    print(f"{len(paths)} photographs, {len(descriptors)} descriptors: {out}, {out.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    tyro.cli(main)
