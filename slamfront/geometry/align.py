"""Alignment of two sets of corresponding points.

Umeyama, "Least-squares estimation of transformation parameters between two point patterns", PAMI 1991.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from slamfront.geometry.pose import Array, Sim3, rotation_exp

AlignmentKind = Literal["se3", "sim3", "none"]

_FLAT = 1e-12
"""Points count as collinear when their variance across is below this part of that along them: a millionth in length."""


@dataclass(frozen=True, slots=True, eq=False)
class Alignment:
    """The transform that carries source points onto target points.

    kind               what was free: `se3` rotation and translation, `sim3` scale too, `none` nothing
    target_from_source the transform; its scale is 1 but for `sim3`
    note               what the points could not determine, and what was taken instead; empty when all is determined
    """

    kind: AlignmentKind
    target_from_source: Sim3
    note: str = ""


def align(source: ArrayLike, target: ArrayLike, kind: AlignmentKind = "se3") -> Alignment:
    """Return the alignment that minimises the squared distances between target (N,3) and moved source (N,3), Eq. 40-42.

    Degenerate sets get the smallest rotation that fits, and a note: collinear points leave the turn about their line
    open; one point, or points that all coincide, leave the whole rotation and the scale open. Raises ValueError when
    the sets differ in size or are empty.
    """
    x, y = np.asarray(source, np.float64), np.asarray(target, np.float64)
    if x.shape != y.shape or x.ndim != 2 or x.shape[1] != 3 or not len(x):
        raise ValueError(f"expected two sets of the same number of points (N,3), N > 0; got {x.shape} and {y.shape}")
    if kind == "none":
        return Alignment(kind, Sim3(1.0, np.eye(3), np.zeros(3)))
    x_mean, y_mean = x.mean(axis=0), y.mean(axis=0)
    if _coincide(x) or _coincide(y):
        note = "the positions of one side coincide: rotation and scale are open, and were left as they are"
        return Alignment(kind, Sim3(1.0, np.eye(3), y_mean - x_mean), note)
    rotation, gain, note = _rotation(x - x_mean, y - y_mean)
    scale = 1.0
    if kind == "sim3" and gain > 0:  # without any correlation the scale is open
        variance = float(np.mean(np.sum((x - x_mean) ** 2, axis=1)))
        scale = gain / variance
    return Alignment(kind, Sim3(scale, rotation, y_mean - scale * rotation @ x_mean), note)


def _coincide(points: Array) -> bool:
    """Whether the points (N,3) differ by no more than the rounding of their coordinates."""
    return float(np.ptp(points, axis=0).max()) <= _FLAT * float(np.abs(points).max())


def _rotation(x: Array, y: Array) -> tuple[Array, float, str]:
    """Return the best rotation of centred points, tr(DS) of Eq. 42, and the note."""
    u, d, vt = np.linalg.svd(y.T @ x / len(x))
    if d[1] <= _FLAT * d[0]:
        note = "the positions lie on a line: the turn about it is open, and the smallest rotation was taken"
        return _smallest_rotation(vt[0], u[:, 0]), float(d[0]), note
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt))])
    return u @ np.diag(signs) @ vt, float(d @ signs), ""


def _smallest_rotation(source: Array, target: Array) -> Array:
    """Return the smallest rotation (3,3) that turns the unit vector `source` into `target`."""
    axis = np.cross(source, target)
    sine, cosine = float(np.linalg.norm(axis)), float(source @ target)
    if sine < 1e-12:
        if cosine > 0:
            return np.eye(3)
        across = np.cross(source, np.eye(3)[np.argmin(np.abs(source))])
        return rotation_exp(across / np.linalg.norm(across) * np.pi)
    return rotation_exp(axis / sine * np.arctan2(sine, cosine))
