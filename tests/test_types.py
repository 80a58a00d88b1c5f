"""The values that travel between rooms: frozen, picklable, refusing what does not fit."""

from __future__ import annotations

import dataclasses
import pickle

import numpy as np
import pytest

from slamfront.errors import FrameError
from slamfront.geometry.camera import Camera
from slamfront.geometry.pose import Pose
from slamfront.types import BundleAdjustmentProblem, Features, Frame, Matches, State, Tracked, Trajectory

CAMERA = Camera("pinhole", 8, 6, 10.0, 10.0, 3.5, 2.5)


def frame(**changes: object) -> Frame:
    return dataclasses.replace(Frame(7, 1_000, np.zeros((6, 8), np.uint8), CAMERA), **changes)


def features(count: int = 5) -> Features:
    rng = np.random.default_rng(0)
    xy = rng.uniform(0, 6, (count, 2)).astype(np.float32)
    descriptors = rng.integers(0, 256, (count, 32)).astype(np.uint8)
    ones = np.ones(count, np.float32)
    return Features(xy, np.arange(count, dtype=np.float32), descriptors, (8, 6), ones)


def window() -> BundleAdjustmentProblem:
    rows = np.array([0, 1, 1])
    return BundleAdjustmentProblem(
        keyframe_ids=np.array([3, 4]),
        rotations=np.stack([np.eye(3)] * 2),
        positions_m=np.zeros((2, 3)),
        fixed=np.array([True, False]),
        landmark_ids=np.array([10, 11]),
        landmarks_m=np.ones((2, 3)),
        keyframe_rows=rows,
        landmark_rows=rows[::-1].copy(),
        keypoint_rows=np.arange(3),
        pixels_xy=np.zeros((3, 2)),
        right_x=np.full(3, np.nan),
        sigmas_px=np.ones(3),
        disparity_sigma_px=np.ones(3),
        camera=CAMERA,
    )


def test_values_and_their_arrays_are_read_only() -> None:
    value = features()
    with pytest.raises(ValueError, match="read-only"):
        value.keypoints_xy[0, 0] = 1.0
    with pytest.raises(dataclasses.FrozenInstanceError):
        value.image_size = (1, 1)  # type: ignore[misc]
    with pytest.raises(ValueError, match="read-only"):
        frame().image[0, 0] = 1


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"image": np.zeros((6, 8, 3), np.uint8)},
        {"right": np.zeros((6, 8), np.uint8)},
        {"depth_m": np.zeros((6, 8), np.float32)},
    ],
)
def test_a_frame_that_fits_its_camera_is_accepted(changes: dict[str, object]) -> None:
    frame(**changes).check()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image": np.zeros((3, 4), np.uint8)}, "frame 7: the image is 4x3, its calibration is for 8x6"),
        ({"right": np.zeros((6, 7), np.uint8)}, "frame 7: the right image is 7x6"),
        ({"depth_m": np.zeros((12, 16), np.float32)}, "frame 7: the depth is 16x12"),
        ({"image": np.zeros((6, 8), np.float32)}, r"must be uint8 \(H,W\) or \(H,W,3\), got float32 \(6, 8\)"),
        ({"image": np.zeros((6, 8, 4), np.uint8)}, r"got uint8 \(6, 8, 4\)"),
        ({"image": np.zeros(48, np.uint8)}, r"the image is of shape \(48,\)"),
        ({"right": np.zeros((6, 8, 3), np.uint8)}, "the right image must be grey or RGB as"),
        ({"right": np.zeros((6, 8), np.uint16)}, "the right image must be grey or RGB as"),
        ({"depth_m": np.zeros((6, 8, 1), np.float32)}, r"the depth must be metres in floating point \(H,W\)"),
        ({"depth_m": np.zeros((6, 8), np.uint16)}, r"the depth must be metres in floating point \(H,W\)"),
    ],
)
def test_a_frame_that_does_not_fit_says_which_part(changes: dict[str, object], message: str) -> None:
    with pytest.raises(FrameError, match=message):
        frame(**changes).check()


def test_features_are_taken_by_index_or_by_mask_with_all_their_columns() -> None:
    value = features()
    by_index, by_mask = value.take(np.array([4, 0])), value.take(value.scores > 2)
    assert by_index.scores.tolist() == [4.0, 0.0]
    assert by_mask.scores.tolist() == [3.0, 4.0]
    np.testing.assert_array_equal(by_index.descriptors, value.descriptors[[4, 0]])
    np.testing.assert_array_equal(by_mask.keypoints_xy, value.keypoints_xy[3:])
    assert len(value.take(np.zeros(0, int))) == 0
    assert value.binary


def test_no_matches_have_the_shape_of_matches() -> None:
    assert len(Matches.empty()) == 0
    assert Matches.empty().indices.shape == (0, 2)


def test_a_window_survives_the_way_to_another_process() -> None:
    sent = window()
    received = pickle.loads(pickle.dumps(sent))
    for field in dataclasses.fields(BundleAdjustmentProblem):
        np.testing.assert_array_equal(getattr(received, field.name), getattr(sent, field.name))


def test_a_trajectory_gives_back_the_poses_it_was_made_from() -> None:
    poses = [Pose.exp([0.1 * k, -0.2, 0.3, k, 2.0, -k]) for k in range(4)]
    times = [10, 20, 30, 45]
    trajectory = Trajectory.from_poses(times, poses)
    assert trajectory.times_ns.tolist() == times
    assert trajectory.times_ns.dtype == np.int64
    for row, pose in enumerate(poses):
        np.testing.assert_allclose(trajectory.pose(row).matrix(), pose.matrix(), atol=1e-12)


def test_an_empty_trajectory_has_the_shape_of_one() -> None:
    empty = Trajectory.from_poses([], [])
    assert len(empty) == 0
    assert empty.positions_m.shape == (0, 3)
    assert empty.quaternions_xyzw.shape == (0, 4)


def test_making_a_trajectory_leaves_the_callers_times_writable() -> None:
    times = np.array([1, 2])
    Trajectory.from_poses(times, [Pose.identity()] * 2)
    times[0] = 0


def test_an_unanswered_frame_has_no_pose_and_no_stage_times() -> None:
    answer = Tracked(3, 100, State.LOST)
    assert answer.reference_from_camera is None
    assert dict(answer.stage_ms) == {}
    assert State("lost") is State.LOST
