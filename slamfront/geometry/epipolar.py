"""What two views of one point have to do with each other.

Equations are those of Hartley and Zisserman, "Multiple View Geometry in Computer Vision" (2nd edition, 2004). Pixels
are those of ideal pinhole cameras: undistort them first.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from slamfront.geometry.camera import Camera
from slamfront.geometry.pose import Array, Pose, skew


def essential_matrix(second_from_first: Pose) -> Array:
    """Return E (3,3) with `ray_second @ E @ ray_first = 0` (Eq. 9.11); zero when the cameras share their centre."""
    return skew(second_from_first.translation_m) @ second_from_first.rotation


def fundamental_matrix(second_from_first: Pose, first: Camera, second: Camera) -> Array:
    """Return F (3,3) with `[x, y, 1]_second @ F @ [x, y, 1]_first = 0` for pixels of two pinhole cameras (Eq. 9.12)."""
    return np.linalg.inv(second.matrix).T @ essential_matrix(second_from_first) @ np.linalg.inv(first.matrix)


def epipolar_lines(fundamental: ArrayLike, pixels_xy: ArrayLike) -> Array:
    """Return the lines (N,3) in the second image on which the points at `pixels_xy` (N,2) of the first must lie.

    They are scaled so that `line @ [x, y, 1]` is the signed distance in px. Pass the transpose of F for lines in the
    first image. The epipole has no line: its row is not finite.
    """
    lines = _homogeneous(pixels_xy) @ np.asarray(fundamental, dtype=np.float64).T
    with np.errstate(divide="ignore", invalid="ignore"):
        return lines / np.hypot(lines[:, 0], lines[:, 1])[:, None]


def symmetric_epipolar_distance(essential: ArrayLike, first: ArrayLike, second: ArrayLike) -> Array:
    """Return the symmetric epipolar distance, squared (N,), of normalised points (N,2) of two views (Eq. 11.10).

    The sum of the squared distances of both points to each other's epipolar line, at a focal length of 1; not finite at
    the epipoles.
    """
    matrix = np.asarray(essential, dtype=np.float64)
    first_rays, second_rays = _homogeneous(first), _homogeneous(second)
    in_second, in_first = first_rays @ matrix.T, second_rays @ matrix
    residuals = np.sum(second_rays * in_second, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        weights = 1 / np.sum(in_second[:, :2] ** 2, axis=1) + 1 / np.sum(in_first[:, :2] ** 2, axis=1)
        return np.asarray(residuals**2 * weights)


def _homogeneous(pixels_xy: ArrayLike) -> Array:
    xy = np.asarray(pixels_xy, dtype=np.float64).reshape(-1, 2)
    return np.column_stack([xy, np.ones(len(xy))])
