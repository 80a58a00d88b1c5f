"""The first map of a single camera: two views with enough parallax."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from slamfront.geometry.camera import Camera
from slamfront.protocols import Matcher
from slamfront.solve.two_view import TwoView, relative_pose
from slamfront.tracking.patches import align_patches, cut_patches
from slamfront.tracking.view import ALIGNED_SIGMA_PX, View
from slamfront.types import IntArray

_MIN_MATCHES = 80
# A first view that is older than this many frames is given up
_MAX_AGE = 60


@dataclass(frozen=True, slots=True, eq=False)
class FirstPair:
    """Two views that make a map: matched features (K,) of both, and their geometry with the median depth 1."""

    first: View
    second: View
    first_rows: IntArray
    second_rows: IntArray
    geometry: TwoView


class Initializer:
    """Keeps a first view and tries each new one against it."""

    def __init__(self, matcher: Matcher, camera: Camera, seed: int) -> None:
        self._matcher, self._camera, self._seed = matcher, camera, seed
        self._first: View | None = None
        self._age = 0

    def try_view(self, view: View) -> FirstPair | str:
        """Return the first pair, or one line that says what is missing."""
        if self._first is None or self._age > _MAX_AGE:
            self._first, self._age = view, 0
            return "waiting for a second view"
        self._age += 1
        matches = self._matcher.match(self._first.features, view.features)
        if len(matches) < _MIN_MATCHES:
            self._first, self._age = view, 0
            return f"{len(matches)} matches with the first view, {_MIN_MATCHES} are needed: it starts anew"
        first_rows, second_rows = matches.indices[:, 0], matches.indices[:, 1]
        self._align(view, first_rows, second_rows)
        geometry = relative_pose(self._first.xy[first_rows], view.xy[second_rows], self._camera, seed=self._seed)
        if isinstance(geometry, str):
            view.forget()
            return geometry
        return FirstPair(self._first, view, first_rows, second_rows, geometry)

    def _align(self, view: View, first_rows: IntArray, second_rows: IntArray) -> None:
        """Move the second view's keypoints to where the first view's patches fit, as tracking does later."""
        assert self._first is not None
        patches = cut_patches(self._first.grey, self._first.xy[first_rows])
        same = np.broadcast_to(np.eye(2), (len(patches), 2, 2))
        xy, trusted = align_patches(view.float_image, patches, same, view.xy[second_rows])
        view.xy[second_rows[trusted]] = xy[trusted]
        view.sigmas_px[second_rows[trusted]] = ALIGNED_SIGMA_PX
