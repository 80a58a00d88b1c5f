from __future__ import annotations

import pytest
import torch

from slamfront.models.detection import refine_subpixel, score_map
from slamfront.training.tasks.losses import (
    batch_softmax_loss,
    detector_loss,
    detector_targets,
    dual_softmax_loss,
    hinge_loss,
    reprojection_consistency_loss,
    sample_at,
)

NOWHERE = [float("nan")] * 2


def test_targets_of_a_cell_are_probabilities() -> None:
    points = torch.tensor([[[10.3, 12.7], [7.6, 7.6], [8.0, 8.0], NOWHERE]])
    targets = detector_targets(points, (32, 24))
    assert targets.shape == (1, 65, 3, 4)
    assert (targets >= 0).all()
    torch.testing.assert_close(targets.sum(1), torch.ones(1, 3, 4))
    assert targets[0, 64, 2, 3] == 1  # an empty cell is all dustbin


@pytest.mark.parametrize("point", [[10.3, 12.7], [11.0, 11.0], [9.51, 13.49]])
def test_a_parabola_finds_the_exact_place_of_a_target(point: list[float]) -> None:
    targets = detector_targets(torch.tensor([[point]]), (32, 24))
    scores = score_map(targets.clamp_min(1e-12).log())[0]
    peak = torch.tensor([[scores.max(0).values.argmax(), scores.max(1).values.argmax()]])
    # a Gaussian's logarithm is a parabola, so that only rounding is left
    torch.testing.assert_close(refine_subpixel(scores, peak)[0], torch.tensor(point), atol=1e-3, rtol=0)


def test_the_detector_loss_is_least_for_the_targets_themselves() -> None:
    targets = detector_targets(torch.tensor([[[10.3, 12.7]]]), (32, 24))
    seen = torch.ones(1, 24, 32, dtype=torch.bool)
    best = detector_loss(targets.clamp_min(1e-12).log(), targets, seen)
    assert best < detector_loss(targets.clamp_min(1e-12).log() * 0.5, targets, seen)
    assert best < detector_loss(torch.zeros_like(targets), targets, seen)


def test_cells_that_are_not_seen_do_not_count() -> None:
    targets = detector_targets(torch.tensor([[[10.3, 12.7]]]), (32, 24))
    seen = torch.ones(1, 24, 32, dtype=torch.bool)
    seen[:, 8:16, 8:16] = False
    wrong = torch.zeros_like(targets)
    wrong[:, 64] = 30.0  # right wherever nothing is
    assert detector_loss(wrong, targets, seen) < 1e-6
    assert detector_loss(wrong, targets, torch.zeros_like(seen)) == 0


def test_descriptors_are_read_where_cells_have_their_centres() -> None:
    maps = torch.nn.functional.normalize(torch.randn(1, 6, 3, 4, generator=torch.Generator().manual_seed(0)), dim=1)
    sampled = sample_at(maps, torch.tensor([[[3.5, 3.5], [19.5, 11.5]]]), corners=False)
    torch.testing.assert_close(sampled[0], torch.stack((maps[0, :, 0, 0], maps[0, :, 1, 2])))


def test_the_dual_softmax_prefers_true_pairs_and_forgives_neighbours() -> None:
    own = torch.eye(4)[None]
    places = torch.tensor([[[0.0, 0], [40, 0], [80, 0], [120, 0]]])
    valid = torch.ones(1, 4, dtype=torch.bool)
    temperature = torch.tensor(0.1)
    right = dual_softmax_loss(own, own, places, valid, temperature)
    assert right < dual_softmax_loss(own, own[:, [1, 0, 2, 3]], places, valid, temperature)
    # two that look alike cost something, unless they are the same place
    alike = own[:, [0, 0, 2, 3]]
    apart = dual_softmax_loss(alike, alike, places, valid, temperature)
    places[0, 1, 0] = 5
    assert dual_softmax_loss(alike, alike, places, valid, temperature) < 0.1 * apart


