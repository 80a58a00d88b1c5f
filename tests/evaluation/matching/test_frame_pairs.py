"""Pairs of frames of the sample sequence, whose poses and depth are exact."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from slamfront.config import SourceConfig
from slamfront.errors import EvaluationError
from slamfront.evaluation.matching.frame_pairs import Overlap, frame_pairs, overlapping_pairs
from slamfront.geometry.pose import rotation_angle
from slamfront.protocols import Source
from slamfront.sources.guess import open_source
from slamfront.sources.wrappers import Wrapper
from slamfront.types import Trajectory
from tests.frames import SAMPLE


def sample(start: int = 0, end: int = 16, sensor: str = "rgbd") -> Source:
    return open_source(str(SAMPLE), SourceConfig(start=start, end=end, prefetch=0), sensor)  # type: ignore[arg-type]


class WithTruth(Wrapper):
    """The source with another true trajectory, and another time from the first row to the last."""

    def __init__(self, source: Source, reference: Trajectory | None, readout_s: float = 0.0) -> None:
        super().__init__(source)
        self._reference, self._readout_s = reference, readout_s

    @property
    def reference(self) -> Trajectory | None:
        return self._reference

    @property
    def camera(self):  # type: ignore[no-untyped-def]
        return replace(self._source.camera, readout_s=self._readout_s)

    def __iter__(self):  # type: ignore[no-untyped-def]
        for frame in self._source:
            yield replace(frame, camera=self.camera)


def test_pairs_are_evenly_spread_and_so_many_frames_apart() -> None:
    found = frame_pairs(sample(), [2, 5], count=3)
    names = [reference.name.split()[-1] for reference in found.references]
    assert names == ["0-2", "0-5", "5-7", "5-10", "10-12", "10-15"]
    assert [one.group for one in found.references[:2]] == ["2 frames apart", "5 frames apart"]
    assert found.left_out == 0
    later = frame_pairs(sample(start=4), [2], count=100, start=4)
    assert [one.name.split()[-1] for one in later.references] == [f"{k}-{k + 2}" for k in range(4, 14)]


def test_pose_and_depth_carry_points_to_where_they_are_seen_again() -> None:
    (reference,) = frame_pairs(sample(), [10], count=1).references
    pair = reference.load()
    assert pair.first.ndim == 2 and pair.overlap is not None and 0.5 < pair.overlap < 1
    assert np.linalg.norm(pair.second_from_first.translation_m) > 0.01
    points = np.stack(np.meshgrid(np.arange(40.0, 280, 20), np.arange(40.0, 200, 20)), axis=-1).reshape(-1, 2)
    warp = pair.warp(points)
    seen = np.isfinite(warp.points_xy[:, 0])
    assert seen.mean() > 0.5
    assert pair.epipolar_distance_px(points[seen], warp.points_xy[seen]).max() < 1e-6
    rows, columns = np.rint(points[seen]).astype(int).T[::-1]
    there = np.rint(warp.points_xy[seen]).astype(int)
    grey = pair.first[rows, columns].astype(float), pair.second[there[:, 1], there[:, 0]].astype(float)
    # the same surfaces, under the same light, sampled at whole pixels
    assert np.corrcoef(*grey)[0, 1] > 0.8


def test_one_camera_gives_pairs_without_depth() -> None:
    pair = frame_pairs(sample(sensor="mono"), [3], count=1).references[0].load()
    assert pair.surface is None and pair.overlap is None and pair.depth_m is None


def test_an_offset_of_clocks_moves_the_truth() -> None:
    still, moved = (
        frame_pairs(sample(), [3], count=1, time_offset_ns=offset).references[0].load() for offset in (0, 5_000_000)
    )
    assert rotation_angle(still.second_from_first.rotation.T @ moved.second_from_first.rotation) > 1e-5


def test_how_a_rolling_shutter_turned_follows_from_the_truth() -> None:
    source = sample()
    rolling = WithTruth(source, source.reference, readout_s=0.02)
    # the truth begins with the first frame, so that nothing tells how that one turned
    found = frame_pairs(rolling, [3], count=4)
    assert 0 < found.left_out < 4
    pair = found.references[0].load()
    assert pair.shutters is not None and pair.shutters[0].matters
    reference, row = source.reference, int(found.references[0].name.split()[-1].split("-")[0])
    assert reference is not None
    turn = reference.pose(row + 1).rotation.T @ reference.pose(row - 1).rotation
    rate = rotation_angle(turn) / (1e-9 * float(reference.times_ns[row + 1] - reference.times_ns[row - 1]))
    assert np.linalg.norm(pair.shutters[0].angular_velocity) == pytest.approx(rate, rel=0.1)


def test_frames_without_a_true_pose_are_left_out_and_counted() -> None:
    source = sample()
    assert source.reference is not None
    rows = slice(0, 8)
    short = Trajectory(
        source.reference.times_ns[rows], source.reference.positions_m[rows], source.reference.quaternions_xyzw[rows]
    )
    found = frame_pairs(WithTruth(source, short), [3], count=100)
    assert (len(found.references), found.left_out) == (5, 8)


def test_what_gives_no_pairs_is_told() -> None:
    with pytest.raises(EvaluationError, match="no true trajectory"):
        frame_pairs(WithTruth(sample(), None), [3], count=1)
    for gaps in ([16], [0], [3, 40]):
        with pytest.raises(EvaluationError, match="no frames are .* apart, they may be 1 to 15"):
            frame_pairs(sample(), gaps, count=1)


def test_pairs_by_overlap_show_as_much_of_each_other_as_was_asked() -> None:
    overlap = Overlap(0.6, 0.8)
    found = overlapping_pairs(sample(end=40), overlap, count=8)
    shares = [reference.load().overlap for reference in found.references]
    assert len(shares) == 8 and all(share is not None and 0.6 <= share <= 0.8 for share in shares)
    assert shares == sorted(shares) and shares[-1] > shares[0] + 0.1  # type: ignore[operator,arg-type]
    assert {reference.group for reference in found.references} == {"overlap 0.6 to 0.8"}
    again = overlapping_pairs(sample(end=40), overlap, count=8)
    assert [one.name for one in again.references] == [one.name for one in found.references]


def test_overlap_needs_depth_and_frames_that_overlap_so() -> None:
    with pytest.raises(EvaluationError, match="no depth"):
        overlapping_pairs(sample(sensor="mono"), Overlap(0.4, 0.8), count=3)
    with pytest.raises(EvaluationError, match="no frames overlap by 0.01 to 0.02"):
        overlapping_pairs(sample(end=4), Overlap(0.01, 0.02), count=3)
