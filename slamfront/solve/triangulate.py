"""Points from two or more views."""

from __future__ import annotations

import numpy as np

from slamfront.geometry.camera import Camera
from slamfront.geometry.pose import Pose
from slamfront.types import Float32Array, FloatArray


def triangulate(
    first_from_world: Pose, second_from_world: Pose, rays_first: FloatArray, rays_second: FloatArray
) -> FloatArray:
    """Return the points (N,3) in the world seen along rays (N,3), z = 1, by two cameras.

    Linear least squares on the inhomogeneous normalised equations (Hartley and Zisserman 2004, section 12.2). A point
    whose rays are parallel comes out NaN or far away: callers check the parallax.
    """
    second_from_first = second_from_world @ first_from_world.inverse()
    # Unknown: the depths along both rays. R d1 r1 + t = d2 r2 in the second camera.
    a = rays_first @ second_from_first.rotation.T
    b = -rays_second
    t = second_from_first.translation_m
    aa, ab, bb = (np.einsum("ij,ij->i", p, q) for p, q in ((a, a), (a, b), (b, b)))
    at, bt = a @ t, b @ t
    determinant = aa * bb - ab * ab
    with np.errstate(divide="ignore", invalid="ignore"):
        depth_first = (ab * bt - bb * at) / determinant
        depth_second = (ab * at - aa * bt) / determinant
        from_first = depth_first[:, None] * rays_first
        from_second = second_from_first.inverse().apply(depth_second[:, None] * rays_second)
        return first_from_world.inverse().apply(0.5 * (from_first + from_second))


def parallax_rad(points_m: FloatArray, first_centre_m: FloatArray, second_centre_m: FloatArray) -> FloatArray:
    """Return the angle (N,) in radians under which points (N,3) see two camera centres (3,) or (N,3)."""
    first, second = first_centre_m - points_m, second_centre_m - points_m
    cross = np.linalg.norm(np.cross(first, second), axis=-1)
    return np.arctan2(cross, np.einsum("ij,ij->i", first, second))


def reprojection_error_px(
    camera_from_world: Pose, points_m: FloatArray, pixels_xy: FloatArray | Float32Array, camera: Camera
) -> FloatArray:
    """Return the distance (N,) in px between points' projections and pixels; infinite behind the camera."""
    error = np.linalg.norm(camera.project(camera_from_world.apply(points_m)) - pixels_xy, axis=1)
    return np.where(np.isfinite(error), error, np.inf)
