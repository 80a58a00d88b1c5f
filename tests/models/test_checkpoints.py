from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from slamfront.errors import WeightsError
from slamfront.models.checkpoints import how_to_read, load_checkpoint, load_network, load_strictly
from slamfront.models.lightglue import LightGlue
from slamfront.models.superglue import SuperGlue
from slamfront.models.superpoint import OpenSuperPoint, SuperPoint
from tests.models.reference import seeded, seeded_state

CHANNELS = (4, 8, 12, 16, 20)
SMALL = [
    SuperPoint(CHANNELS, 24),
    OpenSuperPoint(CHANNELS, 24),
    SuperGlue(dim=16, layers=2, encoder_channels=(4, 8)),
    LightGlue(dim=32, layers=3, heads=2, input_dim=24),
]


@pytest.mark.parametrize("network", SMALL, ids=lambda network: type(network).__name__)
@pytest.mark.parametrize("file_name", ["weights.pth", "weights.safetensors"])
def test_a_network_of_any_size_comes_back_from_its_file(tmp_path: Path, network: nn.Module, file_name: str) -> None:
    path = tmp_path / file_name
    state = seeded_state(network)
    save_file(state, path) if path.suffix == ".safetensors" else torch.save(state, path)
    loaded = load_network(path)
    assert type(loaded) is type(network) and not loaded.training
    for name, tensor in loaded.state_dict().items():
        assert torch.equal(tensor, state[name]), name


@pytest.mark.parametrize(
    ("network", "count"), [(SuperPoint(), 24), (SuperGlue(), 339)], ids=["superpoint", "superglue"]
)
def test_an_official_layout_loads_strictly(tmp_path: Path, network: nn.Module, count: int) -> None:
    path = tmp_path / "official.pth"
    torch.save(seeded_state(network), path)
    assert len(load_checkpoint(path)) == count
    assert type(load_network(path)) is type(network)


@pytest.mark.parametrize("holder", ["state_dict", "model"])
def test_tensors_may_lie_under_a_key(tmp_path: Path, holder: str) -> None:
    path = tmp_path / "training.pth"
    torch.save({holder: seeded_state(SMALL[0]), "epoch": 3}, path)
    assert set(load_checkpoint(path)) == set(SMALL[0].state_dict())


def test_split_safetensors_are_joined_and_a_missing_part_is_named(tmp_path: Path) -> None:
    state = seeded_state(SMALL[0])
    names = sorted(state)
    paths = [tmp_path / f"own-0000{part}-of-00002.safetensors" for part in (1, 2)]
    save_file({name: state[name] for name in names[:9]}, paths[0])
    save_file({name: state[name] for name in names[9:]}, paths[1])
    assert set(load_checkpoint(paths[0])) == set(names)
    paths[1].unlink()
    with pytest.raises(WeightsError, match="own lacks its part own-00002-of-00002.safetensors"):
        load_checkpoint(paths[0])


def damaged_files() -> dict[str, bytes]:
    return {
        "empty.pth": b"",
        "text.pth": b"<!DOCTYPE html><html>not found</html>",
        "number.pth": pickle.dumps(3),
        "code.pth": pickle.dumps(Path("x")),
        "zip.pth": b"PK\x03\x04" + b"\0" * 40,
        "empty.safetensors": b"",
        "text.safetensors": b"<!DOCTYPE html><html>not found</html>",
        "long.safetensors": b"\xff" * 64,
    }


@pytest.mark.parametrize("file_name", damaged_files())
def test_a_foreign_or_damaged_file_is_one_line_that_names_it(tmp_path: Path, file_name: str) -> None:
    path = tmp_path / file_name
    path.write_bytes(damaged_files()[file_name])
    with pytest.raises(WeightsError, match=file_name) as caught:
        load_checkpoint(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_truncated_or_missing_file_is_named(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"cut{suffix}"
    state = seeded_state(SMALL[0])
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(WeightsError, match="damaged"):
        load_checkpoint(path)
    path.unlink()
    with pytest.raises(WeightsError, match=path.name):
        load_checkpoint(path)


def test_a_dictionary_of_other_things_is_no_checkpoint(tmp_path: Path) -> None:
    torch.save({"epoch": 3, "loss": [1.0]}, tmp_path / "log.pth")
    with pytest.raises(WeightsError, match="other than named tensors"):
        load_checkpoint(tmp_path / "log.pth")


def test_a_layout_that_does_not_fit_is_told_briefly() -> None:
    state = seeded_state(SMALL[0])
    del state["conv1a.bias"], state["conv1b.bias"], state["conv2a.bias"], state["conv2b.bias"]
    state["extra.weight"] = torch.zeros(1)
    expected = r"missing conv1a.bias, conv1b.bias, conv2a.bias and 1 more; unexpected extra.weight"
    with pytest.raises(WeightsError, match=expected):
        load_strictly(SuperPoint(CHANNELS, 24), state)
    with pytest.raises(WeightsError, match="of another shape conv1a.weight"):
        load_strictly(SuperPoint(), seeded_state(SMALL[0]))


def test_an_unknown_or_incomplete_layout_is_told(tmp_path: Path) -> None:
    torch.save({"layer.weight": torch.zeros(2)}, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match="the layout of none of"):
        load_network(tmp_path / "other.pth")
    torch.save({"conv1a.weight": torch.zeros(64, 1, 3, 3)}, tmp_path / "part.pth")
    with pytest.raises(WeightsError, match="an incomplete SuperPoint"):
        load_network(tmp_path / "part.pth")


def test_a_loaded_network_computes_what_the_saved_one_did(tmp_path: Path) -> None:
    network = seeded(SuperPoint(CHANNELS, 24))
    save_file(network.state_dict(), tmp_path / "own.safetensors")
    image = torch.rand(1, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(load_network(tmp_path / "own.safetensors")(image).logits, network(image).logits)


def test_a_file_tells_how_its_weights_are_read(tmp_path: Path) -> None:
    own = seeded(SuperPoint(CHANNELS, 24, smooth=True, interpolation="bicubic"))
    save_file(own.state_dict(), tmp_path / "own.safetensors", metadata=how_to_read(own))
    save_file(own.state_dict(), tmp_path / "silent.safetensors")
    image = torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    expected, found = own.extract(image)[0], load_network(tmp_path / "own.safetensors").extract(image)[0]
    for one, other in zip(expected, found):
        torch.testing.assert_close(one, other)
    plain = seeded(SuperPoint(CHANNELS, 24)).extract(image)[0]
    for one, other in zip(plain, load_network(tmp_path / "silent.safetensors").extract(image)[0]):
        torch.testing.assert_close(one, other)
    save_file(own.state_dict(), tmp_path / "odd.safetensors", metadata={"interpolation": "nearest"})
    with pytest.raises(WeightsError, match="'nearest', which is not known"):
        load_network(tmp_path / "odd.safetensors")
