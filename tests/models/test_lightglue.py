from __future__ import annotations

import numpy as np
import pytest
import torch

from slamfront.models.lightglue import LightGlue, pruning_minimum
from tests.models import reference
from tests.models.reference import padded, random_points, seeded, seeded_state, stacked

COUNTS = [(0, 0), (0, 5), (5, 0), (1, 1), (1, 6), (2, 1), (2, 2), (3, 40)]


def lite(input_dim: int = 32) -> LightGlue:
    return seeded(LightGlue(dim=32, layers=4, heads=2, input_dim=input_dim))


@pytest.mark.parametrize("input_dim", [32, 24])
def test_states_and_assignments_of_every_layer_equal_the_equations(input_dim: int) -> None:
    network = lite(input_dim)
    weights = reference.weights_of(network)
    points0, points1 = random_points(20, input_dim, 1), random_points(27, input_dim, 2)
    states = reference.lightglue_states(points0, points1, weights, heads=2)
    found = list(network.states(points0.batched(), points1.batched()))
    assert len(found) == len(states) == 4
    for layer, ((x0, x1), (expected0, expected1)) in enumerate(zip(found, states)):
        # float32 against float64, values of order one
        np.testing.assert_allclose(x0[0].detach(), expected0, atol=2e-5)
        np.testing.assert_allclose(x1[0].detach(), expected1, atol=2e-5)
        expected = reference.lightglue_assignment(expected0, expected1, weights, layer)
        # matchabilities are of order 20 and amplify the states' rounding
        np.testing.assert_allclose(network.log_assignment[layer](x0, x1)[0].detach(), expected, atol=2e-4)


def test_early_exit_happens_at_the_first_layer_where_enough_keypoints_are_settled() -> None:
    network = lite()
    weights = reference.weights_of(network)
    points0, points1 = random_points(20, 32, 1), random_points(27, 32, 2)
    states = reference.lightglue_states(points0, points1, weights, heads=2)
    for wanted in (0.2, 0.4, 0.6, 0.999):
        stop = 4
        for layer in reversed(range(3)):
            prefix = f"token_confidence.{layer}.token.0"
            logits = np.concatenate(states[layer]) @ weights[f"{prefix}.weight"][0] + weights[f"{prefix}.bias"]
            settled = 1 / (1 + np.exp(-logits)) >= 0.8 + 0.1 * np.exp(-4 * layer / 4)
            if settled.mean() > wanted:
                stop = layer + 1
        found = network.match(points0, points1, depth_confidence=wanted, width_confidence=None)
        assert found.stop_layer == stop
        expected = reference.lightglue_assignment(*states[stop - 1], weights, stop - 1)
        np.testing.assert_allclose(found.log_assignment, expected, atol=2e-4)


def test_pruned_keypoints_are_unmatched_and_counted_up_to_their_last_layer() -> None:
    network = lite()
    points0, points1 = random_points(60, 32, 1), random_points(70, 32, 2)
    found = network.match(points0, points1, threshold=0.0, depth_confidence=None, width_confidence=0.6)
    assert found.stop_layer == 4
    for matches, layers, left in ((found.matches0, found.prune0, 0), (found.matches1, found.prune1, 1)):
        assert 1 <= layers.min() < layers.max() <= 4
        assert (matches[layers < 4] == -1).all()
        assert (layers == 4).sum() == found.log_assignment.shape[left] - 1
    matched = found.matches0 >= 0
    assert matched.any()
    assert (found.matches1[found.matches0[matched]] == torch.nonzero(matched)[:, 0]).all()


def test_small_sets_are_not_pruned() -> None:
    points0, points1 = random_points(60, 32, 1), random_points(20, 32, 2)
    found = lite().match(points0, points1, depth_confidence=None, width_confidence=0.6, pruning_above=30)
    assert found.prune0.min() < 4
    assert (found.prune1 == 4).all()


def test_pruning_all_keypoints_ends_without_matches() -> None:
    network = lite()
    with torch.no_grad():
        for head in network.log_assignment:
            head.matchability.bias.fill_(-1e4)
    found = network.match(random_points(9, 32, 1), random_points(7, 32, 2), depth_confidence=None)
    assert (found.matches0 == -1).all() and (found.matches1 == -1).all()
    assert found.stop_layer == 1


def test_official_layout_has_251_tensors_of_the_authors_shapes() -> None:
    state = LightGlue().state_dict()
    assert len(state) == 251
    assert state["posenc.Wr.weight"].shape == (32, 2)
    assert state["transformers.8.self_attn.Wqkv.weight"].shape == (768, 256)
    assert state["token_confidence.7.token.0.weight"].shape == (1, 256)
    assert "input_proj.weight" not in state


