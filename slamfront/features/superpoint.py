"""SuperPoint as an extractor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from slamfront.config import ExtractorConfig
from slamfront.errors import ConfigError, WeightsError
from slamfront.geometry.balance import COLUMNS, CROWDING, spread
from slamfront.imaging import grey
from slamfront.models.checkpoints import load_network
from slamfront.models.compiled import CompiledExtractor
from slamfront.models.detection import (
    refine_subpixel,
    select_keypoints,
    suppress_non_maxima,
)
from slamfront.models.precision import prepare_for_inference
from slamfront.models.superpoint import DenseExtractor, DenseFeatures
from slamfront.types import Features, Float32Array, Image, IntArray, Keypoints

# The network sees nothing beyond the edge, so what it says this close to it, px, is not trusted
_BORDER_PX = 4


class SuperPointExtractor:
    """Learned corners with learned descriptors (DeTone et al., CVPRW 2018).

    Keypoints of all octaves together are spread over the image before they are refined and described. An instance
    belongs to one thread, the front's: it neither locks nor may it run twice at a time.
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
        # One is compiled for each size of images
        self._dense: list[Callable[[Tensor], DenseFeatures]] = [
            CompiledExtractor(self._network) if compiled else self._network for _ in range(config.octaves)
        ]

    @torch.no_grad()
    def extract(self, image: Image) -> Features:
        """Return the features of a grey image (H,W), with descriptors of unit length; zero keypoints are valid.

        Raises FrameError for an image smaller than 8x8 pixels.
        """
        config, size = self._config, (image.shape[1], image.shape[0])
        octaves = [self._octave(image, number) for number in range(config.octaves) if _searchable(image, number)]
        places_xy = np.concatenate([one.whole_xy(_array(one.pixels.float())) for one in octaves])
        strengths = np.concatenate([_array(one.strengths) for one in octaves])
        rows = spread(places_xy, strengths, size[0], config.max_keypoints, *_spreading(config))
        ends = np.cumsum([len(one.pixels) for one in octaves])
        numbers = np.searchsorted(ends, rows, side="right")
        found = [self._described(one, rows[numbers == n] - ends[n] + len(one.pixels)) for n, one in enumerate(octaves)]
        keypoints_xy, scales, descriptors = (np.concatenate(part) for part in zip(*found))
        # They come octave by octave; the best are first again
        best = np.argsort(np.argsort(numbers, kind="stable"))
        return Features(keypoints_xy[best], strengths[rows], descriptors[best], size, scales[best])

    @torch.no_grad()
    def describe(self, image: Image, keypoints: Keypoints) -> Float32Array:
        """Return descriptors (N,D) of unit length at keypoints, whoever found them, of an image, grey or RGB.

        Raises FrameError for an image smaller than 8x8 pixels.
        """
        dense = self._seen(grey(image), 0)
        places_xy = torch.from_numpy(np.array(keypoints.keypoints_xy)).to(self._device)
        return _array(self._network.describe(dense.descriptors[0], places_xy))

    def _seen(self, image: Image, number: int) -> DenseFeatures:
        """Return what the network says about a grey image (H,W)."""
        unit = torch.from_numpy(np.divide(image, np.float32(255)))
        return self._dense[number](unit[None, None].to(self._device, memory_format=torch.channels_last))

    def _octave(self, image: Image, number: int) -> _Octave:
        """Return what the network finds in an image that is 2^number times smaller."""
        height, width = image.shape[0] >> number, image.shape[1] >> number
        smaller = image if number == 0 else cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        dense = self._seen(smaller, number)
        scores = self._network.score_map(dense.logits)
        suppressed = suppress_non_maxima(scores, self._config.nms_radius)[0]
        pixels, strengths = select_keypoints(suppressed, None, self._config.threshold, _BORDER_PX)
        scaling = np.array([image.shape[1] / width, image.shape[0] / height], np.float32)
        return _Octave(scaling, scores[0], dense.descriptors[0], pixels, strengths)

    def _described(self, octave: _Octave, rows: IntArray) -> tuple[Float32Array, Float32Array, Float32Array]:
        """Return keypoints (K,2), scales (K,) and descriptors (K,D) of those of an octave."""
        pixels = octave.pixels[torch.from_numpy(rows).to(self._device)]
        keypoints_xy = refine_subpixel(octave.scores, pixels) if self._config.subpixel else pixels.float()
        descriptors = _array(self._network.describe(octave.descriptors, keypoints_xy))
        scales = np.full(len(rows), octave.scaling.mean(), np.float32)
        return octave.whole_xy(_array(keypoints_xy)), scales, descriptors


@dataclass(frozen=True, slots=True, eq=False)
class _Octave:
    """What the network finds in an image that was made smaller.

    scaling         (2,): how many pixels of the whole image one of its pixels is wide and high
    scores          (H,W); descriptors (D,H/8,W/8)  of the whole octave
    pixels          (N,2) and strengths (N,)  of its keypoints
    """

    scaling: Float32Array
    scores: Tensor
    descriptors: Tensor
    pixels: Tensor
    strengths: Tensor

    def whole_xy(self, xy: Float32Array) -> Float32Array:
        """Return pixels (N,2) of it as those of the whole image; the edges of both coincide."""
        return np.asarray(xy * self.scaling + (self.scaling - 1) / 2, np.float32)


def _searchable(image: Image, number: int) -> bool:
    """Say whether an image that is 2^number times smaller has pixels within the border; the whole one may have none."""
    return number == 0 or min(image.shape) >> number > 2 * _BORDER_PX


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
