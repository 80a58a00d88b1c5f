"""Times the networks: extractors on a frame, matchers by number of keypoints.

    python tools/network_times.py extractors [--weights superpoint-lite superpoint] [--source SEQUENCE] [--threads 2]
    python tools/network_times.py matchers [--counts 256 512 1024] [--threads 2]

An extractor is timed with everything from the grey image to its keypoints and descriptors. A matcher runs at its full
depth on random weights: these change nothing but whether LightGlue may stop early, which `slamfront eval-matching`
measures. The environment decides how threads wait for each other; the command line sets `GOMP_SPINCOUNT=1000`.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Literal

import torch
import tyro

import slamfront
from slamfront.config import ExtractorConfig
from slamfront.features.superpoint import SuperPointExtractor
from slamfront.models.assignment import ImagePoints
from slamfront.models.lightglue import LightGlue
from slamfront.models.precision import inference_dtype, prepare_for_inference
from slamfront.models.superglue import SuperGlue
from slamfront.training.recipe import NetworkRecipe
from slamfront.training.tasks.matcher import new_matcher

MatcherKind = Literal["lightglue-lite", "lightglue", "superglue"]

_IMAGE_SIZE = (640.0, 480.0)
_DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def extractors(
    weights: tuple[str, ...] = ("superpoint-lite", "superpoint"),
    source: str = "synthetic:room?width=640&height=480&grey=1",
    max_keypoints: int = 1000,
    engine: Literal["torch", "openvino"] = "torch",
    threads: int = 0,
    runs: int = 20,
) -> None:
    """Print the median time of a frame, ms, for each extractor, in the device's fastest data type and in float32.

    OpenVINO chooses its data type by itself.

    Args:
        weights: known weights, or files.
        source: what gives the frame, its first.
        max_keypoints: most keypoints.
        engine: what runs the network.
        threads: threads of torch; 0 leaves that to torch.
        runs: times that count, after two that do not.
    """
    _set_threads(threads)
    image = next(iter(slamfront.open_source(source))).image
    kinds = list(dict.fromkeys([inference_dtype(_DEVICE), torch.float32])) if engine == "torch" else [torch.float32]
    names = [str(kind).removeprefix("torch.") if engine == "torch" else engine for kind in kinds]
    print(f"{'ms a frame':<24}" + "".join(f"{name:>12}" for name in names) + "  keypoints")
    for name in weights:
        config = ExtractorConfig(max_keypoints=max_keypoints, weights=name, engine=engine)
        made = [SuperPointExtractor(config, _DEVICE, dtype=kind) for kind in kinds]
        times = [_median_ms(lambda one=one: one.extract(image), runs) for one in made]  # type: ignore[misc]
        count = len(made[0].extract(image))
        print(f"{name:<24}" + "".join(f"{ms:>12.1f}" for ms in times) + f"{count:>11}", flush=True)


def matchers(
    counts: tuple[int, ...] = (256, 512, 1024),
    kinds: tuple[MatcherKind, ...] = ("lightglue-lite", "lightglue", "superglue"),
    threads: int = 0,
    runs: int = 7,
) -> None:
    """Print the median time of a pair, ms, for each network and number of keypoints an image.

    Args:
        counts: keypoints of each image.
        kinds: networks, as recipes name them.
        threads: threads of torch; 0 leaves that to torch.
        runs: pairs that count, after two that do not.
    """
    _set_threads(threads)
    print(f"{'ms a pair':<16}" + "".join(f"{count:>9}" for count in counts))
    for kind in kinds:
        network = prepare_for_inference(new_matcher(NetworkRecipe(kind)), _DEVICE)
        times = [_median_ms(_matching(network, count), runs) for count in counts]
        print(f"{kind:<16}" + "".join(f"{ms:>9.1f}" for ms in times), flush=True)


def _matching(network: SuperGlue | LightGlue, count: int) -> Callable[[], object]:
    weight = next(network.parameters())
    dim = int(network.config_of(network.state_dict()).get("input_dim", getattr(network, "dim", 0)))  # type: ignore[call-overload]
    first, second = (
        ImagePoints(
            torch.rand(count, 2, device=_DEVICE) * torch.tensor(_IMAGE_SIZE, device=_DEVICE),
            torch.nn.functional.normalize(torch.randn(count, dim, device=_DEVICE), dim=1).to(weight),
            torch.tensor(_IMAGE_SIZE, device=_DEVICE),
            torch.rand(count, device=_DEVICE),
        )
        for _ in range(2)
    )
    if isinstance(network, LightGlue):
        return lambda: network.match(first, second, depth_confidence=None, width_confidence=None)
    return lambda: network.match(first, second)


def _median_ms(compute: Callable[[], object], runs: int) -> float:
    times_ms = []
    for _ in range(runs + 2):
        start = time.perf_counter()
        compute()
        if _DEVICE.type == "cuda":
            torch.cuda.synchronize()
        times_ms.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times_ms[2:])


def _set_threads(threads: int) -> None:
    if threads:
        torch.set_num_threads(threads)


if __name__ == "__main__":
    tyro.extras.subcommand_cli_from_dict({"extractors": extractors, "matchers": matchers})
