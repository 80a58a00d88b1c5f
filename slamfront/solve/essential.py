"""Relative pose of two calibrated views by the essential matrix, with two robust estimators that others know too."""

from __future__ import annotations

import cv2
import numpy as np
import poselib

from slamfront.geometry.camera import Camera
from slamfront.geometry.pose import Pose
from slamfront.types import FloatArray

# The essential matrix has five degrees of freedom; the least that PoseLib must agree on rules out chance
_MIN_MATCHES = 5
_MIN_INLIERS = 8
# Points however far away tell on which side of the cameras they lie
_NO_LIMIT = 1e9


def poselib_pose(
    first_xy: FloatArray, second_xy: FloatArray, first: Camera, second: Camera, max_error_px: float, seed: int = 0
) -> tuple[Pose, int] | None:
    """Return second_from_first, its translation of length 1, and the number of inliers; None where there is none.

    PoseLib's LO-RANSAC with the five-point solver and a final refinement (Larsson et al., "PoseLib", 2020) on matched
    pixels (N,2) of two pinhole cameras. `max_error_px` bounds the Sampson distance.
    """
    if len(first_xy) < _MIN_MATCHES:
        return None
    options = {"max_epipolar_error": max_error_px, "max_iterations": 3000, "min_iterations": 100, "seed": seed}
    models = _poselib_camera(first), _poselib_camera(second)
    estimate, info = poselib.estimate_relative_pose(first_xy, second_xy, *models, options, {})
    norm = float(np.linalg.norm(estimate.t))
    if info["num_inliers"] < _MIN_INLIERS or not norm > 0 or not np.all(np.isfinite(estimate.Rt)):
        return None
    return Pose(estimate.R, estimate.t / norm), int(info["num_inliers"])


def opencv_pose(
    first_xy: FloatArray, second_xy: FloatArray, first: Camera, second: Camera, max_error_px: float
) -> tuple[Pose, int] | None:
    """Return second_from_first, its translation of length 1, and the number of inliers; None where there is none.

    OpenCV's RANSAC with the five-point solver on rays, its threshold `max_error_px` over the mean focal length, as in
    the evaluation of Sarlin et al., "SuperGlue" (CVPR 2020); repeatable.
    """
    if len(first_xy) < _MIN_MATCHES:
        return None
    rays = [np.ascontiguousarray(camera.normalized(xy)) for camera, xy in ((first, first_xy), (second, second_xy))]
    threshold = max_error_px / float(np.mean([first.fx, first.fy, second.fx, second.fy]))
    try:
        essentials, mask = cv2.findEssentialMat(*rays, np.eye(3), method=cv2.RANSAC, prob=0.99999, threshold=threshold)
    except cv2.error:  # as for points that all coincide
        return None
    best: tuple[Pose, int] | None = None
    for essential in np.zeros((0, 3, 3)) if essentials is None else np.asarray(essentials).reshape(-1, 3, 3):
        inliers, rotation, translation, *_ = cv2.recoverPose(essential, *rays, np.eye(3), _NO_LIMIT, mask=mask.copy())
        if inliers > (best[1] if best else 0):
            best = Pose(rotation, translation.ravel()), int(inliers)
    return best


def _poselib_camera(camera: Camera) -> dict[str, object]:
    parameters = [camera.fx, camera.fy, camera.cx, camera.cy]
    return {"model": "PINHOLE", "width": camera.width, "height": camera.height, "params": parameters}
