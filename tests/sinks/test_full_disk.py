"""A disk that fills up: one clear error, and files that were there stay whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from slamfront.errors import OutputError
from slamfront.geometry.pose import Pose
from slamfront.sinks.cloud import write_ply
from slamfront.sinks.stats import Stats
from slamfront.sinks.trajectory import OnlineTrajectory, write_final
from slamfront.trajectories import read_tum
from tests.sinks.conftest import tracked

FULL = Path("/dev/full")
NO_ROOM = "No space left on device"


@pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("sink", [OnlineTrajectory, Stats])
def test_a_stream_to_a_full_disk_is_an_output_error(sink: type) -> None:
    with pytest.raises(OutputError, match=f"/dev/full: {NO_ROOM}"):
        sink(FULL)


def test_a_stream_keeps_what_it_has_when_the_disk_fills_up(small_disk: Path) -> None:
    sink = OnlineTrajectory(small_disk / "online.tum")
    answers = iter(range(1000))
    with pytest.raises(OutputError, match=rf"online\.tum: {NO_ROOM}"):
        any(sink.write(tracked(frame_id)) for frame_id in answers)
    sink.close()
    written = next(answers) - 1  # all but the one that was refused
    assert written > 50
    whole_lines = (small_disk / "online.tum").read_text().splitlines()[: written + 1]
    (small_disk / "online.tum").write_text("\n".join(whole_lines))
    assert len(read_tum(small_disk / "online.tum")) == written


def test_an_older_cloud_stays_whole_when_there_is_no_room_for_the_new_one(small_disk: Path) -> None:
    path = small_disk / "landmarks.ply"
    write_ply(path, np.zeros((10, 3)), np.zeros(10, np.uint8))
    older = path.read_bytes()
    with pytest.raises(OutputError, match=rf"landmarks\.ply: {NO_ROOM}"):
        write_ply(path, np.zeros((10_000, 3)), np.zeros(10_000, np.uint8))
    assert path.read_bytes() == older
    assert list(small_disk.iterdir()) == [path]


def test_an_older_trajectory_stays_whole_when_there_is_no_room_for_the_new_one(small_disk: Path) -> None:
    pose = Pose.identity()
    write_final(small_disk, [0, 1], [pose, pose], [0], [pose])
    with pytest.raises(OutputError, match=rf"final\.tum: {NO_ROOM}"):
        write_final(small_disk, range(1000), [pose] * 1000, [0], [pose])
    assert len(read_tum(small_disk / "final.tum")) == 2
