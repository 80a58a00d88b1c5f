"""A turning camera whose rows are exposed one after the other."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import cv2
import numpy as np
import pytest

from slamfront.config import RunConfig
from slamfront.geometry.pose import Pose, rotation_exp, rotation_log
from slamfront.geometry.shutter import Shutter
from slamfront.map import KeyframeMap
from slamfront.mapping.landmarks import insert_keyframe, straighten
from slamfront.types import Float32Array, FloatArray, Frame
from tests.tracking.worlds import CONFIG, Clip, Run, clip, run_on, view_of

READOUT_S = 0.026


def angular_velocity(seen: Clip, row: int) -> FloatArray:
    """Return how the camera truly turned about a frame, by the frames on both sides of it."""
    before, after = max(row - 1, 0), min(row + 1, len(seen.frames) - 1)
    turned = seen.truth.pose(after).rotation.T @ seen.truth.pose(before).rotation
    return rotation_log(turned) / (1e-9 * (seen.frames[after].time_ns - seen.frames[before].time_ns))


def rolling(frame: Frame, shutter: Shutter) -> Frame:
    """Return a frame of a global shutter as a rolling one would have taken it."""
    height, width = frame.image.shape
    grid = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).reshape(-1, 2)
    x, y = shutter.to_middle(grid).reshape(height, width, 2).astype(np.float32).transpose(2, 0, 1)
    image = cv2.remap(frame.image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    assert frame.depth_m is not None
    depth = cv2.remap(frame.depth_m, x, y, cv2.INTER_NEAREST)
    return replace(frame, image=image, depth_m=depth, camera=shutter.camera)


@lru_cache(maxsize=1)
def turning_clip() -> Clip:
    """Return a clip whose camera turns fast and unevenly, through a rolling shutter."""
    seen = clip("room?speed=3", "rgbd", 20)
    camera = replace(seen.camera, readout_s=READOUT_S)
    shutters = [Shutter(camera, angular_velocity(seen, row)) for row in range(len(seen.frames))]
    frames = tuple(rolling(frame, shutter) for frame, shutter in zip(seen.frames, shutters, strict=True))
    return Clip(camera, seen.sensor, frames, seen.truth)


@lru_cache(maxsize=1)
def turning_run() -> Run:
    return run_on(turning_clip())


def test_keyframes_learn_from_the_frame_after_them_how_the_camera_turned() -> None:
    run = turning_run()
    rows = {frame.time_ns: row for row, frame in enumerate(run.clip.frames[:-1])}
    keyframes = [k for k in run.front.world.keyframes.values() if k.time_ns in rows]
    assert len(keyframes) >= 3 and keyframes[0].time_ns == run.clip.frames[0].time_ns
    for keyframe in keyframes:
        truth = angular_velocity(run.clip, rows[keyframe.time_ns])
        # Frames are placed within a tenth of a degree and are a thirtieth of a second apart, which leaves 3 to 4 deg/s:
        # a twentieth of a degree over half of the readout
        np.testing.assert_allclose(keyframe.shutter.angular_velocity, truth, atol=np.deg2rad(4.0))


def test_a_rolling_shutter_is_as_good_as_a_global_one() -> None:
    run = turning_run()
    assert len(run.tracked) == len(run.clip.frames)
    assert run.ate_sim3_m() < 0.01


def test_frames_that_are_matched_tell_themselves_how_a_shaking_camera_turned() -> None:
    """Every fifth frame, each as a camera takes it that shakes besides, of which the frames in between would tell."""
    seen, rng = clip("room?speed=3", "rgbd", 45), np.random.default_rng(2)
    camera, rows = replace(seen.camera, readout_s=READOUT_S), range(0, 45, 5)
    shutters = [Shutter(camera, angular_velocity(seen, row) + rng.normal(0, 0.7, 3)) for row in rows]
    shutters[0] = Shutter(camera, np.zeros(3))  # the map's first view, which nothing tells about
    frames = tuple(rolling(seen.frames[row], shutter) for row, shutter in zip(rows, shutters, strict=True))
    config = replace(CONFIG, tracker=replace(CONFIG.tracker, association="matcher"))
    run = run_on(Clip(camera, seen.sensor, frames, seen.truth), config)
    assert len(run.tracked) == len(rows)
    places_m = [run.pose(row).translation_m - seen.true_pose(rows[row]).translation_m for row in run.tracked]
    # A radian per second over half the readout moves a wall 3 m away by 4 cm at the image's edge: most is undone
    assert np.sqrt(np.mean(np.square(places_m).sum(axis=1))) < 0.02


@pytest.mark.parametrize("turning", [(0.0, 1.0, 0.0), (0.4, -0.3, 1.2)])
def test_landmarks_that_one_keyframe_measured_follow_its_keypoints(turning: tuple[float, float, float]) -> None:
    frame = turning_clip().frames[0]
    view = view_of(frame, "rgbd")
    view.camera_from_world = Pose.exp([0.1, -0.2, 0.3, 0.5, 0.1, -0.4])
    world = KeyframeMap(frame.camera, view.features.descriptors)
    keyframe = insert_keyframe(world, view, config=RunConfig())
    image_xy, shutter = view.features.keypoints_xy, Shutter(frame.camera, np.array(turning))
    before = keyframe.right_x - keyframe.features.keypoints_xy[:, 0]
    straighten(world, keyframe, view, shutter)
    np.testing.assert_allclose(keyframe.features.keypoints_xy, shutter.to_middle(image_xy), atol=1e-3)
    np.testing.assert_allclose(keyframe.right_x - keyframe.features.keypoints_xy[:, 0], before, atol=1e-3)
    np.testing.assert_allclose(keyframe.tree.data, keyframe.features.keypoints_xy)
    seen = keyframe.landmark_rows >= 0
    assert seen.sum() > 100
    points = view.pose.apply(world.landmarks.positions_m[keyframe.landmark_rows[seen]])
    np.testing.assert_allclose(frame.camera.project(points), keyframe.features.keypoints_xy[seen], atol=1e-3)


def test_depth_that_is_captured_later_tells_distances_at_the_images_time() -> None:
    """A desk seen from above, while the camera turns by 70 degrees a second and depth comes 12 ms early."""
    frame, velocity, delay_s = clip("room", "rgbd", 1).frames[0], np.array([0.7, -0.9, 0.4]), -0.012
    camera, normal = frame.camera, np.array([0.1, 0.7, 0.7])
    rays = camera.unproject(np.stack(np.meshgrid(np.arange(camera.width), np.arange(camera.height)), -1).reshape(-1, 2))

    def depth_m(towards: FloatArray) -> Float32Array:
        return (1.0 / (rays @ towards)).reshape(camera.height, camera.width).astype(np.float32)

    def right_x(captured: Frame) -> FloatArray:
        view = view_of(captured, "rgbd")
        view.turn(Shutter(camera, velocity))
        return view.find_right_x(xy, None)

    xy = np.random.default_rng(0).uniform(20, 200, (100, 2))
    expected = right_x(replace(frame, depth_m=depth_m(normal)))
    early = replace(frame, depth_m=depth_m(rotation_exp(velocity * delay_s) @ normal), depth_delay_s=delay_s)
    assert np.abs(right_x(replace(early, depth_delay_s=0.0)) - expected).max() > 0.3
    # Depth is taken at the nearest whole pixel, and changes by 1 % from one to the next where the desk is steepest
    assert np.abs(right_x(early) - expected).max() < 0.1
