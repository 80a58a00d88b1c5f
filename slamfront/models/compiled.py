"""SuperPoint networks run by OpenVINO, which is faster than torch on CPUs; an optional extra with the same results."""

from __future__ import annotations

import importlib.util
import os
import warnings
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from slamfront.errors import ConfigError
from slamfront.models.superpoint import DenseExtractor, DenseFeatures


def openvino_is_installed() -> bool:
    """Tell whether the optional extra is there, without loading it."""
    return importlib.util.find_spec("openvino") is not None


class CompiledExtractor:
    """A float32 network compiled for this CPU, for one size of images: the first of another size takes longer.

    OpenVINO chooses the data type by the processor: bfloat16 where that is fast. Raises ConfigError where OpenVINO is
    not installed.
    """

    def __init__(self, network: DenseExtractor) -> None:
        if not openvino_is_installed():
            raise ConfigError("OpenVINO is not installed: pip install 'slamfront[openvino]', or take engine torch")
        self._network, self._size = network, (0, 0)
        self._request: Any = None

    def __call__(self, image: Tensor) -> DenseFeatures:
        """Compute dense features of one grey image (1,1,H,W) in [0,1], as the network itself does.

        Raises FrameError where the image is smaller than one cell.
        """
        height, width = image.shape[-2:]
        if self._size != (height, width):
            self._network(image)  # refuses what the network refuses
            self._request, self._size = _compiled(self._network, (height, width)), (height, width)
        logits, descriptors = self._request.infer([np.ascontiguousarray(image.numpy(), np.float32)]).values()
        # copies: the request writes into the same arrays the next time
        return DenseFeatures(torch.tensor(logits), F.normalize(torch.tensor(descriptors), dim=1))


class _Heads(nn.Module):
    def __init__(self, network: DenseExtractor) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        return self.network.heads(image)


@torch.no_grad()
def _compiled(network: DenseExtractor, size: tuple[int, int]) -> Any:
    os.environ.setdefault("OPENVINO_TELEMETRY_OPT_OUT", "1")
    import openvino

    shape = [1, 1, *size]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch advises its own developers
        model = openvino.convert_model(torch.export.export(_Heads(network).eval(), (torch.zeros(shape),)))
    threads = {"INFERENCE_NUM_THREADS": torch.get_num_threads(), "PERFORMANCE_HINT": "LATENCY"}
    return openvino.Core().compile_model(model, "CPU", threads).create_infer_request()
