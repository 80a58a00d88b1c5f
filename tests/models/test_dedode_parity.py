"""DeDoDe and DINOv2 against outputs of the official modules with the same seeded weights."""

from __future__ import annotations

import math
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from slamfront.models.dedode.networks import (
    DESCRIPTOR_B,
    DETECTOR_L,
    DETECTOR_S,
    DeDoDeDescriptor,
    DeDoDeDescriptorG,
    DeDoDeDetector,
    normalised,
)
from slamfront.models.dedode.sampling import (
    density,
    described,
    only_maxima,
    softly_refined,
    spread_out,
    strongest,
    without_border,
)
from slamfront.models.dinov2 import DinoV2
from slamfront.models.dual_softmax import dual_softmax, mutual_matches
from tests.models.reference import Network
from tests.models.test_parity import assert_close, recorded

_SINGLE_GAIN = ("out_conv.weight", "qkv.weight", "proj.weight", "fc1.weight")
# Float32 sums in another order, of positions of up to two hundred pixels
POSITION_PX = 1e-3
# The reference outputs state this bound of confidences and probabilities
RELATIVE = 1e-4


def seeded_tensor(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return the seeded weights of one tensor, by the recipe of DeDoDe's reference outputs."""
    noise = np.random.default_rng([9, zlib.crc32(name.encode())]).standard_normal(shape)
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    if name.endswith("running_var"):
        return np.exp(0.2 * noise)
    if name.endswith(("running_mean", "bias")):
        return 0.05 * noise
    if name.endswith(("pos_embed", "cls_token", "mask_token")):
        return 0.5 * noise
    if name.endswith("gamma"):
        return 0.2 * np.exp(0.2 * noise)
    if len(shape) == 1:
        return 1 + 0.1 * noise
    single = ("hidden_blocks" in name and name.endswith(".0.weight")) or name.endswith(_SINGLE_GAIN)
    return noise * math.sqrt((1 if single else 2) / math.prod(shape[1:]))


def seeded_state(network: nn.Module) -> dict[str, Tensor]:
    return {
        name: torch.from_numpy(np.asarray(seeded_tensor(name, tuple(tensor.shape)))).to(tensor.dtype)
        for name, tensor in network.state_dict().items()
    }


def seeded(network: Network) -> Network:
    network.load_state_dict(seeded_state(network))
    return network.eval().requires_grad_(False)


def image_of(arrays: dict[str, np.ndarray], name: str) -> Tensor:
    return normalised(torch.from_numpy(arrays[name]).permute(2, 0, 1)[None].float() / 255)


def pixels_of(keypoints: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return the authors' normalised coordinates (N,2) as pixels whose first has its centre at (0, 0)."""
    return (keypoints + 1) / 2 * np.array(size) - 0.5


def assert_same_points(xy: Tensor, scores: Tensor, expected_xy: np.ndarray, expected: np.ndarray) -> None:
    """Check that two sets of scored points are equal; points of equal scores may come in another order."""
    np.testing.assert_allclose(scores.numpy(), expected, rtol=RELATIVE)
    found, wanted = (np.asarray(points)[np.lexsort(np.rint(points).T)] for points in (xy.numpy(), expected_xy))
    np.testing.assert_allclose(found, wanted, atol=POSITION_PX)


def test_detector_l_gives_the_official_logits_of_sides_that_are_no_multiples_of_8(data: Path) -> None:
    arrays = recorded(data, "dedode_detector_l")
    assert_close(seeded(DeDoDeDetector(**DETECTOR_L))(image_of(arrays, "image_odd"))[0], arrays["logits_odd"])


@pytest.mark.parametrize("which", ["a", "b"])
def test_detector_l_gives_the_official_logits_and_keypoints(data: Path, which: str) -> None:
    arrays = recorded(data, "dedode_detector_l")
    image = image_of(arrays, f"image_{which}")
    logits = seeded(DeDoDeDetector(**DETECTOR_L))(image)
    assert_close(logits[0], arrays[f"logits_{which}"])
    pixels, scores = strongest(spread_out(density(logits))[0], 150)
    size = (image.shape[3], image.shape[2])
    expected = pixels_of(arrays[f"keypoints_{which}"], size)
    assert_same_points(pixels, scores, expected, arrays[f"confidence_{which}"])
    # The authors' pixels: theirs has the first centre at (0.5, 0.5)
    np.testing.assert_allclose(expected, arrays[f"pixels_{which}"] - 0.5, atol=POSITION_PX)


def test_the_samplings_options_are_the_official_ones(data: Path) -> None:
    arrays = recorded(data, "dedode_detector_l")
    scores = density(torch.from_numpy(arrays["logits_a"])[None])
    size = (scores.shape[2], scores.shape[1])
    inside = strongest(without_border(spread_out(scores), 4)[0], 150)
    assert_same_points(*inside, pixels_of(arrays["keypoints_a_inside"], size), arrays["confidence_a_inside"])
    maxima = strongest(only_maxima(scores)[0], 100)
    assert_same_points(*maxima, pixels_of(arrays["keypoints_a_nms"], size), arrays["confidence_a_nms"])


def test_detector_s_gives_dads_keypoints_below_the_pixel(data: Path) -> None:
    arrays = recorded(data, "dedode_detector_s")
    network = seeded(DeDoDeDetector(**DETECTOR_S))
    assert_close(network(image_of(arrays, "image_odd"))[0], arrays["logits_odd"])
    logits = network(image_of(arrays, "image_a"))
    assert_close(logits[0], arrays["logits_a"])
    size = (logits.shape[2], logits.shape[1])
    pixels, scores = strongest(only_maxima(density(logits))[0], 150)
    assert_same_points(pixels, scores, pixels_of(arrays["keypoints_a_whole"], size), arrays["confidence_a"])
    assert_same_points(
        softly_refined(logits[0], pixels), scores, pixels_of(arrays["keypoints_a"], size), arrays["confidence_a"]
    )


def assert_describes_alike(grid: Tensor, arrays: dict[str, np.ndarray], which: str, keypoints: np.ndarray) -> Tensor:
    xy = torch.from_numpy(pixels_of(keypoints, (grid.shape[2], grid.shape[1]))).float()
    descriptors = described(grid, xy)
    assert_close(descriptors, arrays[f"descriptors_{which}"])
    return descriptors


def test_descriptor_b_gives_the_official_grid_descriptors_and_matches(data: Path) -> None:
    arrays = recorded(data, "dedode_descriptor_b")
    detected = recorded(data, "dedode_detector_l") | arrays
    network = seeded(DeDoDeDescriptor(**DESCRIPTOR_B))
    grids = {which: network(image_of(detected, f"image_{which}"))[0] for which in ("a", "b")}
    coarse = grids["a"][:, torch.from_numpy(arrays["grid_rows"])][..., torch.from_numpy(arrays["grid_columns"])]
    assert_close(coarse, arrays["grid_a"])
    first, second = (
        assert_describes_alike(grid, arrays, which, detected[f"keypoints_{which}"]) for which, grid in grids.items()
    )
    probabilities = dual_softmax(first, second)
    np.testing.assert_allclose(probabilities[:8].numpy(), arrays["p_first_rows"], rtol=RELATIVE)
    pairs, found = mutual_matches(probabilities, 0.0)
    np.testing.assert_array_equal(pairs.numpy(), np.asarray(arrays["matches_0"]).reshape(-1, 2))
    np.testing.assert_allclose(found.numpy(), arrays["match_p_0"], rtol=RELATIVE)
    fewer, _ = mutual_matches(probabilities, float(arrays["threshold_half"]))
    np.testing.assert_array_equal(fewer.numpy(), np.asarray(arrays["matches_half"]).reshape(-1, 2))


def test_the_small_dinov2_gives_the_official_tokens(data: Path) -> None:
    arrays = recorded(data, "dedode_descriptor_g")
    image = image_of(recorded(data, "dedode_detector_l") | arrays, "image_a")
    patches, whole = seeded(DinoV2(dim=384, layers=12))(image)
    assert_close(patches[0].flatten(1).T, arrays["vits_patch_tokens"])
    assert_close(whole.flatten(), arrays["vits_class_token"].ravel())


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_descriptor_g_on_the_large_dinov2_gives_the_official_descriptors(data: Path) -> None:
    arrays = recorded(data, "dedode_descriptor_g")
    inputs = recorded(data, "dedode_detector_l") | arrays
    image = image_of(inputs, "image_a")
    patches, _ = seeded(DinoV2())(image)
    assert_close(patches[0].flatten(1).T[::8], arrays["vitl_patch_tokens_first"])
    grid = seeded(DeDoDeDescriptorG())(image, patches)[0]
    coarse = grid[:, torch.from_numpy(arrays["grid_rows"])][..., torch.from_numpy(arrays["grid_columns"])]
    assert_close(coarse, arrays["grid_a"])
    assert_describes_alike(grid, arrays, "a", arrays["keypoints_a"])
