from __future__ import annotations

import numpy as np
import pytest
import torch

from slamfront.models.superglue import SuperGlue
from tests.models import reference
from tests.models.reference import padded, random_points, seeded, stacked

LITE = {"dim": 32, "layers": 4, "encoder_channels": (8, 16)}
COUNTS = [(0, 0), (0, 5), (5, 0), (1, 1), (1, 6), (2, 1), (2, 2), (3, 40)]


def test_similarity_and_assignment_equal_the_equations() -> None:
    network = seeded(SuperGlue(**LITE))
    points0, points1 = random_points(20, 32, 1), random_points(27, 32, 2)
    similarity = reference.superglue_similarity(points0, points1, reference.weights_of(network))
    # float32 against float64, values of order one
    np.testing.assert_allclose(
        network.similarity(points0.batched(), points1.batched())[0].detach(), similarity, atol=1e-5
    )
    expected = reference.transport(similarity, 1.0, 100)
    np.testing.assert_allclose(network.match(points0, points1).log_assignment, expected, atol=5e-5)


def test_official_layout_has_339_tensors() -> None:
    state = SuperGlue().state_dict()
    assert len(state) == 339
    assert state["bin_score"].shape == ()
    assert state["gnn.layers.17.mlp.3.weight"].shape == (256, 512, 1)
    assert state["kenc.encoder.12.weight"].shape == (256, 256, 1)


@pytest.mark.parametrize(("count0", "count1"), COUNTS)
def test_any_number_of_keypoints_gives_an_assignment(count0: int, count1: int) -> None:
    found = seeded(SuperGlue(**LITE)).match(random_points(count0, 32, 1), random_points(count1, 32, 2))
    assert found.log_assignment.shape == (count0 + 1, count1 + 1)
    assert found.matches0.shape == found.scores0.shape == (count0,)
    assert found.matches1.shape == found.scores1.shape == (count1,)
    assert not torch.isnan(found.log_assignment).any()


def test_the_same_image_twice_matches_itself() -> None:
    points = random_points(40, 32, 5)
    network = seeded(SuperGlue(**LITE))
    with torch.no_grad():  # without positions and its layers' updates the network compares descriptors
        for perceptron in (network.kenc.encoder, *(layer.mlp for layer in network.gnn.layers)):
            perceptron[-1].weight.zero_()
            perceptron[-1].bias.zero_()
        network.final_proj.weight.copy_(12 * torch.eye(32)[:, :, None])
    assert network.match(points, points).matches0.tolist() == list(range(40))


def test_a_padded_batch_gives_what_each_pair_gives_alone() -> None:
    network = seeded(SuperGlue(**LITE))
    pairs = [(random_points(count0, 32, count0), random_points(count1, 32, 50 + count1)) for count0, count1 in COUNTS]
    together = network(
        stacked(*(padded(p, 9) if len(p.scores) < 9 else p for p, _ in pairs)),
        stacked(*(padded(p, 45) for _, p in pairs)),
    )
    for (points0, points1), joint in zip(pairs, together):
        count0, count1 = len(points0.scores), len(points1.scores)
        inner = joint[:count0, :count1]
        alone = network.match(points0, points1).log_assignment
        torch.testing.assert_close(inner.detach(), alone[:-1, :-1], atol=5e-5, rtol=0)
        assert torch.isneginf(joint[count0:9]).all() and torch.isneginf(joint[:, count1:45]).all()


def test_padding_stays_out_of_the_training_statistics() -> None:
    points = random_points(12, 32, 1)
    without, among = seeded(SuperGlue(**LITE)).train(), seeded(SuperGlue(**LITE)).train()
    without(points.batched(), points.batched())
    among(padded(points, 20).batched(), padded(points, 20).batched())
    for name, tensor in without.state_dict().items():
        torch.testing.assert_close(among.state_dict()[name], tensor, msg=name)


def test_gradients_reach_every_weight_through_a_padded_batch() -> None:
    network = seeded(SuperGlue(**LITE)).train()
    points0 = stacked(padded(random_points(6, 32, 1), 8), padded(random_points(8, 32, 2), 8))
    points1 = stacked(padded(random_points(0, 32, 3), 9), padded(random_points(7, 32, 4), 9))
    log_assignment = network(points0, points1)
    (-log_assignment[1, :7, :7].diagonal().mean() - log_assignment[0, :6, -1].mean()).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name
        # a key's bias shifts all similarities of a query alike, which the softmax takes out again
        assert "proj.1.bias" in name or parameter.grad.abs().sum() > 0, name


def test_missing_detection_scores_are_named() -> None:
    points = random_points(3, 32, 1)._replace(scores=None)
    with pytest.raises(ValueError, match="detection scores"):
        SuperGlue(**LITE).match(points, points)


def test_bfloat16_gives_nearly_the_same_assignment_in_float32() -> None:
    points0, points1 = random_points(20, 32, 1), random_points(27, 32, 2)
    exact = seeded(SuperGlue(**LITE)).match(points0, points1)
    half = seeded(SuperGlue(**LITE)).to(torch.bfloat16).match(points0, points1)
    assert half.log_assignment.dtype == torch.float32
    # 8 bits of mantissa through four layers
    torch.testing.assert_close(half.log_assignment, exact.log_assignment, atol=0.1, rtol=0)
