#!/usr/bin/env python3
"""How well corners of drawn shapes are found: a trained detector beside FAST, Harris and Shi-Tomasi.

    python tools/shape_corners.py training/magicpoint-lite/checkpoint.pt

Average precision and localisation error within 4 px, on shapes that no training saw, clean and with noise (all effects
in full: blur, motion, lost contrast, shadow, noise, speckle, impulses). The table is that of MagicPoint's paper (DeTone
et al., "Toward Geometric Deep SLAM", 2017, section 5.1).
"""

from __future__ import annotations

import argparse

import numpy as np
import torch

from slamfront.evaluation.matching.detection import CLASSICAL, Detections, Detector, detection_metrics
from slamfront.models.superpoint import DenseExtractor
from slamfront.training.data.shape_noise import corrupt
from slamfront.training.data.shapes import draw_shapes
from slamfront.training.tasks.registry import network_of
from slamfront.types import Image

SEED = 7_000_000
CONDITIONS = {"clean": 0.0, "half the noise": 0.5, "noise": 1.0}


def learned(weights: str) -> Detector:
    """Return the detector of a checkpoint."""
    network = network_of(weights)
    if not isinstance(network, DenseExtractor):
        raise SystemExit(f"{weights} holds no detector")

    def detect(image: Image) -> Detections:
        unit = torch.from_numpy(image)[None, None].float() / 255
        found = network.extract(unit, None, threshold=0.001, subpixel=True)[0]
        return Detections(found.keypoints_xy.numpy(), found.scores.numpy())

    return detect


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", nargs="*", help="checkpoints or names of weights")
    parser.add_argument("--count", type=int, default=500, help="images of each condition")
    given = parser.parse_args()
    detectors = {**{name: learned(name) for name in given.weights}, **CLASSICAL}
    print(f"{'':<12} {'detector':<14} mean AP   pooled AP   error px")
    for condition, strength in CONDITIONS.items():
        images = []
        for number in range(given.count):
            rng = np.random.default_rng([SEED, number])
            drawn = draw_shapes(rng, effects=None)
            image = corrupt(drawn.image, rng, strength) if strength else drawn.image
            images.append((image, drawn.corners_xy))
        for name, detector in detectors.items():
            found = detection_metrics(images, detector)
            figures = f"{found.mean_average_precision:.3f}      {found.average_precision:.3f}       "
            print(f"{condition:<14} {name.split('/')[-2] if '/' in name else name:<18} {figures}"
                  f"{found.localization_error_px:.2f}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
