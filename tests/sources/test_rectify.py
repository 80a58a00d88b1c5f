from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from slamfront.errors import CalibrationError
from slamfront.geometry.camera import Camera, StereoRig
from slamfront.geometry.pose import Pose
from slamfront.sources.euroc import open_euroc
from slamfront.sources.recording import Recording
from slamfront.sources.rectify import Remap, rectified, rectify_rig
from slamfront.sources.tum import open_tum
from tests.sources.datasets import CAMERA, make_euroc, make_tum

RADTAN = Camera("radtan", 320, 240, 200.0, 202.0, 158.0, 121.0, (-0.28, 0.07, 0.001, -0.001))
KB4 = Camera("kb4", 320, 240, 120.0, 121.0, 158.0, 121.0, (0.0034, 0.0007, -0.002, 0.0002))


def render(camera: Camera, camera_from_world: Pose) -> np.ndarray:
    """Return what a camera sees of smooth waves painted on the plane z = 4 m."""
    x, y = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
    rays = camera.unproject(np.column_stack([x.ravel(), y.ravel()]))
    world_from_camera = camera_from_world.inverse()
    directions = rays @ world_from_camera.rotation.T
    points = world_from_camera.translation_m + directions * (
        (4 - world_from_camera.translation_m[2]) / directions[:, 2:]
    )
    value = 128 + 60 * np.sin(2 * points[:, 0]) + 60 * np.sin(1.7 * points[:, 1] + points[:, 0])
    return np.round(value).astype(np.uint8).reshape(camera.height, camera.width)


@pytest.mark.parametrize("camera", [RADTAN, KB4])
def test_undistorted_image_is_what_the_pinhole_camera_would_see(camera: Camera) -> None:
    """Linear interpolation of these waves errs by a few grey values."""
    target = camera.pinhole()
    seen = Remap(camera, target, np.eye(3)).image(render(camera, Pose.identity()))
    inside = camera.contains(
        camera.project(target.unproject(np.stack(np.meshgrid(np.arange(320), np.arange(240)), -1).reshape(-1, 2))), 1
    ).reshape(240, 320)
    error = np.abs(seen.astype(int) - render(target, Pose.identity()))[inside]
    assert inside.mean() > 0.9
    assert np.quantile(error, 0.99) <= 3


@pytest.mark.parametrize("camera", [RADTAN, KB4])
def test_rectified_pair_agrees_with_ideal_cameras_side_by_side(camera: Camera) -> None:
    rig = StereoRig(
        camera, replace(camera, cx=150.0, fx=camera.fx + 2), Pose.exp([0.02, -0.03, 0.015, -0.2, 0.004, 0.006])
    )
    target, from_left, from_right = rectify_rig(rig)
    assert target.baseline_m == pytest.approx(np.linalg.norm(rig.right_from_left.translation_m))
    left = Remap(rig.left, target, from_left).image(render(rig.left, Pose.identity()))
    right = Remap(rig.right, target, from_right).image(render(rig.right, rig.right_from_left))
    rectified_from_left = Pose(from_left, np.zeros(3))
    shift = Pose(np.eye(3), np.array([-target.baseline_m, 0, 0]))  # type: ignore[list-item]
    for seen, pose in ((left, rectified_from_left), (right, shift @ rectified_from_left)):
        error = np.abs(seen.astype(int) - render(target, pose))
        assert np.quantile(error, 0.95) <= 3


def test_pair_that_is_not_side_by_side_is_refused() -> None:
    for place in ([0.1, 0, 0], [0, -0.1, 0], [0.0, 0.0, 0.0]):
        with pytest.raises(CalibrationError, match="side by side"):
            rectify_rig(StereoRig(RADTAN, RADTAN, Pose(np.eye(3), np.array(place))))


def test_depth_keeps_its_values_and_is_unknown_outside() -> None:
    """A mean of two depths would lie on neither surface."""
    camera = replace(RADTAN, distortion=(0.2, 0.0, 0.0, 0.0))
    depth_m = np.where(np.arange(320) < 160, 1.0, 3.0)[None].repeat(240, 0).astype(np.float32)
    seen = Remap(camera, camera.pinhole(), np.eye(3)).depth(depth_m)
    assert set(np.unique(seen)) == {0.0, 1.0, 3.0}
    assert seen[0, 0] == 0.0


def test_ideal_source_passes_untouched(tmp_path: Path) -> None:
    source = open_tum(make_tum(tmp_path))
    assert rectified(source, source.calibration) is source


def test_focal_length_stays_where_the_lens_covers_the_image(tmp_path: Path) -> None:
    source = open_tum(make_tum(tmp_path), "mono")
    wide = rectified(source, replace(CAMERA, model="radtan", distortion=(-0.1, 0.01, 0.0, 0.0)))
    assert wide.camera == CAMERA


def test_little_of_a_rectified_image_is_made_up(data: Path) -> None:
    """fr1's lens leaves 8 % of the image empty at the same focal length."""
    source = open_tum(data / "tum" / "rgbd_dataset_freiburg1_rpy")
    camera = rectified(source, source.calibration).camera
    assert 517.3 < camera.fx < 1.05 * 517.3
    x, y = np.meshgrid(np.arange(0, 640, 4), np.arange(0, 480, 4))
    pixels = source.camera.project(camera.unproject(np.column_stack([x.ravel(), y.ravel()])))
    assert np.mean(~source.camera.contains(pixels, -0.5)) <= 0.02


def test_reference_turns_with_the_left_camera(tmp_path: Path) -> None:
    source = open_euroc(make_euroc(tmp_path))
    assert isinstance(source, Recording)
    rig = StereoRig(CAMERA, CAMERA, Pose.exp([0.0, 0.1, 0.0, -0.2, 0.0, 0.0]))
    turned = rectified(source, rig)
    _, from_left, _ = rectify_rig(rig)
    assert source.reference is not None
    assert turned.reference is not None
    before, after = source.reference.pose(2), turned.reference.pose(2)
    np.testing.assert_allclose(after.translation_m, before.translation_m)
    np.testing.assert_allclose(after.rotation @ from_left, before.rotation, atol=1e-12)


def test_rows_of_a_real_pair_correspond(data: Path) -> None:
    """Matched ORB features scatter by their own error, about a pixel; a wrong rectification shifts their median."""
    recording = open_euroc(data / "euroc" / "V1_01_easy")
    frame = next(iter(rectified(recording, recording.calibration)))
    assert frame.right is not None
    orb = cv2.ORB_create(1500)
    (left, left_bits), (right, right_bits) = (orb.detectAndCompute(image, None) for image in (frame.image, frame.right))
    matches = cv2.BFMatcher(cv2.NORM_HAMMING, crossCheck=True).match(left_bits, right_bits)
    offsets = np.array([np.subtract(left[m.queryIdx].pt, right[m.trainIdx].pt) for m in matches if m.distance < 40])
    assert len(offsets) > 200
    assert np.median(np.abs(offsets[:, 1])) < 0.6
    assert np.abs(np.median(offsets[:, 1])) < 0.3
    # All points lie in front of both cameras; a few matches are wrong.
    assert np.mean(offsets[:, 0] > 0) > 0.85
