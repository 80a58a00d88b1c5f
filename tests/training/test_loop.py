from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from slamfront.errors import TrainingError, WeightsError
from slamfront.models.superpoint import SuperPoint, SuperPointLite
from slamfront.training.adaptation import AdaptationConfig, adapted_scores, keypoints_of, label
from slamfront.training.checkpoints import load_training, save_training
from slamfront.training.data.datasets import PhotographPairs, Shapes, cut, strongest_inside
from slamfront.training.data.homographies import carry, random_homography, shrinkage, warp, warped_area
from slamfront.training.data.labels import ImageLabels, load_labels, save_labels
from slamfront.training.loop import CHECKPOINT, FIGURES, learning_rate, train
from slamfront.training.recipe import DataRecipe, NetworkRecipe, Recipe, ReportRecipe, ScheduleRecipe, WarpConfig
from slamfront.training.tasks.normalisation import fold, normalise
from slamfront.training.tasks.registry import network_of

torch.set_num_threads(1)  # threads only wait for each other on images this small

TINY = Recipe(
    task="magicpoint",
    network=NetworkRecipe("superpoint-lite"),
    data=DataRecipe(width=64, height=48, workers=0),
    schedule=ScheduleRecipe(steps=6, batch=4, warmup=2),
    report=ReportRecipe(log_every=2, validate_every=6, save_every=3, pairs=1),
)


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """Two photographs of blocks whose corners are labelled."""
    folder = tmp_path / "photographs"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name in ("a.png", "b.png"):
        blocks = rng.integers(0, 255, (12, 16), np.uint8)
        cv2.imwrite(str(folder / name), cv2.resize(blocks, None, fx=10, fy=10, interpolation=cv2.INTER_NEAREST))
    corners = np.stack(np.meshgrid(np.arange(1, 16), np.arange(1, 12)), -1).reshape(-1, 2) * 10 - 0.5
    labels = ImageLabels(corners.astype(np.float32), np.ones(len(corners), np.float32))
    save_labels(tmp_path / "labels.npz", {"a.png": labels, "b.png": labels}, "by hand")
    return folder


def pair_recipe(photographs: Path) -> Recipe:
    data = replace(TINY.data, photographs=photographs, labels=photographs.parent / "labels.npz")
    return replace(TINY, task="superpoint", data=data, report=replace(TINY.report, photographs=photographs))


def test_a_training_that_stopped_goes_on_to_the_last_digit(tmp_path: Path) -> None:
    train(TINY, tmp_path / "whole")
    train(TINY, tmp_path / "halves", steps=3)
    train(TINY, tmp_path / "halves")
    whole, halves = (load_training(tmp_path / name / CHECKPOINT) for name in ("whole", "halves"))
    assert whole.step == halves.step == 6
    for name, tensor in whole.averaged.items():
        torch.testing.assert_close(tensor, halves.averaged[name], rtol=0, atol=0)


def test_a_folder_of_another_recipe_is_refused(tmp_path: Path) -> None:
    train(TINY, tmp_path, steps=1)
    train(TINY, tmp_path, steps=3)
    with pytest.raises(TrainingError, match="another recipe"):
        train(replace(TINY, seed=5), tmp_path)


def test_a_training_goes_on_though_recipes_have_more_keys_by_now(tmp_path: Path) -> None:
    train(TINY, tmp_path, steps=3)
    state = load_training(tmp_path / CHECKPOINT)
    older = "\n".join(line for line in state.recipe.splitlines() if "negatives" not in line)
    save_training(tmp_path / CHECKPOINT, replace(state, recipe=older))
    train(TINY, tmp_path)
    assert load_training(tmp_path / CHECKPOINT).step == 6


