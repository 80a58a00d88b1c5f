"""Which keypoints of two images are the same: labels for matchers, from where each point lies in the other image."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from slamfront.training.data.homographies import carry
from slamfront.training.data.rendered import RenderedPair
from slamfront.types import BoolArray, FloatArray, IntArray

UNMATCHED, IGNORED = -1, -2
"""Labels of keypoints that certainly have no partner, and of those of which it cannot be told."""

RIGHT_PX, WRONG_PX = 3.0, 5.0
"""Keypoints nearer than the first are the same, those farther than the second are not; in between nothing is said."""

Labels = NDArray[np.int16]


class Carried(NamedTuple):
    """Keypoints of one image as they lie in the other.

    points_xy: (N,2) px. seen: (N,) whether they are seen there. known: (N,) whether that can be told; where the depth
    is missing it cannot.
    """

    points_xy: FloatArray
    seen: BoolArray
    known: BoolArray


def carried_by_homography(points_xy: FloatArray, target_from_source: FloatArray, area: BoolArray) -> Carried:
    """Carry points (N,2) by a homography (3,3) into an image of the same size.

    area: (H,W), where the first image shows the plane; points elsewhere are not seen in the second.
    """
    size = (area.shape[1], area.shape[0])
    carried = carry(target_from_source, points_xy)
    inside = ((carried > -0.5) & (carried < np.array(size) - 0.5)).all(axis=1)
    columns, rows = _pixels(points_xy, size)
    return Carried(carried, np.asarray(inside & area[rows, columns]), np.ones(len(points_xy), np.bool_))


def carried_by_depth(points_xy: FloatArray, pair: RenderedPair) -> Carried:
    """Carry points (N,2) of a pair's first image into its second by depth and pose; hidden surfaces are not seen."""
    carried, seen = pair.warp(points_xy)
    return Carried(carried, seen, seen | _has_depth(pair.inverse_depths[0], points_xy))


def nothing_in_common(count: int) -> Carried:
    """Return points (count,2) of an image that shows nothing of the other."""
    return Carried(np.full((count, 2), -1e6), np.zeros(count, np.bool_), np.ones(count, np.bool_))


def match_labels(
    first_xy: FloatArray, second_xy: FloatArray, second_from_first: Carried, first_from_second: Carried
) -> tuple[Labels, Labels]:
    """Label the keypoints (M,2), (N,2) of two images: the row of the partner, `UNMATCHED` or `IGNORED`; (M,), (N,).

    The error of two keypoints is the larger of the distances that each has, carried, to the other. Partners are seen in
    both images, each other's nearest and closer than `RIGHT_PX`. A keypoint is unmatched where no other comes nearer
    than `WRONG_PX` either way, hidden or not (Sarlin et al., "SuperGlue", CVPR 2020, appendix).
    """
    labels: tuple[Labels, Labels] = (
        np.full(len(first_xy), IGNORED, np.int16),
        np.full(len(second_xy), IGNORED, np.int16),
    )
    if not len(first_xy) or not len(second_xy):
        for own, carried in zip(labels, (second_from_first, first_from_second)):
            own[carried.known] = UNMATCHED
        return labels
    forward = np.linalg.norm(second_from_first.points_xy[:, None] - second_xy, axis=2)
    backward = np.linalg.norm(first_xy[:, None] - first_from_second.points_xy, axis=2)
    nearer = np.minimum(forward, backward)
    labels[0][second_from_first.known & (nearer.min(axis=1) > WRONG_PX)] = UNMATCHED
    labels[1][first_from_second.known & (nearer.min(axis=0) > WRONG_PX)] = UNMATCHED
    both_seen = second_from_first.seen[:, None] & first_from_second.seen
    error = np.where(both_seen, np.maximum(forward, backward), np.inf)
    partner, partner_back = error.argmin(axis=1), error.argmin(axis=0)
    rows = np.arange(len(first_xy))
    matched = rows[(partner_back[partner] == rows) & (error[rows, partner] < RIGHT_PX)]
    labels[0][matched] = partner[matched].astype(np.int16)
    labels[1][partner[matched]] = matched.astype(np.int16)
    return labels


def _has_depth(inverse_depth: NDArray[np.float32], points_xy: FloatArray) -> BoolArray:
    columns, rows = _pixels(points_xy, (inverse_depth.shape[1], inverse_depth.shape[0]))
    return np.asarray(inverse_depth[rows, columns] > 0)


def _pixels(points_xy: FloatArray, size: tuple[int, int]) -> IntArray:
    return np.rint(points_xy).astype(np.int64).clip(0, np.array(size) - 1).T
