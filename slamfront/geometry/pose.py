"""Rigid and similarity transforms.

`Pose` is an element of SE(3) and `Sim3` one of Sim(3), both named by the frames they connect:
`b_from_a @ a_from_c` is `b_from_c`, and `b_from_a.apply(points_a)` gives the same points in b.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

_SMALL_ANGLE = 1e-8


def frozen(values: ArrayLike, shape: tuple[int, ...]) -> Array:
    """Return a read-only float64 copy of `values`; ValueError when its shape is not `shape`."""
    array = np.array(values, dtype=np.float64)
    if array.shape != shape:
        raise ValueError(f"expected an array of shape {shape}, got {array.shape}")
    array.setflags(write=False)
    return array


def skew(vector: ArrayLike) -> Array:
    """Return the matrix (3,3) whose product with `x` is the cross product of `vector` (3,) and `x`."""
    x, y, z = np.asarray(vector, dtype=np.float64)
    return np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])


def rotation_exp(rotation_vector: ArrayLike) -> Array:
    """Return the rotation matrix (3,3) of an axis-angle vector (3,) in radians (Rodrigues' formula)."""
    phi = np.asarray(rotation_vector, dtype=np.float64)
    angle = float(np.sqrt(phi @ phi))
    k = skew(phi)
    if angle < _SMALL_ANGLE:
        return np.eye(3) + k
    return np.eye(3) + (np.sin(angle) / angle) * k + ((1 - np.cos(angle)) / angle**2) * (k @ k)


def rotation_log(rotation: ArrayLike) -> Array:
    """Return the axis-angle vector (3,), of length at most pi, of a rotation matrix (3,3)."""
    x, y, z, w = quaternion_from_rotation(rotation)
    vector = np.array([x, y, z])
    sine = float(np.linalg.norm(vector))
    if sine < _SMALL_ANGLE:
        return 2.0 * vector * np.sign(w)
    return vector * (2.0 * np.arctan2(sine * np.sign(w or 1.0), abs(w)) / sine)


def rotation_angle(rotation: ArrayLike) -> float:
    """Return the angle in radians, in [0, pi], by which a rotation matrix (3,3) turns."""
    return float(np.linalg.norm(rotation_log(rotation)))


def quaternion_from_rotation(rotation: ArrayLike) -> Array:
    """Return the unit quaternion (x, y, z, w), w >= 0, of a rotation matrix (3,3).

    Taken from the largest of the four squared components, so that it is exact for every angle
    (Shepperd, "Quaternion from rotation matrix", 1978).
    """
    r = np.asarray(rotation, dtype=np.float64)
    trace = r[0, 0] + r[1, 1] + r[2, 2]
    squares = np.array([r[0, 0], r[1, 1], r[2, 2], trace])
    pivot = int(np.argmax(squares))
    if pivot == 3:
        q = np.array([r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1], 1.0 + trace])
    else:
        i, j, k = pivot, (pivot + 1) % 3, (pivot + 2) % 3
        q = np.empty(4)
        q[i] = 1.0 + r[i, i] - r[j, j] - r[k, k]
        q[j] = r[j, i] + r[i, j]
        q[k] = r[k, i] + r[i, k]
        q[3] = r[k, j] - r[j, k]
    q /= np.linalg.norm(q)
    return q if q[3] >= 0 else -q


