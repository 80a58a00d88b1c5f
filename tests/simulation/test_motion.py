"""Frames against each other: what one shows lies where depth, pose, lens, shutter and motion put it in another."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from slamfront.geometry.camera import Camera
from slamfront.geometry.pose import Array, Pose
from slamfront.geometry.shutter import row_delays_s
from slamfront.simulation import Effects, Painter, Scene, View, scene
from slamfront.simulation.places import room
from slamfront.simulation.render import Renderer

# Depth of a plane is interpolated between float32 pixels; a fisheye's is curved a little between two
SAME_DEPTH = {"pinhole": 1e-4, "kb4": 1e-3}


def at_pixel(scene_: Scene, frame: int, pixels: Array) -> list[Pose]:
    """Return the camera's pose when each of the pixels (N,2) was exposed."""
    return [scene_.path(float(time)) for time in times_s(scene_, frame, pixels)]


def times_s(scene_: Scene, frame: int, pixels: Array) -> Array:
    # A row is exposed as a whole
    whole = np.column_stack([pixels[:, 0], np.rint(pixels[:, 1])])
    return frame / scene_.rate_hz + row_delays_s(scene_.camera, whole)


def placed(poses: list[Pose], points: Array) -> Array:
    return np.array([pose.apply(point) for pose, point in zip(poses, points)])


def seen_in(scene_: Scene, frame: int, world: Array, start: Array) -> tuple[Array, Array]:
    """Return the pixels (N,2) and depths (N,) of world points in a frame, whose rows may be exposed one by one."""
    pixels = start
    for _ in range(6):
        points = placed([pose.inverse() for pose in at_pixel(scene_, frame, pixels)], world)
        pixels = scene_.camera.project(points)
        pixels = np.where(np.isfinite(pixels), pixels, start)
    return pixels, points[:, 2]


def interpolated(image: Array, pixels: Array) -> Array:
    x, y = np.floor(pixels).astype(int).T
    fx, fy = (pixels - np.floor(pixels)).T
    rows = [(image[y + j, x + i], (fx if i else 1 - fx) * (fy if j else 1 - fy)) for i in (0, 1) for j in (0, 1)]
    return np.asarray(sum(value * weight for value, weight in rows))


def inside_one(view: View, pixels: Array, quads: Array) -> Array:
    """Return which pixels (N,2) have four neighbours of the rectangle that is named for each."""
    x, y = np.floor(pixels).astype(int).T
    height, width = view.quad_ids.shape
    good = (x >= 0) & (y >= 0) & (x < width - 1) & (y < height - 1)
    x, y = np.where(good, x, 0), np.where(good, y, 0)
    for i in (0, 1):
        for j in (0, 1):
            good &= view.quad_ids[y + j, x + i] == quads
    return good


def draw(view: View, rng: np.random.Generator, moving_from: int | None = None) -> tuple[Array, Array, Array]:
    """Return pixels (N,2), their depths and rectangles: those of movers alone where it is said where they begin."""
    shown = view.quad_ids >= (0 if moving_from is None else moving_from)
    if moving_from is None:
        shown &= view.depth_m < 60
    rows, columns = np.nonzero(shown)
    some = rng.permutation(len(rows))[:400]
    pixels = np.column_stack([columns[some], rows[some]]).astype(np.float64)
    return pixels, view.depth_m[rows[some], columns[some]].astype(np.float64), view.quad_ids[rows[some], columns[some]]


@pytest.mark.parametrize(
    "name",
    [
        "room?width=160&shake=1",
        "room?width=160&readout=25&shake=2",
        "room?width=480&lens=kb4&fov=150",
        "room?width=320&lens=kb4&fov=120&readout=20",
        "motorway?width=240&height=90&rate=20",
        "forest?width=160&rate=10",
        "planar?width=160",
    ],
)
def test_what_one_frame_shows_lies_where_another_sees_it(name: str) -> None:
    taken, rng = scene(f"{name}&grey=1", coarse=True), np.random.default_rng(0)
    first, second = taken.view(20), taken.view(22)
    pixels, depths, quads = draw(first, rng)
    still = quads < len(taken.renderer.world.quads)
    pixels, depths, quads = pixels[still], depths[still], quads[still]
    world = placed(at_pixel(taken, 20, pixels), taken.camera.unproject(pixels) * depths[:, None])
    moved, z = seen_in(taken, 22, world, pixels)
    whole = inside_one(second, moved, quads)
    assert whole.sum() > 40
    found = 1 / interpolated(1 / np.maximum(second.depth_m, 1e-3), moved[whole])
    # Between two rows of a rolling shutter the camera jumps; the point lies in one of them
    limit = SAME_DEPTH[taken.camera.model] if not taken.camera.readout_s else 3e-3
    assert np.median(np.abs(found / z[whole] - 1)) < limit / 4
    assert np.quantile(np.abs(found / z[whole] - 1), 0.95) < limit


