"""What two views show beyond turning: whether they tell how the camera moved."""

from __future__ import annotations

import numpy as np

from slamfront.config import InitializerConfig
from slamfront.geometry.camera import Camera
from slamfront.geometry.epipolar import epipolar_lines, fundamental_matrix
from slamfront.geometry.pose import Pose
from slamfront.geometry.shutter import rotational_flow, row_delays_s
from slamfront.solve.statistics import MAD_TO_SIGMA
from slamfront.types import FloatArray

_ROUNDS = 4


def motion_to_noise(
    first_xy: FloatArray,
    second_xy: FloatArray,
    second_from_first: Pose,
    camera: Camera,
    *,
    config: InitializerConfig,
) -> float:
    """Return how far what turning leaves of the matches' motion stands above what the motion found leaves of it.

    first_xy, second_xy (N,2) px match. The first is the median distance to where the
    best rotation puts them, the second the deviation from the epipolar lines, by its median (Rousseeuw and Croux 1993).
    With a rolling shutter, the turning within either view may differ from what is known as well.
    """
    lines = epipolar_lines(fundamental_matrix(second_from_first, camera, camera), first_xy)
    back = epipolar_lines(fundamental_matrix(second_from_first.inverse(), camera, camera), second_xy)
    # Sampson's distance, lines having unit normals
    away = np.einsum("ni,ni->n", lines[:, :2], second_xy) + lines[:, 2]
    home = np.einsum("ni,ni->n", back[:, :2], first_xy) + back[:, 2]
    squares = away**2 * home**2 / np.maximum(away**2 + home**2, 1e-24)
    least = config.min_noise_px if camera.readout_s <= 0 else config.min_rolling_noise_px
    noise = max(least, MAD_TO_SIGMA * float(np.sqrt(np.median(squares))))
    rotation, sigma_rad_s = second_from_first.rotation, config.turning_sigma_rad_s
    return float(np.median(_beyond_turning_px(first_xy, second_xy, rotation, camera, sigma_rad_s))) / noise


def _beyond_turning_px(
    first_xy: FloatArray, second_xy: FloatArray, rotation: FloatArray, camera: Camera, turning_sigma_rad_s: float
) -> FloatArray:
    """Return how far (N,) matches lie from where a rotation near the given one puts them, the best for most of them."""
    turned = camera.unproject(first_xy) @ rotation.T
    before = turned[:, 2] > 0.1
    first_xy, second_xy, turned = first_xy[before], second_xy[before], turned[before]
    predicted = camera.project(turned)
    rest = (second_xy - predicted).ravel()
    flow = rotational_flow(camera, predicted)
    unknowns, information = [flow], [np.full(3, 1e-9)]
    if camera.readout_s > 0:
        for xy in (first_xy, second_xy):
            unknowns.append(flow * row_delays_s(camera, xy)[:, None, None])
            information.append(np.full(3, turning_sigma_rad_s**-2))
    jacobian = np.concatenate(unknowns, 2).reshape(len(rest), -1)
    prior, weights = np.diag(np.concatenate(information)), np.ones(len(rest))
    distances = np.zeros(len(first_xy))
    for _ in range(_ROUNDS):
        weighted = jacobian * weights[:, None]
        unknown = np.linalg.solve(weighted.T @ jacobian + prior, weighted.T @ rest)
        distances = np.linalg.norm((rest - jacobian @ unknown).reshape(-1, 2), axis=1)
        weights = np.repeat(distances <= np.percentile(distances, 75), 2).astype(np.float64)
    return distances
