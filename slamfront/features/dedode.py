"""DeDoDe's detector and describer (Edstedt et al., 3DV 2024), and DaD's detector, as halves of an extractor."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import torch
from PIL import Image as Picture
from torch import Tensor, nn

from slamfront.config import ExtractorConfig
from slamfront.errors import FrameError, WeightsError
from slamfront.geometry.balance import CROWDING, spread
from slamfront.models.checkpoints import load_network
from slamfront.models.dedode.networks import (
    LEAST_PX,
    DeDoDeDescriptor,
    DeDoDeDescriptorG,
    DeDoDeDetector,
    normalised,
    padded_to_patches,
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
from slamfront.models.precision import prepare_for_inference
from slamfront.types import Float32Array, Image, Keypoints, check_image

# The networks see nothing beyond the edge, so what they say this close to it, px, is not trusted
_BORDER_PX = 4
_SMALL_VGG = 11

Network = TypeVar("Network", bound=nn.Module)


class DeDoDeKeypoints:
    """Keypoints where one network says that a point of the scene can be found again.

    An instance belongs to one thread, the front's: it neither locks nor may it run twice at a time.
    """

    def __init__(
        self,
        config: ExtractorConfig,
        device: torch.device | str = "cpu",
        network: DeDoDeDetector | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """Take `config.detector_weights`, or the network given, to the device in its fastest data type or the one
        given. Raises WeightsError when the weights are missing or another network's.
        """
        network = network or _loaded(config.detector_weights, "detector_weights", DeDoDeDetector)
        self._config, self._device = config, torch.device(device)
        self._network: DeDoDeDetector = prepare_for_inference(network, device, dtype)
        small = network.vgg == _SMALL_VGG
        self._suppressed = config.sampling == "suppression" or (config.sampling == "auto" and small)

    @torch.no_grad()
    def detect(self, image: Image) -> Keypoints:
        """Return the keypoints of an image, grey (H,W) or RGB (H,W,3), the best first; none are a valid answer.

        Raises FrameError for an image that, resized, is below 8x8 pixels.
        """
        size = image.shape[1], image.shape[0]
        logits = self._network(_prepared(image, self._config, self._device))
        scores = density(logits)
        scores = only_maxima(scores) if self._suppressed else spread_out(scores)
        pixels, strengths = self._chosen(without_border(scores, _BORDER_PX)[0])
        refined = self._suppressed and self._config.subpixel
        places_xy = softly_refined(logits[0], pixels) if refined else pixels.float()
        scaling = np.array(size, np.float32) / (logits.shape[2], logits.shape[1])
        keypoints_xy = (_array(places_xy) + 0.5) * scaling - 0.5
        # A keypoint is no more exact than a pixel of what the network saw, nor than one of the image
        scales = np.full(len(keypoints_xy), max(float(scaling.mean()), 1.0), np.float32)
        return Keypoints(keypoints_xy.astype(np.float32), _array(strengths), size, scales)

    def _chosen(self, scores: Tensor) -> tuple[Tensor, Tensor]:
        """Return pixels (N,2) and scores (N,) of the keypoints of a map (H,W)."""
        count, columns = self._config.max_keypoints, self._config.grid or 0
        if columns == 0:
            return strongest(scores, count)
        pixels, strengths = strongest(scores, scores.numel())
        crowding = CROWDING if self._config.crowding is None else self._config.crowding
        chosen = spread(_array(pixels), _array(strengths), scores.shape[1], count, columns, crowding)
        rows = torch.from_numpy(chosen).to(scores.device)
        return pixels[rows], strengths[rows]


class DeDoDeDescriber:
    """Descriptors that one network gives for any place of an image.

    An instance belongs to one thread, the front's: it neither locks nor may it run twice at a time.
    """

    def __init__(
        self,
        config: ExtractorConfig,
        device: torch.device | str = "cpu",
        network: DeDoDeDescriptor | DeDoDeDescriptorG | None = None,
        patches: DinoV2 | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """Take `config.descriptor_weights`, and for descriptor G `config.patch_weights`, or the networks given, to the
        device in its fastest data type or the one given. Raises WeightsError when weights are missing, another
        network's, or do not fit each other.
        """
        network = network or _loaded_descriptor(config.descriptor_weights)
        self._config, self._device = config, torch.device(device)
        self._network: DeDoDeDescriptor | DeDoDeDescriptorG = network
        prepare_for_inference(self._network, device, dtype)
        self._patches: DinoV2 | None = None
        if isinstance(network, DeDoDeDescriptorG):
            patches = patches or _loaded(config.patch_weights, "patch_weights", DinoV2)
            if patches.dim != network.patch_channels:
                raise WeightsError(
                    f"extractor.patch_weights: {config.patch_weights} has {patches.dim} channels, and descriptor G "
                    f"needs {network.patch_channels}"
                )
            self._patches = prepare_for_inference(patches, device, dtype)

    @torch.no_grad()
    def describe(self, image: Image, keypoints: Keypoints) -> Float32Array:
        """Return descriptors (N,D) of unit length at the keypoints of an image, grey (H,W) or RGB (H,W,3).

        Raises FrameError for an image that, resized, is below 8x8 pixels.
        """
        prepared = _prepared(image, self._config, self._device)
        if not len(keypoints):
            return np.zeros((0, self._network.descriptor_dim), np.float32)
        grid = self._grid(prepared)[0]
        scaling = np.array([grid.shape[2] / image.shape[1], grid.shape[1] / image.shape[0]], np.float32)
        places_xy = torch.from_numpy((keypoints.keypoints_xy + 0.5) * scaling - 0.5).to(self._device)
        return _array(nn.functional.normalize(described(grid, places_xy), dim=1))

    def _grid(self, prepared: Tensor) -> Tensor:
        """Return the description grid (1,D,H,W) of a normalised image (1,3,H,W)."""
        if self._patches is None:
            return self._network(prepared)
        height, width = prepared.shape[-2:]
        whole = padded_to_patches(prepared)
        tokens, _ = self._patches(whole)
        return self._network(whole, tokens)[..., :height, :width]


def _prepared(image: Image, config: ExtractorConfig, device: torch.device) -> Tensor:
    """Return an image as the networks take it, (1,3,H,W), resized as configured."""
    check_image(image, "the image")
    wanted = _resized(image.shape[1], image.shape[0], config)
    if min(wanted) < LEAST_PX:
        raise FrameError(f"an image of {wanted[0]}x{wanted[1]} pixels is too small: at least 8x8 needed")
    if wanted != (image.shape[1], image.shape[0]):
        image = np.asarray(Picture.fromarray(image).resize(wanted, Picture.Resampling.BICUBIC))
    levels = torch.from_numpy(np.array(image if image.ndim == 3 else image[..., None]))
    unit = levels.to(device).permute(2, 0, 1)[None].float() / 255
    return normalised(unit).contiguous(memory_format=torch.channels_last)


def _resized(width: int, height: int, config: ExtractorConfig) -> tuple[int, int]:
    """Return the size at which the networks see an image; with its shape kept, multiples of 8, as DaD's are."""
    if config.resize == "none":
        return width, height
    if config.resize == "square":
        return config.resize_px, config.resize_px
    factor = config.resize_px / max(width, height)
    return tuple(max(int(side * factor + 1e-6) // LEAST_PX, 1) * LEAST_PX for side in (width, height))  # type: ignore[return-value]


def _loaded(weights: str, setting: str, kind: type[Network]) -> Network:
    network = load_network(weights)
    if not isinstance(network, kind):
        raise _another(weights, setting, network, kind.__name__)
    return network


def _loaded_descriptor(weights: str) -> DeDoDeDescriptor | DeDoDeDescriptorG:
    network = load_network(weights)
    if not isinstance(network, (DeDoDeDescriptor, DeDoDeDescriptorG)):
        raise _another(weights, "descriptor_weights", network, "DeDoDeDescriptor")
    return network


def _another(weights: str, setting: str, network: nn.Module, wanted: str) -> WeightsError:
    return WeightsError(f"extractor.{setting}: {weights} holds a {type(network).__name__}, and must hold a {wanted}")


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.contiguous().cpu().numpy()