@pytest.mark.parametrize("name", ["room?width=200&movers=1&mover_m=1.6&frames=60", "motorway?width=300&height=100"])
def test_movers_move_by_their_own_paths(name: str) -> None:
    taken, rng = scene(f"{name}&grey=1", coarse=True), np.random.default_rng(0)
    moving_from = len(taken.renderer.world.quads) + len(taken.renderer.world.backdrop)
    owner = [mover for mover in taken.renderer.world.movers for _ in mover.quads]
    one, two = 30, 31
    first, second = taken.view(one), taken.view(two)
    pixels, depths, quads = draw(first, rng, moving_from)
    bodies = [owner[quad - moving_from] for quad in quads]
    world = taken.pose(one).apply(taken.camera.unproject(pixels) * depths[:, None])
    times = one / taken.rate_hz, two / taken.rate_hz
    later = np.array([b.path(times[1]).apply(b.path(times[0]).inverse().apply(p)) for b, p in zip(bodies, world)])
    assert np.linalg.norm(later - world, axis=1).min() > 0.01
    moved, z = seen_in(taken, two, later, pixels)
    whole = inside_one(second, moved, quads)
    assert whole.sum() > 40
    found = 1 / interpolated(1 / np.maximum(second.depth_m, 1e-3), moved[whole])
    np.testing.assert_allclose(found, z[whole], rtol=1e-3)


def test_what_carries_the_camera_hides_its_share_of_every_image_and_has_a_disparity() -> None:
    taken = scene("low-texture?width=160&overlay=0.25&grey=1", coarse=True)
    row = len(taken.renderer.world.quads)
    for index in (0, 40):
        assert (taken.view(index).quad_ids == row).mean() == pytest.approx(0.25, abs=1 / 120)
    np.testing.assert_allclose(taken.view(5).image[100:], taken.view(6).image[100:], atol=1e-2)
    np.testing.assert_allclose(taken.view(5).depth_m[100:], 0.4, rtol=1e-5)
    right = taken.view(5, right=True)
    np.testing.assert_allclose(right.depth_m[100:], 0.4, rtol=1e-5)


def test_rows_of_a_rolling_shutter_are_those_of_images_taken_at_their_times() -> None:
    rolling = scene("low-texture?width=96&readout=30&shake=2&grey=1", coarse=True)
    at_once = replace(rolling, camera=replace(rolling.camera, readout_s=0.0))
    image = rolling.view(7).image
    for row in (0, 20, 36, 71):
        time = 7 / 30 + float(row_delays_s(rolling.camera, np.array([[0.0, row]]))[0])
        alone = replace(at_once, path=lambda _t, time=time: rolling.path(time))
        # The texture's filter does not know that rows move
        np.testing.assert_allclose(image[row], alone.view(0).image[row], atol=2.0)


def test_fisheye_keeps_angles_and_its_middle_is_that_of_a_pinhole() -> None:
    renderer, pose = Renderer(room(Painter(1, 64.0)), grey=True), scene("room", coarse=True).pose(0)
    pinhole = Camera("pinhole", 201, 151, 140.0, 140.0, 100.0, 75.0)
    fisheye = replace(pinhole, model="kb4", distortion=(0.0,) * 4)
    straight, bent = renderer.render(pose, pinhole), renderer.render(pose, fisheye)
    near = np.s_[73:78, 98:103]
    np.testing.assert_allclose(bent.image[near], straight.image[near], atol=4)
    corner = fisheye.project(pinhole.unproject([[0.0, 0.0]]))[0]
    column, row = np.rint(corner).astype(int)
    assert bent.quad_ids[row, column] == straight.quad_ids[0, 0]


def test_gain_jumps_at_once_and_stays_between() -> None:
    grey = np.full((12, 16), 100.0, np.float32)
    effects = Effects(seed=3, jumps=0.5)
    levels = np.array([effects.image(grey, i, i / 30).mean() for i in range(120)])
    steps = np.flatnonzero(np.diff(levels))
    assert levels[0] == 100
    assert 3 <= len(steps) <= 5
    assert 50 <= levels.min() < levels.max() <= 150


def test_specks_take_single_pixels_of_the_depth() -> None:
    depth = Effects(depth_specks=0.3).depth(np.full((120, 160), 2.0, np.float32), 0)
    assert (depth == 0).mean() == pytest.approx(0.3, abs=0.02)
    alone = (depth[1:-1, 1:-1] == 0) & (depth[:-2, 1:-1] > 0) & (depth[2:, 1:-1] > 0) & (depth[1:-1, 2:] > 0)
    assert alone.sum() > 500
