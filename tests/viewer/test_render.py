"""The software renderer against projections that are known."""

from __future__ import annotations

import numpy as np

from slamfront.viewer.render import render
from slamfront.viewer.scene import BACKGROUND, Lines, Scene, Viewpoint

UP = np.array([0.0, -1.0, 0.0])
VIEWPOINT = Viewpoint(np.array([0.0, 0.0, -5.0]), np.zeros(3), UP)
SIZE = (320, 240)
CENTRE = (160.0, 120.0)


def no_lines() -> Lines:
    return Lines(np.zeros((0, 2, 3)), np.zeros((0, 3), np.uint8), 1)


def scene(points: list[tuple[float, ...]], colours: list[tuple[int, ...]], lines: tuple[Lines, ...] = ()) -> Scene:
    return Scene(
        np.array(points, np.float32).reshape(-1, 3),
        np.array(colours, np.uint8).reshape(-1, 3),
        no_lines(),
        lines,
        UP,
        2.0,
    )


def lit(picture: np.ndarray) -> np.ndarray:
    """Return the pixels (N,2) as x, y that differ from the background."""
    return np.argwhere((picture != BACKGROUND).any(axis=2))[:, ::-1]


def test_a_point_appears_where_the_pinhole_camera_projects_it() -> None:
    picture = render(scene([(0.5, 0.25, 0.0)], [(255, 0, 0)]), VIEWPOINT, *SIZE, CENTRE)
    focal = 0.5 * SIZE[1] / np.tan(0.5)
    expected = np.array(CENTRE) + focal * np.array([0.5, 0.25]) / 5.0
    assert np.linalg.norm(lit(picture).mean(axis=0) - expected) < 0.5  # half a pixel: the disc is centred below it
    assert picture[..., 0].max() > 150


def test_points_behind_the_viewer_and_outside_the_picture_are_not_drawn() -> None:
    far_away = [(0.0, 0.0, -6.0), (0.0, 0.0, -5.0), (50.0, 0.0, 0.0), (0.0, -50.0, 0.0)]
    assert len(lit(render(scene(far_away, [(255, 255, 255)] * 4), VIEWPOINT, *SIZE, CENTRE))) == 0


def test_of_two_points_in_line_the_nearer_one_prevails() -> None:
    picture = render(scene([(0, 0, 0), (0, 0, 20)], [(255, 0, 0), (0, 255, 0)]), VIEWPOINT, *SIZE, CENTRE)
    red, green, _ = picture[120, 160].tolist()
    assert red > 4 * green


def test_points_fade_with_distance() -> None:
    near, far = (
        render(scene([(0, 0, z)], [(255, 255, 255)]), VIEWPOINT, *SIZE, CENTRE).astype(int).max() for z in (0.0, 60.0)
    )
    assert far < near


def test_a_line_that_passes_the_viewer_is_cut_at_the_near_plane() -> None:
    lines = Lines(np.array([[(-1.0, 0.0, 5.0), (1.0, 0.5, -50.0)]]), np.array([(0, 255, 0)], np.uint8), 1)
    pixels = lit(render(scene([], [], (lines,)), VIEWPOINT, *SIZE, CENTRE))
    assert len(pixels) > 20
    assert pixels[:, 0].min() < CENTRE[0]  # the far end, left of the middle


def test_lines_that_are_not_finite_are_left_out() -> None:
    lines = Lines(np.full((1, 2, 3), np.nan), np.array([(0, 255, 0)], np.uint8), 2)
    assert len(lit(render(scene([], [], (lines,)), VIEWPOINT, *SIZE, CENTRE))) == 0


def test_the_same_scene_gives_the_same_picture() -> None:
    points = np.random.default_rng(0).normal(size=(500, 3))
    made = scene([tuple(p) for p in points.tolist()], [(200, 100, 50)] * 500)
    np.testing.assert_array_equal(*(render(made, VIEWPOINT, *SIZE, CENTRE) for _ in range(2)))
