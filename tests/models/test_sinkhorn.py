from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from slamfront.models import sinkhorn
from slamfront.models.sinkhorn import dustbin_marginals, log_optimal_transport, log_sinkhorn, with_dustbins
from tests.models import reference

BIN = torch.tensor(1.0)


def similarities(batch: int, count0: int, count1: int, spread: float = 3.0, seed: int = 0) -> torch.Tensor:
    return spread * torch.randn(batch, count0, count1, generator=torch.Generator().manual_seed(seed))


@given(st.integers(1, 12), st.integers(1, 12), st.floats(0.1, 8.0), st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_every_keypoint_of_a_converged_plan_has_mass_one(count0: int, count1: int, spread: float, seed: int) -> None:
    similarity = similarities(1, count0, count1, spread, seed).double()
    plan = log_optimal_transport(similarity, BIN.double(), 2000)[0].exp()
    # Sinkhorn converges linearly; after 2000 iterations these sizes are within 1 % even where the spread is large
    np.testing.assert_allclose(plan[:-1].sum(dim=1), 1, atol=1e-2)
    np.testing.assert_allclose(plan[:, :-1].sum(dim=0), 1, atol=1e-9)
    assert plan[-1].sum() == pytest.approx(count1, abs=1e-1)
    assert plan[:, -1].sum() == pytest.approx(count0, abs=1e-9)


@pytest.mark.parametrize("iterations", [1, 2, 100])
@pytest.mark.parametrize("spread", [1.0, 10.0, 60.0])
def test_plan_equals_the_plain_algorithm(iterations: int, spread: float) -> None:
    similarity = similarities(2, 9, 14, spread)
    plans = log_optimal_transport(similarity, BIN, iterations)
    for one, plan in zip(similarity, plans):
        expected = reference.transport(one.double().numpy(), 1.0, iterations)
        # float32 over logarithms as large as the spread
        np.testing.assert_allclose(plan, expected, atol=2e-5 * max(spread, 5) * 5)


def test_plain_numbers_and_logarithms_give_the_same_plan_and_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = similarities(2, 31, 41, seed=1)
    found = []
    for most in (sinkhorn._MOST, -np.inf):  # with none to trust all run on logarithms
        monkeypatch.setattr(sinkhorn, "_MOST", most)
        similarity, bin_score = similarities(2, 30, 40).requires_grad_(), BIN.clone().requires_grad_()
        plan = log_optimal_transport(similarity, bin_score, 100)
        (plan * weights).sum().backward()
        found.append((plan.detach(), similarity.grad, bin_score.grad))
    (fast, *by_fast), (exact, *by_exact) = found
    torch.testing.assert_close(fast, exact, atol=2e-5, rtol=0)
    for one, other in zip(by_fast, by_exact):
        torch.testing.assert_close(one, other, atol=2e-3, rtol=1e-3)  # float32, over a hundred iterations


def test_scores_beyond_the_range_of_plain_numbers_still_give_the_exact_plan() -> None:
    scores = torch.tensor([[[0.0, 300.0, -300.0], [200.0, 0.0, 400.0], [-500.0, 90.0, 0.0]]])
    marginals = torch.full((1, 3), 1 / 3).log()
    plan = log_sinkhorn(scores, marginals, marginals, 50)
    exact = log_sinkhorn(scores.double().requires_grad_(), marginals.double(), marginals.double(), 50).detach()
    # float32 resolves numbers around 500 to 3e-5, fifty times over
    torch.testing.assert_close(plan.double(), exact, atol=5e-3, rtol=0)


def test_gradients_agree_with_finite_differences() -> None:
    similarity = similarities(1, 3, 4).double().requires_grad_()
    bin_score = BIN.double().requires_grad_()
    assert torch.autograd.gradcheck(lambda s, b: log_optimal_transport(s, b, 20), (similarity, bin_score))


@pytest.mark.parametrize("with_gradient", [False, True])
def test_padding_changes_nothing_for_the_real_keypoints(with_gradient: bool) -> None:
    similarity = similarities(1, 5, 7)
    padded = torch.cat((similarity, 9 * torch.ones(1, 3, 7)), dim=1)
    padded = torch.cat((padded, 9 * torch.ones(1, 8, 2)), dim=2).requires_grad_(with_gradient)
    mask0, mask1 = torch.arange(8)[None] < 5, torch.arange(9)[None] < 7
    plan = log_optimal_transport(padded, BIN, 100, mask0, mask1)[0]
    alone = log_optimal_transport(similarity, BIN, 100)[0]
    rows, columns = [*range(5), 8], [*range(7), 9]
    torch.testing.assert_close(plan.detach()[rows][:, columns], alone, atol=2e-5, rtol=0)
    assert plan[5:8].max() < -1e4 and plan[:, 7:9].max() < -1e4
    if with_gradient:
        plan[rows][:, columns].sum().backward()
        assert torch.isfinite(padded.grad).all()
        assert (padded.grad[0, 5:] == 0).all()


def test_an_image_without_keypoints_sends_the_other_to_the_dustbin() -> None:
    nothing, all_real = torch.zeros(1, 4, dtype=torch.bool), torch.ones(1, 6, dtype=torch.bool)
    plan = log_optimal_transport(similarities(1, 4, 6), BIN, 100, nothing, all_real)[0]
    torch.testing.assert_close(plan[-1, :-1].exp(), torch.ones(6), atol=1e-3, rtol=0)


def test_dustbins_can_take_the_whole_other_set() -> None:
    log_rows, log_columns, log_total = dustbin_marginals(similarities(1, 3, 5))
    torch.testing.assert_close(log_rows.exp()[0], torch.tensor([1.0, 1, 1, 5]) / 8)
    torch.testing.assert_close(log_columns.exp()[0], torch.tensor([1.0, 1, 1, 1, 1, 3]) / 8)
    torch.testing.assert_close(log_total.exp(), torch.tensor([[8.0]]))
    assert with_dustbins(similarities(2, 3, 5), BIN)[:, -1].eq(1).all()
