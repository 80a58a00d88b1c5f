"""The frame that is being tracked, while it is being worked on."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from slamfront.config import TrackerConfig
from slamfront.geometry.balance import balanced
from slamfront.geometry.pose import Pose
from slamfront.geometry.shutter import Shutter
from slamfront.imaging import at_pixels, grey, painted_over, well_inside
from slamfront.map import KeyframeMap, KeyframeRecord
from slamfront.patches import PATCH_SIZE
from slamfront.protocols import Extractor
from slamfront.solve.motion import PoseMeasurement
from slamfront.solve.pnp import is_determined
from slamfront.tracking.depth_source import DepthSource
from slamfront.types import (
    BoolArray,
    Features,
    Float32Array,
    FloatArray,
    Frame,
    Image,
    IntArray,
    LandmarkObservations,
)

# Variance of a pose that is exact by definition: far below what images show, and well conditioned
_EXACT = 1e-12
_NOTHING: IntArray = np.zeros(0, np.int64)
# Columns of the grid over which kept observations are spread
_COLUMNS = 16


class View:
    """A frame, the landmarks that were found in it, and its pose so far.

    landmark_rows (K,) rows into the map's landmarks, -1 = none; xy (K,2) where they were found, px; sigmas_px (K,) how
    precisely; right_x (K,) their x in the right image, px, NaN = unknown; landmark_ids (K,) their ids, once the view
    is settled. All pixels of a view but those of its images are where they would be had all rows been exposed at once:
    `shutter` converts. `turn_measured` says that its matches have shown how the camera turned. `measured` is the pose
    that its landmarks alone show, `camera_from_world` that in the light of the motion, once it is known. `moving_rows`
    are landmarks which were found in it and do not belong to the scene, `shown_before` the ids of those that the view
    before showed.

    Features and the like are made when first asked for: most frames are tracked without them.
    """

    xy: FloatArray
    sigmas_px: FloatArray
    right_x: FloatArray
    landmark_rows: IntArray
    landmark_ids: IntArray

    def __init__(
        self,
        frame: Frame,
        depth_source: DepthSource,
        extractor: Extractor,
        shutter: Shutter,
        shown_before: IntArray = _NOTHING,
    ) -> None:
        self.frame, self.depth_source, self.shutter = frame, depth_source, shutter
        self.predicted_shutter = shutter
        self.shown_before = shown_before
        self.camera_from_world: Pose | None = None
        self.covariance: FloatArray | None = None
        self.measured: PoseMeasurement | None = None
        self._extractor = extractor
        self.forget()

    @property
    def pose(self) -> Pose:
        """The pose, camera_from_world, of a view that has one."""
        assert self.camera_from_world is not None
        return self.camera_from_world

    def determined(self, config: TrackerConfig) -> bool:
        """Return whether the landmarks that the view shows determine its pose in every direction."""
        measured = self.measured
        return measured is not None and is_determined(measured.covariance[:6, :6], measured.depth_m, config)

    @cached_property
    def grey(self) -> Image:
        """The image as uint8 (H,W), painted over where it may not be used."""
        image, mask = grey(self.frame.image), self.frame.mask
        return image if mask is None else painted_over(image, mask)

    @cached_property
    def float_image(self) -> Float32Array:
        """The grey image in float32."""
        return self.grey.astype(np.float32)

    @cached_property
    def features(self) -> Features:
        """The image's features."""
        features = self._extractor.extract(self.grey)
        if self._whole_patches is not None:
            features = features.take(at_pixels(self._whole_patches, features.keypoints_xy))
        return features.moved(slice(None), self.shutter.to_middle(features.keypoints_xy))

    @cached_property
    def _whole_patches(self) -> BoolArray | None:
        """Where all of a landmark's patch may be used (H,W); None = everywhere."""
        return None if self.frame.mask is None else well_inside(self.frame.mask, PATCH_SIZE)

    def usable(self, xy: FloatArray) -> BoolArray:
        """Return where landmarks may be found in the image, of pixels (N,2)."""
        if self._whole_patches is None or len(xy) == 0:
            return np.ones(len(xy), bool)
        return at_pixels(self._whole_patches, self.shutter.to_image(xy))

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
        xy = shutter.to_middle(self.shutter.to_image(self.xy))
        self.right_x = self.right_x + (xy - self.xy)[:, 0]
        self.xy, self.shutter = xy, shutter

    def find_right_x(self, xy: FloatArray, expected_disparity: FloatArray | None) -> FloatArray:
        """Return x in the right image (N,) of pixels (N,2), NaN where unknown; `expected_disparity` (N,) px says
        where to look first.
        """
        # The same points when distances were measured
        then_xy, deeper = self.shutter.later(self.shutter.to_image(xy), self.frame.depth_delay_s)
        expected = None if expected_disparity is None else then_xy[:, 0] - expected_disparity
        return xy[:, 0] - (then_xy[:, 0] - self.depth_source.right_x(then_xy, expected)) * deeper

    def observe(self, landmark_rows: IntArray, xy: NDArray[Any], sigmas_px: NDArray[Any] | float) -> None:
        """Let the view show landmarks (K,) at pixels (K,2), and nothing else."""
        self.landmark_rows = landmark_rows.copy()
        self.xy = xy.astype(np.float64)
        self.sigmas_px = np.broadcast_to(np.asarray(sigmas_px, np.float64), len(xy)).copy()
        self.right_x = np.full(len(xy), np.nan)

    def observe_also(self, landmark_rows: IntArray, xy: FloatArray, sigmas_px: FloatArray) -> None:
        """Let the view show further landmarks."""
        self.landmark_rows = np.concatenate([self.landmark_rows, landmark_rows])
        self.xy = np.concatenate([self.xy, xy])
        self.sigmas_px = np.concatenate([self.sigmas_px, sigmas_px])
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

    def observations(self, count: int) -> LandmarkObservations:
        """Return what the settled view shows of at most `count` landmarks, spread over the image, the most precise
        first.
        """
        shown = np.flatnonzero(self.landmark_ids >= 0)
        rows = shown[balanced(self.xy[shown], -self.sigmas_px[shown], self.grey.shape[1], count, _COLUMNS)]
        return LandmarkObservations(
            self.landmark_ids[rows],
            self.xy[rows].astype(np.float32),
            self.right_x[rows].astype(np.float32),
            self.sigmas_px[rows].astype(np.float32),
            self.depth_source.disparity_sigma_px,
            self.depth_source.disparity_offset_px,
        )

    def forget(self) -> None:
        """Show nothing and stand nowhere, for a fresh attempt."""
        self.observe(np.zeros(0, np.int64), np.zeros((0, 2)), 1.0)
        self.camera_from_world = self.covariance = self.measured = None
        self.turn_measured = False
        self.moving_rows = np.zeros(0, np.int64)


def exact_pose(time_ns: int, camera_from_world: Pose, depth_m: float = 1.0) -> PoseMeasurement:
    """Return a pose that is taken as it is, at a time, as that of a view with which a map begins."""
    return PoseMeasurement(time_ns, camera_from_world, _EXACT * np.eye(6), None, depth_m)
