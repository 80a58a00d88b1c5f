"""What DeDoDe's networks are made of: an encoder of VGG's, and a refiner at each of its scales (section 3.3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Interpolation = Literal["bilinear", "bicubic"]

_STAGES = {
    11: ((64,), (128,), (256, 256), (512, 512)),
    19: ((64, 64), (128, 128), (256, 256, 256, 256), (512, 512, 512, 512)),
}
SCALES = (8, 4, 2, 1)
"""Strides of the encoder's features in pixels, the coarsest first."""
CHANNELS: Mapping[int, int] = {8: 512, 4: 256, 2: 128, 1: 64}
"""Channels of the encoder's feature at each of them."""
PATCH_PX = 14
"""Stride of DINOv2's feature, which is coarser still."""


class Vgg(nn.Module):
    """The first four stages of VGG with batch normalisation (Simonyan and Zisserman, ICLR 2015), numbered as in
    torchvision's `features`, of 11 or 19 layers.
    """

    def __init__(self, depth: int) -> None:
        super().__init__()
        if depth not in _STAGES:
            raise ValueError(f"VGG has 11 or 19 layers here, not {depth}")
        self.layers, before = nn.ModuleList(), 3
        for stage in _STAGES[depth]:
            for channels in stage:
                self.layers.append(nn.Conv2d(before, channels, 3, padding=1))
                self.layers.append(nn.BatchNorm2d(channels))
                self.layers.append(nn.ReLU(inplace=True))
                before = channels
            self.layers.append(nn.MaxPool2d(2))

    def forward(self, image: Tensor) -> dict[int, Tensor]:
        """Return the features (B,C,H // s,W // s) before each pooling, by stride s, of normalised images (B,3,H,W)."""
        features: dict[int, Tensor] = {}
        x, stride = image, 1
        for layer in self.layers:
            if isinstance(layer, nn.MaxPool2d):
                features[stride] = x
                stride *= 2
                if stride > SCALES[0]:  # nobody reads what the last pooling gives
                    break
            x = layer(x)
        return features


class Refiner(nn.Module):
    """Convolutions at one scale: a prediction, and the context that the next finer scale gets."""

    def __init__(self, before: int, hidden: int, after: int, layers: int) -> None:
        super().__init__()
        self.block1 = _block(before, hidden, nn.Conv2d(before, hidden, 1))
        self.hidden_blocks = nn.Sequential(
            *(_block(hidden, hidden, nn.Conv2d(hidden, hidden, 5, padding=2, groups=hidden)) for _ in range(layers))
        )
        self.out_conv = nn.Conv2d(hidden, after, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return prediction and context (B,out,h,w) of features and coarser context (B,in,h,w)."""
        x0 = self.block1(x)
        # 1.4, about the root of two, keeps the variance of a sum of two
        return self.out_conv((self.hidden_blocks(x0) + x0) / 1.4)


class Decoder(nn.Module):
    """A refiner at each scale, whose predictions add up (equation 11).

    Scales are strides in pixels, the coarsest first; of each its hidden channels and the channels of its context.
    """

    def __init__(self, predicted: int, scales: tuple[int, ...], hidden: tuple[int, ...], context: tuple[int, ...],
                 layers: int, coarse_channels: int = 0) -> None:  # fmt: skip
        super().__init__()
        self.predicted = predicted
        refiners, inherited = {}, 0
        for scale, inside, passed in zip(scales, hidden, context):
            before = CHANNELS.get(scale, coarse_channels) + inherited
            refiners[str(scale)] = Refiner(before, inside, predicted + passed, layers)
            inherited = passed
        self.layers = nn.ModuleDict(refiners)

    def forward(self, features: Mapping[int, Tensor], interpolation: Interpolation) -> Tensor:
        """Return the prediction (B,P,H,W), float32, at the finest scale of features by their strides.

        The prediction of a coarser scale is resized by `interpolation`, its context bilinearly.
        """
        prediction: Tensor | None = None
        context: Tensor | None = None
        for scale, refiner in self.layers.items():
            x = features[int(scale)]
            if prediction is not None and context is not None:
                prediction = F.interpolate(prediction, x.shape[-2:], mode=interpolation, align_corners=False)
                context = F.interpolate(context, x.shape[-2:], mode="bilinear", align_corners=False)
                x = torch.cat((x, context), dim=1)
            refined = refiner(x)
            # Sums in float32: over a whole image, logits far apart must keep their last digits
            more, context = refined[:, : self.predicted].float(), refined[:, self.predicted :]
            prediction = more if prediction is None else prediction + more
        assert prediction is not None
        return prediction


def _block(before: int, after: int, first: nn.Conv2d) -> nn.Sequential:
    middle = first.out_channels
    assert first.in_channels == before
    return nn.Sequential(first, nn.BatchNorm2d(middle), nn.ReLU(inplace=True), nn.Conv2d(middle, after, 1))
