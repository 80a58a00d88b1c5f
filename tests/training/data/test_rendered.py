from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from slamfront.errors import OutputError, TrainingError
from slamfront.geometry.camera import Camera
from slamfront.geometry.pose import Pose
from slamfront.simulation import Effects, Painter, Scene, scene
from slamfront.simulation.places import room
from slamfront.simulation.render import Renderer
from slamfront.training.data.rendered import FAR_OUTSIDE_PX, RenderedPair
from slamfront.training.data.rendered_file import RenderedPairs, RenderedView, save_views

CAMERA = Camera("pinhole", 160, 120, 140.0, 140.0, 79.5, 59.5)


@pytest.fixture(scope="module")
def small() -> Scene:
    """The room in coarse textures, quick to paint."""
    taken = scene("low-texture?width=160")  # any scene: its world is replaced
    return replace(taken, renderer=Renderer(room(Painter(1, 96.0)), grey=True), effects=Effects())


def view(taken: Scene, world_from_camera: Pose) -> RenderedView:
    seen = taken.renderer.render(world_from_camera, CAMERA)
    inverse_depth = np.divide(1, seen.depth_m, out=np.zeros_like(seen.depth_m), where=seen.depth_m > 0)
    return RenderedView(np.rint(seen.image).clip(0, 255).astype(np.uint8), inverse_depth, CAMERA, world_from_camera)


@pytest.fixture(scope="module")
def views(small: Scene) -> list[RenderedView]:
    """Views along the path of the room, two and two from near each other, the second rolled and turned aside."""
    rng = np.random.default_rng(4)
    taken = []
    for _ in range(10):
        time = rng.uniform(0, small.length / small.rate_hz)
        aside = Pose.exp(np.concatenate([rng.normal(0, (0.1, 0.1, 0.2)), rng.normal(0, 0.05, 3)]))
        taken += [view(small, small.path(time)), view(small, small.path(time + rng.uniform(0.2, 0.8)) @ aside)]
    return taken


@pytest.fixture(scope="module")
def pairs(views: list[RenderedView]) -> list[RenderedPair]:
    return [paired(first, second) for first, second in zip(views[::2], views[1::2])]


def paired(first: RenderedView, second: RenderedView) -> RenderedPair:
    return RenderedPair(
        np.stack([first.image, second.image]),
        np.stack([first.inverse_depth, second.inverse_depth]),
        (first.camera, second.camera),
        second.world_from_camera.inverse() @ first.world_from_camera,
    )


def wall_and_post() -> RenderedPair:
    """A wall 4 m away with a post 1 m away in front of its middle, seen again from 0.25 m further right."""
    inverse_depth = np.full((60, 80), 0.25, np.float32)
    inverse_depth[:, 36:44] = 1.0
    second = np.full((60, 80), 0.25, np.float32)
    second[:, 26:34] = 1.0  # 40 px m / 1 m * 0.25 m to the left
    camera = Camera("pinhole", 80, 60, 40.0, 40.0, 39.5, 29.5)
    images = np.zeros((2, 60, 80), np.uint8)
    moved = Pose(np.eye(3), np.array([-0.25, 0.0, 0.0]))
    return RenderedPair(images, np.stack([inverse_depth, second]), (camera, camera), moved)


def test_points_go_where_parallax_takes_them_and_those_behind_the_post_are_unseen() -> None:
    pair = wall_and_post()
    # Left of the post on the wall, on the post, on the wall behind where the post moves, and on the wall at the right.
    warped, seen = pair.warp(np.array([[20.0, 30.0], [40.25, 30.5], [32.0, 10.0], [60.5, 20.25]]))
    np.testing.assert_allclose(warped, [[17.5, 30.0], [30.25, 30.5], [29.5, 10.0], [58.0, 20.25]], atol=1e-9)
    np.testing.assert_array_equal(seen, [True, True, False, True])


