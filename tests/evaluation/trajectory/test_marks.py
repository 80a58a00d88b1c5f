from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from slamfront.errors import EvaluationError
from slamfront.evaluation.trajectory.marks import Judgement, Mark, Truth, judge, ranges
from slamfront.evaluation.trajectory.online import Online, read_online
from slamfront.geometry.pose import Pose
from slamfront.trajectories import write_tum
from slamfront.types import Trajectory

RATE_HZ, FRAMES, DEPTH_M = 10, 60, 4.0
TIMES_NS = np.arange(FRAMES, dtype=np.int64) * (10**9 // RATE_HZ)


def walk(step_m: float = 0.1) -> list[Pose]:
    """Return poses of a walk along a gentle curve."""
    return [Pose.exp([0.0, 0.01 * i, 0.0, 0.0, 0.0, step_m * i]) for i in range(FRAMES)]


def truth(poses: list[Pose]) -> Truth:
    return Truth(Trajectory.from_poses(TIMES_NS, poses), TIMES_NS[[0, -1]], np.array([DEPTH_M, DEPTH_M]))


def answers(poses: list[Pose | None], worlds: list[int] | None = None) -> Online:
    """Return online answers in a world of their own, which is another than that of the truth."""
    other = Pose.exp([0.3, -0.2, 1.0, 5.0, 6.0, -7.0])
    kept = [row for row, pose in enumerate(poses) if pose is not None]
    rows = np.full(len(poses), -1, np.int64)
    rows[kept] = np.arange(len(kept))
    states = tuple("tracking" if pose is not None else "lost" for pose in poses)
    return Online(
        np.arange(len(poses)), TIMES_NS, states, tuple("" if pose is not None else "too dark" for pose in poses), rows,
        np.array(worlds or [0] * len(poses)),
        Trajectory.from_poses(TIMES_NS[kept], [other @ pose for pose in poses if pose is not None]),
    )  # fmt: skip


def judged(poses: list[Pose | None], true: list[Pose], mark: Mark | None = None, *, mono: bool = False) -> Judgement:
    online = answers(poses)
    final = online.poses(online.main)
    return judge(mark or Mark(), online, final, truth(true), "sim3" if mono else "se3")


def shifted(poses: list[Pose], rows: range, shift_m: float) -> list[Pose]:
    return [pose @ Pose(np.eye(3), np.array([shift_m * (i in rows), 0, 0])) for i, pose in enumerate(poses)]


def test_perfect_run_passes_in_whatever_world_its_map_lies() -> None:
    found = judged(list(walk()), walk())
    assert found.passed
    assert found.placed_percent == found.final_percent == 100
    assert found.ate_online_m == pytest.approx(0, abs=1e-9)
    assert found.path_m == pytest.approx(5.9, rel=1e-3)
    assert found.rpe_online_m == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(("shift_m", "wrong"), [(0.38, ()), (0.42, (20, 30))])
def test_pose_that_is_off_by_a_tenth_of_the_depth_is_wrong_and_so_is_the_motion_from_it(
    shift_m: float, wrong: tuple[int, ...]
) -> None:
    assert judged(list(shifted(walk(), range(20, 21), shift_m)), walk()).wrong == wrong


def test_pose_that_is_turned_by_more_than_5_degrees_is_wrong() -> None:
    poses = walk()
    poses[59] = poses[59] @ Pose.exp([np.radians(5.1), 0.0, 0.0, 0.0, 0.0, 0.0])
    found = judged(list(poses), walk())
    assert found.wrong == (59,)
    assert found.worst_deg == pytest.approx(5.1, abs=1e-6)


def test_lost_frames_are_not_wrong_but_a_place_that_is_recognised_wrongly_after_them_is() -> None:
    right: list[Pose | None] = [pose if not 20 <= i < 40 else None for i, pose in enumerate(walk())]
    found = judged(right, walk(), Mark(placed=60))
    assert found.passed
    elsewhere: list[Pose | None] = [
        pose if not 20 <= i < 40 else None for i, pose in enumerate(shifted(walk(), range(40, 60), 1.0))
    ]
    # From the 50th on the pose of a second before is off alike
    assert judged(elsewhere, walk(), Mark(placed=60, error=None)).wrong == tuple(range(40, 50))


def test_drift_over_a_long_path_is_no_wrong_pose_but_an_error() -> None:
    longer = [Pose(pose.rotation, 1.03 * pose.translation_m) for pose in walk(0.5)]
    found = judged(list(longer), walk(0.5), Mark(error=0.5))
    assert not found.wrong
    assert [reason.split(":")[0] for reason in found.reasons] == ["online", "final"]
    assert judged(list(longer), walk(0.5), Mark(error=2.0)).passed


def test_single_cameras_scale_may_drift_and_not_jump() -> None:
    true = [Pose(np.eye(3), np.array([0.0, 0.0, 0.6 * i])) for i in range(FRAMES)]
    lengths = np.diff([pose.translation_m[2] for pose in true])

    def scaled(scales: np.ndarray) -> list[Pose | None]:
        ways = np.concatenate([[0.0], np.cumsum(lengths * scales)])
        return [Pose(np.eye(3), np.array([0.0, 0.0, way])) for way in ways]

    drifting = judged(scaled(np.linspace(0.4, 0.3, FRAMES - 1)), true, Mark(error=10), mono=True)
    assert not drifting.wrong
    jumping = judged(scaled(np.where(np.arange(FRAMES - 1) < 30, 0.4, 0.3)), true, Mark(error=10), mono=True)
    assert jumping.wrong
    assert min(jumping.wrong) > 20 and max(jumping.wrong) < 50
    metric = judged(scaled(np.full(FRAMES - 1, 0.4)), true, Mark(error=10))
    assert len(metric.wrong) > 50


def test_single_camera_that_only_turns_is_judged_by_its_turns() -> None:
    true = [Pose.exp([0.0, 0.05 * i, 0.0, 0.0, 0.0, 0.0]) for i in range(FRAMES)]
    elsewhere = [Pose(pose.rotation, np.array([3.0 * (i % 2), 0.0, 0.0])) for i, pose in enumerate(true)]
    wanted = Mark(placed=0, error=None)
    assert judged(list(elsewhere), true, wanted, mono=True).passed
    elsewhere[59] = elsewhere[59] @ Pose.exp([0.1, 0.0, 0.0, 0.0, 0.0, 0.0])
    assert judged(list(elsewhere), true, wanted, mono=True).wrong == (59,)


def test_too_few_placed_frames_are_told_with_the_reason_of_the_first() -> None:
    some: list[Pose | None] = [pose if i % 4 or i < 8 else None for i, pose in enumerate(walk())]
    found = judged(some, walk())
    assert "online: 78 % of the frames placed, 95 % wanted" in found.reasons
    assert any("frames 8, 12, 16, 20, 24, 28, ... (too dark)" in reason for reason in found.reasons)


def test_run_without_any_pose_passes_where_none_is_wanted() -> None:
    online = answers([None] * FRAMES)
    wanted = Mark(placed=0, error=None)
    assert judge(wanted, online, None, truth(walk()), "sim3").passed
    assert not judge(Mark(), online, None, truth(walk()), "sim3").passed


def test_warning_that_is_wanted_has_to_be_told() -> None:
    online, wanted = answers(list(walk())), Mark(placed=0, error=None, says="swapped")
    assert judge(wanted, online, None, truth(walk()), "se3", "warning: Swapped images").passed
    assert judge(wanted, online, None, truth(walk()), "se3", "").reasons == ("no warning says 'swapped'",)


def test_poses_of_another_map_are_judged_among_themselves_and_do_not_count_as_placed() -> None:
    poses = list(walk())
    online = replace(
        answers([*poses[:40], *(Pose.exp([0.1, 0, 0, 9, 0, 0]) @ pose for pose in poses[40:])]),
        worlds=np.repeat([0, 1], [40, 20]),
    )
    found = judge(Mark(), online, None, truth(poses), "se3")
    assert not found.wrong
    assert found.placed_percent == pytest.approx(100 * 40 / 60)


def test_ranges_are_short() -> None:
    assert ranges([1, 2, 3, 7, 9, 10]) == "1-3, 7, 9-10"
    assert ranges(list(range(0, 40, 2))).endswith("10, ...")


def write_run(folder: Path, lines: list[str]) -> None:
    (folder / "stats.csv").write_text("frame_id,time_ns,state,inliers,is_keyframe,map_id,reason\n" + "\n".join(lines))
    poses = walk()
    write_tum(folder / "online.tum", Trajectory.from_poses([0, 10, 30], poses[:3]))
    write_tum(folder / "online-1.tum", Trajectory.from_poses([50], poses[3:4]))


def test_a_run_is_read_with_its_worlds(tmp_path: Path) -> None:
    lines = ["0,0,tracking,9,1,0,", "1,10,tracking,9,0,0,", '2,20,initializing,0,0,0,"begun, anew"']
    write_run(tmp_path, [*lines, "3,30,tracking,9,1,0,", "4,40,lost,0,0,0,dark", "5,50,tracking,9,1,1,"])
    online = read_online(tmp_path)
    np.testing.assert_array_equal(online.rows, [0, 1, -1, 2, -1, 3])
    assert online.worlds[0] == online.worlds[1] != online.worlds[3] != online.worlds[5] != online.worlds[0]
    np.testing.assert_array_equal(online.main, [True, True, False, False, False, False])
    np.testing.assert_allclose(online.trajectory.positions_m[3], walk()[3].translation_m, atol=1e-8)
    assert online.reasons[2] == "begun, anew"


@pytest.mark.parametrize(
    ("content", "message"),
    [("frame_id,time_ns\n1,2\n", "no column state"), ("frame_id,time_ns,state,map_id,reason\n", "holds no frames")],
)
def test_damaged_runs_are_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "stats.csv").write_text(content)
    with pytest.raises(EvaluationError, match=message):
        read_online(tmp_path)
    with pytest.raises(EvaluationError, match="cannot read"):
        read_online(tmp_path / "nowhere")
