"""The frame that is being tracked, while it is being worked on."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from scipy.spatial import cKDTree

from slamfront.geometry.pose import Pose
from slamfront.tracking.ranging import Ranging
from slamfront.types import Features, Float32Array, FloatArray, Frame, Image, IntArray

# Standard deviation of a keypoint that was aligned to its landmark's patch, px; one as detected has its feature's scale
ALIGNED_SIGMA_PX = 0.5


@dataclass(slots=True, eq=False)
class View:
    """A frame with its features, what they observe and the pose so far.

    xy (N,2) and sigmas_px (N,) hold the keypoints as measured best so far; right_x (N,) px, NaN = unknown; landmark_rows (N,) rows into
    the map's landmarks, -1 = none.
    """

    frame: Frame
    grey: Image
    features: Features
    tree: cKDTree
    ranging: Ranging
    xy: FloatArray
    sigmas_px: FloatArray
    right_x: FloatArray
    landmark_rows: IntArray
    camera_from_world: Pose | None = None
    covariance: FloatArray | None = None
    _smooth: list[Float32Array] = field(default_factory=list)

    @staticmethod
    def of(frame: Frame, grey: Image, features: Features, ranging: Ranging) -> View:
        """Return the view of a frame before anything is known about it."""
        count = len(features)
        return View(
            frame=frame,
            grey=grey,
            features=features,
            tree=cKDTree(features.keypoints_xy),
            ranging=ranging,
            xy=features.keypoints_xy.astype(np.float64),
            sigmas_px=features.scales.astype(np.float64),
            right_x=np.full(count, np.nan),
            landmark_rows=np.full(count, -1, np.int64),
        )

    @property
    def float_image(self) -> Float32Array:
        """The grey image in float32, made when first asked for."""
        if not self._smooth:
            self._smooth.append(self.grey.astype(np.float32))
        return self._smooth[0]

    def extend(self, xy: FloatArray, landmark_rows: IntArray, descriptors: np.ndarray, scales: np.ndarray) -> None:
        """Add features (K,) for landmarks that were found by their patches alone, described as their landmarks are."""
        f, count = self.features, len(xy)
        self.features = Features(
            np.concatenate([f.keypoints_xy, xy.astype(np.float32)]),
            np.concatenate([f.scores, np.zeros(count, np.float32)]),
            np.concatenate([f.descriptors, descriptors]),
            f.image_size,
            np.concatenate([f.scales, scales.astype(np.float32)]),
        )
        self.xy = np.concatenate([self.xy, xy])
        self.sigmas_px = np.concatenate([self.sigmas_px, np.full(count, ALIGNED_SIGMA_PX)])
        self.right_x = np.concatenate([self.right_x, np.full(count, np.nan)])
        self.landmark_rows = np.concatenate([self.landmark_rows, landmark_rows])

    def keep(self, kept: np.ndarray) -> None:
        """Keep only the features of a mask (N,)."""
        self.features = self.features.take(kept)
        self.xy, self.sigmas_px = self.xy[kept], self.sigmas_px[kept]
        self.right_x, self.landmark_rows = self.right_x[kept], self.landmark_rows[kept]

    def forget(self) -> None:
        """Drop all associations and measurements, for a fresh attempt."""
        self.xy = self.features.keypoints_xy.astype(np.float64)
        self.sigmas_px = self.features.scales.astype(np.float64)
        self.right_x[:] = np.nan
        self.landmark_rows[:] = -1
        self.camera_from_world = self.covariance = None

    def measured_features(self) -> Features:
        """Return the features with their keypoints where they were measured best."""
        f = self.features
        return Features(self.xy.astype(np.float32), f.scores, f.descriptors, f.image_size, f.scales)


def grey_image(frame: Frame) -> Image:
    """Return a frame's image as uint8 (H,W)."""
    return frame.image if frame.image.ndim == 2 else cv2.cvtColor(frame.image, cv2.COLOR_RGB2GRAY)
