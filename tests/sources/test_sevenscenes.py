from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from slamfront.errors import SourceError
from slamfront.sources.sevenscenes import open_sevenscenes
from tests.sources.datasets import make_sevenscenes


def test_frames_have_known_intrinsics_and_millimetre_depth(tmp_path: Path) -> None:
    source = open_sevenscenes(make_sevenscenes(tmp_path / "chess" / "seq-01"))
    frames = list(source)
    assert (source.name, source.sensor, len(frames), source.camera.fx) == ("chess-seq-01", "rgbd", 3, 585.0)
    assert frames[1].depth_m is not None
    assert frames[1].depth_m[0].max() == 0.0, "65535 means unknown"
    np.testing.assert_allclose(frames[1].depth_m[1:], 2.0, rtol=1e-6)
    assert frames[2].time_ns == pytest.approx(2e9 / 30, abs=2)


def test_pose_that_is_not_finite_is_left_out_of_the_reference(tmp_path: Path) -> None:
    source = open_sevenscenes(make_sevenscenes(tmp_path))
    assert source.reference is not None
    assert source.reference.positions_m[:, 0].tolist() == [0.0, 1.0]


def test_scene_with_one_sequence_is_that_and_with_two_asks_which(tmp_path: Path) -> None:
    make_sevenscenes(tmp_path / "seq-01", 1)
    assert open_sevenscenes(tmp_path).length == 1
    make_sevenscenes(tmp_path / "seq-02", 1)
    with pytest.raises(SourceError, match="seq-01, seq-02"):
        open_sevenscenes(tmp_path)