def test_points_on_a_silhouette_belong_to_what_is_nearer() -> None:
    warped, seen = wall_and_post().warp(np.array([[35.6, 30.0], [43.5, 30.0]]))
    np.testing.assert_allclose(warped[:, 0], [25.6, 33.5], atol=1e-9)
    assert seen.all()


def test_points_on_nothing_or_behind_the_camera_are_unseen_and_far_outside() -> None:
    pair = wall_and_post()
    empty = replace(pair, inverse_depths=pair.inverse_depths * 0)
    turned = replace(pair, second_from_first=Pose.exp(np.array([0, np.pi, 0, 0, 0, 0])))
    for one in (empty, turned):
        warped, seen = one.warp(np.array([[10.0, 10.0], [40.0, 30.0]]))
        assert (warped == FAR_OUTSIDE_PX).all() and not seen.any()


def test_surroundings_grow_as_the_camera_comes_nearer() -> None:
    pair = wall_and_post()
    flat = np.full((2, 60, 80), 0.25, np.float32)
    flat[1] = 0.5
    nearer = replace(pair, inverse_depths=flat, second_from_first=Pose(np.eye(3), np.array([0, 0, -2.0])))
    np.testing.assert_allclose(nearer.magnification(np.array([[40.0, 30.0], [30.2, 25.7]])), 2.0, atol=1e-6)
    assert nearer.overlap(most=2.1) == nearer.overlap() > 0
    assert nearer.overlap(most=1.9) == 0


def test_pairs_go_forth_and_back_to_the_same_point(pairs: list[RenderedPair]) -> None:
    rng = np.random.default_rng(0)
    for pair in pairs:
        points = rng.uniform(0, 1, (2000, 2)) * (159, 119)
        warped, seen = pair.warp(points)
        returned, again = pair.reversed().warp(warped[seen])
        distance = np.linalg.norm(returned - points[seen], axis=1)[again]
        # At silhouettes a point may belong to another surface on its way back.
        assert again.mean() > 0.9 and (distance < 0.5).mean() > 0.97
        assert np.median(distance) < 0.01


def test_corresponding_places_look_alike(pairs: list[RenderedPair]) -> None:
    likeness = []
    for pair in pairs:
        dense, seen = pair.correspondence()
        smooth = [cv2.GaussianBlur(image, (0, 0), 1.0).astype(np.float64) for image in pair.images]
        taken = cv2.remap(smooth[1], dense[..., 0], dense[..., 1], cv2.INTER_LINEAR)
        likeness.append(np.corrcoef(taken[seen], smooth[0][seen])[0, 1])
        # A shift by 4 px looks less alike: it is the correspondence that counts, not the light.
        shifted = cv2.remap(smooth[1], dense[..., 0] + 4, dense[..., 1], cv2.INTER_LINEAR)
        assert np.corrcoef(shifted[seen], smooth[0][seen])[0, 1] < likeness[-1]
    # What differs is resolution: one view shows what is a blur in the other.
    assert np.median(likeness) > 0.95 and min(likeness) > 0.75


def test_a_piece_of_a_pair_corresponds_as_the_whole_does(pairs: list[RenderedPair]) -> None:
    pair = pairs[0]
    piece = pair.cropped(((8, 16), (24, 4)), (128, 96))
    points = np.random.default_rng(0).uniform(20, 80, (200, 2))
    warped, seen = pair.warp(points + (8, 16))
    of_piece, seen_in_piece = piece.warp(points)
    np.testing.assert_allclose(of_piece[seen_in_piece], (warped - (24, 4))[seen_in_piece], atol=1e-6)
    assert seen_in_piece.sum() <= seen.sum()
    assert piece.images.shape == (2, 96, 128)
    with pytest.raises(ValueError, match="60, 0 does not lie inside"):
        pair.cropped(((60, 0), (0, 0)), (128, 96))


