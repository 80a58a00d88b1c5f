from __future__ import annotations

import pytest
import torch

from slamfront.errors import ConfigError, FrameError
from slamfront.models import compiled
from slamfront.models.compiled import CompiledExtractor, openvino_is_installed
from slamfront.models.precision import cpu_has_bfloat16
from slamfront.models.superpoint import SuperPointLite

needs_openvino = pytest.mark.skipif(not openvino_is_installed(), reason="OpenVINO, an optional extra, is not installed")
# bfloat16 has 8 bits of mantissa, and errors add up over seven layers
TOLERANCE = 5e-2 if cpu_has_bfloat16() else 1e-4


@needs_openvino
def test_the_results_are_those_of_torch_at_every_size() -> None:
    torch.manual_seed(0)
    network = SuperPointLite().eval().requires_grad_(False)
    fast = CompiledExtractor(network)
    for size in ((48, 64), (61, 83), (48, 64)):
        image = torch.rand(1, 1, *size)
        own, same = network(image), fast(image)
        torch.testing.assert_close(same.logits, own.logits, atol=TOLERANCE, rtol=0)
        torch.testing.assert_close(same.descriptors, own.descriptors, atol=TOLERANCE, rtol=0)


@needs_openvino
def test_an_image_smaller_than_a_cell_is_refused() -> None:
    with pytest.raises(FrameError, match="too small"):
        CompiledExtractor(SuperPointLite().eval())(torch.rand(1, 1, 7, 40))


def test_without_openvino_the_command_to_install_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "openvino_is_installed", lambda: False)
    with pytest.raises(ConfigError, match="pip install"):
        CompiledExtractor(SuperPointLite())
