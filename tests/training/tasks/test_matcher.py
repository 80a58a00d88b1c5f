from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from slamfront.config import dump, load
from slamfront.errors import OutputError, TrainingError
from slamfront.models.assignment import ImagePoints, mutual_matches
from slamfront.models.lightglue import LightGlue
from slamfront.models.superglue import SuperGlue
from slamfront.models.superpoint import SuperPointLite
from slamfront.training.checkpoints import load_training
from slamfront.training.data.correspondence import IGNORED, UNMATCHED
from slamfront.training.data.feature_pairs import (
    FeaturePair,
    FeaturePairs,
    MixedFeaturePairs,
    extract_pair,
    lit_pairs,
    photograph_pairs,
    save_feature_pairs,
)
from slamfront.training.data.homographies import carry
from slamfront.training.loop import CHECKPOINT, FIGURES, train
from slamfront.training.recipe import (
    DataRecipe,
    NetworkRecipe,
    PairsRecipe,
    PhotometricConfig,
    Recipe,
    ReportRecipe,
    ScheduleRecipe,
    WarpConfig,
)
from slamfront.training.tasks.confidence import confidence_loss
from slamfront.training.tasks.initialisation import begin_with_similarity
from slamfront.training.tasks.matcher import TrainedMatcher, assignment_loss, new_matcher
from slamfront.training.tasks.registry import network_of, new_model

torch.set_num_threads(1)  # threads only wait for each other on sets this small

COUNT, DIM = 24, 128


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """A file of pairs whose second image shows the first one's points shifted, a third of them replaced by others."""
    rng = np.random.default_rng(0)
    made = []
    for _ in range(8):
        descriptors = rng.standard_normal((2, COUNT, DIM))
        keypoints = rng.uniform(10, 90, (2, COUNT, 2))
        order = rng.permutation(COUNT)
        same = np.arange(COUNT) < COUNT * 2 // 3
        descriptors[1, order[same]] = descriptors[0, same] + rng.normal(0, 0.7, (same.sum(), DIM))
        keypoints[1, order[same]] = keypoints[0, same] + (5, 3)
        labels = np.full((2, COUNT), UNMATCHED, np.int16)
        labels[0, same], labels[1, order[same]] = order[same], np.flatnonzero(same)
        unit = descriptors / np.linalg.norm(descriptors, axis=2, keepdims=True)
        scores = np.full((2, COUNT), 0.5, np.float32)
        made.append(FeaturePair(keypoints.astype(np.float32), scores, unit.astype(np.float16), (COUNT, COUNT), labels))
    save_feature_pairs(tmp_path / "pairs.npz", made, (100, 100), "by hand")
    return tmp_path / "pairs.npz"


def recipe_of(pairs: Path, kind: str = "lightglue-lite", task: str = "matcher", steps: int = 4) -> Recipe:
    return Recipe(
        task=task,  # type: ignore[arg-type]
        network=NetworkRecipe(kind),  # type: ignore[arg-type]
        data=DataRecipe(workers=0),
        pairs=PairsRecipe((pairs,), (1.0,), (pairs,), COUNT),
        schedule=ScheduleRecipe(steps=steps, batch=4, warmup=2, learning_rate=5e-4),
        report=ReportRecipe(log_every=2, validate_every=steps, save_every=steps),
    )


def rows_in_another_order() -> tuple[ImagePoints, ImagePoints, torch.Tensor]:
    """Twenty keypoints, the same in another order and elsewhere, and the order."""
    torch.manual_seed(0)
    descriptors = torch.nn.functional.normalize(torch.randn(20, 32), dim=1)
    order = torch.randperm(20)
    first, second = (
        ImagePoints(torch.rand(20, 2) * 100, given, torch.tensor([100.0, 100.0]), torch.rand(20))
        for given in (descriptors, descriptors[order])
    )
    return first, second, order


