from __future__ import annotations

import copy

import pytest
import torch

from slamfront.errors import TrainingError
from slamfront.models.assignment import ImagePoints
from slamfront.models.lightglue import LightGlue
from slamfront.models.superpoint import SuperPointLite
from slamfront.training.tasks.matcher import assignment_loss
from slamfront.training.tasks.net2net import descriptor_translation, expanded, with_layers

torch.set_num_threads(1)

SMALL, LARGE = 24, 64
TOLERANCE = 0.02
"""Of log probabilities: what is next to nothing in the large network."""


@pytest.fixture
def small() -> LightGlue:
    torch.manual_seed(0)
    return LightGlue(dim=16, layers=2, heads=2, input_dim=SMALL).eval().requires_grad_(False)


@pytest.fixture
def translation() -> torch.Tensor:
    torch.manual_seed(1)
    return torch.linalg.qr(torch.randn(LARGE, SMALL)).Q.mT


def points(count: int, seed: int) -> ImagePoints:
    generator = torch.Generator().manual_seed(seed)
    descriptors = torch.nn.functional.normalize(torch.randn(1, count, LARGE, generator=generator), dim=2)
    places = 100 * torch.rand(1, count, 2, generator=generator)
    return ImagePoints(places, descriptors, torch.tensor([[100.0, 100.0]]), mask=torch.ones(1, count, dtype=torch.bool))


def translated(given: ImagePoints, translation: torch.Tensor) -> ImagePoints:
    return given._replace(descriptors=given.descriptors @ translation.mT)


def test_an_expanded_matcher_does_what_the_small_one_does(small: LightGlue, translation: torch.Tensor) -> None:
    large = expanded(small, translation, LightGlue(dim=LARGE, layers=4, heads=4)).eval()
    first, second = points(30, 2), points(20, 3)
    wanted = list(small.states(translated(first, translation), translated(second, translation)))
    with torch.no_grad():
        for layer, states in enumerate(large.states(first, second)):
            known = min(layer, 1)  # the layers beyond add nothing yet
            log_assignment = small.log_assignment[known](*wanted[known])
            assert torch.allclose(large.log_assignment[layer](*states), log_assignment, atol=TOLERANCE)
            if layer == 0:  # the last of the small network tells no confidence
                for told, state in zip(wanted[0], states):
                    confidence = small.token_confidence[0](told)
                    assert torch.allclose(large.token_confidence[0](state), confidence, atol=TOLERANCE)


def test_an_expanded_matcher_can_learn_in_every_part(small: LightGlue, translation: torch.Tensor) -> None:
    large = expanded(small, translation, LightGlue(dim=LARGE, layers=2, heads=4)).train()
    first, second = points(20, 2), points(20, 3)
    labels = torch.arange(20)[None]
    losses = [
        assignment_loss(large.log_assignment[layer](*states), labels, labels)
        for layer, states in enumerate(large.states(first, second))
    ]
    torch.stack(losses).sum().backward()
    still = [
        name
        for name, weight in large.named_parameters()
        if "token_confidence" not in name and (weight.grad is None or not weight.grad.any())
    ]
    assert still == []


@pytest.mark.parametrize(
    "large", [LightGlue(dim=40, layers=4, heads=4), LightGlue(dim=64, layers=1, heads=4), LightGlue(64, 4, heads=1)]
)
def test_a_matcher_that_has_no_room_for_the_small_one_is_refused(
    small: LightGlue, translation: torch.Tensor, large: LightGlue
) -> None:
    with pytest.raises(TrainingError, match="expands to"):
        expanded(small, translation, large)


def test_descriptors_are_translated_from_one_extractor_to_another() -> None:
    torch.manual_seed(0)
    wanted = SuperPointLite((8, 8, 8, 8), 8).eval().requires_grad_(False)
    learned = copy.deepcopy(wanted)
    turning = torch.linalg.qr(torch.randn(8, 8)).Q
    last = learned.convDb
    last.weight.copy_((turning @ last.weight.flatten(1)).view_as(last.weight))
    assert last.bias is not None
    last.bias.copy_(turning @ last.bias)
    images = torch.nn.functional.interpolate(torch.rand(3, 1, 16, 16), scale_factor=4, mode="bilinear").split(1)
    translation = descriptor_translation(learned, wanted, images)
    x = wanted(torch.rand(1, 1, 64, 64)).descriptors.flatten(2)[0]
    assert torch.allclose(translation @ x, turning @ x, atol=0.05)  # numbers that hardly differ tell nothing apart


def test_a_translation_needs_images() -> None:
    network = SuperPointLite((4, 4, 4, 4), 8).eval()
    with pytest.raises(TrainingError, match="none"):
        descriptor_translation(network, network, [])


def test_a_deeper_matcher_does_what_the_shallow_one_does_and_can_learn_in_every_part(small: LightGlue) -> None:
    deep = with_layers(small, 4).train().requires_grad_(True)
    first, second = small_points(30, 2), small_points(20, 3)
    wanted = small(first, second)
    for layer, states in enumerate(deep.states(first, second)):
        if layer > 0:
            assert torch.equal(deep.log_assignment[layer](*states), wanted)
    optimizer = torch.optim.SGD(deep.parameters(), lr=0.01)
    for _ in range(2):  # what adds nothing has no gradient behind it until it adds something
        optimizer.zero_grad()
        assignment_loss(deep(first, second), torch.arange(30)[None] % 20, torch.arange(20)[None]).backward()
        optimizer.step()
    assert all(weight.grad is not None and weight.grad.any() for weight in deep.transformers[3].parameters())


def test_the_first_layers_of_a_matcher_are_a_matcher(small: LightGlue) -> None:
    first, second = small_points(30, 2), small_points(20, 3)
    shallow = with_layers(small, 1)
    states = next(iter(small.states(first, second)))
    assert torch.equal(shallow(first, second), small.log_assignment[0](*states))
    assert len(small.transformers) == 2
    assert LightGlue.config_of(dict(shallow.state_dict()))["layers"] == 1
    assert torch.equal(with_layers(shallow, 3)(first, second), shallow(first, second))


def small_points(count: int, seed: int) -> ImagePoints:
    given = points(count, seed)
    return given._replace(descriptors=given.descriptors[..., :SMALL])
