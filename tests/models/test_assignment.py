from __future__ import annotations

import pytest
import torch

from slamfront.models.assignment import ImagePoints, attention_mask, centred, mutual_matches, products


def test_a_match_is_mutual_and_above_the_threshold() -> None:
    probability = torch.tensor([[0.8, 0.1, 0.05], [0.7, 0.1, 0.1], [0.0, 0.15, 0.7], [0.1, 0.6, 0.0]])
    found = mutual_matches(probability.log(), threshold=0.2)
    assert found.matches0.tolist() == [0, -1, -1]
    assert found.matches1.tolist() == [0, -1]
    torch.testing.assert_close(found.scores0, torch.tensor([0.8, 0.0, 0.15]))
    torch.testing.assert_close(found.scores1, torch.tensor([0.8, 0.15]))


@pytest.mark.parametrize(("count0", "count1"), [(0, 0), (0, 3), (3, 0)])
def test_nothing_matches_where_one_image_has_no_keypoints(count0: int, count1: int) -> None:
    found = mutual_matches(torch.zeros(count0 + 1, count1 + 1), threshold=0.0)
    assert found.matches0.tolist() == [-1] * count0
    assert found.matches1.tolist() == [-1] * count1
    assert found.scores0.shape == (count0,) and found.scores1.shape == (count1,)


def test_matches_of_a_batch_are_those_of_its_members() -> None:
    batch = torch.randn(3, 6, 8, generator=torch.Generator().manual_seed(2))
    together = mutual_matches(batch, 0.0)
    for index, one in enumerate(batch):
        for joint, alone in zip(together, mutual_matches(one, 0.0)):
            assert torch.equal(joint[index], alone)


def test_nan_never_matches() -> None:
    found = mutual_matches(torch.full((4, 5), torch.nan), 0.0)
    assert (found.matches0 == -1).all() and (found.matches1 == -1).all()


def test_positions_are_relative_to_the_centre_and_the_longer_side() -> None:
    corners = torch.tensor([[[0.0, 0.0], [640.0, 480.0], [320.0, 240.0]]])
    points = ImagePoints(corners, torch.zeros(1, 3, 8), torch.tensor([[640, 480]]))
    expected = torch.tensor([[[-1.0, -0.75], [1.0, 0.75], [0.0, 0.0]]])
    torch.testing.assert_close(centred(points, 0.5), expected)
    torch.testing.assert_close(centred(points._replace(image_size=torch.tensor([640, 480])), 0.5), expected)


def test_attention_to_an_image_of_padding_alone_is_no_nan() -> None:
    mask = attention_mask(torch.tensor([[True, False], [False, False]]))
    assert mask[:, 0, 0].tolist() == [[True, False], [True, True]]


def test_similarities_keep_their_precision_where_automatic_casting_is_on() -> None:
    first, second = torch.randn(1, 5, 64), torch.randn(1, 7, 64)
    with torch.autocast("cpu", torch.bfloat16):
        found = products(first, second)
    torch.testing.assert_close(found, first @ second.mT, atol=1e-5, rtol=1e-5)
