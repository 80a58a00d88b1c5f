"""The first map of a single camera: two views with enough parallax."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from slamfront.geometry.camera import Camera
from slamfront.protocols import Matcher
from slamfront.solve.two_view import TwoView, relative_pose
from slamfront.tracking.patches import align_patches, cut_patches
from slamfront.tracking.view import ALIGNED_SIGMA_PX, View
from slamfront.types import FloatArray, IntArray

_MIN_MATCHES = 80
# A first view that is older than this many frames is given up
_MAX_AGE = 60


@dataclass(frozen=True, slots=True, eq=False)
class FirstPair:
    """Two views that make a map: rows (K,) of the features that match, the second's pixels aligned to the first's,
    (K,2), with their deviations (K,), and the geometry of both."""

    first: View
    second: View
    first_rows: IntArray
    second_rows: IntArray
    second_xy: FloatArray
    second_sigmas_px: FloatArray
    geometry: TwoView


class Initializer:
    """Keeps a first view and tries each new one against it."""

    def __init__(self, matcher: Matcher, camera: Camera, seed: int) -> None:
        self._matcher, self._camera, self._seed = matcher, camera, seed
        self._first: View | None = None
        self._age = 0

    def try_view(self, view: View) -> FirstPair | str:
        """Return the first pair, or one line that says what is missing."""
        first = self._first
        if first is None or self._age > _MAX_AGE:
            self._first, self._age = view, 0
            return "waiting for a second view"
        self._age += 1
        matches = self._matcher.match(first.features, view.features)
        if len(matches) < _MIN_MATCHES:
            self._first, self._age = view, 0
            return f"{len(matches)} matches with the first view, {_MIN_MATCHES} are needed: it starts anew"
        first_rows, second_rows = matches.indices[:, 0], matches.indices[:, 1]
        first_xy = first.features.keypoints_xy[first_rows].astype(np.float64)
        second_xy = view.features.keypoints_xy[second_rows].astype(np.float64)
        sigmas_px = view.features.scales[second_rows].astype(np.float64)
        # Move the second view's keypoints to where the first view's patches fit, as tracking does later
        same = np.broadcast_to(np.eye(2), (len(matches), 2, 2))
        patches = cut_patches(first.grey, first.shutter.to_image(first_xy))
        xy, trusted = align_patches(view.float_image, patches, same, view.shutter.to_image(second_xy))
        second_xy[trusted], sigmas_px[trusted] = view.shutter.to_middle(xy[trusted]), ALIGNED_SIGMA_PX
        geometry = relative_pose(first_xy, second_xy, self._camera, seed=self._seed)
        if isinstance(geometry, str):
            return geometry
        return FirstPair(first, view, first_rows, second_rows, second_xy, sigmas_px, geometry)