def test_a_fresh_lightglue_matches_by_similarity() -> None:
    first, second, order = rows_in_another_order()
    network = begin_with_similarity(LightGlue(dim=32, layers=2, heads=2)).eval()
    for (x0, x1), assignment in zip(network.states(first.batched(), second.batched()), network.log_assignment):
        found = mutual_matches(assignment(x0, x1), threshold=0.0)
        assert torch.equal(order[found.matches0[0]], torch.arange(20))


def test_a_fresh_superglue_matches_by_similarity_and_leaves_strangers_alone() -> None:
    first, second, order = rows_in_another_order()
    second.descriptors[:5] = torch.nn.functional.normalize(torch.randn(5, 32), dim=1)
    network = begin_with_similarity(SuperGlue(dim=32, layers=4, heads=2)).eval()
    shown = order.argsort()  # where each keypoint of the first image is in the second
    found = network.match(first, second)
    assert torch.equal(found.matches0, torch.where(shown < 5, -1, shown))


def test_the_loss_is_that_of_the_equation() -> None:
    log_assignment = torch.tensor([[[0.7, 0.1, 0.2], [0.1, 0.2, 0.6], [0.1, 0.5, 1.0]]]).log()
    labels0, labels1 = torch.tensor([[0, UNMATCHED]]), torch.tensor([[0, IGNORED]])
    loss = assignment_loss(log_assignment, labels0, labels1)
    assert loss == pytest.approx(-(np.log(0.7) + np.log(0.6) / 2), rel=1e-6)


def test_ignored_and_padded_keypoints_weigh_nothing() -> None:
    log_assignment = torch.full((1, 3, 3), -torch.inf, requires_grad=True)
    labels = torch.full((1, 2), IGNORED)
    loss = assignment_loss(log_assignment, labels, labels)
    loss.backward()
    assert loss == 0
    assert log_assignment.grad is not None and not log_assignment.grad.any()


def test_confidence_is_learned_from_real_keypoints_alone() -> None:
    confidence = torch.tensor([[0.9, 0.2, 0.5]])
    loss = confidence_loss(confidence, torch.tensor([[True, False, True]]), torch.tensor([[True, True, False]]))
    assert loss == pytest.approx(-(np.log(0.9) + np.log(0.8)) / 2, rel=1e-6)


def test_matching_gets_better_by_training(pairs: Path, tmp_path: Path) -> None:
    recipe = recipe_of(pairs, steps=16)
    recipe = replace(recipe, schedule=replace(recipe.schedule, learning_rate=1e-4))
    figures = train(recipe, tmp_path / "run")
    lines = [json.loads(line) for line in (tmp_path / "run" / FIGURES).read_text().splitlines()]
    losses = [line["layer 4"] for line in lines if line["kind"] == "training"]
    assert losses[-1] < losses[0]
    assert figures["pairs f1"] > 0.9  # which it begins with: similarity alone tells these apart


def test_layers_computed_again_give_the_same_gradients(pairs: Path) -> None:
    recipe = recipe_of(pairs)
    gradients = []
    for again in (False, True):
        model = new_model(replace(recipe, schedule=replace(recipe.schedule, gradient_checkpointing=again)))
        points = [
            ImagePoints(torch.rand(1, 9, 2, generator=torch.manual_seed(view)), torch.ones(1, 9, DIM), torch.ones(1, 2))
            for view in (0, 1)
        ]
        sum(assignment.sum() for assignment, _, _ in model(*points)).backward()
        gradients.append([p.grad for p in model.parameters() if p.grad is not None])
    assert len(gradients[0]) == len(gradients[1]) > 0
    assert all(torch.equal(one, other) for one, other in zip(*gradients))


def test_confidences_learn_while_the_rest_stays(pairs: Path, tmp_path: Path) -> None:
    train(recipe_of(pairs), tmp_path / "first")
    start = tmp_path / "first" / CHECKPOINT
    recipe = recipe_of(pairs, task="confidence")
    recipe = replace(recipe, network=replace(recipe.network, start=start))
    figures = train(recipe, tmp_path / "second")
    assert 1 <= figures["pairs layers"] <= 4
    before, after = (network_of(str(path)).state_dict() for path in (start, tmp_path / "second" / CHECKPOINT))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed and all(name.startswith("token_confidence") for name in changed)


