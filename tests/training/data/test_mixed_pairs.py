from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from slamfront.errors import TrainingError
from slamfront.geometry.camera import Camera
from slamfront.geometry.pose import Pose
from slamfront.training.data.labels import ImageLabels, save_labels
from slamfront.training.data.mixed_pairs import MixedPairs, pieces, repeated_keypoints, shown
from slamfront.training.data.rendered import RenderedPair
from slamfront.training.data.rendered_file import RenderedView, save_views
from slamfront.training.recipe import Recipe
from tests.features.warps import textured
from tests.training.test_loop import pair_recipe
from tests.training.test_loop import photographs as photographs

CAMERA = Camera("pinhole", 160, 120, 100.0, 100.0, 79.5, 59.5)
MOVED_PX = 20


def views() -> list[RenderedView]:
    """A wall 2 m away seen from two places 0.4 m apart, the second further right."""
    wide = textured(160 + MOVED_PX, 120)
    inverse_depth = np.full((120, 160), 0.5, np.float32)
    right = Pose(np.eye(3), np.array([MOVED_PX / 100 / 0.5, 0.0, 0.0]))
    return [
        RenderedView(wide[:, :160], inverse_depth, CAMERA, Pose.identity()),
        RenderedView(wide[:, MOVED_PX:], inverse_depth, CAMERA, right),
    ]


def wall() -> RenderedPair:
    first, second = views()
    return RenderedPair(
        np.stack([first.image, second.image]), np.stack([first.inverse_depth, second.inverse_depth]),
        (CAMERA, CAMERA), second.world_from_camera.inverse() @ first.world_from_camera,
    )  # fmt: skip


@pytest.fixture
def recipe(photographs: Path, tmp_path: Path) -> Recipe:
    save_views(tmp_path / "worlds.npz", views(), [(0, 1)], "a wall")
    given = pair_recipe(photographs)
    return replace(given, data=replace(given.data, rendered=tmp_path / "worlds.npz", rendered_share=1.0))


def test_what_the_other_view_does_not_repeat_is_no_corner() -> None:
    first = np.array([[50.0, 50], [90, 60], [130, 20], [10, 70]])
    second = np.array([[31.0, 50], [70, 75], [110.5, 19.5]])  # one off by 1 px, one elsewhere, one off by less
    kept = repeated_keypoints(wall(), [first, second])
    np.testing.assert_array_equal(kept[0], first[[0, 2]])
    np.testing.assert_array_equal(kept[1], second[[0, 2]])
    none = repeated_keypoints(wall(), [first, np.zeros((0, 2))])
    assert not len(none[0]) and not len(none[1])


def test_only_cells_that_the_other_view_shows_count() -> None:
    seen = shown(wall())
    # The first 20 columns have left the second image: the middle of the third cell is column 19.5.
    assert not seen[:, :16].any() and seen[:, 24:].all()


def test_pieces_of_two_views_have_something_in_common() -> None:
    for seed in range(20):
        corners = pieces(wall(), (64, 48), np.random.default_rng(seed))
        assert wall().cropped(corners, (64, 48)).overlap() > 0


def test_rendered_pairs_train_the_detector_on_what_both_views_repeat(recipe: Recipe, tmp_path: Path) -> None:
    points = np.random.default_rng(0).uniform(5, 115, (80, 2)).astype(np.float32)
    labels = [
        ImageLabels(points - (shift, 0), np.ones(80, np.float32)) for shift in np.array([0, MOVED_PX], np.float32)
    ]
    save_labels(tmp_path / "labels-worlds.npz", {"worlds/0": labels[0], "worlds/1": labels[1]}, "by hand")
    data = replace(recipe.data, rendered_labels=tmp_path / "labels-worlds.npz", label_density=60.0)
    given = replace(recipe, data=data)
    pairs = MixedPairs(given, tmp_path / "worlds.npz", 8)
    for index in range(8):
        example = pairs[index]
        first, second = (one[~one.isnan().any(dim=1)] for one in example["keypoints_xy"])
        assert len(first) and len(second) and example["seen"].any()
        shift = (first[:, None] - second[None]).reshape(-1, 2)
        # All move alike: the same shift is found for each of them.
        commonest = np.unique(np.rint(shift.numpy()), axis=0, return_counts=True)[1].max()
        assert commonest >= 0.8 * min(len(first), len(second))
    np.testing.assert_array_equal(pairs[3]["keypoints_xy"].numpy(), pairs[3]["keypoints_xy"].numpy())


def test_without_labels_rendered_pairs_train_the_descriptors_alone(recipe: Recipe, tmp_path: Path) -> None:
    example = MixedPairs(recipe, tmp_path / "worlds.npz", 4)[0]
    assert not example["seen"].any() and example["keypoints_xy"].isnan().all()
    assert example["valid"].float().mean() > 0.3


def test_labels_of_other_views_are_refused(recipe: Recipe, tmp_path: Path) -> None:
    one = ImageLabels(np.zeros((1, 2), np.float32), np.ones(1, np.float32))
    save_labels(tmp_path / "other.npz", {"elsewhere/0": one}, "by hand")
    given = replace(recipe, data=replace(recipe.data, rendered_labels=tmp_path / "other.npz"))
    with pytest.raises(TrainingError, match=r"other.npz: holds no labels of the views of .*worlds.npz"):
        MixedPairs(given, tmp_path / "worlds.npz", 4)
    with pytest.raises(TrainingError, match="smaller than 640x480"):
        MixedPairs(replace(recipe, data=replace(recipe.data, width=640, height=480)), tmp_path / "worlds.npz", 4)
