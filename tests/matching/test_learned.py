from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from slamfront.config import MatcherConfig
from slamfront.errors import ConfigError, WeightsError
from slamfront.matching.learned import LearnedMatcher
from slamfront.matching.lightglue import LightGlueMatcher
from slamfront.matching.superglue import SuperGlueMatcher
from slamfront.models.assignment import ImagePoints
from slamfront.models.lightglue import LightGlue
from slamfront.models.superglue import SuperGlue
from slamfront.types import Features
from tests.features.warps import TILTED, transferred
from tests.models.reference import seeded, seeded_state

CONFIG = MatcherConfig(threshold=0.1)
DIM = 32


def superglue() -> SuperGlue:
    return SuperGlue(dim=DIM, layers=4, heads=2, encoder_channels=(8, 16), sinkhorn_iterations=20)


def lightglue() -> LightGlue:
    return LightGlue(dim=DIM, layers=3, heads=2)


def by_descriptor_alone(network: SuperGlue | LightGlue) -> SuperGlue | LightGlue:
    """Give a network weights with which layers and positions add nothing, and equal descriptors are most alike."""
    state = {name: torch.zeros_like(tensor) for name, tensor in network.state_dict().items()}
    for name in state:
        if name.endswith("final_proj.weight"):
            state[name] = 12 * torch.eye(DIM).reshape(state[name].shape)
        elif name.endswith(("matchability.bias", "running_var", "mlp.1.weight")):
            state[name] = torch.full_like(state[name], 5.0)
    network.load_state_dict(state)
    return network


def mostly_by_descriptor(network: SuperGlue | LightGlue) -> SuperGlue | LightGlue:
    """Give a network weights with which all its layers have some say, and yet many keypoints match."""
    alone = by_descriptor_alone(network).state_dict()
    network.load_state_dict({name: alone[name] + 0.8 * seed for name, seed in seeded_state(network).items()})
    return network.eval()


def matcher(network: SuperGlue | LightGlue, dtype: torch.dtype = torch.float32, threshold: float = 0.1):
    config = replace(CONFIG, threshold=threshold)
    if isinstance(network, SuperGlue):
        return SuperGlueMatcher(config, "cpu", network=network, dtype=dtype)
    return LightGlueMatcher(config, "cpu", network=network, dtype=dtype)


def features(count: int, seed: int, dim: int = DIM, size: tuple[int, int] = (320, 240)) -> Features:
    rng = np.random.default_rng(seed)
    descriptors = rng.standard_normal((count, dim)).astype(np.float32)
    descriptors /= np.linalg.norm(descriptors, axis=1, keepdims=True)
    xy = (rng.random((count, 2)) * size).astype(np.float32)
    return Features(xy, rng.random(count).astype(np.float32), descriptors, size, np.ones(count, np.float32))


def alike(
    count0: int, count1: int, sizes: tuple[tuple[int, int], ...] = ((320, 240),) * 2
) -> tuple[Features, Features]:
    """Return two sets of which the smaller one's descriptors are in the other too, slightly changed."""
    first, second = features(count0, 1, size=sizes[0]), features(count1, 2, size=sizes[1])
    both, descriptors = min(count0, count1), second.descriptors.copy()
    descriptors[:both] = 0.1 * descriptors[:both] + 0.99 * first.descriptors[:both]
    return first, replace(second, descriptors=descriptors)


def points(features: Features) -> ImagePoints:
    return ImagePoints(
        torch.tensor(features.keypoints_xy),
        torch.tensor(features.descriptors),
        torch.tensor(features.image_size),
        torch.tensor(features.scores),
    )


each_network = pytest.mark.parametrize("network", [superglue, lightglue])
Maker = Callable[[], "SuperGlue | LightGlue"]


@each_network
@pytest.mark.parametrize("sizes", [((320, 240), (320, 240)), ((320, 240), (165, 123))])
def test_matches_are_those_of_the_network(network: Maker, sizes: tuple[tuple[int, int], tuple[int, int]]) -> None:
    first, second = alike(60, 75, sizes)
    found = matcher(mostly_by_descriptor(network()), threshold=1e-4).match(first, second)
    expected = mostly_by_descriptor(network()).match(points(first), points(second), 1e-4)
    rows = np.flatnonzero(expected.matches0.numpy() >= 0)
    assert len(rows) > 50
    np.testing.assert_array_equal(found.indices, np.column_stack([rows, expected.matches0.numpy()[rows]]))
    # Float32 in another memory layout
    np.testing.assert_allclose(found.scores, expected.scores0.numpy()[rows], atol=1e-5)
    assert found.indices.dtype == np.int64 and found.scores.dtype == np.float32


@each_network
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_shuffled_keypoints_are_matched_to_where_the_homography_puts_them(network: Maker, dtype: torch.dtype) -> None:
    first, others = features(80, 1), features(40, 2)
    order = np.random.default_rng(3).permutation(100)
    # 60 of the first's 80 keypoints are seen again, among 40 that are new
    xy = np.concatenate([transferred(first.keypoints_xy[:60], TILTED), others.keypoints_xy])[order].astype(np.float32)
    descriptors = np.concatenate([first.descriptors[:60], others.descriptors])[order]
    second = Features(xy, np.ones(100, np.float32), descriptors, (320, 240), np.ones(100, np.float32))
    found = matcher(by_descriptor_alone(network()), dtype, threshold=0.3).match(first, second)
    seen_again = found.indices[:, 0] < 60
    assert seen_again.sum() == 60
    errors = transferred(first.keypoints_xy[found.indices[:, 0]], TILTED) - second.keypoints_xy[found.indices[:, 1]]
    np.testing.assert_allclose(errors[seen_again], 0, atol=1e-3)
    # What has no counterpart may find a partner among what has none, with a lower score
    assert found.scores[seen_again].min() > 0.6
    assert (np.diff(found.indices[:, 0]) > 0).all() and len(set(found.indices[:, 1])) == len(found)


