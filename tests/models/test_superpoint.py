from __future__ import annotations

import numpy as np
import pytest
import torch

from slamfront.errors import FrameError
from slamfront.models.precision import prepare_for_inference
from slamfront.models.superpoint import OpenSuperPoint, SuperPoint
from tests.models import reference
from tests.models.reference import seeded

LITE = (8, 8, 16, 16, 32)


def images(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("size", [(32, 48), (41, 63)])
def test_dense_features_equal_the_equations_also_for_sides_that_are_not_multiples_of_8(size: tuple[int, int]) -> None:
    network = seeded(SuperPoint(LITE, 24))
    image = images(1, 1, *size)
    features = network(image)
    logits, descriptors = reference.superpoint(image[0, 0].double().numpy(), reference.weights_of(network))
    np.testing.assert_allclose(features.logits[0].detach(), logits, atol=1e-4)
    np.testing.assert_allclose(features.descriptors[0].detach(), descriptors, atol=1e-5)


def test_extracted_keypoints_follow_the_equations() -> None:
    network = seeded(SuperPoint(LITE, 24))
    image = images(1, 1, 64, 80)
    (found,) = network.extract(image, max_keypoints=20, threshold=0.0, nms_radius=4, border=4, columns=0)
    logits, descriptors = reference.superpoint(image[0, 0].double().numpy(), reference.weights_of(network))
    probability = reference.keypoint_probabilities(logits)
    for (x, y), score, descriptor in zip(found.keypoints_xy.numpy(), found.scores, found.descriptors):
        assert float(score) == pytest.approx(probability[int(y), int(x)], abs=1e-6)
        np.testing.assert_allclose(descriptor, reference.descriptor_at(descriptors, x, y), atol=1e-5)
    strongest = np.unravel_index(probability[4:-4, 4:-4].argmax(), (56, 72))
    assert tuple(found.keypoints_xy[0].int().tolist()) == (strongest[1] + 4, strongest[0] + 4)
    gaps = (found.keypoints_xy[:, None] - found.keypoints_xy[None]).abs().amax(dim=2)
    assert (gaps + 99 * torch.eye(len(gaps)) > 4).all()


def test_official_layout_has_24_tensors_of_the_authors_shapes() -> None:
    state = SuperPoint().state_dict()
    assert len(state) == 24
    assert state["conv3a.weight"].shape == (128, 64, 3, 3)
    assert state["convPb.weight"].shape == (65, 256, 1, 1)
    assert state["convDb.weight"].shape == (256, 256, 1, 1)


def test_a_batch_gives_what_each_image_gives_alone() -> None:
    network = seeded(SuperPoint(LITE, 24))
    batch = images(3, 1, 48, 64)
    together = network.extract(batch, threshold=0.0)
    for image, found in zip(batch, together):
        (alone,) = network.extract(image[None], threshold=0.0)
        torch.testing.assert_close(found.keypoints_xy, alone.keypoints_xy)
        torch.testing.assert_close(found.descriptors, alone.descriptors, atol=1e-5, rtol=0)


@pytest.mark.parametrize("network", [SuperPoint(LITE, 24), OpenSuperPoint(LITE, 24)])
def test_a_black_or_nan_image_gives_valid_or_no_keypoints(network: SuperPoint | OpenSuperPoint) -> None:
    seeded(network)
    for value in (0.0, float("nan")):
        (found,) = network.extract(torch.full((1, 1, 40, 40), value))
        assert found.keypoints_xy.shape == (len(found.scores), 2)
        assert found.descriptors.shape == (len(found.scores), 24)
        assert torch.isfinite(found.descriptors).all()


def test_a_threshold_that_nothing_passes_gives_empty_keypoints() -> None:
    (found,) = seeded(SuperPoint(LITE, 24)).extract(images(1, 1, 40, 40), threshold=1.0, subpixel=True)
    assert found.keypoints_xy.shape == (0, 2)
    assert found.descriptors.shape == (0, 24)


def test_an_image_smaller_than_a_cell_is_refused_by_its_size() -> None:
    with pytest.raises(FrameError, match="5x40"):
        SuperPoint(LITE)(torch.zeros(1, 1, 40, 5))


def test_keypoints_keep_the_border_and_the_maximum_number() -> None:
    (found,) = seeded(SuperPoint(LITE, 24)).extract(images(1, 1, 64, 72), max_keypoints=7, threshold=0.0, border=9)
    assert len(found.scores) == 7
    assert (found.keypoints_xy >= 9).all()
    assert (found.keypoints_xy < torch.tensor([72 - 9, 64 - 9])).all()


def test_subpixel_keypoints_stay_within_half_a_pixel() -> None:
    network = seeded(SuperPoint(LITE, 24))
    image = images(1, 1, 64, 72)
    (whole,) = network.extract(image, threshold=0.0)
    (refined,) = network.extract(image, threshold=0.0, subpixel=True)
    step = (refined.keypoints_xy - whole.keypoints_xy).abs()
    assert 0.05 < step.max() <= 0.5
    torch.testing.assert_close(refined.descriptors.norm(dim=1), torch.ones(len(step)))


def test_bfloat16_gives_nearly_the_same_descriptors_in_float32() -> None:
    image = images(1, 1, 64, 80)
    exact = seeded(SuperPoint())(image)
    half = prepare_for_inference(seeded(SuperPoint()), dtype=torch.bfloat16)(image)
    assert half.descriptors.dtype == half.logits.dtype == torch.float32
    # 8 bits of mantissa through ten layers
    cosine = (exact.descriptors * half.descriptors).sum(dim=1)
    assert cosine.min() > 0.99


def test_open_variant_normalises_after_the_rectifier() -> None:
    network = seeded(OpenSuperPoint(LITE, 24))
    weights = reference.weights_of(network)
    image = images(1, 1, 24, 32)

    def block(x: np.ndarray, name: str, rectified: bool = True) -> np.ndarray:
        x = reference.convolution(x, weights[f"{name}.conv.weight"], weights[f"{name}.conv.bias"])
        x = np.maximum(x, 0) if rectified else x
        mean, variance = weights[f"{name}.bn.running_mean"], weights[f"{name}.bn.running_var"]
        gain = weights[f"{name}.bn.weight"] / np.sqrt(variance + 1e-3)
        return (x - mean[:, None, None]) * gain[:, None, None] + weights[f"{name}.bn.bias"][:, None, None]

    x = image[0].double().numpy()
    for stage in range(4):
        x = block(block(x, f"backbone.{stage}.0"), f"backbone.{stage}.1")
        x = reference.pool(x) if stage < 3 else x
    logits = block(block(x, "detector.0"), "detector.1", rectified=False)
    np.testing.assert_allclose(network(image).logits[0].detach(), logits, atol=1e-4)
    assert len(OpenSuperPoint().state_dict()) == 84


def test_gradients_reach_every_weight() -> None:
    network = seeded(SuperPoint(LITE, 24)).train()
    features = network(images(2, 1, 32, 32))
    (features.logits.square().mean() + features.descriptors[:, :5].sum()).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name
