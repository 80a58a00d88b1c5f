"""Relative pose of two views without a map: essential matrix or homography, whichever explains the matches."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import poselib

from slamfront.config import InitializerConfig
from slamfront.geometry.camera import Camera
from slamfront.geometry.pose import Pose
from slamfront.solve.essential import poselib_pose
from slamfront.solve.triangulate import parallax_rad, reprojection_error_px, triangulate
from slamfront.types import BoolArray, FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class TwoView:
    """Two views and what they see: `second_from_first` with a translation of length 1, and for the N matches
    `points` (N,3) in the first camera's frame, with `inliers` (N,) telling which of them are trusted."""

    second_from_first: Pose
    points: FloatArray
    inliers: BoolArray
    parallax_rad: float


def relative_pose(
    first_xy: FloatArray, second_xy: FloatArray, camera: Camera, seed: int = 0, *, config: InitializerConfig
) -> TwoView | str:
    """Return the two-view geometry of matched pixels (N,2), or one line that says why there is none.

    The essential matrix (PoseLib) is the rule. Where a homography explains nearly as many matches the scene is a
    plane, which leaves the essential matrix undetermined, or the camera only turned; then the poses that the
    homography admits (OpenCV's decomposition) compete as well. The pose wins under which more points lie in front of
    both cameras with a small error and enough parallax; a second one nearly as good means that the geometry is
    ambiguous. Pure rotation shows as a lack of parallax and is refused.
    """
    if len(first_xy) < config.min_points:
        return f"{len(first_xy)} matches, {config.min_points} are needed"
    max_error_px = config.max_error_px
    first_xy, second_xy = np.asarray(first_xy, np.float64), np.asarray(second_xy, np.float64)
    essential = poselib_pose(first_xy, second_xy, camera, camera, max_error_px, seed)
    candidates, support = ([essential[0]], essential[1]) if essential else ([], 0)
    least = config.plane_share * support
    candidates = candidates + _homography_poses(first_xy, second_xy, camera, max_error_px, seed, least)
    views = sorted(
        (_judge(pose, first_xy, second_xy, camera, config) for pose in candidates),
        key=lambda view: int(view.inliers.sum()),
        reverse=True,
    )
    if not views or views[0].inliers.sum() < config.min_points:
        return "too little parallax: move the camera sideways"
    best = views[0]
    if best.parallax_rad < np.deg2rad(config.min_parallax_deg):
        return f"parallax of {np.rad2deg(best.parallax_rad):.1f} degrees, {config.min_parallax_deg:.1f} needed"
    for other in views[1:]:
        turn = np.arccos(np.clip(best.second_from_first.translation_m @ other.second_from_first.translation_m, -1, 1))
        nearly = other.inliers.sum() > config.ambiguous_share * best.inliers.sum()
        if turn > np.deg2rad(config.ambiguous_deg) and nearly:
            return "two motions explain the matches equally well"
    return best


def rotation_between(first_rays: FloatArray, second_rays: FloatArray) -> FloatArray:
    """Return the rotation (3,3) that best turns rays (N,3) of one view into those of another, as if the camera only
    turned.

    Least squares over unit rays (Kabsch 1976) on the nearer half, found again a few times, so that wrong matches and
    near points do not count.
    """
    first = first_rays / np.linalg.norm(first_rays, axis=1, keepdims=True)
    second = second_rays / np.linalg.norm(second_rays, axis=1, keepdims=True)
    chosen = np.ones(len(first), bool)
    rotation = np.eye(3)
    for _ in range(6):
        u, _, vt = np.linalg.svd(second[chosen].T @ first[chosen])
        rotation = u @ np.diag([1.0, 1.0, np.linalg.det(u @ vt)]) @ vt
        error = np.linalg.norm(second - first @ rotation.T, axis=1)
        chosen = error <= np.median(error)
    return rotation


def _homography_poses(
    first_xy: FloatArray,
    second_xy: FloatArray,
    camera: Camera,
    max_error_px: float,
    seed: int,
    least_support: float,
) -> list[Pose]:
    options = {"max_reproj_error": max_error_px, "max_iterations": 2000, "min_iterations": 50, "seed": seed}
    homography, info = poselib.estimate_homography(first_xy, second_xy, options, {})
    if info["num_inliers"] < max(least_support, 0.5 * len(first_xy)):
        return []
    count, rotations, translations, _ = cv2.decomposeHomographyMat(homography, camera.matrix)
    poses = []
    for i in range(count):
        t = translations[i].ravel()
        norm = float(np.linalg.norm(t))
        if norm > 1e-6:
            poses.append(Pose.from_matrix(np.column_stack([rotations[i], t / norm])))
    return poses


def _judge(
    second_from_first: Pose, first_xy: FloatArray, second_xy: FloatArray, camera: Camera, config: InitializerConfig
) -> TwoView:
    """Triangulate all matches under one motion; inliers lie in front of both cameras, with small errors and
    parallax.
    """
    identity = Pose.identity()
    points = triangulate(identity, second_from_first, camera.unproject(first_xy), camera.unproject(second_xy))
    errors = np.maximum(
        reprojection_error_px(identity, points, first_xy, camera),
        reprojection_error_px(second_from_first, points, second_xy, camera),
    )
    agree = errors < config.max_error_px
    angles = parallax_rad(points, np.zeros(3), second_from_first.inverse().translation_m)
    # Depth of points under a small angle is noise: they confirm the motion but do not become landmarks.
    inliers = agree & (angles > 0.5 * np.deg2rad(config.min_parallax_deg))
    typical = float(np.percentile(angles[agree], 75)) if agree.any() else 0.0
    return TwoView(second_from_first, points, inliers, typical)
