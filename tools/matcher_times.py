"""Times the matching networks by size and number of keypoints, at their full depth.

    python tools/matcher_times.py [--counts 256 512 1024] [--threads 2]

Weights are random: they change nothing but whether LightGlue may stop early, which `slamfront eval-matching` measures.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
import tyro

from slamfront.models.assignment import ImagePoints
from slamfront.models.lightglue import LightGlue
from slamfront.models.precision import prepare_for_inference
from slamfront.models.superglue import SuperGlue
from slamfront.training.matchers import new_matcher

_IMAGE_SIZE = (640.0, 480.0)


def main(
    counts: tuple[int, ...] = (256, 512, 1024),
    kinds: tuple[str, ...] = ("lightglue-lite", "lightglue", "superglue"),
    threads: int = 0,
    runs: int = 7,
) -> None:
    """Print the median time of a pair, ms, for each network and number of keypoints an image.

    Args:
        counts: keypoints of each image.
        kinds: networks, as recipes name them.
        threads: threads of torch; 0 leaves that to torch.
        runs: pairs that are timed, after one that is not.
    """
    if threads:
        torch.set_num_threads(threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    print(f"{'ms a pair':<16}" + "".join(f"{count:>9}" for count in counts))
    for kind in kinds:
        network = prepare_for_inference(new_matcher(kind), device, None)
        times = [_median_ms(_matching(network, count, device), runs, device) for count in counts]
        print(f"{kind:<16}" + "".join(f"{ms:>9.1f}" for ms in times), flush=True)


def _matching(network: SuperGlue | LightGlue, count: int, device: torch.device) -> Callable[[], object]:
    weight = next(network.parameters())
    dim = int(network.config_of(network.state_dict()).get("input_dim", getattr(network, "dim", 0)))  # type: ignore[call-overload]
    first, second = (
        ImagePoints(
            torch.rand(count, 2, device=device) * torch.tensor(_IMAGE_SIZE, device=device),
            torch.nn.functional.normalize(torch.randn(count, dim, device=device), dim=1).to(weight),
            torch.tensor(_IMAGE_SIZE, device=device),
            torch.rand(count, device=device),
        )
        for _ in range(2)
    )
    if isinstance(network, LightGlue):
        return lambda: network.match(first, second, depth_confidence=None, width_confidence=None)
    return lambda: network.match(first, second)


def _median_ms(match: Callable[[], object], runs: int, device: torch.device) -> float:
    times_ms = []
    for _ in range(runs + 1):
        start = time.perf_counter()
        match()
        if device.type == "cuda":
            torch.cuda.synchronize()
        times_ms.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times_ms[1:])


if __name__ == "__main__":
    tyro.cli(main)
