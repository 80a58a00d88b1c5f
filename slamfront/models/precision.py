"""The data type and memory layout that a device runs networks fastest with."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

Network = TypeVar("Network", bound=nn.Module)

_NATIVE_BFLOAT16_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
_TENSOR_CORES = (7, 0)


def inference_dtype(device: torch.device | str) -> torch.dtype:
    """Return the fastest accurate-enough data type of a device: float16, bfloat16 or float32.

    float16 on CUDA devices with tensor cores, bfloat16 on CPUs that multiply it natively, float32 elsewhere: a CPU
    that only emulates bfloat16 is slower with it.
    """
    device = torch.device(device)
    if device.type == "cuda":
        return torch.float16 if torch.cuda.get_device_capability(device) >= _TENSOR_CORES else torch.float32
    if device.type == "cpu" and cpu_has_bfloat16():
        return torch.bfloat16
    return torch.float32


def cpu_has_bfloat16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Tell whether the processor multiplies bfloat16 natively, as far as Linux lists its features."""
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:
        return False
    features = next((line for line in lines if line.lower().startswith(("flags", "features"))), "")
    return not _NATIVE_BFLOAT16_FLAGS.isdisjoint(features.split())


def prepare_for_inference(
    network: Network, device: torch.device | str = "cpu", dtype: torch.dtype | None = None
) -> Network:
    """Move a network to a device in its fastest data type (or the one given), channels_last, without gradients."""
    network.eval().requires_grad_(False)
    network.to(device=device, dtype=dtype or inference_dtype(device))
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