@each_network
@pytest.mark.parametrize(
    ("count0", "count1"), [(0, 0), (0, 7), (7, 0), (1, 0), (1, 1), (1, 9), (2, 1), (2, 2), (3, 40)]
)
def test_any_number_of_keypoints_gives_one_to_one_matches(network: Maker, count0: int, count1: int) -> None:
    found = matcher(seeded(network()), threshold=0.0).match(features(count0, 1), features(count1, 2))
    assert found.indices.shape == (len(found), 2) and found.scores.shape == (len(found),)
    assert len(found) <= min(count0, count1)
    assert np.isfinite(found.scores).all()


@each_network
def test_the_threshold_drops_the_unsure(network: Maker) -> None:
    first, second = alike(60, 75)
    every = matcher(mostly_by_descriptor(network()), threshold=0.0).match(first, second)
    middle = float(np.median(every.scores))
    some = matcher(mostly_by_descriptor(network()), threshold=middle).match(first, second)
    assert 0 < len(some) < len(every)
    assert some.scores.min() > middle


@each_network
def test_features_that_come_back_are_matched_as_at_first_however_many_came_between(network: Maker) -> None:
    one = matcher(mostly_by_descriptor(network()), threshold=0.0)
    keyframe, expected = features(30, 0), []
    for again in range(2):
        for seed in range(1, 21):
            # New objects of equal content, most of which take the place of one that is gone
            found = one.match(keyframe, features(20 + seed, seed))
            if again:
                np.testing.assert_array_equal(found.indices, expected[seed - 1].indices)
                np.testing.assert_array_equal(found.scores, expected[seed - 1].scores)
            else:
                expected.append(found)


@each_network
def test_one_set_of_features_can_be_matched_with_itself(network: Maker) -> None:
    same = features(25, 1)
    found = matcher(by_descriptor_alone(network())).match(same, same)
    np.testing.assert_array_equal(found.indices, np.column_stack([np.arange(25)] * 2))


@each_network
def test_descriptors_of_another_kind_are_refused_with_the_extractor_that_is_needed(network: Maker) -> None:
    one, good = matcher(seeded(network())), features(5, 1)
    empty = np.zeros(0, np.float32)
    binary = Features(np.zeros((0, 2), np.float32), empty, np.zeros((0, 32), np.uint8), (320, 240), empty.copy())
    for pair in ((binary, good), (good, binary)):
        with pytest.raises(
            ConfigError, match=rf"{one.name} needs .* of 32 numbers.*binary.*extractor\.kind to superpoint"
        ):
            one.match(*pair)
    with pytest.raises(ConfigError, match="of 32 numbers, and these are of 128 numbers"):
        one.match(good, features(5, 2, dim=128))
    assert one.match(good, good) is not None


def test_a_lightglue_that_projects_its_input_takes_that_inputs_size() -> None:
    one = matcher(seeded(LightGlue(dim=DIM, layers=2, heads=2, input_dim=24)), threshold=0.0)
    assert len(one.match(features(9, 1, dim=24), features(9, 2, dim=24))) > 0
    with pytest.raises(ConfigError, match="of 24 numbers"):
        one.match(features(9, 1), features(9, 2))


@pytest.mark.parametrize("kind", [SuperGlueMatcher, LightGlueMatcher])
def test_a_matcher_without_weights_is_refused(kind: type[LearnedMatcher]) -> None:
    with pytest.raises(WeightsError, match="Glue that learned on such keypoints"):
        kind(CONFIG)


@pytest.mark.parametrize(
    ("kind", "network", "other"), [(SuperGlueMatcher, superglue, lightglue), (LightGlueMatcher, lightglue, superglue)]
)
def test_weights_are_loaded_from_a_file_and_those_of_another_network_refused(
    tmp_path: Path, kind: type[LearnedMatcher], network: Maker, other: Maker
) -> None:
    # The number of heads leaves no trace in a SuperGlue checkpoint
    made = SuperGlue(dim=DIM, layers=2, encoder_channels=(8, 16)) if network is superglue else network()
    save_file(seeded(made).state_dict(), tmp_path / "own.safetensors")
    save_file(seeded(other()).state_dict(), tmp_path / "other.safetensors")
    loaded = kind(replace(CONFIG, threshold=0.0, weights=str(tmp_path / "own.safetensors")), "cpu", dtype=torch.float32)
    first, second = features(20, 1), features(30, 2)
    np.testing.assert_array_equal(
        loaded.match(first, second).indices, matcher(made, threshold=0.0).match(first, second).indices
    )
    with pytest.raises(WeightsError, match=r"other\.safetensors holds a \w+, the matcher needs \w+"):
        kind(replace(CONFIG, weights=str(tmp_path / "other.safetensors")))


def test_lightglue_runs_all_its_layers_unless_it_may_stop_when_it_is_sure() -> None:
    network = by_descriptor_alone(lightglue())
    for confidence in network.token_confidence:
        torch.nn.init.constant_(confidence.token[0].bias, 9.0)
    first, second = alike(60, 75)
    for adaptive, layers in ((True, 1), (False, 3)):
        one = LightGlueMatcher(replace(CONFIG, adaptive=adaptive), "cpu", network=network, dtype=torch.float32)
        assert len(one.match(first, second)) > 50
        assert one.layers_run == layers
