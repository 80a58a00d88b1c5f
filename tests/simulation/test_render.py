"""Images, depth and visibility against geometry that is worked out by hand."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from slamfront.geometry.camera import Camera
from slamfront.geometry.pose import Array, Pose
from slamfront.simulation.paths import look_at
from slamfront.simulation.render import Renderer
from slamfront.simulation.world import Quad, World, box

CAMERA = Camera("pinhole", 320, 240, 260.0, 262.0, 158.3, 121.1)
DARK, BRIGHT = 40, 200
POSES = [
    look_at((0.0, 0.0, 0.0), (0.1, 2.0, 0.05)),
    look_at((0.3, 0.4, 0.2), (0.1, 2.0, 0.05)),
    look_at((-1.6, 0.8, 0.6), (0.0, 2.0, 0.0)) @ Pose.exp([0.0, 0.0, 0.2, 0.0, 0.0, 0.0]),
    look_at((0.2, -0.8, 0.1), (0.0, 2.0, 0.0)) @ Pose.exp([0.0, 0.0, -0.3, 0.0, 0.0, 0.0]),
]


def plane(texture: np.ndarray, distance_m: float = 2.0, half_m: float = 1.0) -> Quad:
    """Return an upright square that faces the origin from +y."""
    origin = np.array([-half_m, distance_m, half_m])
    return Quad(origin, np.array([2 * half_m, 0, 0]), np.array([0, 0, -2 * half_m]), texture)


def flat(value: int, size: int = 8) -> np.ndarray:
    return np.full((size, size, 3), value, np.uint8)


def quadrants(size: int) -> np.ndarray:
    """Return a texture of four fields, dark and bright, that meet in its centre."""
    y, x = np.indices((size, size)) >= size // 2
    return np.where((x ^ y)[..., None], BRIGHT, DARK).astype(np.uint8).repeat(3, axis=2)


def edge_positions(profiles: Array) -> Array:
    """Return where each row of grey values (N,M) steps from its first to its last value, from its first pixel's centre.

    The sum of what is not yet the last value tells it without bias, however blurred the step is.
    """
    first, last = profiles[:, :1], profiles[:, -1:]
    return ((profiles - last) / (first - last)).sum(axis=1) - 0.5


@pytest.mark.parametrize("pose", POSES)
@pytest.mark.parametrize("texels", [40, 200, 512, 2000])  # from 10 pixels a texel to 10 texels a pixel
def test_texture_corner_appears_where_the_camera_projects_it(pose: Pose, texels: int) -> None:
    quad = plane(quadrants(texels))
    image = Renderer(World((quad,)), grey=True).render(pose, CAMERA).image
    corner = CAMERA.project(pose.inverse().apply(quad.points([[texels / 2, texels / 2]])))[0]
    # The corner is where two lines meet, each fitted to the steps of rows or columns on both sides of it.
    lines = []
    for axis, picture in ((0, image), (1, image.T)):
        along = corner[1 - axis]
        reach = 14
        steps, places = [], []
        for offset in [*range(-34, -18), *range(19, 35)]:
            row = round(along) + offset
            start = round(_step_near(quad, pose, texels, axis, row)) - reach
            steps.append(start + edge_positions(picture[row : row + 1, start : start + 2 * reach + 1])[0])
            places.append(row)
        lines.append(np.polyfit(places, steps, 1))
    (a, b), (c, d) = lines  # x = a y + b, y = c x + d
    x = (a * d + b) / (1 - a * c)
    assert np.hypot(x - corner[0], c * x + d - corner[1]) < 0.05


def _step_near(quad: Quad, pose: Pose, texels: int, axis: int, row: int) -> float:
    """Return where a row (axis 0) or column (axis 1) of the image crosses the quadrants' border, by projection."""
    t = np.linspace(0.05, 0.95, 500) * texels
    middle = np.full_like(t, texels / 2)
    line = CAMERA.project(pose.inverse().apply(quad.points(np.column_stack([middle, t] if axis == 0 else [t, middle]))))
    order = np.argsort(line[:, 1 - axis])
    return float(np.interp(row, line[order, 1 - axis], line[order, axis]))


def test_depth_is_that_of_the_plane_at_every_pixel_centre() -> None:
    for pose in POSES:
        view = Renderer(World((plane(flat(90), half_m=30.0),))).render(pose, CAMERA)
        rays = CAMERA.unproject(np.indices((240, 320))[::-1].reshape(2, -1).T) @ pose.rotation.T
        expected = (2.0 - pose.translation_m[1]) / rays[:, 1]
        np.testing.assert_allclose(view.depth_m.ravel(), expected, rtol=1e-5)  # float32