def test_one_batch_is_learned_by_heart(tmp_path: Path) -> None:
    schedule = ScheduleRecipe(steps=80, batch=4, warmup=5, learning_rate=1e-2)
    report = replace(TINY.report, log_every=10, validate_every=80, save_every=80)
    train(replace(TINY, schedule=schedule, report=report), tmp_path, overfit=True)
    told = [json.loads(line) for line in (tmp_path / FIGURES).read_text().splitlines()]
    losses = [line["detector"] for line in told if line["kind"] == "training"]
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("descriptor", ["dual-softmax", "hinge"])
def test_pairs_train_detector_and_descriptors(tmp_path: Path, photographs: Path, descriptor: str) -> None:
    recipe = pair_recipe(photographs)
    recipe = replace(recipe, loss=replace(recipe.loss, descriptor=descriptor, points=32))
    figures = train(recipe, tmp_path / "run")
    assert set(figures) == {"repeatability", "error_px", "precision", "recall", "within_1px"}
    network = network_of(str(tmp_path / "run" / CHECKPOINT))
    assert isinstance(network, SuperPointLite)
    assert network.extract(torch.rand(1, 1, 48, 64))[0].descriptors.shape[1] == 128


def test_points_of_a_pair_show_the_same_place(photographs: Path) -> None:
    recipe = pair_recipe(photographs)
    quiet = replace(recipe.data.light, brightness=0, contrast=0, gamma=1, shade=0, noise=0, blur_px=0, motion_px=0)
    recipe = replace(recipe, data=replace(recipe.data, light=quiet), loss=replace(recipe.loss, jitter_px=0))
    differences = []
    for index in range(10):
        example = PhotographPairs(recipe, 10)[index]
        first, second = (
            torch.nn.functional.grid_sample(
                image[None], (points / torch.tensor([63.0, 47.0]) * 2 - 1)[None, None], align_corners=True
            ).flatten()
            for image, points in zip(example["image"], example["points_xy"])
        )
        differences.append((first - second).abs()[example["valid"]])
    # edges of blocks are smeared differently by the two warps; within blocks the grey is the same
    assert torch.cat(differences).median() < 0.02


def test_an_example_is_the_same_whenever_it_is_asked_for() -> None:
    first, again = (Shapes(TINY.data, 3, 10)[7]["image"] for _ in range(2))
    assert torch.equal(first, again)


def test_photographs_without_labels_are_refused(tmp_path: Path, photographs: Path) -> None:
    save_labels(tmp_path / "other.npz", {}, "nothing")
    recipe = pair_recipe(photographs)
    recipe = replace(recipe, data=replace(recipe.data, labels=tmp_path / "other.npz"))
    with pytest.raises(TrainingError, match="none of its photographs"):
        PhotographPairs(recipe, 1)


