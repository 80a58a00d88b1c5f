"""SuperPoint: one network that detects keypoints and describes them (DeTone et al., CVPRW 2018)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from slamfront.errors import FrameError
from slamfront.geometry.balance import COLUMNS, CROWDING, spread
from slamfront.models.detection import (
    CELL,
    Keypoints,
    refine_subpixel,
    sample_descriptors,
    score_map,
    select_keypoints,
    smoothed,
    suppress_non_maxima,
)

Channels = tuple[int, int, int, int, int]
LiteChannels = tuple[int, int, int, int]
Interpolation = Literal["bilinear", "bicubic"]
OFFICIAL_CHANNELS: Channels = (64, 64, 128, 128, 256)
LITE_CHANNELS: LiteChannels = (16, 48, 96, 96)

_FOLD = 2


class DenseFeatures(NamedTuple):
    """What SuperPoint says about each 8x8 cell: detector logits (B,65,h,w) and unit descriptors (B,D,h,w), float32."""

    logits: Tensor
    descriptors: Tensor


class DenseExtractor(nn.Module, ABC):
    """What the SuperPoint networks share: keypoints out of dense features."""

    corners = True
    """The convention of `sample_descriptors` that the network's weights were trained with."""

    smooth: bool = False
    """Whether keypoints are looked for in a smoothed score map."""

    interpolation: Interpolation = "bilinear"
    """How descriptors are taken between the centres of cells."""

    def forward(self, image: Tensor) -> DenseFeatures:
        """Compute dense features of grey images (B,1,H,W) in [0,1], with h = H // 8 and w = W // 8.

        Sides need not be multiples of 8: the last H mod 8 rows and W mod 8 columns belong to no cell, so no keypoint
        lies there (at most 7 pixels, of which the usual border takes 4 anyway).

        Raises FrameError where an image is smaller than one cell.
        """
        if min(image.shape[-2:]) < CELL:
            raise FrameError(
                f"an image of {image.shape[-1]}x{image.shape[-2]} pixels is too small: at least 8x8 needed"
            )
        dtype = next(self.parameters()).dtype
        logits, descriptors = self.heads(image.to(dtype))
        return DenseFeatures(logits.float(), F.normalize(descriptors.float(), dim=1))

    def score_map(self, logits: Tensor) -> Tensor:
        """Turn detector logits (B,65,h,w) into the map (B,8h,8w) whose maxima are the keypoints, float32."""
        scores = score_map(logits)
        return smoothed(scores) if self.smooth else scores

    def describe(self, descriptors: Tensor, keypoints_xy: Tensor) -> Tensor:
        """Return the descriptors (N,D) of keypoints (N,2) px by an image's descriptor map (D,h,w)."""
        return sample_descriptors(descriptors, keypoints_xy, self.corners, self.interpolation)

    @abstractmethod
    def heads(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Compute detector logits and descriptors, not yet normalised."""

    @torch.no_grad()
    def extract(
        self,
        image: Tensor,
        max_keypoints: int | None = 1024,
        threshold: float = 0.005,
        nms_radius: int = 4,
        border: int = 4,
        subpixel: bool = False,
        columns: int = COLUMNS,
        crowding: float = CROWDING,
    ) -> list[Keypoints]:
        """Detect and describe keypoints in grey images (B,1,H,W) in [0,1]; one `Keypoints` an image, the best first.

        Keypoints score above the threshold, are the strongest within `nms_radius` pixels and lie at least `border`
        pixels inside; where these are more than `max_keypoints`, they are spread over the image by `columns` and
        `crowding` (`slamfront.geometry.balance.spread`). `subpixel` moves them off the pixel grid (see
        `refine_subpixel`) before they are described.
        """
        features = self(image)
        scores = self.score_map(features.logits)
        suppressed = suppress_non_maxima(scores, nms_radius)
        extracted = []
        for one_scores, one_suppressed, one_map in zip(scores, suppressed, features.descriptors):
            pixels, strengths = select_keypoints(one_suppressed, None, threshold, border)
            if max_keypoints is not None:
                places, count = (pixels.cpu().numpy(), strengths.cpu().numpy()), max_keypoints
                rows = torch.from_numpy(spread(*places, image.shape[-1], count, columns, crowding)).to(pixels.device)
                pixels, strengths = pixels[rows], strengths[rows]
            keypoints_xy = refine_subpixel(one_scores, pixels) if subpixel else pixels.float()
            extracted.append(Keypoints(keypoints_xy, strengths, self.describe(one_map, keypoints_xy)))
        return extracted


class SuperPoint(DenseExtractor):
    """SuperPoint with the layout of its authors' checkpoint: 24 tensors at the official size.

    `channels` are those of the four stages of the encoder and of the two heads. `smooth` and `interpolation` belong to
    the weights: those of its authors are read as they published it.
    """

    signature = "conv1a.weight"

    def __init__(
        self,
        channels: Channels = OFFICIAL_CHANNELS,
        descriptor_dim: int = 256,
        smooth: bool = False,
        interpolation: Interpolation = "bilinear",
    ) -> None:
        super().__init__()
        c1, c2, c3, c4, head = channels
        self.descriptor_dim, self.smooth, self.interpolation = descriptor_dim, smooth, interpolation
        self.conv1a, self.conv1b = _convolution(1, c1), _convolution(c1, c1)
        self.conv2a, self.conv2b = _convolution(c1, c2), _convolution(c2, c2)
        self.conv3a, self.conv3b = _convolution(c2, c3), _convolution(c3, c3)
        self.conv4a, self.conv4b = _convolution(c3, c4), _convolution(c4, c4)
        self.convPa, self.convPb = _convolution(c4, head), nn.Conv2d(head, CELL * CELL + 1, 1)
        self.convDa, self.convDb = _convolution(c4, head), nn.Conv2d(head, descriptor_dim, 1)

    @staticmethod
    def config_of(state: dict[str, Tensor]) -> dict[str, object]:
        """Read the constructor's arguments off a state dict."""
        channels = tuple(len(state[f"{name}.weight"]) for name in ("conv1a", "conv2a", "conv3a", "conv4a", "convPa"))
        return {"channels": channels, "descriptor_dim": len(state["convDb.weight"])}

    def heads(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Compute detector logits and descriptors, not yet normalised."""
        x = F.relu(_pooled(self.conv1b(_rectified(self.conv1a, image))), inplace=True)
        x = F.relu(_pooled(self.conv2b(_rectified(self.conv2a, x))), inplace=True)
        x = F.relu(_pooled(self.conv3b(_rectified(self.conv3a, x))), inplace=True)
        x = _rectified(self.conv4b, _rectified(self.conv4a, x))
        return self.convPb(_rectified(self.convPa, x)), self.convDb(_rectified(self.convDa, x))


class SuperPointLite(DenseExtractor):
    """SuperPoint made for CPUs: a tenth of the arithmetic at the same grid of 8x8 cells.

    It never works at full resolution: each 2x2 square of pixels becomes one pixel of four channels, and strided
    convolutions take the place of pooling. The detector sees the finer stage before the last as well, each 2x2 square
    of it folded into channels, since positions below the pixel are lost to it otherwise.

    `channels` are those of the three stages of the encoder, at 1/2, 1/4 and 1/8 of the size, and of the two heads.
    """

    corners = False
    smooth = True
    interpolation = "bicubic"
    signature = "stem.weight"

    def __init__(self, channels: LiteChannels = LITE_CHANNELS, descriptor_dim: int = 128) -> None:
        super().__init__()
        c1, c2, c3, head = channels
        self.descriptor_dim = descriptor_dim
        self.stem = _convolution(_FOLD * _FOLD, c1)
        self.conv2a, self.conv2b = _convolution(c1, c2, stride=2), _convolution(c2, c2)
        self.conv3a, self.conv3b = _convolution(c2, c3, stride=2), _convolution(c3, c3)
        self.conv3c = _convolution(c3, c3)
        self.convPa, self.convPf = _convolution(c3, head), nn.Conv2d(c2 * _FOLD * _FOLD, head, 1)
        self.convPb = nn.Conv2d(head, CELL * CELL + 1, 1)
        self.convDa, self.convDb = _convolution(c3, head), nn.Conv2d(head, descriptor_dim, 1)

    @staticmethod
    def config_of(state: dict[str, Tensor]) -> dict[str, object]:
        """Read the constructor's arguments off a state dict."""
        channels = tuple(len(state[f"{name}.weight"]) for name in ("stem", "conv2a", "conv3a", "convPa"))
        return {"channels": channels, "descriptor_dim": len(state["convDb.weight"])}

    def heads(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Compute detector logits and descriptors, not yet normalised."""
        height, width = (side // CELL * CELL for side in image.shape[-2:])
        x = _rectified(self.stem, F.pixel_unshuffle(image[..., :height, :width], _FOLD))
        fine = _rectified(self.conv2b, _rectified(self.conv2a, x))
        x = _rectified(self.conv3c, _rectified(self.conv3b, _rectified(self.conv3a, fine)))
        detail = self.convPf(F.pixel_unshuffle(fine, _FOLD))
        logits = self.convPb(F.relu(self.convPa(x) + detail, inplace=True))
        return logits, self.convDb(_rectified(self.convDa, x))


class OpenSuperPoint(DenseExtractor):
    """SuperPoint with batch norm after each rectifier: the layout of the MIT-licensed retraining superpoint_v6."""

    corners = False
    signature = "backbone.0.0.conv.weight"

    def __init__(self, channels: Channels = OFFICIAL_CHANNELS, descriptor_dim: int = 256) -> None:
        super().__init__()
        *stages, head = channels
        self.descriptor_dim = descriptor_dim
        blocks = [
            [_normalised_block(before, after), _normalised_block(after, after), nn.MaxPool2d(2)]
            for before, after in zip([1, *stages], stages)
        ]
        del blocks[-1][-1]  # the last stage keeps its resolution
        self.backbone = nn.Sequential(*(nn.Sequential(*block) for block in blocks))
        self.detector = _normalised_head(stages[-1], head, CELL * CELL + 1)
        self.descriptor = _normalised_head(stages[-1], head, descriptor_dim)

    @staticmethod
    def config_of(state: dict[str, Tensor]) -> dict[str, object]:
        """Read the constructor's arguments off a state dict."""
        names = [f"backbone.{stage}.0" for stage in range(4)] + ["detector.0"]
        channels = tuple(len(state[f"{name}.conv.weight"]) for name in names)
        return {"channels": channels, "descriptor_dim": len(state["descriptor.1.conv.weight"])}

    def heads(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Compute detector logits and descriptors, not yet normalised."""
        x = self.backbone(image)
        return self.detector(x), self.descriptor(x)


def _convolution(before: int, after: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(before, after, 3, stride=stride, padding=1)


def _rectified(convolution: nn.Conv2d, x: Tensor) -> Tensor:
    return F.relu(convolution(x), inplace=True)


def _pooled(x: Tensor) -> Tensor:
    """Take the maximum of each 2x2 square; an odd last row or column is left out.

    The same as a max-pool, which takes four times as long on a CPU, though its gradient takes less. It commutes with
    the rectifier, which comes after.
    """
    if x.requires_grad:
        return F.max_pool2d(x, 2)
    height, width = x.shape[-2] // 2 * 2, x.shape[-1] // 2 * 2
    rows = torch.maximum(x[..., 0:height:2, :width], x[..., 1:height:2, :width])
    return torch.maximum(rows[..., 0::2], rows[..., 1::2])


def _normalised_block(before: int, after: int, kernel: int = 3, rectified: bool = True) -> nn.Sequential:
    return nn.Sequential(
        OrderedDict(
            conv=nn.Conv2d(before, after, kernel, padding=kernel // 2),
            activation=nn.ReLU(inplace=True) if rectified else nn.Identity(),
            bn=nn.BatchNorm2d(after, eps=1e-3),
        )
    )


def _normalised_head(before: int, hidden: int, after: int) -> nn.Sequential:
    return nn.Sequential(_normalised_block(before, hidden), _normalised_block(hidden, after, 1, rectified=False))
