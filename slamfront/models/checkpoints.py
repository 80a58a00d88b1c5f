"""From a checkpoint file to a network: reads safetensors and torch files, and tells the network from the layout."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import get_args

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from slamfront.errors import WeightsError, refused_as
from slamfront.models.dedode.networks import DeDoDeDescriptor, DeDoDeDescriptorG, DeDoDeDetector
from slamfront.models.dinov2 import DinoV2
from slamfront.models.lightglue import LightGlue, canonical_names
from slamfront.models.superglue import SuperGlue
from slamfront.models.superpoint import Interpolation, OpenSuperPoint, SuperPoint, SuperPointLite
from slamfront.models.weights import shards_of, verified
from slamfront.reading import check_is_file

DeDoDe = DeDoDeDetector | DeDoDeDescriptor | DeDoDeDescriptorG
Network = SuperPoint | SuperPointLite | OpenSuperPoint | SuperGlue | LightGlue | DeDoDe | DinoV2

NETWORKS: tuple[type[Network], ...] = (
    SuperPoint,
    SuperPointLite,
    OpenSuperPoint,
    SuperGlue,
    LightGlue,
    DeDoDeDetector,
    DeDoDeDescriptor,
    DeDoDeDescriptorG,
    DinoV2,
)
"""The networks that a checkpoint can be of; each has a tensor, its `signature`, that no other has. Only DeDoDe's
detector and descriptor have the same names, and differ in their shapes."""

_NAMED = 3
# No network that runs on images is larger: a file may name more than memory holds, in a few bytes
_MOST_LAYERS, _MOST_CHANNELS = 64, 8192


def load_checkpoint(path: str | Path) -> dict[str, Tensor]:
    """Read the named tensors of a checkpoint onto the CPU: safetensors (also split), or torch without pickled code.

    A torch file may hold them at its top, or under `state_dict` or `model`. Raises WeightsError where the file is
    missing, damaged or something else.
    """
    state: dict[str, Tensor] = {}
    for part in shards_of(Path(path)):
        state |= _read_safetensors(part) if part.suffix == ".safetensors" else _read_torch(part)
    return state


def load_strictly(network: nn.Module, state: Mapping[str, Tensor], origin: str | Path = "checkpoint") -> None:
    """Load a state dict with nothing missing, nothing left over and all shapes equal.

    Raises WeightsError that names the first tensors that do not fit; the network is then to be thrown away.
    """
    try:
        result = network.load_state_dict(state, strict=False)
    except RuntimeError as error:
        mismatches = re.findall(r"size mismatch for (\S+):", str(error))
        detail = _named("of another shape", mismatches) if mismatches else str(error).splitlines()[0]
        raise WeightsError(f"{origin}: does not fit {type(network).__name__}: {detail}") from error
    wrong = [
        _named(what, names)
        for what, names in (("missing", result.missing_keys), ("unexpected", result.unexpected_keys))
        if names
    ]
    if wrong:
        raise WeightsError(f"{origin}: does not fit {type(network).__name__}: {'; '.join(wrong)}")


def load_network(name_or_path: str | Path) -> Network:
    """Build the network that a checkpoint is of, at its size, with its weights, ready for inference in float32.

    name_or_path: packaged weights, a fetched official checkpoint, or a file. Raises WeightsError where it is missing,
    damaged, of no known layout, or not exactly that layout. Packaged and official files are compared with their SHA-256
    first.
    """
    path = verified(name_or_path)
    state = canonical_names(load_checkpoint(path))
    for architecture in NETWORKS:
        if _is_of(architecture, state):
            told = _how_to_read(path) if architecture is SuperPoint else {}
            with refused_as(WeightsError, f"{path}: an incomplete {architecture.__name__}"):
                config = architecture.config_of(state)
                _check_sizes(config)
                with torch.device("meta"):  # takes no memory
                    empty = architecture(**config, **told)  # type: ignore[arg-type]
                _check_fit(empty, state, path)
                network = architecture(**config, **told)  # type: ignore[arg-type]
                load_strictly(network, state, path)
            return network.eval().requires_grad_(False)
    known = ", ".join(architecture.__name__ for architecture in NETWORKS)
    raise WeightsError(f"{path}: its {len(state)} tensors have the layout of none of {known}")


def _is_of(architecture: type[Network], state: Mapping[str, Tensor]) -> bool:
    known = architecture.signature in state
    return known and (not issubclass(architecture, DeDoDe) or architecture.recognised(state))


def _check_sizes(config: Mapping[str, object]) -> None:
    """Raise ValueError for layers or channels that no network has."""
    for name, value in config.items():
        most = _MOST_LAYERS if name == "layers" else _MOST_CHANNELS
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, int) and not 1 <= number <= most:
                raise ValueError(f"{name} is {number}, and must be 1 to {most}")


def _check_fit(network: nn.Module, state: Mapping[str, Tensor], origin: Path) -> None:
    """Raise WeightsError unless a network has exactly the tensors of a state, all of finite numbers."""
    wanted = network.state_dict()
    other = [name for name, tensor in wanted.items() if name in state and state[name].shape != tensor.shape]
    missing, more = wanted.keys() - state.keys(), state.keys() - wanted.keys()
    broken = [name for name, tensor in state.items() if tensor.is_floating_point() and not tensor.isfinite().all()]
    facts = {"missing": missing, "unexpected": more, "of another shape": other, "not finite": broken}
    wrong = [_named(what, sorted(names)) for what, names in facts.items() if names]
    if wrong:
        raise WeightsError(f"{origin}: does not fit {type(network).__name__}: {'; '.join(wrong)}")


def how_to_read(network: nn.Module) -> dict[str, str]:
    """Return what a safetensors file is to say of the weights of a network beside the tensors, for `load_network`."""
    if not isinstance(network, SuperPoint):
        return {}
    return {"score_map": "smoothed" if network.smooth else "plain", "interpolation": network.interpolation}


def _how_to_read(path: Path) -> dict[str, object]:
    """Return the arguments of SuperPoint that a file tells; a torch file tells none."""
    if path.suffix != ".safetensors":
        return {}
    damaged = refused_as(WeightsError, f"{path}: not a safetensors file, or damaged", told=False)
    with damaged, safe_open(shards_of(path)[0], "pt") as file:
        facts = file.metadata() or {}
    interpolation = facts.get("interpolation", "bilinear")
    if interpolation not in get_args(Interpolation):
        raise WeightsError(f"{path}: its descriptors are to be taken by '{interpolation}', which is not known")
    return {"smooth": facts.get("score_map") == "smoothed", "interpolation": interpolation}


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    _check_readable(path)
    with refused_as(WeightsError, f"{path}: not a safetensors file, or damaged", told=False):
        return load_file(path)


def _check_readable(path: Path) -> None:
    try:
        check_is_file(path, WeightsError)
        with path.open("rb"):
            pass
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from error


def _read_torch(path: Path) -> dict[str, Tensor]:
    _check_readable(path)
    damaged = refused_as(WeightsError, f"{path}: not a torch checkpoint of plain tensors, or damaged", told=False)
    with damaged, path.open("rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch advises developers about files that are refused anyway
        content = torch.load(file, map_location="cpu", weights_only=True)
    for holder in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(holder), Mapping):
            content = content[holder]
    if not (isinstance(content, Mapping) and content and all(_is_named_tensor(item) for item in content.items())):
        raise WeightsError(f"{path}: holds something other than named tensors")
    return dict(content)


def _is_named_tensor(item: tuple[object, object]) -> bool:
    return isinstance(item[0], str) and isinstance(item[1], Tensor)


def _named(what: str, names: Iterable[str]) -> str:
    names = list(names)
    rest = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{what} {', '.join(names[:_NAMED])}{rest}"