def test_a_matcher_goes_on_from_weights_by_name(pairs: Path) -> None:
    recipe = recipe_of(pairs)
    recipe = replace(recipe, network=replace(recipe.network, start=Path("lightglue-lite")))
    shipped = network_of("lightglue-lite").state_dict()
    begun = new_model(recipe).network.state_dict()
    assert begun.keys() == shipped.keys() and all(torch.equal(begun[name], shipped[name]) for name in shipped)
    official = replace(recipe, network=replace(recipe.network, kind="lightglue"))
    with pytest.raises(TrainingError, match="holds no lightglue to begin with"):
        new_model(official)


def test_frozen_layers_stay_while_those_behind_them_learn(pairs: Path, tmp_path: Path) -> None:
    recipe = recipe_of(pairs)
    shallow = replace(recipe, network=replace(recipe.network, layers=2))
    train(shallow, tmp_path / "shallow")
    start = tmp_path / "shallow" / CHECKPOINT
    deep = replace(recipe, network=replace(recipe.network, start=start, layers=3, frozen_layers=2))
    train(deep, tmp_path / "deep")
    before, after = (network_of(str(path)).state_dict() for path in (start, tmp_path / "deep" / CHECKPOINT))
    assert all(torch.equal(after[name], before[name]) for name in before)
    learned = {name.split(".")[0] for name in after.keys() - before.keys() if "confidence" not in name}
    assert learned == {"transformers", "log_assignment"}
    assert after["transformers.2.cross_attn.ffn.3.weight"].any()


def test_an_extractor_does_not_go_on_from_weights_that_lack_batch_norm(pairs: Path) -> None:
    recipe = recipe_of(pairs, "superpoint-lite", "superpoint")
    with pytest.raises(TrainingError, match="goes on from a training's checkpoint"):
        new_model(replace(recipe, network=replace(recipe.network, start=Path("superpoint-lite"))))


