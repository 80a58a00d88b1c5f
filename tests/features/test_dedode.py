from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from slamfront.build import build_extractor, build_matcher, resolve
from slamfront.config import ExtractorConfig, MatcherConfig, RunConfig
from slamfront.errors import ConfigError, FrameError, WeightsError
from slamfront.features.classical import Sift
from slamfront.features.composed import Composed, KeypointsOf
from slamfront.features.dedode import DeDoDeDescriber, DeDoDeKeypoints
from slamfront.features.superpoint import SuperPointExtractor
from slamfront.models.dedode.networks import DeDoDeDescriptor, DeDoDeDescriptorG, DeDoDeDetector
from slamfront.models.dinov2 import DinoV2
from slamfront.models.superpoint import SuperPoint
from slamfront.types import Image, Keypoints
from tests.features.warps import assert_well_formed, textured
from tests.models.reference import seeded as seeded_as_before
from tests.models.test_dedode_parity import seeded

CONFIG = ExtractorConfig(kind="dedode", max_keypoints=80)
SMALL = {"hidden": (8, 8, 8, 8), "context": (8, 8, 8, 1), "layers": 1}


def small_detector(vgg: int = 11) -> DeDoDeDetector:
    return seeded(DeDoDeDetector(vgg, **SMALL))


def detector(vgg: int = 11, **changes: object) -> DeDoDeKeypoints:
    config = replace(CONFIG, **changes)  # type: ignore[arg-type]
    return DeDoDeKeypoints(config, "cpu", small_detector(vgg), torch.float32)


def small_descriptor() -> DeDoDeDescriptor:
    return seeded(DeDoDeDescriptor(11, **SMALL, descriptor_dim=32))


def describer(**changes: object) -> DeDoDeDescriber:
    config = replace(CONFIG, **changes)  # type: ignore[arg-type]
    return DeDoDeDescriber(config, "cpu", small_descriptor(), dtype=torch.float32)


def small_g() -> tuple[DeDoDeDescriptorG, DinoV2]:
    network = DeDoDeDescriptorG((8,) * 5, (8, 8, 8, 8, 1), 1, descriptor_dim=16, patch_channels=64)
    return seeded(network), seeded(DinoV2(dim=64, layers=1, grid=5))


def describer_g() -> DeDoDeDescriber:
    network, patches = small_g()
    return DeDoDeDescriber(CONFIG, "cpu", network, patches, torch.float32)


def superpoint() -> SuperPointExtractor:
    network = seeded_as_before(SuperPoint((8, 8, 16, 16, 32), 32))
    return SuperPointExtractor(replace(CONFIG, grid=0), "cpu", network, torch.float32)


