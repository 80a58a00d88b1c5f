"""The frame that is being tracked, while it is being worked on."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from slamfront.geometry.pose import Pose
from slamfront.geometry.shutter import Shutter
from slamfront.imaging import grey
from slamfront.map import KeyframeMap, KeyframeRecord
from slamfront.protocols import Extractor
from slamfront.tracking.ranging import Ranging
from slamfront.types import BoolArray, Features, Float32Array, FloatArray, Frame, Image, IntArray

# Standard deviation of a landmark's pixel, px: aligned to its patch, and followed from the last frame only
ALIGNED_SIGMA_PX = 0.5
FLOW_SIGMA_PX = 1.5
FLOW_WINDOW = (17, 17)
FLOW_LEVELS = 3


class View:
    """A frame, the landmarks that were found in it, and its pose so far.

    landmark_rows (K,) rows into the map's landmarks, -1 = none; xy (K,2) where they were found, px; sigmas_px (K,) how
    precisely; right_x (K,) their x in the right image, px, NaN = unknown; landmark_ids (K,) their ids, once the view
    is settled. All pixels of a view but those of its images
    are where they would be had all rows been exposed at once: `shutter` converts. `turn_measured` tells that it was
    measured in this view how the camera turned, not concluded from other views.

    Features and the like are made when first asked for: most frames are tracked without them.
    """

    xy: FloatArray
    sigmas_px: FloatArray
    right_x: FloatArray
    landmark_rows: IntArray
    landmark_ids: IntArray

    def __init__(self, frame: Frame, ranging: Ranging, extractor: Extractor, shutter: Shutter) -> None:
        self.frame, self.ranging, self.shutter = frame, ranging, shutter
        self.predicted_shutter = shutter
        self.camera_from_world: Pose | None = None
        self.covariance: FloatArray | None = None
        self._extractor = extractor
        self.forget()

    @property
    def pose(self) -> Pose:
        """The pose, camera_from_world, of a view that has one."""
        assert self.camera_from_world is not None
        return self.camera_from_world

    @cached_property
    def grey(self) -> Image:
        """The image as uint8 (H,W)."""
        return grey(self.frame.image)

    @cached_property
    def float_image(self) -> Float32Array:
        """The grey image in float32."""
        return self.grey.astype(np.float32)

    @cached_property
    def features(self) -> Features:
        """The image's features."""
        features = self._extractor.extract(self.grey)
        return features.moved(slice(None), self.shutter.to_middle(features.keypoints_xy))

    @cached_property
    def tree(self) -> cKDTree:
        """The features' keypoints, for search by place."""
        return cKDTree(self.features.keypoints_xy)

    def turn(self, shutter: Shutter) -> None:
        """Learn better how the camera turned while the frame was taken."""
        if "features" in self.__dict__:
            image_xy = self.shutter.to_image(self.features.keypoints_xy)
            self.__dict__["features"] = self.features.moved(slice(None), shutter.to_middle(image_xy))
            self.__dict__.pop("tree", None)
        self.xy = shutter.to_middle(self.shutter.to_image(self.xy))
        self.shutter = shutter

    def find_right_x(self, xy: FloatArray, expected_disparity: FloatArray | None) -> FloatArray:
        """Return x in the right image (N,) of pixels (N,2), NaN where unknown; `expected_disparity` (N,) px says
        where to look first.
        """
        # The same points when distances were measured
        then_xy, deeper = self.shutter.later(self.shutter.to_image(xy), self.frame.depth_delay_s)
        expected = None if expected_disparity is None else then_xy[:, 0] - expected_disparity
        return xy[:, 0] - (then_xy[:, 0] - self.ranging.right_x(then_xy, expected)) * deeper

    def observe(self, landmark_rows: IntArray, xy: NDArray[Any], sigmas_px: NDArray[Any] | float) -> None:
        """Let the view show landmarks (K,) at pixels (K,2), and nothing else."""
        self.landmark_rows = landmark_rows.copy()
        self.xy = xy.astype(np.float64)
        self.sigmas_px = np.broadcast_to(np.asarray(sigmas_px, np.float64), len(xy)).copy()
        self.right_x = np.full(len(xy), np.nan)

    def observe_also(self, landmark_rows: IntArray, xy: FloatArray, sigma_px: float) -> None:
        """Let the view show further landmarks."""
        self.landmark_rows = np.concatenate([self.landmark_rows, landmark_rows])
        self.xy = np.concatenate([self.xy, xy])
        self.sigmas_px = np.concatenate([self.sigmas_px, np.full(len(xy), sigma_px)])
        self.right_x = np.concatenate([self.right_x, np.full(len(xy), np.nan)])

    def keep(self, kept: BoolArray) -> None:
        """Keep only the landmarks of a mask (K,)."""
        self.landmark_rows, self.xy = self.landmark_rows[kept], self.xy[kept]
        self.sigmas_px, self.right_x = self.sigmas_px[kept], self.right_x[kept]

    def adopt(self, keyframe: KeyframeRecord) -> None:
        """Show what the keyframe made of this view observes."""
        self.landmark_rows = keyframe.landmark_rows.copy()
        self.xy = keyframe.features.keypoints_xy.astype(np.float64)
        self.sigmas_px = keyframe.sigmas_px.astype(np.float64)
        self.right_x = keyframe.right_x.astype(np.float64)

    def settle(self, world: KeyframeMap) -> None:
        """Remember what the view shows by ids, for the map gives rows of landmarks that are gone to others."""
        self.landmark_ids = world.landmarks.ids(self.landmark_rows)

    def forget(self) -> None:
        """Show nothing and stand nowhere, for a fresh attempt."""
        self.observe(np.zeros(0, np.int64), np.zeros((0, 2)), 1.0)
        self.camera_from_world = self.covariance = None
        self.turn_measured = False
