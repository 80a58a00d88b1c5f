from __future__ import annotations

from pathlib import Path

import pytest

from slamfront.config import SourceConfig
from slamfront.errors import SourceError
from slamfront.protocols import Source
from slamfront.sources.guess import open_source
from tests.sources import datasets


def test_every_layout_is_known_by_what_lies_in_it(tmp_path: Path) -> None:
    made = {
        "tum": ("rgbd", datasets.make_tum(tmp_path / "tum")),
        "icl": ("rgbd", datasets.make_icl(tmp_path / "icl")),
        "euroc": ("stereo", datasets.make_euroc(tmp_path / "euroc")),
        "kitti": ("stereo", datasets.make_kitti(tmp_path / "kitti")),
        "sevenscenes": ("rgbd", datasets.make_sevenscenes(tmp_path / "seq-01")),
        "images": ("mono", datasets.make_images(tmp_path / "images", ["1.png", "2.png"])),
    }
    for sensor, folder in made.values():
        source = open_source(str(folder))
        assert isinstance(source, Source)
        assert source.sensor == sensor
        frames = list(source)
        assert len(frames) == source.length
        assert all(frame.camera == source.camera for frame in frames)
        assert source.camera.model == "pinhole"
    assert open_source(str(tmp_path / "kitti" / "00")).name == "kitti-00"
    assert open_source(str(tmp_path / "images" / "*.png"), sensor="mono").length == 2


def test_config_takes_resizes_and_reads_ahead(tmp_path: Path) -> None:
    config = SourceConfig(start=1, end=4, stride=2, width=32, prefetch=2)
    source = open_source(str(datasets.make_tum(tmp_path)), config)
    frames = list(source)
    assert [frame.id for frame in frames] == [1, 3]
    assert (source.length, source.camera.width, frames[0].image.shape) == (2, 32, (24, 32, 3))


def test_distorted_pair_arrives_rectified(tmp_path: Path) -> None:
    source = open_source(str(datasets.make_euroc(tmp_path)))
    assert source.camera.model == "pinhole"
    assert source.camera.baseline_m == pytest.approx(0.1)


def test_what_is_not_there_or_not_known_is_said(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="does not exist"):
        open_source(str(tmp_path / "none"))
    with pytest.raises(SourceError, match="expected TUM"):
        open_source(str(tmp_path))
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(SourceError, match="no known kind"):
        open_source(str(tmp_path / "notes.txt"))
    with pytest.raises(SourceError, match="does not exist"):
        open_source(str(tmp_path / "*.jpg"))


def test_synthetic_worlds_are_sources_too() -> None:
    source = open_source("synthetic:room?frames=2&width=64", sensor="mono")
    assert (source.sensor, source.length, len(list(source))) == ("mono", 2, 2)
