"""The COLMAP model, read as COLMAP's documentation tells it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from slamfront.errors import OutputError
from slamfront.geometry.camera import Camera
from slamfront.geometry.pose import Pose
from slamfront.sinks.colmap import write_colmap
from slamfront.types import Features, KeyFrame

CAMERA = Camera("pinhole", 640, 480, 500.0, 510.0, 319.5, 239.5)
LANDMARK_IDS = np.array([0, 7, 8, 30])
LANDMARKS_M = np.array([(0.1, 0.2, 4.0), (-0.5, 0.1, 5.0), (0.4, -0.3, 6.0), (9.0, 9.0, 9.0)])
GREY = np.array([10, 20, 30, 40], np.uint8)
OFFSET_PX = np.array([0.6, 0.8])  # of every keypoint: a reprojection error of one pixel


def keyframe(keyframe_id: int, seen: list[int]) -> KeyFrame:
    """Return a keyframe that observes the landmarks with ids `seen`, -1 for none; landmark 99 is gone from the map."""
    pose = Pose.exp(np.array([0.02, -0.03, 0.01, 0.1, 0.0, -0.1]) * keyframe_id)
    row_of = {landmark: row for row, landmark in enumerate(LANDMARK_IDS.tolist())}
    points = np.array([LANDMARKS_M[row_of[landmark]] if landmark in row_of else (0, 0, 3.0) for landmark in seen])
    pixels = (CAMERA.project(pose.inverse().apply(points)) + OFFSET_PX).astype(np.float32)
    count = len(seen)
    features = Features(
        pixels, np.ones(count, np.float32), np.zeros((count, 4), np.float32), (640, 480), np.ones(count, np.float32)
    )
    return KeyFrame(
        keyframe_id, keyframe_id, pose, features, np.array(seen), np.full(count, np.nan, np.float32), CAMERA
    )


def data_lines(path: Path) -> list[str]:
    return [line for line in path.read_text().splitlines() if not line.startswith("#")]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    keyframes = [keyframe(0, [0, 7]), keyframe(4, [-1, 7, 99, 8])]
    write_colmap(tmp_path / "colmap", CAMERA, keyframes, LANDMARK_IDS, LANDMARKS_M, GREY)
    return tmp_path / "colmap"


def test_the_camera_is_a_pinhole_whose_pixels_begin_at_their_corner(model: Path) -> None:
    assert data_lines(model / "cameras.txt") == ["1 PINHOLE 640 480 500 510 320 240"]


def test_reprojecting_the_model_gives_its_errors(model: Path) -> None:
    _, _, width, height, *values = data_lines(model / "cameras.txt")[0].split()
    fx, fy, cx, cy = map(float, values)
    assert (width, height) == ("640", "480")
    lines = data_lines(model / "images.txt")
    images = {}
    for head, body in zip(lines[::2], lines[1::2]):
        number, qw, qx, qy, qz, *translation, camera_id, name = head.split()
        assert camera_id == "1"
        pose = Pose.from_quaternion(np.array([qx, qy, qz, qw], float), np.array(translation, float))
        images[int(number)] = (name, pose, np.array(body.split(), float).reshape(-1, 3))
    assert {number: name for number, (name, _, _) in images.items()} == {1: "000000.png", 5: "000004.png"}
    for line in data_lines(model / "points3D.txt"):
        fields = line.split()
        point, error_px = np.array(fields[1:4], float), float(fields[7])
        assert error_px == pytest.approx(1.0, abs=1e-3)  # keypoints are float32
        for image_id, keypoint in np.array(fields[8:], int).reshape(-1, 2).tolist():
            _, camera_from_world, observations = images[image_id]
            x, y, z = camera_from_world.apply(point)
            u, v, point_id = observations[keypoint]
            assert point_id == int(fields[0])
            assert np.hypot(fx * x / z + cx - u, fy * y / z + cy - v) == pytest.approx(1.0, abs=2e-3)  # 3 decimals


def test_points_carry_colour_and_whole_track_and_unobserved_ones_are_left_out(model: Path) -> None:
    points = {line.split()[0]: line.split() for line in data_lines(model / "points3D.txt")}
    assert set(points) == {"1", "8", "9"}
    assert points["8"][4:7] == ["20", "20", "20"]
    assert points["8"][8:] == ["1", "1", "5", "1"]


def test_landmarks_that_are_gone_count_as_unmatched_keypoints(model: Path) -> None:
    observations = data_lines(model / "images.txt")[3].split()
    assert observations[2::3] == ["-1", "8", "-1", "9"]


def test_a_map_without_keyframes_is_a_valid_model(tmp_path: Path) -> None:
    write_colmap(tmp_path, CAMERA, [], LANDMARK_IDS, LANDMARKS_M, GREY)
    assert data_lines(tmp_path / "images.txt") == data_lines(tmp_path / "points3D.txt") == []


def test_a_folder_that_cannot_be_written_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match=r"cameras\.txt"):
        write_colmap(tmp_path / "file", CAMERA, [], LANDMARK_IDS, LANDMARKS_M, GREY)