def test_nearer_rectangle_hides_the_farther_exactly_up_to_its_edge() -> None:
    near, far = plane(flat(250), 1.0, 0.3), plane(flat(10), 2.0, 5.0)
    view = Renderer(World((far, near)), grey=True).render(look_at((0, 0, 0), (0, 1, 0)), CAMERA)
    columns = np.arange(320)
    covered = np.abs(columns - CAMERA.cx) <= 260.0 * 0.3
    np.testing.assert_array_equal(view.quad_ids[120] == 1, covered)
    np.testing.assert_allclose(view.depth_m[120], np.where(covered, 1.0, 2.0), rtol=1e-5)
    # A pixel on the edge holds the share of each; eight sub-pixels tell it to a sixteenth.
    left_edge = CAMERA.cx - 78.0
    pixel = round(left_edge)
    share = pixel + 0.5 - left_edge
    assert view.image[120, pixel] == pytest.approx(10 + 240 * share, abs=240 / 16)


def test_order_of_rectangles_does_not_matter() -> None:
    quads = [
        plane(flat(50), 3.0, 4.0),
        *box((0.3, 1.8), (0.5, 0.4, 0.6), lambda _w, _h: flat(120)),
        plane(flat(200), 2.0, 0.2),
    ]
    pose = look_at((0.2, 0, 0.8), (0.1, 2, 0.2))
    first = Renderer(World(tuple(quads))).render(pose, CAMERA)
    second = Renderer(World(tuple(quads[::-1]))).render(pose, CAMERA)
    np.testing.assert_array_equal(first.depth_m, second.depth_m)
    np.testing.assert_array_equal(first.image, second.image)


def test_rectangle_seen_from_behind_and_empty_space_have_no_depth() -> None:
    world = World((plane(flat(50)),), background=(1, 2, 3))
    view = Renderer(world).render(look_at((0, 4, 0), (0, 0, 0)), CAMERA)
    assert (view.quad_ids == -1).all()
    assert (view.depth_m == 0).all()
    np.testing.assert_array_equal(view.image[0, 0], (1, 2, 3))


def test_camera_inside_a_rectangles_plane_range_is_clipped_at_the_near_plane() -> None:
    """A floor that passes under and behind the camera still fills the lower half of the image."""
    level = Quad(np.array([-9.0, 9, 0]), np.array([18.0, 0, 0]), np.array([0, -18.0, 0]), flat(77))
    view = Renderer(World((level,))).render(look_at((0, 0, 1), (0, 5, 1)), CAMERA)
    assert (view.quad_ids[160:] == 0).all()
    assert (view.quad_ids[:121] == -1).all()


def test_right_image_is_shifted_by_the_disparity_of_the_depth() -> None:
    noise = np.random.default_rng(3).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    texture = cv2.resize(noise, (256, 256), interpolation=cv2.INTER_CUBIC)
    renderer = Renderer(World((plane(texture, 2.0, 2.0),)), grey=True)
    pose = look_at((0, 0, 0), (0, 1, 0))
    left = renderer.render(pose, CAMERA).image
    right = renderer.render(pose @ Pose(np.eye(3), np.array([21 * 2 / 260, 0, 0])), CAMERA).image
    shifts = 21.0 + np.linspace(-0.6, 0.6, 7)  # fx b / z is 21 px: whole, so that interpolation favours no side
    errors = []
    for shift in shifts:
        moved = cv2.warpAffine(right, np.array([[1, 0, shift], [0, 1, 0]]), (320, 240), flags=cv2.INTER_CUBIC)
        errors.append(np.mean((moved - left)[20:-20, 40:-20] ** 2))
    a, b, _ = np.polyfit(shifts, errors, 2)
    assert -b / (2 * a) == pytest.approx(21.0, abs=0.02)


def test_far_chessboard_fades_to_its_mean_without_moire() -> None:
    board = np.where((np.indices((1024, 1024)).sum(axis=0) % 2)[..., None], 255, 0).astype(np.uint8).repeat(3, axis=2)
    view = Renderer(World((plane(board, 4.0, 1.0),)), grey=True).render(look_at((0, 0, 0), (0, 1, 0)), CAMERA)
    inside = cv2.erode((view.quad_ids == 0).astype(np.uint8), np.ones((5, 5))) > 0
    assert view.image[inside].std() < 2.0  # nearest-neighbour sampling gives 127
    assert view.image[inside].mean() == pytest.approx(127.5, abs=1.0)


def test_poses_that_are_neither_one_nor_one_for_each_row_are_refused() -> None:
    with pytest.raises(ValueError, match="2 poses for 240 rows"):
        Renderer(World((plane(flat(1)),))).render(POSES[:2], CAMERA)


def test_rectangle_with_slanted_edges_is_refused() -> None:
    with pytest.raises(ValueError, match="perpendicular"):
        Quad(np.zeros(3), np.array([1.0, 0, 0]), np.array([0.5, 1.0, 0]), flat(1))