def coloured(image: Image) -> Image:
    return np.stack([image, 255 - image, image // 2], axis=-1)


@pytest.mark.parametrize("size", [(160, 120), (93, 75), (42, 28)])
@pytest.mark.parametrize("colour", [False, True])
@pytest.mark.parametrize("sampling", ["coverage", "suppression"])
@pytest.mark.parametrize("described_by", [describer, describer_g])
def test_images_of_any_sides_grey_or_rgb_have_well_formed_features(
    size: tuple[int, int], colour: bool, sampling: str, described_by: type
) -> None:
    image = textured(*size)
    features = Composed(detector(sampling=sampling), described_by()).extract(coloured(image) if colour else image)
    assert_well_formed(features, image)
    assert 10 < len(features) <= CONFIG.max_keypoints
    assert (np.diff(features.scores) <= 0).all()


def test_a_grey_image_is_one_with_equal_channels() -> None:
    image = textured(96, 64)
    extractor = Composed(detector(), describer())
    grey, same = extractor.extract(image), extractor.extract(np.repeat(image[..., None], 3, axis=2))
    np.testing.assert_array_equal(grey.keypoints_xy, same.keypoints_xy)
    np.testing.assert_array_equal(grey.descriptors, same.descriptors)
    other = extractor.extract(coloured(image))
    assert not np.array_equal(grey.descriptors, other.descriptors)


@pytest.mark.parametrize("resize", ["none", "longer", "square"])
def test_keypoints_are_counted_from_the_centre_of_the_first_pixel(resize: str) -> None:
    """A network that says where a bright pixel is: the half pixels of resizing cancel."""
    image = np.zeros((48, 64), np.uint8)
    image[20:23, 30:33] = 255
    bright = _Brightness()
    config = replace(CONFIG, resize=resize, resize_px=192, max_keypoints=1, sampling="suppression")
    found = DeDoDeKeypoints(config, "cpu", bright, torch.float32).detect(image)
    # The middle of the square, to the pixel of the image that was looked at
    np.testing.assert_allclose(found.keypoints_xy, [[31, 21]], atol=0.5)


@pytest.mark.parametrize("resize", ["none", "longer", "square"])
def test_descriptors_are_taken_where_the_keypoints_lie(resize: str) -> None:
    """A network that describes a pixel by its own place: what is read is the place, in pixels of the whole image."""
    image = textured(64, 48)
    xy = np.array([[10.0, 20.0], [0.25, 0.5], [63.0, 47.0], [31.5, 23.75]], np.float32)
    places = Keypoints(xy, np.ones(4, np.float32), (64, 48), np.ones(4, np.float32))
    config = replace(CONFIG, resize=resize, resize_px=192)
    found = DeDoDeDescriber(config, "cpu", _Places(), dtype=torch.float32).describe(image, places)
    # Unit length: the ratio to the third, constant number is the place in images' sides
    unit = found[:, :2] / found[:, 2:]
    np.testing.assert_allclose(unit * (64, 48) - 0.5, xy, atol=1e-2)


class _Brightness(DeDoDeDetector):
    """Says of each pixel how bright it is, smoothly, so that there is one maximum."""

    def __init__(self) -> None:
        super().__init__(11, **SMALL)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        side = image.shape[3] // 64 * 3  # as wide as the bright square
        return 5 * nn.functional.avg_pool2d(image[:, :1], side, 1, side // 2, count_include_pad=False)[:, 0]


class _Places(DeDoDeDescriptor):
    """Describes each pixel by its centre, in widths and heights of the image, and 1."""

    def __init__(self) -> None:
        super().__init__(11, **SMALL, descriptor_dim=3)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        height, width = image.shape[-2:]
        y, x = torch.meshgrid((torch.arange(height) + 0.5) / height, (torch.arange(width) + 0.5) / width, indexing="ij")
        return torch.stack((x, y, torch.ones_like(x)))[None]


def test_suppression_moves_keypoints_below_the_pixel_where_asked() -> None:
    image = textured(96, 64)
    whole = detector(sampling="suppression", subpixel=False).detect(image).keypoints_xy
    fine = detector(sampling="suppression").detect(image).keypoints_xy
    np.testing.assert_array_equal(whole, np.rint(whole))
    assert 0 < np.abs(fine - whole).max() < 1
    np.testing.assert_array_equal(detector(sampling="coverage").detect(image).keypoints_xy % 1, 0)


def test_sampling_follows_the_size_of_the_network() -> None:
    image = textured(64, 48)
    for vgg, sampling in ((11, "suppression"), (19, "coverage")):
        found, wanted = detector(vgg).detect(image), detector(vgg, sampling=sampling).detect(image)
        np.testing.assert_array_equal(found.keypoints_xy, wanted.keypoints_xy)


def test_a_grid_spreads_keypoints() -> None:
    image = textured(160, 120)
    plain, even = (detector(sampling="suppression", grid=grid, crowding=100).detect(image) for grid in (0, 8))
    cells = [len(np.unique(one.keypoints_xy // 20, axis=0)) for one in (plain, even)]
    assert cells[1] > cells[0]


def test_an_image_that_is_all_border_has_no_keypoints_and_no_descriptors() -> None:
    features = Composed(detector(), describer()).extract(np.full((8, 8), 100, np.uint8))
    assert len(features) == 0 and features.descriptors.shape == (0, 32)


@pytest.mark.parametrize("described_by", [describer, describer_g])
def test_an_image_below_8x8_is_refused_in_one_line(described_by: type) -> None:
    image = np.zeros((7, 20), np.uint8)
    none = np.zeros(0, np.float32)
    with pytest.raises(FrameError, match="20x7 pixels is too small"):
        detector().detect(image)
    with pytest.raises(FrameError, match="20x7 pixels is too small"):
        described_by().describe(image, Keypoints(np.zeros((0, 2), np.float32), none, (20, 7), none))


def test_any_detector_goes_with_any_dense_descriptor() -> None:
    image = textured(160, 120)
    detectors = [detector(), KeypointsOf(superpoint()), KeypointsOf(Sift(CONFIG))]
    described = {}
    for number, found in enumerate(detectors):
        for name, described_by in (("dedode", describer()), ("superpoint", superpoint())):
            features = Composed(found, described_by).extract(image)
            assert_well_formed(features, image)
            np.testing.assert_array_equal(features.keypoints_xy, found.detect(image).keypoints_xy)
            described[number, name] = features
    assert len({one.descriptors.tobytes() for one in described.values()}) == len(described) == 6


def test_superpoint_taken_apart_is_superpoint() -> None:
    image = textured(160, 120)
    whole, apart = superpoint().extract(image), Composed(KeypointsOf(superpoint()), superpoint()).extract(image)
    np.testing.assert_array_equal(whole.keypoints_xy, apart.keypoints_xy)
    np.testing.assert_allclose(whole.descriptors, apart.descriptors, atol=1e-6)


def test_a_place_with_two_orientations_is_one_keypoint() -> None:
    image = textured(160, 120)
    sift = Sift(replace(CONFIG, max_keypoints=2000))
    found = KeypointsOf(sift).detect(image).keypoints_xy
    assert len(np.unique(found, axis=0)) == len(found) < len(sift.extract(image))


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """Files of small networks with the official layouts, as users bring them."""
    network, patches = small_g()
    made = {"detector": small_detector(19), "descriptor": small_descriptor(), "g": network, "patches": patches}
    for name, one in made.items():
        save_file(one.state_dict(), tmp_path / f"{name}.safetensors")
    return {name: str(tmp_path / f"{name}.safetensors") for name in made}


def run_config(files: dict[str, str], **changes: object) -> RunConfig:
    weights = {"detector_weights": files["detector"], "descriptor_weights": files["descriptor"]}
    extractor = replace(CONFIG, **weights, patch_weights=files["patches"])
    return RunConfig(extractor=replace(extractor, **changes), device="cpu")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"detector": "superpoint"},
        {"detector": "sift"},
        {"detector": "orb"},
        {"descriptor": "superpoint"},
        {"detector": "superpoint", "descriptor": "superpoint"},
        {"descriptor_weights": "g"},
    ],
)
def test_a_configuration_names_detector_and_descriptor_apart(files: dict[str, str], changes: dict[str, str]) -> None:
    image = textured(160, 120)
    config = resolve(run_config(files, **{key: files.get(value, value) for key, value in changes.items()}))
    assert config.matcher.kind == ("nearest" if config.extractor.descriptor == "superpoint" else "dual-softmax")
    features = build_extractor(config).extract(image)
    assert_well_formed(features, image)
    assert len(features) > 10
    own = replace(config, matcher=replace(config.matcher, threshold=0.0))
    matches = build_matcher(own).match(features, features)
    assert (matches.indices[:, 0] == matches.indices[:, 1]).mean() > 0.9


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"detector_weights": "descriptor"},
            "detector_weights: .* holds a DeDoDeDescriptor, and must hold a DeDoDeDet",
        ),
        ({"descriptor_weights": "detector"}, "descriptor_weights: .* holds a DeDoDeDetector"),
        ({"detector_weights": "superpoint-lite"}, "holds a SuperPointLite"),
        ({"descriptor_weights": "g", "patch_weights": "detector"}, "patch_weights: .* must hold a DinoV2"),
        ({"detector_weights": "dedode_detector_L_v3"}, "did you mean dedode_detector_L_v2"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line(files: dict[str, str], changes: dict[str, str], message: str) -> None:
    config = run_config(files, **{key: files.get(value, value) for key, value in changes.items()})
    with pytest.raises(WeightsError, match=message) as caught:
        build_extractor(resolve(config))
    assert "\n" not in str(caught.value)


def test_a_transformer_of_another_size_is_refused() -> None:
    network, _ = small_g()
    with pytest.raises(WeightsError, match="has 128 channels, and descriptor G needs 64"):
        DeDoDeDescriber(CONFIG, "cpu", network, DinoV2(dim=128, layers=1, grid=2))


def test_networks_that_match_superpoints_features_refuse_other_halves() -> None:
    with pytest.raises(ConfigError, match="lightglue needs extractor.kind superpoint, not dedode"):
        resolve(RunConfig(extractor=CONFIG, matcher=MatcherConfig(kind="lightglue"), device="cpu"))


@pytest.mark.parametrize("dtype", [torch.bfloat16])
def test_half_precision_keeps_the_descriptors(dtype: torch.dtype) -> None:
    image = textured(96, 64)
    keypoints = detector().detect(image)
    half = DeDoDeDescriber(CONFIG, "cpu", small_descriptor(), dtype=dtype).describe(image, keypoints)
    # Eight bits a number: single errors of 2^-9 that add up like noise over the layers
    assert (half * describer().describe(image, keypoints)).sum(1).min() > 0.99
    found = DeDoDeKeypoints(CONFIG, "cpu", small_detector(), dtype).detect(image)
    assert found.scores.dtype == np.float32 and len(found) > 10
