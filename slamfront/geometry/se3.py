"""The tangent space of SE(3): twists are rotation (rad) before translation (m)."""

from __future__ import annotations

import numpy as np

from slamfront.geometry.pose import Array, Pose, skew


def adjoint(pose: Pose) -> Array:
    """Return the matrix (6,6) that carries a twist through a pose: exp(Ad x) = pose @ exp(x) @ pose^-1.

    Barfoot, "State Estimation for Robotics" (2017), Eq. 7.45, in the order rotation before translation.
    """
    matrix = np.zeros((6, 6))
    matrix[:3, :3] = matrix[3:, 3:] = pose.rotation
    matrix[3:, :3] = skew(pose.translation_m) @ pose.rotation
    return matrix
