"""Trajectories as they are streamed and as they are written in the end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from slamfront.errors import OutputError
from slamfront.geometry.pose import Pose
from slamfront.sinks.trajectory import OnlineTrajectory, filled, write_final
from slamfront.trajectories import read_kitti, read_tum
from tests.sinks.conftest import tracked

ROOT = Path(__file__).resolve().parents[2]
TIMES_NS = [100, 200, 300, 400, 500]


def moved(x: float) -> Pose:
    return Pose(np.eye(3), np.array([x, 0.0, 0.0]))


def test_every_tracked_frame_is_in_the_file_before_it_is_closed(tmp_path: Path) -> None:
    sink = OnlineTrajectory(tmp_path / "run" / "online.tum")
    answers = [tracked(frame_id, has_pose=frame_id != 2) for frame_id in range(5)]
    for answer in answers:
        sink.write(answer)
    kept = read_tum(tmp_path / "run" / "online.tum")
    assert kept.times_ns.tolist() == [answer.time_ns for answer in answers if answer.online_world_from_camera]
    for row, answer in enumerate(answer for answer in answers if answer.online_world_from_camera):
        pose = answer.online_world_from_camera
        assert pose is not None
        np.testing.assert_allclose(kept.pose(row).matrix(), pose.matrix(), atol=1e-8)  # nine decimals are written
    sink.close()
    sink.close()


def test_a_run_that_is_killed_keeps_its_trajectory(tmp_path: Path) -> None:
    program = f"""
import os, signal
from pathlib import Path
from slamfront.sinks.trajectory import OnlineTrajectory
from tests.sinks.conftest import tracked
sink = OnlineTrajectory(Path({str(tmp_path / "online.tum")!r}))
for frame_id in range(7):
    sink.write(tracked(frame_id))
os.kill(os.getpid(), signal.SIGKILL)
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    answer = subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=environment, timeout=60)
    assert answer.returncode == -signal.SIGKILL
    assert len(read_tum(tmp_path / "online.tum")) == 7


def test_frames_without_a_pose_repeat_the_last_known_one() -> None:
    places = [pose.translation_m[0] for pose in filled([None, moved(1), None, moved(3), None])]
    assert places == [1, 1, 1, 3, 3]
    assert [pose.translation_m[0] for pose in filled([None, None])] == [0, 0]


def test_final_files_hold_tracked_frames_keyframes_and_for_kitti_every_frame(tmp_path: Path) -> None:
    poses = [None, moved(1), None, moved(3), moved(4)]
    write_final(tmp_path, TIMES_NS, poses, [200, 500], [moved(1), moved(4)], kitti=True)
    final, keyframes = read_tum(tmp_path / "final.tum"), read_tum(tmp_path / "keyframes.tum")
    assert final.times_ns.tolist() == [200, 400, 500]
    assert keyframes.times_ns.tolist() == [200, 500]
    every = read_kitti(tmp_path / "final.kitti")
    assert every.positions_m[:, 0].tolist() == [0, 0, 0, 2, 3]  # in the first frame, which is the identity


def test_without_kitti_no_kitti_file_is_written(tmp_path: Path) -> None:
    write_final(tmp_path, TIMES_NS, [moved(1)] * 5, [], [])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["final.tum", "keyframes.tum"]


def test_a_folder_that_cannot_be_written_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match=r"online\.tum"):
        OnlineTrajectory(tmp_path / "file" / "online.tum")
    with pytest.raises(OutputError, match=r"final\.tum"):
        write_final(tmp_path / "file", TIMES_NS, [None] * 5, [], [])