def test_batch_norm_folds_away_without_changing_a_figure() -> None:
    torch.manual_seed(0)
    network = normalise(SuperPoint((8, 8, 8, 8, 8), 16))
    with torch.no_grad():
        for _ in range(3):
            network.train()(torch.rand(2, 1, 32, 32))
        image = torch.rand(1, 1, 32, 32)
        before = network.eval()(image)
        after = fold(network)(image)
    assert set(network.state_dict()) == set(SuperPoint((8, 8, 8, 8, 8), 16).state_dict())
    torch.testing.assert_close(before.logits, after.logits, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(before.descriptors, after.descriptors, atol=1e-4, rtol=1e-4)


def test_the_rate_rises_and_falls_to_a_hundredth() -> None:
    schedule = ScheduleRecipe(steps=100, warmup=10, learning_rate=1.0)
    rates = [learning_rate(schedule, step) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == 1.0
    assert rates[-1] < 0.02
    assert all(after <= before for before, after in itertools.pairwise(rates[10:]))


def test_a_rate_that_never_falls_is_the_same_however_long_the_training() -> None:
    short, long = (ScheduleRecipe(steps=steps, warmup=10, lowest=1.0) for steps in (100, 1000))
    assert [learning_rate(short, step) for step in range(100)] == [learning_rate(long, step) for step in range(100)]


def test_random_homographies_stay_within_their_bounds() -> None:
    rng = np.random.default_rng(0)
    config = WarpConfig(rotation_deg=30, scale=1.3, perspective=0, shift=0)
    for _ in range(50):
        homography = random_homography(rng, (64, 48), config)
        ends = carry(homography, np.array([[31.5, 23.5], [41.5, 23.5]]))
        np.testing.assert_allclose(ends[0], [31.5, 23.5], atol=1e-3)
        step = ends[1] - ends[0]
        assert abs(np.degrees(np.arctan2(step[1], step[0]))) <= 30.001
        assert 10 / 1.301 < np.linalg.norm(step) < 13.01


class Blobs(SuperPointLite):
    """Finds the bright pixels, whatever its weights."""

    def forward(self, image: torch.Tensor):  # type: ignore[no-untyped-def]
        features = super().forward(image)
        bright = torch.nn.functional.pixel_unshuffle(image, 8) * 20
        return features._replace(logits=torch.cat((bright, torch.full_like(bright[:, :1], 10.0)), 1))


def test_a_warp_that_shrinks_takes_the_mean_of_what_falls_into_a_pixel() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (96, 120), np.uint8)
    third = np.array([[1 / 3, 0, -1 / 3], [0, 1 / 3, -1 / 3], [0, 0, 1]])  # the middle of 3x3 pixels is one's middle
    assert shrinkage(third, (40, 32)) == pytest.approx(3.0)
    expected = image.reshape(32, 3, 40, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(warp(image, third, (40, 32)), expected, atol=1.0)  # two roundings
    np.testing.assert_array_equal(warp(image, np.eye(3), (120, 96)), image)


def test_a_piece_that_is_to_be_shrunk_still_shows_the_photograph() -> None:
    photograph, size = np.zeros((480, 640), np.uint8), (176, 160)
    third = np.array([[1 / 3, 0, 58.5], [0, 1 / 3, 53.0], [0, 0, 1]])
    shown = {
        zoom: np.mean([
            warped_area((640, 480), third @ cut(np.random.default_rng(seed), photograph, size, zoom), size).mean()
            for seed in range(20)
        ])
        for zoom in (1 / 3, 1.0)
    }  # fmt: skip
    # The tilt, by up to 10 degrees, leaves corners out; not knowing of the zoom leaves most of the view out.
    assert shown[1 / 3] > 0.85 and shown[1.0] < 0.7


def test_adaptation_finds_what_is_found_in_all_views(tmp_path: Path) -> None:
    image = np.zeros((96, 128), np.uint8)
    for x, y in ((30, 40), (90, 50), (64, 70)):
        image[y, x] = 255
    image = cv2.GaussianBlur(image, (0, 0), 1.2)
    image = np.asarray(image * (255 / image.max()), np.uint8)
    config = AdaptationConfig(warps=12)
    found = keypoints_of(adapted_scores(Blobs().eval(), image, config, [0]), config)
    best = found.keypoints_xy[:3]
    for place in ((30, 40), (90, 50), (64, 70)):
        assert np.linalg.norm(best - np.array(place), axis=1).min() < 0.5


def test_labelling_goes_on_where_it_stopped(tmp_path: Path, photographs: Path) -> None:
    config, out = AdaptationConfig(warps=3), tmp_path / "out.npz"
    torch.manual_seed(0)
    network = SuperPointLite().eval()
    assert label(network, photographs, out, config) == 2
    whole, origin = load_labels(out)
    save_labels(out, {"a.png": whole["a.png"]}, origin)
    label(network, photographs, out, config)
    np.testing.assert_array_equal(load_labels(out)[0]["b.png"].keypoints_xy, whole["b.png"].keypoints_xy)
    with pytest.raises(TrainingError, match="another network or configuration"):
        label(network, photographs, out, AdaptationConfig(warps=4))


def test_what_is_no_checkpoint_and_no_labels_is_said_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "noise.pt"
    path.write_bytes(b"noise" * 100)
    with pytest.raises(WeightsError, match="not a checkpoint of a training"):
        load_training(path)
    with pytest.raises(TrainingError, match="not a file of labels"):
        load_labels(path)
    with pytest.raises(WeightsError, match="no such checkpoint"):
        load_training(tmp_path / "none.pt")


def test_a_view_has_no_more_keypoints_than_it_has_room_for() -> None:
    area = np.ones((40, 50), np.bool_)
    area[:, 25:] = False
    points = np.array([[30.0, 10], [10, 10], [60, 10], [5, 5], [7, 20], [20, 39]])
    np.testing.assert_array_equal(strongest_inside(points, area, 500.0), [[10, 10], [5, 5]])