def test_a_file_gives_back_its_pairs_of_views_that_are_kept_once(views: list[RenderedView], tmp_path: Path) -> None:
    path, rows = tmp_path / "pairs.npz", [(0, 1), (1, 0), (1, 3)]
    save_views(path, views[:4], rows, "a test")
    read = RenderedPairs(path)
    assert len(read) == 3 and read.origin == "a test" and read.size == (160, 120)
    assert len(read[1:]) == 2 and len(read.views()) == 4
    assert read.names(2) == ("pairs/1", "pairs/3")
    points = np.random.default_rng(0).uniform(0, 1, (500, 2)) * (159, 119)
    for original, again in zip((paired(views[i], views[j]) for i, j in rows), read):
        assert again.cameras == original.cameras
        # JPEG of this quality loses a few grey levels.
        assert np.abs(again.images.astype(int) - original.images).mean() < 4
        (expected, seen), (warped, seen_again) = original.warp(points), again.warp(points)
        both = seen & seen_again
        assert (seen == seen_again).mean() > 0.99
        assert not both.any() or np.quantile(np.linalg.norm(warped - expected, axis=1)[both], 0.99) < 0.1


def test_the_parts_of_a_folder_are_read_as_one(views: list[RenderedView], tmp_path: Path) -> None:
    save_views(tmp_path / "part-0.npz", views[:2], [(0, 1)], "first")
    save_views(tmp_path / "part-1.npz", views[2:6], [(0, 1), (2, 3)], "second")
    read = RenderedPairs(tmp_path)
    assert len(read) == 3 and [read.names(row)[0] for row in range(3)] == ["part-0/0", "part-1/0", "part-1/2"]
    np.testing.assert_allclose(read[2].second_from_first.matrix(), paired(*views[4:6]).second_from_first.matrix())


def test_parts_with_images_of_two_sizes_are_refused(views: list[RenderedView], tmp_path: Path) -> None:
    small = replace(
        views[0], image=views[0].image[:60, :80], inverse_depth=views[0].inverse_depth[:60, :80],
        camera=Camera("pinhole", 80, 60, 140.0, 140.0, 39.5, 29.5),
    )  # fmt: skip
    save_views(tmp_path / "part-0.npz", views[:2], [(0, 1)], "")
    save_views(tmp_path / "part-1.npz", [small], np.zeros((0, 2)), "")
    with pytest.raises(TrainingError, match=r"part-1.npz: its images are of another size than those of part-0.npz"):
        RenderedPairs(tmp_path)


def test_foreign_and_damaged_files_are_refused(views: list[RenderedView], tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no such file of rendered pairs"):
        RenderedPairs(tmp_path / "none.npz")
    with pytest.raises(TrainingError, match="holds no rendered pairs"):
        RenderedPairs(tmp_path)
    (tmp_path / "text.npz").write_text("not pairs")
    with pytest.raises(TrainingError, match="not a file of rendered pairs"):
        RenderedPairs(tmp_path / "text.npz")
    np.savez(tmp_path / "other.npz", images=np.zeros(3))
    with pytest.raises(TrainingError, match="not a file of rendered pairs"):
        RenderedPairs(tmp_path / "other.npz")
    save_views(tmp_path / "good.npz", views[:2], [(0, 1)], "")
    with np.load(tmp_path / "good.npz") as file:
        arrays = dict(file)
    np.savez(tmp_path / "beyond.npz", **{**arrays, "pairs": np.array([[0, 2]])})
    with pytest.raises(TrainingError, match="not a file of rendered pairs, or damaged"):
        RenderedPairs(tmp_path / "beyond.npz")
    np.savez(tmp_path / "short.npz", **{**arrays, "images": arrays["images"][:2000]})
    with pytest.raises(TrainingError, match="image of view 0 is damaged"):
        RenderedPairs(tmp_path / "short.npz")[0]
    with pytest.raises(OutputError, match="cannot be written"):
        save_views(tmp_path / "no folder" / "pairs.npz", views[:1], [], "")
