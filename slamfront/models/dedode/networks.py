"""DeDoDe's detector and descriptor, with the layouts of their authors' files."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor, nn

from slamfront.errors import FrameError
from slamfront.models.dedode.layers import PATCH_PX, SCALES, Decoder, Interpolation, Vgg

DETECTOR_L: dict[str, object] = {"vgg": 19, "hidden": (512, 256, 128, 64), "context": (256, 128, 64, 1), "layers": 8}
DETECTOR_B: dict[str, object] = {"vgg": 19, "hidden": (512, 256, 64, 32), "context": (256, 128, 32, 1), "layers": 5}
DETECTOR_S: dict[str, object] = {"vgg": 11, "hidden": (512, 256, 64, 32), "context": (256, 128, 32, 1), "layers": 3}
DESCRIPTOR_B = {**DETECTOR_B, "descriptor_dim": 256}
DESCRIPTOR_G: dict[str, object] = {
    "hidden": (768, 512, 256, 64, 32),
    "context": (512, 256, 128, 32, 1),
    "layers": 5,
    "descriptor_dim": 256,
    "patch_channels": 1024,
}
"""The constructors' arguments of the networks that were published; S is that of DaD."""

LEAST_PX = 8
"""Shortest side of an image, px: one pixel of the coarsest feature."""
_MEAN, _SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def normalised(image: Tensor) -> Tensor:
    """Return images (B,3,H,W), or grey ones (B,1,H,W), in [0,1] as the networks take them: (B,3,H,W).

    Grey is repeated; the means and standard deviations are ImageNet's.
    """
    mean, spread = (image.new_tensor(values)[:, None, None] for values in (_MEAN, _SPREAD))
    return (image.expand(-1, 3, -1, -1) - mean) / spread


class DenseNetwork(nn.Module):
    """What both networks share: a size that is read off a state dict, and images that are large enough."""

    encoder: nn.Module
    decoder: Decoder

    @abstractmethod
    def forward(self, image: Tensor) -> Tensor:
        """Predict for each pixel of normalised images (B,3,H,W)."""

    def _features(self, image: Tensor, encoder: nn.Module) -> dict[int, Tensor]:
        if min(image.shape[-2:]) < LEAST_PX:
            raise FrameError(
                f"an image of {image.shape[-1]}x{image.shape[-2]} pixels is too small: at least 8x8 needed"
            )
        return encoder(image.to(next(self.parameters()).dtype))


class DeDoDeDetector(DenseNetwork):
    """One logit for each pixel: how much rather it is a keypoint than others (section 3.2).

    hidden, context   channels of the refiners at strides 8, 4, 2 and 1. layers: hidden blocks of each. vgg: 11 or 19
    """

    signature = "encoder.layers.0.weight"

    def __init__(
        self,
        vgg: int = 19,
        hidden: tuple[int, ...] = (512, 256, 128, 64),
        context: tuple[int, ...] = (256, 128, 64, 1),
        layers: int = 8,
    ) -> None:
        super().__init__()
        self.encoder, self.decoder = Vgg(vgg), Decoder(1, SCALES, hidden, context, layers)
        self.vgg = vgg

    @staticmethod
    def config_of(state: Mapping[str, Tensor]) -> dict[str, object]:
        """Read the constructor's arguments off a state dict."""
        return {"vgg": _depth_of(state, "encoder.layers"), **_refiners_of(state, SCALES, 1)}

    @staticmethod
    def recognised(state: Mapping[str, Tensor]) -> bool:
        """Say whether a state dict with the signature is a detector's: its finest prediction has one channel."""
        return _finest_channels(state) == 2

    def forward(self, image: Tensor) -> Tensor:
        """Return logits (B,H,W), float32, of normalised images (B,3,H,W); FrameError where these are below 8x8."""
        return self.decoder(self._features(image, self.encoder), "bicubic")[:, 0]


