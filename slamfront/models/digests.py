"""The identity of a network: a digest of its weights' names and values."""

from __future__ import annotations

import hashlib

from torch import nn


def digest_of(network: nn.Module) -> str:
    """Return 16 hexadecimal digits of the SHA-256 of a network's state: names and float32 values, on any device."""
    digest = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        digest.update(name.encode() + tensor.float().contiguous().cpu().numpy().tobytes())
    return digest.hexdigest()[:16]