def rotation_from_quaternion(quaternion_xyzw: ArrayLike) -> Array:
    """Return the rotation matrix (3,3) of a quaternion (x, y, z, w), which is normalised first.

    Raises ValueError for a quaternion of zero length.
    """
    q = np.asarray(quaternion_xyzw, dtype=np.float64)
    norm = float(np.linalg.norm(q))
    if not np.isfinite(norm) or norm < 1e-12:
        raise ValueError("a quaternion of zero length is no rotation")
    x, y, z, w = q / norm
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Pose:
    """A rigid transform: `rotation` (3,3) and `translation_m` (3,), both float64 and read-only.

    A pose called `b_from_a` maps coordinates in frame a to coordinates in frame b.
    """

    rotation: Array
    translation_m: Array

    def __post_init__(self) -> None:
        object.__setattr__(self, "rotation", frozen(self.rotation, (3, 3)))
        object.__setattr__(self, "translation_m", frozen(self.translation_m, (3,)))

    def __repr__(self) -> str:
        position = ", ".join(f"{value:.4g}" for value in self.translation_m)
        turn_deg = ", ".join(f"{value:.4g}" for value in np.rad2deg(rotation_log(self.rotation)))
        return f"Pose(translation_m=({position}), rotation_deg=({turn_deg}))"

    @staticmethod
    def identity() -> Pose:
        """Return the transform that changes nothing."""
        return Pose(np.eye(3), np.zeros(3))

    @staticmethod
    def from_matrix(matrix: ArrayLike) -> Pose:
        """Return the pose of a homogeneous matrix (4,4) or (3,4); its rotation is projected onto SO(3).

        Raises ValueError for another shape, and for a number that is not finite: the decomposition would not end.
        """
        m = np.asarray(matrix, dtype=np.float64)
        if m.shape not in ((4, 4), (3, 4)) or not np.isfinite(m).all():
            raise ValueError("a transform must have 4x4 or 3x4 finite numbers")
        u, _, vt = np.linalg.svd(m[:3, :3])
        return Pose(u @ np.diag([1.0, 1.0, np.linalg.det(u @ vt)]) @ vt, m[:3, 3])

    @staticmethod
    def from_quaternion(quaternion_xyzw: ArrayLike, translation_m: ArrayLike) -> Pose:
        """Return the pose of a quaternion (x, y, z, w) and a translation (3,) in metres."""
        return Pose(rotation_from_quaternion(quaternion_xyzw), np.asarray(translation_m))

    @staticmethod
    def exp(twist: ArrayLike) -> Pose:
        """Return the exponential of a twist (6,): rotation vector in radians first, then translation in metres.

        The order is GTSAM's. Barfoot, "State Estimation for Robotics" (2017), Eq. 7.85.
        """
        xi = np.asarray(twist, dtype=np.float64)
        return Pose(rotation_exp(xi[:3]), _left_jacobian(xi[:3]) @ xi[3:])

    def log(self) -> Array:
        """Return the twist (6,) whose exponential this pose is: rotation first, the inverse of `exp`."""
        phi = rotation_log(self.rotation)
        return np.concatenate([phi, np.linalg.solve(_left_jacobian(phi), self.translation_m)])

    def inverse(self) -> Pose:
        """Return the transform in the other direction."""
        return Pose(self.rotation.T, -self.rotation.T @ self.translation_m)

    def __matmul__(self, other: Pose) -> Pose:
        return Pose(self.rotation @ other.rotation, self.rotation @ other.translation_m + self.translation_m)

    def normalized(self) -> Pose:
        """Return this pose with its rotation orthonormal again.

        Rounding grows in poses that are made from each other again and again, as in prediction by constant velocity.
        """
        return Pose(rotation_from_quaternion(self.quaternion_xyzw()), self.translation_m)

    def apply(self, points_m: ArrayLike) -> Array:
        """Return the points (..., 3) carried from the source frame into the target frame."""
        return np.asarray(points_m, dtype=np.float64) @ self.rotation.T + self.translation_m

    def matrix(self) -> Array:
        """Return the homogeneous matrix (4,4)."""
        m = np.eye(4)
        m[:3, :3], m[:3, 3] = self.rotation, self.translation_m
        return m

    def quaternion_xyzw(self) -> Array:
        """Return the unit quaternion (x, y, z, w) of the rotation, w >= 0."""
        return quaternion_from_rotation(self.rotation)


@dataclass(frozen=True, slots=True, eq=False)
class Sim3:
    """A similarity: x -> scale * rotation @ x + translation."""

    scale: float
    rotation: Array
    translation: Array

    def __post_init__(self) -> None:
        object.__setattr__(self, "rotation", frozen(self.rotation, (3, 3)))
        object.__setattr__(self, "translation", frozen(self.translation, (3,)))

    @staticmethod
    def from_pose(pose: Pose, scale: float = 1.0) -> Sim3:
        """Return the similarity with the rotation and translation of `pose`."""
        return Sim3(scale, pose.rotation, pose.translation_m)

    def inverse(self) -> Sim3:
        """Return the similarity in the other direction."""
        return Sim3(1.0 / self.scale, self.rotation.T, -self.rotation.T @ self.translation / self.scale)

    def __matmul__(self, other: Sim3) -> Sim3:
        return Sim3(
            self.scale * other.scale,
            self.rotation @ other.rotation,
            self.scale * self.rotation @ other.translation + self.translation,
        )

    def apply(self, points: ArrayLike) -> Array:
        """Return the points (..., 3) scaled, turned and moved."""
        return self.scale * np.asarray(points, dtype=np.float64) @ self.rotation.T + self.translation

    def apply_to_pose(self, world_from_camera: Pose) -> Pose:
        """Return a camera's pose in the new world; its rotation stays a rotation, only its place is scaled."""
        moved = Pose(self.rotation @ world_from_camera.rotation, self.apply(world_from_camera.translation_m))
        return moved.normalized()


def _left_jacobian(phi: Array) -> Array:
    """Return the left Jacobian (3,3) of SO(3) at `phi` (Barfoot 2017, Eq. 7.77)."""
    angle = float(np.linalg.norm(phi))
    k = skew(phi)
    if angle < 1e-5:
        return np.eye(3) + 0.5 * k + k @ k / 6.0
    # Of small angles 1 - cos would lose its digits
    first = 2.0 * (np.sin(0.5 * angle) / angle) ** 2
    return np.eye(3) + first * k + (angle - np.sin(angle)) / angle**3 * (k @ k)
