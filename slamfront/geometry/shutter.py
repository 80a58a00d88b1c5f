"""Rolling shutters: each row of an image is exposed a little later than the one above."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from slamfront.geometry.camera import Camera

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Shutter:
    """How pixels move between the exposure of their row and that of the middle row, while the camera turns.

    camera               its `readout_s` is the time from the first row to the last
    angular_velocity     (3,) rad/s: points move by its cross product with themselves in the camera frame

    Turning alone is modelled: it moves pixels at every distance, where translation moves near ones only. Forssén and
    Ringaby, "Rectifying rolling shutter video from hand-held devices" (2010), Eq. 6 with a constant velocity over the
    frame.
    """

    camera: Camera
    angular_velocity: Array

    @property
    def matters(self) -> bool:
        """Whether pixels move at all."""
        return self.camera.readout_s > 0 and bool(np.any(self.angular_velocity))

    def to_middle(self, pixels_xy: ArrayLike) -> Array:
        """Return where pixels (N,2) of the image would lie had all rows been exposed with the middle one."""
        pixels = np.asarray(pixels_xy, np.float64)
        return pixels - self._motion(pixels) if self.matters and len(pixels) else pixels

    def to_image(self, pixels_xy: ArrayLike) -> Array:
        """Return where pixels (N,2) of the middle row's instant lie in the image; the inverse of `to_middle`."""
        pixels = np.asarray(pixels_xy, np.float64)
        if not (self.matters and len(pixels)):
            return pixels
        image = pixels
        # The motion depends little on the pixel: each step leaves a few hundredths of the error before
        for _ in range(3):
            image = pixels + self._motion(image)
        return image

    def later(self, pixels_xy: ArrayLike, delay_s: float) -> tuple[Array, Array]:
        """Return where pixels (N,2) of the image lie in one that is taken with the same shutter so much later, and how
        many times as deep (N,) their points are by then.
        """
        pixels = np.asarray(pixels_xy, np.float64)
        if not delay_s or not len(pixels):
            return pixels, np.ones(len(pixels))
        x, y = self.camera.normalized(pixels).T
        wx, wy, _ = self.angular_velocity
        return pixels + self._flow(pixels) * delay_s, 1.0 + delay_s * (wx * y - wy * x)

    def motion_by_velocity(self, pixels_xy: ArrayLike) -> Array:
        """Return how far each component of the angular velocity moves pixels (N,2) of the image from the middle row's
        exposure to their own, (N,2,3) px for 1 rad/s, whatever the velocity is.
        """
        pixels = np.asarray(pixels_xy, np.float64)
        return rotational_flow(self.camera, pixels) * row_delays_s(self.camera, pixels)[:, None, None]

    def _motion(self, pixels: Array) -> Array:
        """Return the pixels' motion (N,2) from the middle row's exposure to their own."""
        return self._flow(pixels) * row_delays_s(self.camera, pixels)[:, None]

    def _flow(self, pixels: Array) -> Array:
        """Return how fast pixels move, (N,2) px/s."""
        return (rotational_flow(self.camera, pixels).reshape(-1, 3) @ self.angular_velocity).reshape(-1, 2)


def row_delays_s(camera: Camera, pixels_xy: Array) -> Array:
    """Return how much later than the middle row those of pixels (N,2) are exposed, (N,) s."""
    return ((pixels_xy[:, 1] + 0.5) / camera.height - 0.5) * camera.readout_s


def rotational_flow(camera: Camera, pixels_xy: Array) -> Array:
    """Return how pixels (N,2) move, px, per radian by which points turn about each axis of the camera, (N,2,3).

    Longuet-Higgins and Prazdny, "The interpretation of a moving retinal image" (1980), Eq. 2.3.
    """
    x, y = camera.normalized(pixels_xy).T
    flow = np.empty((len(x), 2, 3))
    flow[:, 0, 0], flow[:, 0, 1], flow[:, 0, 2] = -camera.fx * x * y, camera.fx * (1 + x * x), -camera.fx * y
    flow[:, 1, 0], flow[:, 1, 1], flow[:, 1, 2] = -camera.fy * (1 + y * y), camera.fy * x * y, camera.fy * x
    return flow
