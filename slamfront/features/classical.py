"""ORB and SIFT: the classical line, on OpenCV."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from slamfront.config import ExtractorConfig
from slamfront.geometry.balance import COLUMNS_OF_TURNS, TURNS, spread
from slamfront.types import Features, Image

# Detect this many times the wanted keypoints, so that balancing finds some in the faint parts of the image too
_SURPLUS = 5.0
_FAST_THRESHOLD = 5
# OpenCV repeats the image's edge, so a descriptor may lie nearer to it than the 31 px of its default
_EDGE_PX = 19


class Orb:
    """Oriented FAST corners on a pyramid with 256-bit descriptors (Rublee et al. 2011)."""

    def __init__(self, config: ExtractorConfig) -> None:
        self._config = config
        count = int(config.max_keypoints * _SURPLUS)
        self._detector = cv2.ORB_create(
            count, config.scale_factor, config.levels, edgeThreshold=_EDGE_PX, fastThreshold=_FAST_THRESHOLD
        )

    def extract(self, image: Image) -> Features:
        """Return ORB features of a grey image (H,W), spread over it; one with no room for a descriptor has none."""
        # ORB keeps this far from the edge, and fails on an image that its pyramid shrinks to nothing
        if min(image.shape) <= 2 * self._detector.getEdgeThreshold():
            return _nothing(image, np.zeros((0, 32), np.uint8))
        keypoints, descriptors = _keypoints(self._detector, image, self._config)
        scales = np.array([self._config.scale_factor**k.octave for k in keypoints], np.float32)
        return _features(keypoints, descriptors, scales, image, np.zeros((0, 32), np.uint8))


class Sift:
    """SIFT with square-rooted descriptors (Lowe 2004; Arandjelovic and Zisserman 2012)."""

    def __init__(self, config: ExtractorConfig) -> None:
        self._config = config
        self._detector = cv2.SIFT_create(int(config.max_keypoints * _SURPLUS))

    def extract(self, image: Image) -> Features:
        """Return RootSIFT features of a grey image (H,W), spread over it."""
        keypoints, descriptors = _keypoints(self._detector, image, self._config)
        # 1.6 is SIFT's first scale, and a keypoint's size is twice its scale
        scales = np.maximum(np.array([k.size for k in keypoints], np.float32) / 3.2, 1.0)
        if descriptors is not None:
            descriptors = np.sqrt(descriptors / np.maximum(descriptors.sum(1, keepdims=True), 1e-6))
            descriptors = descriptors.astype(np.float32)
        return _features(keypoints, descriptors, scales, image, np.zeros((0, 128), np.float32))


def _keypoints(
    detector: cv2.Feature2D, image: Image, config: ExtractorConfig
) -> tuple[Sequence[cv2.KeyPoint], np.ndarray | None]:
    """Return keypoints spread over the image and their descriptors; those that are left out are never described."""
    found = detector.detect(image, None)
    if len(found) == 0:
        return [], None
    xy = cv2.KeyPoint_convert(found).astype(np.float32).reshape(-1, 2)
    scores = np.array([k.response for k in found], np.float32)
    columns = COLUMNS_OF_TURNS if config.grid is None else config.grid
    crowding = TURNS if config.crowding is None else config.crowding
    rows = spread(xy, scores, image.shape[1], config.max_keypoints, columns, crowding)
    return detector.compute(image, [found[row] for row in rows.tolist()])


def _features(
    keypoints: Sequence[cv2.KeyPoint],
    descriptors: np.ndarray | None,
    scales: np.ndarray,
    image: Image,
    none: np.ndarray,
) -> Features:
    """Return OpenCV's keypoints as features; `none` (0,D) are the descriptors of an image that has none."""
    if descriptors is None or len(keypoints) == 0:
        return _nothing(image, none)
    xy = cv2.KeyPoint_convert(keypoints).astype(np.float32).reshape(-1, 2)
    scores = np.array([k.response for k in keypoints], np.float32)
    return Features(xy, scores, descriptors, (image.shape[1], image.shape[0]), scales)


def _nothing(image: Image, descriptors: np.ndarray) -> Features:
    empty = np.zeros(0, np.float32)
    size = (image.shape[1], image.shape[0])
    return Features(np.zeros((0, 2), np.float32), empty, descriptors, size, empty.copy())