def test_superglue_learns_through_its_transport(pairs: Path) -> None:
    network = SuperGlue(dim=DIM, layers=2, encoder_channels=(8,), sinkhorn_iterations=5)
    model = TrainedMatcher(network)
    batch = FeaturePairs(pairs, COUNT)[0]
    first, second = (
        ImagePoints(
            batch["keypoints_xy"][view, None], batch["descriptors"][view, None], batch["image_size"][None],
            batch["scores"][view, None], batch["mask"][view, None],
        )
        for view in (0, 1)
    )  # fmt: skip
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    losses = []
    for _ in range(8):
        loss = assignment_loss(model(first, second)[0][0], batch["labels"][None, 0], batch["labels"][None, 1])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert all(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize(
    ("kind", "task", "told"),
    [
        ("superpoint", "matcher", "is no matcher"),
        ("superglue", "confidence", "for lightglue"),
        ("lightglue-lite", "confidence", "needs network.start"),
        ("lightglue-lite", "superpoint", "finds no keypoints"),
    ],
)
def test_a_recipe_that_makes_no_sense_is_refused(pairs: Path, tmp_path: Path, kind: str, task: str, told: str) -> None:
    with pytest.raises(TrainingError, match=told):
        train(recipe_of(pairs, kind, task), tmp_path)


@pytest.mark.parametrize(
    ("kind", "layers", "frozen", "told"),
    [("superglue", 4, 0, "alone"), ("lightglue", 1, 2, "below 1"), ("lightglue-lite", None, 4, "below 4")],
)
def test_layers_that_a_matcher_cannot_have_are_refused(kind: str, layers: int | None, frozen: int, told: str) -> None:
    with pytest.raises(TrainingError, match=told):
        new_matcher(NetworkRecipe(kind, None, layers, frozen))  # type: ignore[arg-type]


def test_files_that_hold_no_pairs_are_refused(pairs: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no such file"):
        FeaturePairs(tmp_path / "none.npz", 8)
    damaged = tmp_path / "damaged.npz"
    damaged.write_bytes(pairs.read_bytes()[:3000])
    with pytest.raises(TrainingError, match="damaged"):
        FeaturePairs(damaged, 8)
    with pytest.raises(TrainingError, match="as many"):
        MixedFeaturePairs(PairsRecipe((pairs,), (1.0, 2.0)), 0, 4)
    with pytest.raises(OutputError, match="cannot be written"):
        save_feature_pairs(tmp_path / "none" / "pairs.npz", [], (4, 4), "")


def test_fewer_keypoints_leave_out_partners_that_are_no_longer_there(pairs: Path) -> None:
    whole, few = FeaturePairs(pairs, COUNT)[0], FeaturePairs(pairs, 6)[0]
    assert few["labels"].shape == (2, 6)
    lost = whole["labels"][:, :6] >= 6
    assert lost.any() and (few["labels"][lost] == IGNORED).all()
    assert torch.equal(few["labels"][~lost], whole["labels"][:, :6][~lost])


def test_exchanged_pairs_carry_their_labels_along(pairs: Path) -> None:
    examples = [MixedFeaturePairs(PairsRecipe((pairs,), (1.0,)), 0, 8)[i] for i in range(8)]
    for example in examples:
        labels0, labels1 = example["labels"]
        rows = (labels0 >= 0).nonzero().squeeze(1)
        assert torch.equal(labels1[labels0[rows]], rows)
        similarity = (example["descriptors"][0, rows] * example["descriptors"][1, labels0[rows]]).sum(1)
        assert similarity.min() > 0.5  # noise of .7 leaves .8 on average


def test_photographs_give_pairs_with_true_labels(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("a.png", "b.png"):
        blocks = rng.integers(0, 255, (14, 18), np.uint8)
        cv2.imwrite(str(tmp_path / name), cv2.resize(blocks, None, fx=10, fy=10, interpolation=cv2.INTER_NEAREST))
    made = list(photograph_pairs(tmp_path, 6, 0, (96, 80), WarpConfig(), PhotometricConfig()))
    network = SuperPointLite((4, 4, 4, 4), 8).eval()
    for pair in made:
        found = extract_pair(network, pair, 40)
        rows = np.flatnonzero(found.labels[0] >= 0)
        if pair.second_from_first is None:
            assert not len(rows)
            continue
        carried = carry(pair.second_from_first, found.keypoints_xy[0, rows].astype(float))
        assert (np.linalg.norm(carried - found.keypoints_xy[1, found.labels[0, rows]], axis=1) < 3).all()
    again = list(photograph_pairs(tmp_path, 6, 0, (96, 80), WarpConfig(), PhotometricConfig()))
    assert all(np.array_equal(one.images, other.images) for one, other in zip(made, again))
    assert list(lit_pairs([], 3, 0, PhotometricConfig())) == []


def test_a_recipe_of_a_matcher_can_be_written_and_read(pairs: Path, tmp_path: Path) -> None:
    recipe = recipe_of(pairs)
    (tmp_path / "recipe.yaml").write_text(dump(recipe))
    assert load(tmp_path / "recipe.yaml", Recipe) == recipe


@pytest.mark.slow
def test_two_processes_learn_what_one_does(pairs: Path, tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(dump(recipe_of(pairs)))
    train(recipe_of(pairs), tmp_path / "one")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "slamfront.training"]
    subprocess.run([*torchrun, "recipe.yaml", "two"], cwd=tmp_path, check=True, capture_output=True, timeout=120)
    one, two = (load_training(tmp_path / name / CHECKPOINT).model for name in ("one", "two"))
    # sums over halves of a batch round differently, and Adam's first steps carry that on
    assert all(torch.allclose(one[name], two[name], atol=1e-3) for name in one)
