"""Smooth camera motions: a path answers a time in seconds with `world_from_camera`.

Paths are cubic B-splines (twice differentiable, so velocity and acceleration are continuous) near control points, one
spline for the camera's place and one for what it looks at.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from slamfront.geometry.pose import Array, Pose

Path = Callable[[float], Pose]
"""Seconds to world_from_camera."""

_TREMOR, _WAVES = 7, 4  # a stream of random numbers of its own, and how many waves make the tremor about an axis
# Rows: powers 0..3 of the parameter; columns: the four control points (de Boor, "A Practical Guide to Splines", 1978).
_BASIS = np.array([[1, 4, 1, 0], [-3, 0, 3, 0], [3, -6, 3, 0], [-1, 3, -3, 1]]) / 6.0


def look_at(position_m: ArrayLike, target_m: ArrayLike) -> Pose:
    """Return world_from_camera of a level camera at a place (3,) that looks at another (3,), not straight up."""
    position = np.asarray(position_m, np.float64)
    forward = np.asarray(target_m, np.float64) - position
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, (0.0, 0.0, 1.0))
    right /= np.linalg.norm(right)
    return Pose(np.column_stack([right, np.cross(forward, right), forward]), position)


@dataclass(frozen=True, slots=True, eq=False)
class SplinePath:
    """A camera on a spline.

    positions_m, targets_m  (N,3) control points of the place and of what is looked at, N >= 4
    lap_s                   time for all of them
    closed                  it goes round for ever; otherwise it goes to the end, and back the same way
    """

    positions_m: Array
    targets_m: Array
    lap_s: float
    closed: bool = True

    def __call__(self, time_s: float) -> Pose:
        """Return world_from_camera at a time."""
        phase = time_s / self.lap_s
        if not self.closed:
            phase = 1.0 - abs(phase % 2.0 - 1.0)
        return look_at(self._evaluate(self.positions_m, phase), self._evaluate(self.targets_m, phase))

    def _evaluate(self, points: Array, phase: float) -> Array:
        count = len(points)
        if self.closed:
            segment, fraction = divmod((phase % 1.0) * count, 1.0)
            rows = (int(segment) + np.arange(-1, 3)) % count
        else:
            segment, fraction = divmod(min(phase, 1.0 - 1e-12) * (count - 3), 1.0)
            rows = int(segment) + np.arange(4)
        return fraction ** np.arange(4) @ _BASIS @ points[rows]


@dataclass(frozen=True, slots=True, eq=False)
class TurningPath:
    """A camera that turns on the spot: yaw and pitch swing by the given angles (rad) in `lap_s` seconds."""

    start: Pose
    yaw_rad: float
    pitch_rad: float
    lap_s: float

    def __call__(self, time_s: float) -> Pose:
        """Return world_from_camera at a time."""
        angle = 2 * np.pi * time_s / self.lap_s
        yaw = Pose.exp([0.0, self.yaw_rad * np.sin(angle), 0.0, 0.0, 0.0, 0.0])
        pitch = Pose.exp([self.pitch_rad * np.sin(2 * angle), 0.0, 0.0, 0.0, 0.0, 0.0])
        return self.start @ yaw @ pitch


def orbit(
    centre_m: ArrayLike, radii_m: tuple[float, float], lap_s: float, gaze_rad: float, bob_m: float = 0.12
) -> SplinePath:
    """Return a closed ellipse on which the camera looks `gaze_rad` to the left of outward, slightly down."""
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    ring = np.column_stack([radii_m[0] * np.cos(angles), radii_m[1] * np.sin(angles), bob_m * np.sin(3 * angles)])
    positions = np.asarray(centre_m, np.float64) + ring
    gaze = angles + gaze_rad
    ahead = np.column_stack([2.5 * np.cos(gaze), 2.5 * np.sin(gaze), -0.5 + 0.3 * np.sin(2 * angles)])
    return SplinePath(positions, positions + ahead, lap_s)


def sway(
    centre_m: ArrayLike, target_m: ArrayLike, radii_m: tuple[float, float, float], lap_s: float, sweep_m: float
) -> SplinePath:
    """Return a closed loop about a place, with the gaze swinging by `sweep_m` to both sides of a target."""
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    frame = look_at(centre_m, target_m)
    rx, ry, rz = radii_m
    local = np.column_stack([rx * np.sin(angles), ry * np.sin(2 * angles), rz * (np.cos(angles) - 1)])
    swing = np.column_stack([sweep_m * np.sin(angles - 0.6), 0.25 * np.sin(angles + 1), np.zeros_like(angles)])
    return SplinePath(frame.apply(local), np.asarray(target_m) + swing @ frame.rotation.T, lap_s)


def route(waypoints_m: ArrayLike, lap_s: float, ahead_m: float, closed: bool, drop_m: float = 0.15) -> SplinePath:
    """Return an even drive along waypoints (N,3) that looks where it will be `ahead_m` further on."""
    points = np.asarray(waypoints_m, np.float64)
    line = np.vstack([points, points[:1]]) if closed else points
    lengths = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
    count = max(8, int(lengths[-1] / 0.5))
    at = np.linspace(0, lengths[-1], count, endpoint=not closed)
    positions = _along(line, lengths, at, closed)
    targets = _along(line, lengths, at + ahead_m, closed) - (0.0, 0.0, drop_m)
    return SplinePath(positions, targets, lap_s, closed)


def _along(line: Array, lengths: Array, at: Array, closed: bool) -> Array:
    """Return the points (N,3) at the given lengths of a polyline; past its open end it goes straight on."""
    total = lengths[-1]
    inside = at % total if closed else np.minimum(at, total)
    points = np.column_stack([np.interp(inside, lengths, line[:, axis]) for axis in range(3)])
    end = (line[-1] - line[-2]) / np.linalg.norm(line[-1] - line[-2])
    return points + (0.0 if closed else np.maximum(at - total, 0.0)[:, None] * end)


def shaken(path: Path, amount: float, seed: int) -> Path:
    """Return a path with a hand's tremor: at an amount of 1 half a degree and 4 mm rms for each axis, at 0.7 to 6 Hz.

    The same seed gives the same tremor.
    """
    rng = np.random.default_rng([seed, _TREMOR])
    sizes = amount * np.repeat((0.008, 0.004), 3) / np.sqrt(_WAVES / 2)
    rates, phases = rng.uniform(0.7, 6.0, (6, _WAVES)), rng.uniform(0.0, 2 * np.pi, (6, _WAVES))
    return lambda time_s: path(time_s) @ Pose.exp(sizes * np.sin(2 * np.pi * rates * time_s + phases).sum(axis=1))


def held(path: Path, hold_s: float) -> Path:
    """Return a path that stands still for so long before it begins; at once it moves at full speed."""
    return lambda time_s: path(max(time_s - hold_s, 0.0))
