from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from slamfront.models.precision import cpu_has_bfloat16, inference_dtype, prepare_for_inference


@pytest.mark.parametrize(
    ("features", "native"),
    [
        ("flags\t\t: fpu avx2 avx512f avx512_bf16", True),
        ("flags\t\t: fpu avx2 amx_bf16", True),
        ("Features\t: fp asimd bf16", True),
        ("flags\t\t: fpu avx2 avx512f avx512bw", False),
        ("model name\t: something bf16", False),
    ],
)
def test_native_bfloat16_is_read_off_the_processors_flags(tmp_path: Path, features: str, native: bool) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor\t: 0\n{features}\n")
    assert cpu_has_bfloat16(cpuinfo) is native


def test_a_system_without_cpuinfo_runs_in_float32(tmp_path: Path) -> None:
    assert not cpu_has_bfloat16(tmp_path / "absent")
    assert inference_dtype("mps") == torch.float32
    assert inference_dtype("cpu") == (torch.bfloat16 if cpu_has_bfloat16() else torch.float32)


def test_a_prepared_network_is_frozen_in_the_devices_type_with_channels_last() -> None:
    network = prepare_for_inference(nn.Sequential(nn.Conv2d(4, 8, 3), nn.Dropout()), "cpu")
    assert not network.training
    weight = network[0].weight
    assert weight.dtype == inference_dtype("cpu") and not weight.requires_grad
    assert weight.is_contiguous(memory_format=torch.channels_last)
