from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from slamfront import open_source
from slamfront.errors import TrainingError
from slamfront.training.data.correspondence import carried_by_depth
from slamfront.training.data.posed import posed_pair, posed_pairs


def test_frames_with_depth_and_poses_carry_points_as_the_truth_does() -> None:
    source = open_source("synthetic:room?frames=40&width=160&grey=1&draft=1")
    assert source.reference is not None
    for pair in posed_pairs(source, source.reference, 3, seed=0):
        points = np.stack(np.meshgrid(np.arange(8, 152, 16), np.arange(8, 112, 16)), -1).reshape(-1, 2).astype(float)
        there = carried_by_depth(points, pair)
        assert 0.1 <= pair.overlap() <= 0.9
        back = carried_by_depth(there.points_xy[there.seen], pair.reversed())
        error = np.linalg.norm(back.points_xy - points[there.seen], axis=1)
        assert np.median(error) < 0.1  # the way there and back, through interpolated depth


def test_what_has_no_depth_or_no_poses_is_refused() -> None:
    mono = list(islice(open_source("synthetic:room?frames=3&width=160&grey=1&draft=1", sensor="mono"), 2))
    source = open_source("synthetic:room?frames=3&width=160&grey=1&draft=1")
    assert source.reference is not None
    with pytest.raises(TrainingError, match="no depth"):
        posed_pair(mono[0], mono[1], source.reference.pose(0))
    with pytest.raises(TrainingError, match="fewer than two"):
        next(posed_pairs(mono[:1], source.reference, 1, seed=0))
    with pytest.raises(TrainingError, match="shares between 200%"):
        next(posed_pairs(source, source.reference, 1, 0, (2.0, 3.0)))


def test_real_frames_give_pairs(data: Path) -> None:
    import slamfront
    from slamfront.config import SourceConfig

    config = SourceConfig(start=0, end=60, stride=20, width=320)
    source = slamfront.open_source(str(data / "tum" / "rgbd_dataset_freiburg1_rpy"), config)
    assert source.reference is not None
    pair = next(posed_pairs(source, source.reference, 1, seed=0, overlap=(0.05, 1.0)))
    assert 0.2 < (pair.inverse_depths > 0).mean() < 1.0  # the sensor leaves holes