def test_pairs_that_are_not_valid_change_nothing() -> None:
    generator = torch.Generator().manual_seed(0)
    first, second = (torch.nn.functional.normalize(torch.randn(1, 5, 8, generator=generator), dim=2) for _ in range(2))
    places, valid = 100 * torch.rand(1, 5, 2, generator=generator), torch.tensor([[True, True, True, False, False]])
    whole = dual_softmax_loss(first, second, places, valid, torch.tensor(0.1))
    part = dual_softmax_loss(first[:, :3], second[:, :3], places[:, :3], valid[:, :3], torch.tensor(0.1))
    torch.testing.assert_close(whole, part)
    assert dual_softmax_loss(first, second, places, torch.zeros_like(valid), torch.tensor(0.1)) == 0


def test_negatives_of_the_batch_are_those_of_other_pairs_too() -> None:
    generator = torch.Generator().manual_seed(0)
    first = torch.nn.functional.normalize(torch.randn(2, 5, 16, generator=generator), dim=2)
    places = 100 * torch.rand(2, 5, 2, generator=generator)
    valid, temperature = torch.ones(2, 5, dtype=torch.bool), torch.tensor(0.1)
    valid[1, 3] = False
    single = batch_softmax_loss(first[:1], first[:1], places[:1], valid[:1], temperature)
    torch.testing.assert_close(single, dual_softmax_loss(first[:1], first[:1], places[:1], valid[:1], temperature))
    # Two pairs that look alike cannot be told apart, which only the whole batch shows
    alike = torch.cat((first[:1], first[:1]))
    together = batch_softmax_loss(alike, alike, places, valid, temperature)
    assert together > dual_softmax_loss(alike, alike, places, valid, temperature) + 0.5
    changed = alike.clone()
    changed[1, 3] = changed[0, 0]
    torch.testing.assert_close(batch_softmax_loss(changed, changed, places, valid, temperature), together)


def test_the_hinge_is_zero_for_descriptors_that_keep_both_margins() -> None:
    rows, columns = torch.meshgrid(torch.arange(3), torch.arange(4), indexing="ij")
    centres = torch.stack((columns, rows), -1)[None] * 24.0 + 3.5  # so far apart that each is its own positive alone
    maps = torch.eye(12).view(1, 12, 3, 4)
    seen = torch.ones(1, 3, 4, dtype=torch.bool)
    far = torch.full_like(centres, -1e6)
    assert hinge_loss(maps, -maps, far, seen) == 0
    assert hinge_loss(maps, maps, centres, seen) > 0  # 8 px apart are the cells of the second


def bumps(places: list[tuple[float, float]]) -> torch.Tensor:
    rows, columns = torch.meshgrid(torch.arange(48.0), torch.arange(64.0), indexing="ij")
    return sum((torch.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 0.72) for x, y in places), torch.zeros(48, 64))


def test_views_agree_where_they_place_keypoints_alike() -> None:
    shift = torch.tensor([[[1.0, 0, 10.25], [0, 1, 5.5], [0, 0, 1]]])
    area = torch.ones(1, 2, 48, 64, dtype=torch.bool)
    first = [(12.0, 10.0), (30.3, 25.1)]

    def loss(error_px: float) -> float:
        second = [(x + 10.25 + error_px, y + 5.5) for x, y in first]
        return float(
            reprojection_consistency_loss(torch.stack((bumps(first), bumps(second)))[None], shift, area, points=2)
        )

    assert loss(0.0) < 0.05  # a mean over 5x5 pixels cuts off the tails of the bumps
    assert loss(0.5) == pytest.approx(0.5, abs=0.05)
    assert loss(1.0) == pytest.approx(1.0, abs=0.15)
    assert float(reprojection_consistency_loss(torch.rand(1, 2, 48, 64), torch.full((1, 3, 3), torch.nan), area)) == 0


def test_views_that_disagree_are_moved_together() -> None:
    identity, area = torch.eye(3)[None], torch.ones(1, 2, 48, 64, dtype=torch.bool)
    logs = torch.stack((bumps([(20.0, 20.0)]), bumps([(20.8, 20.0)])))[None].clamp_min(1e-4).log().requires_grad_()
    reprojection_consistency_loss(logs.exp(), identity, area, points=1).backward()
    assert logs.grad is not None
    assert torch.isfinite(logs.grad).all()
    # less of the loss: the first bump moves right, the second left
    assert logs.grad[0, 0, 20, 21] < 0 < logs.grad[0, 1, 20, 21]
