"""The networks against outputs of the official modules with the same seeded weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from slamfront.models.assignment import ImagePoints
from slamfront.models.lightglue import LightGlue
from slamfront.models.superglue import SuperGlue
from slamfront.models.superpoint import SuperPoint
from tests.models.reference import seeded

TOLERANCE = 2e-4
"""Float32 sums in another order; the reference outputs state this bound."""


def recorded(data: Path, name: str) -> dict[str, np.ndarray]:
    path = data / "parity" / f"{name}.npz"
    if not path.is_file():
        pytest.skip(f"{path.name} is not among the data")
    with np.load(path) as arrays:
        return dict(arrays)


def points_of(arrays: dict[str, np.ndarray], which: int) -> ImagePoints:
    scores = arrays.get(f"scores{which}")
    return ImagePoints(
        torch.from_numpy(arrays[f"keypoints{which}"]),
        torch.from_numpy(arrays[f"descriptors{which}"]),
        torch.from_numpy(arrays["image_size"]),
        None if scores is None else torch.from_numpy(scores),
    )


def assert_close(found: torch.Tensor, expected: np.ndarray) -> None:
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=0, atol=TOLERANCE)


def test_superpoint_gives_the_official_maps_and_keypoints(data: Path) -> None:
    arrays = recorded(data, "superpoint")
    network = seeded(SuperPoint())
    image = torch.from_numpy(arrays["image"])[None, None].float() / 255
    features = network(image)
    assert_close(features.logits[0], arrays["detector_logits"])
    assert_close(features.descriptors[0], arrays["descriptor_map"])
    (keypoints,) = network.extract(image, max_keypoints=150, threshold=0.0, nms_radius=4, border=4, columns=0)
    np.testing.assert_array_equal(keypoints.keypoints_xy.numpy(), arrays["keypoints_xy"])
    assert_close(keypoints.scores, arrays["scores"])
    assert_close(keypoints.descriptors, arrays["descriptors"])


def test_superglue_gives_the_official_assignment_and_matches(data: Path) -> None:
    arrays = recorded(data, "superglue")
    network = seeded(SuperGlue())
    points0, points1 = points_of(arrays, 0), points_of(arrays, 1)
    assert_close(network.similarity(points0.batched(), points1.batched())[0], arrays["similarity"])
    assert_close(network(points0.batched(), points1.batched())[0], arrays["log_assignment"])
    found = network.match(points0, points1, threshold=0.0)
    assert_close(found.log_assignment, arrays["log_assignment"])
    np.testing.assert_array_equal(found.matches0.numpy(), arrays["matches0"])
    assert_close(found.scores0, arrays["matching_scores0"])


@pytest.mark.parametrize(
    ("mode", "depth_confidence", "width_confidence"), [("full", None, None), ("adaptive", 0.65, 0.95)]
)
def test_lightglue_gives_the_official_assignment_stop_and_pruning(
    data: Path, mode: str, depth_confidence: float | None, width_confidence: float | None
) -> None:
    arrays = recorded(data, "lightglue")
    network = seeded(LightGlue())
    found = network.match(
        points_of(arrays, 0),
        points_of(arrays, 1),
        threshold=0.0,
        depth_confidence=depth_confidence,
        width_confidence=width_confidence,
        pruning_above=0,
    )
    assert_close(found.log_assignment, arrays[f"{mode}_log_assignment"])
    np.testing.assert_array_equal(found.matches0.numpy(), arrays[f"{mode}_matches0"])
    assert_close(found.scores0, arrays[f"{mode}_matching_scores0"])
    assert found.stop_layer == arrays[f"{mode}_stop_layer"]
    np.testing.assert_array_equal(found.prune0.numpy(), arrays[f"{mode}_prune0"])
    np.testing.assert_array_equal(found.prune1.numpy(), arrays[f"{mode}_prune1"])


def test_lightglue_forward_equals_a_match_without_early_exit(data: Path) -> None:
    arrays = recorded(data, "lightglue")
    network = seeded(LightGlue())
    assert_close(
        network(points_of(arrays, 0).batched(), points_of(arrays, 1).batched())[0], arrays["full_log_assignment"]
    )
