"""Rolling shutters against a camera that truly turns while its rows are exposed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from slamfront.geometry.camera import Camera
from slamfront.geometry.pose import rotation_exp
from slamfront.geometry.shutter import Shutter

CAMERA = Camera("pinhole", 640, 480, 525.0, 520.0, 319.5, 239.5, readout_s=0.026)
# As fast as a hand turns: 70 degrees a second
VELOCITY = np.array([0.7, -1.0, 0.4])


def pixels(count: int = 200) -> np.ndarray:
    return np.random.default_rng(0).uniform((20, 20), (620, 460), (count, 2))


def exposed(middle_xy: np.ndarray, velocity: np.ndarray) -> np.ndarray:
    """Return where points that the middle row's instant shows at pixels (N,2) are exposed, each row at its own time."""
    rays, image = CAMERA.unproject(middle_xy), middle_xy.copy()
    for _ in range(20):
        delay_s = ((image[:, 1] + 0.5) / CAMERA.height - 0.5) * CAMERA.readout_s
        turned = [rotation_exp(velocity * t) @ ray for t, ray in zip(delay_s, rays, strict=True)]
        image = CAMERA.project(np.array(turned))
    return image


def test_pixels_of_a_turning_camera_come_back_to_the_middle_rows_instant() -> None:
    middle = pixels()
    image = exposed(middle, VELOCITY)
    assert np.abs(image - middle).max() > 5.0
    # What is left is of second order: the angle turned in half a readout, squared, is 3e-4 rad or .15 px
    assert np.abs(Shutter(CAMERA, VELOCITY).to_middle(image) - middle).max() < 0.15
    slow = Shutter(CAMERA, 0.1 * VELOCITY).to_middle(exposed(middle, 0.1 * VELOCITY))
    assert np.abs(slow - middle).max() < 0.0015


def test_to_image_is_the_inverse_of_to_middle() -> None:
    shutter = Shutter(CAMERA, VELOCITY)
    # Of 12 px each of three steps leaves what the motion changes over as many rows, fy * 1 rad/s * 26 ms / 480 = 5 %
    np.testing.assert_allclose(shutter.to_middle(shutter.to_image(pixels())), pixels(), atol=2e-3)


def test_the_middle_row_does_not_move() -> None:
    middle_row = np.column_stack([np.linspace(0, 639, 9), np.full(9, 239.5)])
    np.testing.assert_allclose(Shutter(CAMERA, VELOCITY).to_middle(middle_row), middle_row, atol=1e-12)


@pytest.mark.parametrize(
    "shutter",
    [Shutter(replace(CAMERA, readout_s=0.0), VELOCITY), Shutter(CAMERA, np.zeros(3))],
    ids=["global shutter", "standing still"],
)
def test_nothing_moves_without_a_readout_or_without_turning(shutter: Shutter) -> None:
    assert not shutter.matters
    np.testing.assert_array_equal(shutter.to_middle(pixels()), pixels())
    np.testing.assert_array_equal(shutter.to_image(pixels()), pixels())


def test_no_pixels_are_no_pixels() -> None:
    assert Shutter(CAMERA, VELOCITY).to_image(np.zeros((0, 2))).shape == (0, 2)


def test_points_of_a_turning_camera_are_found_again_in_a_later_image() -> None:
    camera, delay_s = replace(CAMERA, readout_s=0.0), -0.012
    points = camera.unproject(pixels()) * np.random.default_rng(1).uniform(0.5, 4.0, (200, 1))
    turned = points @ rotation_exp(VELOCITY * delay_s).T
    xy, deeper = Shutter(camera, VELOCITY).later(pixels(), delay_s)
    # What is left is of second order: the angle squared, 2e-4, over a focal length of 525 px
    np.testing.assert_allclose(xy, camera.project(turned), atol=0.15)
    np.testing.assert_allclose(deeper, turned[:, 2] / points[:, 2], atol=3e-4)
