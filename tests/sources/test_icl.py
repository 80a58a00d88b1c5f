from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from slamfront.geometry.pose import rotation_exp
from slamfront.sources.icl import open_icl
from tests.sources.datasets import make_icl


def test_frames_that_are_counted_come_at_thirty_hertz(tmp_path: Path) -> None:
    source = open_icl(make_icl(tmp_path))
    frames = list(source)
    assert (source.sensor, len(frames)) == ("rgbd", 3)
    assert frames[1].time_ns == 1_000_000_000 // 30
    assert frames[0].depth_m is not None
    assert frames[0].depth_m[5, 5] == pytest.approx(2.0)
    assert source.reference is not None
    assert source.reference.times_ns.tolist() == [frame.time_ns for frame in frames]


def test_truth_is_reflected_with_the_upward_y_axis(tmp_path: Path) -> None:
    """With y turned round, what rose sinks, and turns about x change their sense while those about y keep it."""
    source = open_icl(make_icl(tmp_path))
    assert source.reference is not None
    assert source.camera.fy > 0
    pose = source.reference.pose(2)
    np.testing.assert_allclose(pose.translation_m, [0, -2, 2])
    np.testing.assert_allclose(pose.rotation, rotation_exp([-0.4, 0, 0]), atol=1e-9)
