#!/usr/bin/env python3
"""Turn a training's checkpoint into weights to ship: batch norm folded away, half precision, safetensors, split.

    python tools/pack_weights.py training/superpoint-lite/checkpoint.pt slamfront/weights/superpoint-lite.safetensors

Prints what the model card needs: steps, hours, seed, and the file's SHA-256, which SHA256SUMS beside it gets too.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
import yaml
from safetensors.torch import save_file
from torch import Tensor

from slamfront.models.checkpoints import how_to_read
from slamfront.models.weights import sha256_of
from slamfront.training.checkpoints import load_training
from slamfront.training.tasks.registry import network_of

MOST_BYTES = 16 << 20


def shards(state: dict[str, Tensor]) -> list[dict[str, Tensor]]:
    """Return the tensors in groups that each fit into a file."""
    groups: list[dict[str, Tensor]] = [{}]
    room = MOST_BYTES - (1 << 16)  # for the file's own header
    for name, tensor in state.items():
        if tensor.nbytes > room and groups[-1]:
            groups.append({})
            room = MOST_BYTES - (1 << 16)
        groups[-1][name] = tensor
        room -= tensor.nbytes
    return groups


def note_sum(path: Path, digest: str) -> None:
    """Let SHA256SUMS beside a file say what the file is, if there is one: packaged weights are compared with it."""
    sums = path.with_name("SHA256SUMS")
    if sums.is_file():
        others = [line for line in sums.read_text().splitlines() if line.partition("  ")[2] != path.name]
        lines = sorted([*others, f"{digest}  {path.name}"], key=lambda line: line.partition("  ")[2])
        sums.write_text("\n".join(lines) + "\n")


def main() -> None:
    """Write the files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("output", type=Path)
    given = parser.parse_args()
    training = load_training(given.checkpoint)
    recipe = yaml.safe_load(training.recipe)
    # contiguous: safetensors keeps no channels_last
    network = network_of(str(given.checkpoint))
    state = {name: tensor.to(torch.float16).contiguous() for name, tensor in network.state_dict().items()}
    facts = {
        "licence": "Apache-2.0",
        "task": recipe["task"],
        "seed": str(recipe["seed"]),
        "steps": f"{training.step} of {recipe['schedule']['steps']}",
        "hours": f"{training.seconds / 3600:.2f}",
        **how_to_read(network),
    }
    parts = shards(state)
    for number, part in enumerate(parts, 1):
        path = given.output
        if len(parts) > 1:
            path = path.with_name(f"{path.stem}-{number:05d}-of-{len(parts):05d}{path.suffix}")
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(part, path, metadata=facts)
        digest = sha256_of(path)
        note_sum(path, digest)
        print(f"{path}: {path.stat().st_size} bytes, SHA-256 {digest}")
    print("  ".join(f"{name}: {value}" for name, value in facts.items()))


if __name__ == "__main__":
    main()