@pytest.mark.parametrize("with_thresholds", [True, False])
def test_released_names_load_strictly_with_or_without_thresholds(with_thresholds: bool) -> None:
    official = LightGlue()
    state = seeded_state(official)
    released = {}
    for name, tensor in state.items():
        if name.startswith("transformers."):
            _, layer, block, rest = name.split(".", 3)
            name = f"{block}.{layer}.{rest}"
        released[name] = tensor
    assert "cross_attn.3.to_qk.weight" in released
    if with_thresholds:
        released["confidence_thresholds"] = torch.rand(9)
    official.load_state_dict(released)
    for name, tensor in official.state_dict().items():
        assert torch.equal(tensor, state[name])


@pytest.mark.parametrize(("count0", "count1"), COUNTS)
def test_any_number_of_keypoints_gives_an_assignment(count0: int, count1: int) -> None:
    points0, points1 = random_points(count0, 32, 1), random_points(count1, 32, 2)
    found = lite().match(points0, points1, depth_confidence=None, width_confidence=None)
    assert found.log_assignment.shape == (count0 + 1, count1 + 1)
    assert not torch.isnan(found.log_assignment).any()
    for adaptive in (found, lite().match(points0, points1)):
        assert adaptive.matches0.shape == adaptive.scores0.shape == adaptive.prune0.shape == (count0,)
        assert adaptive.matches1.shape == adaptive.scores1.shape == adaptive.prune1.shape == (count1,)


def test_a_padded_batch_gives_what_each_pair_gives_alone() -> None:
    network = lite()
    pairs = [(random_points(count0, 32, count0), random_points(count1, 32, 50 + count1)) for count0, count1 in COUNTS]
    together = network(stacked(*(padded(p, 9) for p, _ in pairs)), stacked(*(padded(p, 45) for _, p in pairs)))
    for (points0, points1), joint in zip(pairs, together):
        count0, count1 = len(points0.scores), len(points1.scores)
        assert torch.isneginf(joint[count0:9]).all() and torch.isneginf(joint[:, count1:45]).all()
        if count0 and count1:
            alone = network(points0.batched(), points1.batched())[0]
            real = joint[[*range(count0), 9]][:, [*range(count1), 45]]
            torch.testing.assert_close(real, alone, atol=2e-4, rtol=0)


def test_matches_do_not_depend_on_where_the_image_is_shifted_to() -> None:
    network = lite()
    points0, points1 = random_points(15, 32, 1), random_points(15, 32, 2)
    shifted = points0._replace(keypoints_xy=points0.keypoints_xy + torch.tensor([37.0, -12.0]))
    # positions enter through differences within an image alone
    torch.testing.assert_close(
        network(shifted.batched(), points1.batched()), network(points0.batched(), points1.batched()), atol=1e-3, rtol=0
    )


def test_gradients_reach_every_weight_through_a_padded_batch() -> None:
    network = lite().train()
    points0 = stacked(padded(random_points(6, 32, 1), 8), padded(random_points(8, 32, 2), 8))
    points1 = stacked(padded(random_points(0, 32, 3), 9), padded(random_points(7, 32, 4), 9))
    loss = torch.zeros(())
    for layer, (x0, x1) in enumerate(network.states(points0, points1)):
        log_assignment = network.log_assignment[layer](x0, x1, points0.mask, points1.mask)
        loss = loss - log_assignment[1, :7, :7].diagonal().mean() - log_assignment[0, :6, -1].mean()
        if layer < 3:
            loss = loss + network.token_confidence[layer](x0)[points0.mask].mean()
    loss.backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().sum() > 0, name


def test_bfloat16_gives_nearly_the_same_states() -> None:
    points0, points1 = random_points(20, 32, 1).batched(), random_points(27, 32, 2).batched()
    (*_, (exact, _)), (*_, (half, _)) = (
        lite().states(points0, points1),
        lite().to(torch.bfloat16).states(points0, points1),
    )
    # 8 bits of mantissa through four layers
    assert torch.cosine_similarity(exact, half.float(), dim=2).min() > 0.995
    assert lite().to(torch.bfloat16)(points0, points1).dtype == torch.float32


def test_pruning_pays_only_for_many_keypoints_on_an_accelerator() -> None:
    assert pruning_minimum("cpu") == 0
    assert pruning_minimum("cuda:0") == 1024
