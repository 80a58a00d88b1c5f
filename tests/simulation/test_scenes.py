from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from slamfront.errors import SourceError
from slamfront.simulation import Effects, Faults, Painter, Scene, scene, scene_names
from slamfront.simulation.places import alike_house, room
from slamfront.simulation.render import Renderer


@pytest.fixture(scope="module")
def small() -> Scene:
    """The room in coarse textures and small images, quick to paint and to render."""
    rendered = scene("low-texture?width=160")  # any scene: its world is replaced
    return replace(rendered, renderer=Renderer(room(Painter(1, 64.0))), effects=Effects())


def test_every_name_gives_a_scene_with_its_options() -> None:
    assert {"room", "room-loop", "corridor", "street", "house", "rotation", "still", "fast"} <= set(scene_names())
    taken = scene("low-texture?frames=12&width=200&height=100&rate=10&baseline=0.2")
    assert len(taken) == 12
    assert (taken.camera.width, taken.camera.height, taken.camera.baseline_m) == (200, 100, 0.2)
    assert taken.time_ns(3) == 300_000_000


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("rooom", "'rooom' is unknown: use 'room', or one of corridor"),
        ("room?frame=10", "no option 'frame': use 'frames'"),
        ("room?frames", "needs a value"),
        ("room?frames=ten", "whole number"),
        ("room?frames=0", "at least 1"),
        ("room?noise=-1", "0 or more"),
        ("room?noise=nan", "0 or more"),
        ("room?grey=yes", "0 or 1"),
        ("room?style=poor", "rich, low, repeated"),
        ("room?photos=nowhere", "'nowhere' is no folder"),
    ],
)
def test_wrong_names_and_options_are_refused_with_the_known_ones(name: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        scene(name)


def test_same_seed_paints_the_same_world_and_another_seed_another() -> None:
    first, again, other = (room(Painter(seed, 16.0)) for seed in (3, 3, 4))
    assert all(np.array_equal(a.texture, b.texture) for a, b in zip(first.quads, again.quads))
    assert not all(np.array_equal(a.texture, b.texture) for a, b in zip(first.quads, other.quads))


def test_look_alike_rooms_share_their_textures() -> None:
    world = alike_house(Painter(0, 12.0))
    north = [quad for quad in world.quads if quad.origin_m[1] == 4.0 and quad.edge_u_m[0] == 4.0]
    assert len(north) == 6  # north wall and floor of three rooms
    for row in (0, 1):
        np.testing.assert_array_equal(north[row].texture, north[row + 2].texture)


def test_photographs_hang_on_the_walls(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "red.png"), np.full((60, 80, 3), (0, 0, 255), np.uint8))
    wall = Painter(0, 60.0, photos=(tmp_path / "red.png",)).wall(4.0, 2.5)
    assert (wall[..., 0].astype(int) - wall[..., 1] > 150).mean() > 0.1


def test_motion_blur_smears_along_the_motion_and_keeps_the_mean(small: Scene) -> None:
    blurred = replace(small, effects=Effects(blur_ms=30.0)).frame(5).image.astype(float)
    sharp = small.frame(5).image.astype(float)
    assert np.abs(np.diff(blurred, axis=1)).mean() < 0.7 * np.abs(np.diff(sharp, axis=1)).mean()
    assert blurred.mean() == pytest.approx(sharp.mean(), abs=2.0)


def test_standing_camera_is_not_blurred(small: Scene) -> None:
    still = replace(small, path=lambda _time_s: small.pose(0))
    blurred = replace(still, effects=Effects(blur_ms=30.0))
    np.testing.assert_array_equal(blurred.frame(0).image, still.frame(0).image)


def test_faster_scene_passes_the_same_places() -> None:
    plain, fast = scene("low-texture"), scene("low-texture?speed=2")
    np.testing.assert_allclose(fast.pose(10).matrix(), plain.pose(20).matrix(), atol=1e-12)


def test_draft_differs_from_the_full_image_by_little(small: Scene) -> None:
    draft = replace(small, draft=True).view(3)
    np.testing.assert_array_equal(draft.depth_m, small.view(3).depth_m)
    assert np.abs(draft.image - small.view(3).image).mean() < 8


def test_sample_scene_goes_a_little_further_than_once_round() -> None:
    taken = scene("sample?style=low")  # the same path in a world that is quickly painted
    lap = next(
        i for i in range(90, 120) if np.linalg.norm(taken.pose(i).translation_m - taken.pose(0).translation_m) < 0.02
    )
    np.testing.assert_allclose(taken.pose(lap).matrix(), taken.pose(0).matrix(), atol=0.03)
    assert lap < len(taken) - 3


def test_recording_lacks_what_its_options_take_by_seed_and_never_the_first_frame() -> None:
    options = "low-texture?width=64&frames=60&drop_frames=0.3&drop_depth=0.4&drop_right=0.4"
    taken, other = scene(f"{options}&seed=1", coarse=True), scene(f"{options}&seed=2", coarse=True)
    assert taken.indices[0] == 0
    assert 30 < len(taken.indices) < 54
    assert taken.indices == scene(f"{options}&seed=1", coarse=True).indices != other.indices
    depths = [taken.frame(index, "rgbd").depth_m is None for index in taken.indices]
    rights = [taken.frame(index, "stereo").right is None for index in taken.indices]
    assert not depths[0] and not rights[0]
    for missing in (depths, rights):
        assert 0.2 < np.mean(missing) < 0.6


def test_pair_out_of_step_shows_the_frame_before_on_the_right_and_a_swapped_one_the_other_sides(small: Scene) -> None:
    late = replace(small, faults=Faults(right_late=1)).frame(5, "stereo")
    np.testing.assert_array_equal(late.image, small.frame(5, "stereo").image)
    np.testing.assert_array_equal(late.right, small.frame(4, "stereo").right)
    swapped = replace(small, faults=Faults(swapped=True)).frame(5, "stereo")
    np.testing.assert_array_equal(swapped.image, small.frame(5, "stereo").right)
    np.testing.assert_array_equal(swapped.right, small.frame(5, "stereo").image)


def test_camera_that_is_held_stands_and_then_moves() -> None:
    taken = scene("low-texture?hold=0.5", coarse=True)
    np.testing.assert_array_equal(taken.pose(0).matrix(), taken.pose(14).matrix())
    np.testing.assert_allclose(taken.pose(25).matrix(), scene("low-texture", coarse=True).pose(10).matrix(), atol=1e-12)


def test_coarse_scene_has_the_shape_of_the_fine_one_wherever_things_are_drawn_from_the_seed() -> None:
    for name in ("forest", "motorway", "room?movers=2"):
        fine, coarse = (
            scene(f"{name}{'&' if '?' in name else '?'}seed=4&width=64&height=48", coarse=c) for c in (0, 1)
        )
        np.testing.assert_array_equal(fine.view(9).depth_m, coarse.view(9).depth_m)
        assert fine.median_depth_m(9) == coarse.median_depth_m(9)


def test_sky_does_not_count_for_how_far_away_the_camera_sees() -> None:
    taken = scene("motorway?movers=0", coarse=True)
    view = taken.view(0)
    assert (view.quad_ids >= len(taken.renderer.world.quads)).mean() > 0.2
    assert 5 < taken.median_depth_m(0) < 25
