"""An extractor of two halves: whoever finds keypoints, with whoever describes them."""

from __future__ import annotations

import numpy as np

from slamfront.imaging import grey
from slamfront.protocols import Describer, Detector, Extractor
from slamfront.types import Features, Image, Keypoints


class Composed:
    """Keypoints of a detector with the descriptors of a describer, which need not know of each other.

    That either can be exchanged is the point of Edstedt et al., "DeDoDe: Detect, Don't Describe; Describe, Don't
    Detect", 3DV 2024.
    """

    def __init__(self, detector: Detector, describer: Describer) -> None:
        self._detector, self._describer = detector, describer

    def extract(self, image: Image) -> Features:
        """Return the features of an image, grey (H,W) or RGB (H,W,3), the best first; zero keypoints are valid."""
        keypoints = self._detector.detect(image)
        return keypoints.described(self._describer.describe(image, keypoints))


class KeypointsOf:
    """Another extractor's keypoints, each place once, without its descriptors."""

    def __init__(self, extractor: Extractor) -> None:
        self._extractor = extractor

    def detect(self, image: Image) -> Keypoints:
        """Return the keypoints of an image, grey (H,W) or RGB (H,W,3), the best first; none are a valid answer."""
        found = self._extractor.extract(grey(image))
        # SIFT has a keypoint for each orientation of a place
        _, rows = np.unique(found.keypoints_xy, axis=0, return_index=True)
        best = found.take(np.sort(rows))
        return Keypoints(best.keypoints_xy, best.scores, best.image_size, best.scales)
