from __future__ import annotations

import numpy as np
import pytest

from slamfront.errors import SourceError
from slamfront.geometry.camera import Camera
from slamfront.geometry.pose import Pose
from slamfront.simulation.paths import look_at
from slamfront.simulation.traced.bodies import Piece
from slamfront.simulation.traced.meshes import box, cushion, quad
from slamfront.simulation.traced.smoothing import Guides, smoothed_light
from slamfront.simulation.traced.surfaces import Palette, Surface
from slamfront.simulation.traced.tracer import Lens, Tracer
from slamfront.simulation.traced.worlds import TracedWorld

CAMERA = Camera("pinhole", 96, 72, 80.0, 80.0, 47.5, 35.5)
POSE = look_at((0.0, -2.0, 1.0), (0.0, 1.0, 1.0))


def world() -> TracedWorld:
    """A wall 3 m in front of the camera with a chequered square, a dark box before it, and a lamp above the camera."""
    palette = Palette(np.random.default_rng(0))
    chequers = np.kron((np.indices((4, 4)).sum(axis=0) % 2), np.ones((8, 8))) * 200 + 30
    pieces = (
        Piece(quad((-4, 1, -2), (8, 0, 0), (0, 0, 6)), palette.plain(0.5)),
        Piece(quad((-0.4, 0.999, 0.6), (0.8, 0, 0), (0, 0, 0.8)), Surface(chequers.astype(np.uint8), (0.8, 0.8))),
        Piece(box((0.4, 0.4, 0.4), (0.9, 0.3, 1.0)), palette.plain(0.2, "gloss")),
        Piece(cushion((0.5, 0.5, 0.5), 1.0).moved((0, -2.5, 3.0)), palette.plain(0.9, "matt", 20.0)),
    )
    return TracedWorld(pieces, np.full(3, -5.0), np.full(3, 5.0), np.zeros((0, 2, 3)))


@pytest.fixture(scope="module")
def tracer() -> Tracer:
    pytest.importorskip("mitsuba")
    try:
        return Tracer(world())
    except SourceError as error:
        pytest.skip(str(error))


def test_depth_is_that_of_the_surfaces_to_the_last_digits(tracer: Tracer) -> None:
    inverse_depth = tracer.inverse_depth(POSE, CAMERA)
    points = np.array([[47.5, 35.5], [20.2, 60.7], [47.5 + 80 * 0.9 / 2.1, 35.5]])
    columns, rows = np.rint(points).astype(int).T
    np.testing.assert_allclose(inverse_depth[rows, columns], [1 / 2.999, 1 / 3, 1 / 2.1], rtol=1e-5)


def test_a_picture_lies_where_the_camera_model_projects_it(tracer: Tracer) -> None:
    light = tracer.radiance(POSE, CAMERA, 256, seed=1)
    # Edges of the chequers, 0.2 m apart: the halfway point between dark and bright is told below the pixel.
    for x_m in (-0.2, 0.0, 0.2):
        expected = CAMERA.project(np.array([[x_m, 0.0, 2.999]]))[0, 0]
        middle = round(35.5 + 80 * 0.1 / 2.999)
        row = light[middle - 1 : middle + 2].mean(axis=0)  # of a square of 5 px
        nearby = np.arange(int(expected) - 1, int(expected) + 3)
        profile = row[nearby]
        share = (profile - profile[0]) / (profile[-1] - profile[0])
        found = np.interp(0.5, share, nearby)
        # Light is even to a few per cent only; a wrong convention would be off by half a pixel.
        assert found == pytest.approx(expected, abs=0.25)


def test_up_and_left_are_not_exchanged() -> None:
    pytest.importorskip("mitsuba")
    dark = Surface(np.full((8, 8), 20, np.uint8), (1, 1))
    lit = world()
    marked = TracedWorld(
        (*lit.pieces, Piece(quad((-1.0, 0.99, 1.4), (0.3, 0, 0), (0, 0, 0.3)), dark)),
        lit.low_m,
        lit.high_m,
        lit.obstacles_m,
    )
    try:
        shares = Tracer(marked).reflectance(POSE, CAMERA)
    except SourceError as error:
        pytest.skip(str(error))
    left, top = (CAMERA.project(np.array([[-0.85, -0.55, 2.99]]))[0]).round().astype(int)
    assert shares[top, left] < 0.02 < shares[71 - top, left] and shares[top, 95 - left] > 0.02


def test_the_same_seed_gives_the_same_light_and_a_lens_blurs(tracer: Tracer) -> None:
    sharp, again = (tracer.radiance(POSE, CAMERA, 64, seed=3) for _ in range(2))
    np.testing.assert_array_equal(sharp, again)
    blurred = tracer.radiance(POSE, CAMERA, 64, seed=3, lens=Lens(aperture_m=0.1, focus_m=1.0))
    contrast = [image[30:42, 38:58].std() / image[30:42, 38:58].mean() for image in (sharp, blurred)]
    assert contrast[1] < 0.7 * contrast[0]


def test_light_is_evened_out_on_a_surface_and_not_across_its_edge() -> None:
    rng = np.random.default_rng(0)
    normals = np.zeros((64, 64, 3), np.float32)
    normals[:, :32, 2] = normals[:, 32:, 0] = 1
    truth = np.where(np.arange(64) < 32, 1.0, 0.2) * np.ones((64, 1))
    guides = Guides(
        np.ones((64, 64), np.float32), np.zeros((64, 64), np.float32), normals, np.full((64, 64), 0.5, np.float32)
    )
    noisy = (truth * rng.gamma(4.0, 0.25, truth.shape)).astype(np.float32)
    even = smoothed_light(noisy, guides)
    for part in (np.s_[8:56, 8:30], np.s_[8:56, 34:56]):
        assert even[part].std() < 0.2 * noisy[part].std()
        assert even[part].mean() == pytest.approx(truth[part].mean(), rel=0.15)
    assert even[:, 31].mean() > 3 * even[:, 32].mean()


def test_poses_are_those_of_cameras_that_look_forward() -> None:
    # The tracer's own axes are others: this is the convention that its callers rely on.
    np.testing.assert_allclose(POSE.inverse().apply([0.0, 1.0, 2.0]), [0.0, -1.0, 3.0], atol=1e-12)
    assert isinstance(POSE, Pose)
