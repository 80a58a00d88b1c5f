"""Trajectory files: exact times, conventions of each format, one-line errors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slamfront.errors import EvaluationError, OutputError
from slamfront.geometry.pose import Pose
from slamfront.trajectories import (
    format_seconds,
    guess_kind,
    parse_seconds,
    read_euroc,
    read_kitti,
    read_times,
    read_trajectory,
    read_tum,
    write_kitti,
    write_tum,
)
from slamfront.types import Trajectory

START_NS = 1305031225933400001


def wandering(count: int = 20, seed: int = 3) -> Trajectory:
    rng = np.random.default_rng(seed)
    pose, poses = Pose.identity(), []
    for _ in range(count):
        poses.append(pose)
        pose = pose @ Pose.exp(rng.normal(size=6) * 0.2)
    return Trajectory.from_poses([START_NS + 33_333_333 * i for i in range(count)], poses)


def written(folder: Path, text: str, name: str = "trajectory.txt") -> Path:
    path = folder / name
    path.write_text(text)
    return path


@given(st.integers(min_value=-(2**63) + 1, max_value=2**63 - 1))
def test_every_nanosecond_survives_being_written_as_seconds(time_ns: int) -> None:
    assert parse_seconds(format_seconds(time_ns)) == time_ns


def test_seconds_are_read_without_passing_through_a_float() -> None:
    assert parse_seconds("1305031225.933400001") == 1305031225933400001
    assert parse_seconds("1.037359e-01") == 103735900
    assert parse_seconds("7") == 7_000_000_000


@pytest.mark.parametrize("text", ["nan", "inf", "", "1.2.3", "1e30", "1e999999999"])
def test_what_is_no_time_in_seconds_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no time"):
        parse_seconds(text)


def test_a_tum_file_gives_back_what_was_written(tmp_path: Path) -> None:
    trajectory = wandering()
    write_tum(tmp_path / "made" / "a.tum", trajectory)
    read = read_tum(tmp_path / "made" / "a.tum")
    assert read.times_ns.tolist() == trajectory.times_ns.tolist()
    # nine decimals are written
    np.testing.assert_allclose(read.positions_m, trajectory.positions_m, atol=1e-9)
    np.testing.assert_allclose(read.quaternions_xyzw, trajectory.quaternions_xyzw, atol=2e-9)


def test_a_kitti_file_starts_at_the_identity_and_keeps_the_motion(tmp_path: Path) -> None:
    trajectory = wandering()
    poses = [Pose.exp([0.3, 0.1, -0.2, 5, 6, 7]) @ trajectory.pose(i) for i in range(len(trajectory))]
    write_kitti(tmp_path / "a.kitti", poses)
    read = read_kitti(tmp_path / "a.kitti", trajectory.times_ns)
    np.testing.assert_allclose(read.pose(0).matrix(), np.eye(4), atol=1e-9)
    for row in range(len(poses)):
        expected = poses[0].inverse() @ poses[row]
        np.testing.assert_allclose(read.pose(row).matrix(), expected.matrix(), atol=1e-8)


def test_kitti_times_come_from_their_own_file(tmp_path: Path) -> None:
    write_kitti(tmp_path / "a.txt", [Pose.identity(), Pose.exp([0, 0, 0, 0, 0, 1])])
    times = written(tmp_path, "0.000000e+00\n1.037359e-01\n", "times.txt")
    assert read_trajectory(tmp_path / "a.txt", times=times).times_ns.tolist() == [0, 103735900]
    assert read_trajectory(tmp_path / "a.txt").times_ns.tolist() == [0, 100000000]
    with pytest.raises(EvaluationError, match="2 poses for 1 times"):
        read_kitti(tmp_path / "a.txt", read_times(times)[:1])


def test_a_euroc_file_has_qw_first_and_is_carried_to_the_camera(tmp_path: Path) -> None:
    half = np.sqrt(0.5)
    path = written(tmp_path, f"#timestamp,p,q\n1403636580838555648, 1,2,3, {half},0,0,{half}, 9,9,9,9,9,9,9,9,9\n")
    body = read_euroc(path)
    assert body.times_ns.tolist() == [1403636580838555648]
    np.testing.assert_allclose(body.quaternions_xyzw, [[0, 0, half, half]], atol=1e-15)
    # turned by 90 degrees about z, the camera's place one metre along the body's x is one metre along the world's y
    camera = read_trajectory(path, body_from_camera=Pose(np.eye(3), np.array([1.0, 0, 0])))
    np.testing.assert_allclose(camera.positions_m, [[1, 3, 3]], atol=1e-12)


def test_the_kind_of_a_file_is_guessed_from_its_first_line(tmp_path: Path) -> None:
    assert guess_kind(written(tmp_path, "# a comment\n\n1.5 0 0 0 0 0 0 1\n")) == "tum"
    assert guess_kind(written(tmp_path, "1 0 0 0 0 1 0 0 0 0 1 0\n")) == "kitti"
    assert guess_kind(written(tmp_path, "1403636580838555648,0,0,0,1,0,0,0\n")) == "euroc"
    with pytest.raises(EvaluationError, match=r"trajectory.txt:1: 3 columns"):
        guess_kind(written(tmp_path, "1 2 3\n"))


def test_unsorted_times_are_sorted_and_of_duplicates_the_first_stays(tmp_path: Path) -> None:
    path = written(tmp_path, "2 2 0 0 0 0 0 1\n1 1 0 0 0 0 0 1\r\n2 9 0 0 0 0 0 1\n")
    read = read_tum(path)
    assert read.times_ns.tolist() == [1_000_000_000, 2_000_000_000]
    assert read.positions_m[:, 0].tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no poses"),
        ("# only a comment\n", "holds no poses"),
        ("1 0 0 0 0 0 0 1\n2 0 0 0 0 0 0\n", r":2: 7 columns"),
        ("1 0 0 nan 0 0 0 1\n", r":1: a value is not finite"),
        ("1 0 0 x 0 0 0 1\n", r":1: .*'x'"),
        ("nan 0 0 0 0 0 0 1\n", r":1: 'nan' is no time"),
        ("1 0 0 0 0 0 0 0\n", r":1: the quaternion has length 0"),
    ],
)
def test_a_bad_tum_file_is_refused_by_file_and_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(EvaluationError, match=message) as refused:
        read_tum(written(tmp_path, text))
    assert "trajectory.txt" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_kitti_matrix_without_a_rotation_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match=r":1: .*no rotation"):
        read_kitti(written(tmp_path, "2 0 0 0 0 1 0 0 0 0 1 0\n"))


def test_a_euroc_time_out_of_range_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match=r":1: .*(out of range|is no time)"):
        read_trajectory(written(tmp_path, "99999999999999999999,0,0,0,1,0,0,0\n"))


def test_a_missing_or_binary_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match=r"cannot read .*missing\.txt"):
        read_trajectory(tmp_path / "missing.txt")
    (tmp_path / "image.png").write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(EvaluationError, match="not a text file"):
        read_trajectory(tmp_path / "image.png")


def test_what_cannot_be_written_is_an_output_error_and_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match=r"cannot write .*a\.tum"):
        write_tum(tmp_path / "file" / "a.tum", wandering())
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
