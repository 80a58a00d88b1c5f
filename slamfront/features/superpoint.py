"""SuperPoint as an extractor."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from slamfront.config import ExtractorConfig
from slamfront.errors import ConfigError, WeightsError
from slamfront.geometry.balance import COLUMNS, CROWDING, spread
from slamfront.models.checkpoints import load_network
from slamfront.models.compiled import CompiledExtractor
from slamfront.models.detection import (
    refine_subpixel,
    select_keypoints,
    suppress_non_maxima,
)
from slamfront.models.precision import prepare_for_inference
from slamfront.models.superpoint import DenseExtractor, DenseFeatures
from slamfront.types import Features, Image

# The network sees nothing beyond the edge, so what it says this close to it, px, is not trusted
_BORDER_PX = 4


class SuperPointExtractor:
    """Learned corners with learned descriptors (DeTone et al., CVPRW 2018).

    Keypoints are spread over the image before they are refined and described. An instance belongs to one thread, the
    front's: it neither locks nor may it run twice at a time.
    """

    def __init__(
        self,
        config: ExtractorConfig,
        device: torch.device | str = "cpu",
        network: DenseExtractor | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """Take `config.weights`, or the network given, to the device in its fastest data type or the one given.

        Raises WeightsError when the weights are missing or not SuperPoint's, ConfigError when the engine is.
        """
        self._config, self._device = config, torch.device(device)
        compiled = config.engine == "openvino"
        if compiled and self._device.type != "cpu":
            raise ConfigError(f"extractor.engine openvino runs on the CPU, not on {self._device.type}")
        # OpenVINO lowers the precision by itself, where that is faster
        dtype = torch.float32 if compiled else dtype
        self._network = prepare_for_inference(_loaded(config) if network is None else network, device, dtype)
        self._dense: Callable[[Tensor], DenseFeatures] = self._network
        if compiled:
            self._dense = CompiledExtractor(self._network)

    @property
    def fingerprint(self) -> str:
        """What decides the features of an image: configuration, weights, device and data type."""
        digest = hashlib.sha256()
        for name, tensor in self._network.state_dict().items():
            digest.update(name.encode() + tensor.float().contiguous().cpu().numpy().tobytes())
        kind = f"{type(self._network).__name__} {self._device.type} {next(self._network.parameters()).dtype}"
        # Whatever the weights are called, their content has been taken into account
        return f"{kind} {replace(self._config, weights='')} {digest.hexdigest()}"

    @torch.no_grad()
    def extract(self, image: Image) -> Features:
        """Return the features of a grey image (H,W), with descriptors of unit length; zero keypoints are valid.

        Raises FrameError for an image smaller than 8x8 pixels.
        """
        config, size = self._config, (image.shape[1], image.shape[0])
        unit = torch.from_numpy(np.divide(image, np.float32(255)))
        dense = self._dense(unit[None, None].to(self._device, memory_format=torch.channels_last))
        scores = self._network.score_map(dense.logits)
        suppressed = suppress_non_maxima(scores, config.nms_radius)[0]
        pixels, strengths = select_keypoints(suppressed, None, config.threshold, _BORDER_PX)
        places = _array(pixels.float()), _array(strengths)
        rows = spread(*places, size[0], config.max_keypoints, *_spreading(config))
        chosen = torch.from_numpy(rows).to(self._device)
        pixels, strengths = pixels[chosen], strengths[chosen]
        keypoints_xy = refine_subpixel(scores[0], pixels) if config.subpixel else pixels.float()
        descriptors = self._network.describe(dense.descriptors[0], keypoints_xy)
        ones = np.ones(len(rows), np.float32)
        return Features(_array(keypoints_xy), _array(strengths), _array(descriptors), size, ones)


def _spreading(config: ExtractorConfig) -> tuple[int, float]:
    """Return columns and crowding by which keypoints are spread."""
    columns = COLUMNS if config.grid is None else config.grid
    return columns, CROWDING if config.crowding is None else config.crowding


def _loaded(config: ExtractorConfig) -> DenseExtractor:
    network = load_network(config.weights)
    if not isinstance(network, DenseExtractor):
        raise WeightsError(
            f"extractor.weights: {config.weights} holds a {type(network).__name__}, the extractor needs SuperPoint"
        )
    return network


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.contiguous().cpu().numpy()