class DeDoDeDescriptor(DenseNetwork):
    """A description of each pixel (section 3.4), on VGG alone: descriptor B."""

    signature = "encoder.layers.0.weight"
    interpolation: Interpolation = "bilinear"

    def __init__(
        self,
        vgg: int = 19,
        hidden: tuple[int, ...] = (512, 256, 64, 32),
        context: tuple[int, ...] = (256, 128, 32, 1),
        layers: int = 5,
        descriptor_dim: int = 256,
    ) -> None:
        super().__init__()
        self.encoder, self.decoder = Vgg(vgg), Decoder(descriptor_dim, SCALES, hidden, context, layers)
        self.descriptor_dim = descriptor_dim

    @staticmethod
    def config_of(state: Mapping[str, Tensor]) -> dict[str, object]:
        """Read the constructor's arguments off a state dict."""
        dim = _finest_channels(state) - 1
        depth = _depth_of(state, "encoder.layers")
        return {"vgg": depth, **_refiners_of(state, SCALES, dim), "descriptor_dim": dim}

    @staticmethod
    def recognised(state: Mapping[str, Tensor]) -> bool:
        """Say whether a state dict with the signature is a descriptor's."""
        return _finest_channels(state) > 2

    def forward(self, image: Tensor) -> Tensor:
        """Return the description grid (B,D,H,W), float32 and of any length, of normalised images (B,3,H,W).

        Raises FrameError where these are below 8x8.
        """
        return self.decoder(self._features(image, self.encoder), self.interpolation)


class DeDoDeDescriptorG(DenseNetwork):
    """A description of each pixel on VGG and, for the coarsest scale, DINOv2's patch tokens: descriptor G.

    DINOv2 is no part of it, as its weights are no part of the file: the caller runs it (`slamfront.models.dinov2`).
    """

    signature = "encoder.vgg.layers.0.weight"
    encoder: nn.ModuleDict
    interpolation: Interpolation = "bilinear"

    def __init__(
        self,
        hidden: tuple[int, ...] = (768, 512, 256, 64, 32),
        context: tuple[int, ...] = (512, 256, 128, 32, 1),
        layers: int = 5,
        descriptor_dim: int = 256,
        patch_channels: int = 1024,
    ) -> None:
        super().__init__()
        self.encoder = nn.ModuleDict({"vgg": Vgg(19)})
        scales = (PATCH_PX, *SCALES)
        self.decoder = Decoder(descriptor_dim, scales, hidden, context, layers, patch_channels)
        self.descriptor_dim, self.patch_channels = descriptor_dim, patch_channels

    @staticmethod
    def config_of(state: Mapping[str, Tensor]) -> dict[str, object]:
        """Read the constructor's arguments off a state dict."""
        dim = _finest_channels(state) - 1
        patch_channels = state[f"decoder.layers.{PATCH_PX}.block1.0.weight"].shape[1]
        refiners = _refiners_of(state, (PATCH_PX, *SCALES), dim)
        return {**refiners, "descriptor_dim": dim, "patch_channels": patch_channels}

    @staticmethod
    def recognised(state: Mapping[str, Tensor]) -> bool:
        """Say whether a state dict with the signature is a descriptor's."""
        return _finest_channels(state) > 2

    def forward(self, image: Tensor, patches: Tensor | None = None) -> Tensor:
        """Return the description grid (B,D,H,W), float32 and of any length.

        image: normalised (B,3,H,W), sides multiples of 14. patches: DINOv2's (B,C,H / 14,W / 14) of the same. Raises
        FrameError for other sides.
        """
        height, width = image.shape[-2:]
        if height % PATCH_PX or width % PATCH_PX:
            raise FrameError(f"descriptor G needs sides that are multiples of 14 px, not {width}x{height}")
        if patches is None:
            raise ValueError("descriptor G needs DINOv2's patch tokens")
        features = self._features(image, self.encoder["vgg"])
        features[PATCH_PX] = patches.to(features[1].dtype)
        return self.decoder(features, self.interpolation)


def padded_to_patches(image: Tensor) -> Tensor:
    """Return normalised images (B,3,H,W) with zeros on the right and below, up to sides that are multiples of 14."""
    height, width = image.shape[-2:]
    return F.pad(image, (0, -width % PATCH_PX, 0, -height % PATCH_PX))


def _finest_channels(state: Mapping[str, Tensor]) -> int:
    """Return the channels of the finest refiner's output: the prediction's and one of context; 0 without one."""
    weight = state.get("decoder.layers.1.out_conv.weight")
    return 0 if weight is None else len(weight)


def _depth_of(state: Mapping[str, Tensor], prefix: str) -> int:
    return 19 if f"{prefix}.36.weight" in state else 11


def _refiners_of(state: Mapping[str, Tensor], scales: tuple[int, ...], predicted: int) -> dict[str, object]:
    outputs = [state[f"decoder.layers.{scale}.out_conv.weight"] for scale in scales]
    blocks = {name.split(".")[4] for name in state if name.startswith("decoder.layers.1.hidden_blocks.")}
    return {
        "hidden": tuple(weight.shape[1] for weight in outputs),
        "context": tuple(len(weight) - predicted for weight in outputs),
        "layers": len(blocks),
    }
