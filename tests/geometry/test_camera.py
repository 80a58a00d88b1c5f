"""Camera models: projection, its inverse, agreement with OpenCV, scaling."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slamfront.errors import CalibrationError
from slamfront.geometry.camera import Camera

PIXEL = 1e-6  # as far as a round trip may miss, px: far below what an image can tell

CAMERAS = {
    "pinhole": Camera("pinhole", 640, 480, 525.0, 520.0, 319.5, 239.5),
    # EuRoC's cam0: barrel distortion of 60 px in the corners.
    "radtan4": Camera(
        "radtan", 752, 480, 458.654, 457.296, 367.215, 248.375, (-0.28340811, 0.07395907, 1.9359e-4, 1.76187e-05)
    ),
    # A Kinect as in TUM's freiburg1.
    "radtan5": Camera("radtan", 640, 480, 517.3, 516.5, 318.6, 255.3, (0.2624, -0.9531, -0.0054, 0.0026, 1.1633)),
    "radtan8": Camera("radtan", 640, 576, 504.0, 504.2, 321.3, 330.9, (5.2, 3.5, 6e-5, -7e-5, 0.17, 5.5, 5.3, 0.94)),
    # Strong: a corner 45 degrees off the axis moves by 130 px.
    "radtan strong": Camera("radtan", 640, 480, 400.0, 400.0, 320.0, 240.0, (-0.35, 0.16, 0.001, -0.002, -0.03)),
    # TUM-VI's lens, cut to the part that looks forward.
    "kb4": Camera("kb4", 360, 360, 190.978, 190.973, 178.93, 180.9, (0.00348, 0.000715, -0.00205, 0.000203)),
    "kb4 strong": Camera("kb4", 640, 480, 320.0, 321.0, 318.0, 241.0, (-0.04, 0.03, -0.02, 0.003)),
}
each_camera = pytest.mark.parametrize("camera", CAMERAS.values(), ids=CAMERAS)


def grid(camera: Camera, step: int = 20) -> np.ndarray:
    """Return pixels (N,2) over the whole image, corners included."""
    x = np.append(np.arange(0, camera.width - 1, step), camera.width - 1)
    y = np.append(np.arange(0, camera.height - 1, step), camera.height - 1)
    return np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2).astype(float)


def cloud(camera: Camera, seed: int = 0) -> np.ndarray:
    """Return points (N,3) in front of the camera, all of them in view."""
    rng = np.random.default_rng(seed)
    pixels = rng.uniform((0, 0), (camera.width - 1, camera.height - 1), (300, 2))
    return camera.unproject(pixels) * rng.uniform(0.3, 50.0, (300, 1))


@each_camera
def test_unproject_undoes_project_over_the_whole_image(camera: Camera) -> None:
    pixels = grid(camera)
    depths = np.linspace(0.1, 80.0, len(pixels))[:, None]
    np.testing.assert_allclose(camera.project(camera.unproject(pixels) * depths), pixels, atol=PIXEL)


@each_camera
def test_rays_have_unit_depth_and_the_centre_looks_forward(camera: Camera) -> None:
    rays = camera.unproject(grid(camera))
    assert np.isfinite(rays).all()
    assert (rays[:, 2] == 1.0).all()
    np.testing.assert_allclose(camera.unproject([[camera.cx, camera.cy]]), [[0.0, 0.0, 1.0]], atol=1e-15)


@each_camera
def test_projection_agrees_with_opencv(camera: Camera) -> None:
    points, zero = cloud(camera), np.zeros(3)
    project = cv2.fisheye.projectPoints if camera.model == "kb4" else cv2.projectPoints
    shaped = points.reshape(-1, 1, 3)
    distortion = np.array(camera.distortion) if camera.distortion else np.zeros(4)
    expected, _ = project(shaped, zero, zero, camera.matrix, distortion)
    np.testing.assert_allclose(camera.project(points), expected.reshape(-1, 2), atol=PIXEL)


@given(st.sampled_from(sorted(CAMERAS)), st.floats(0.0, 1.0), st.floats(0.0, 1.0), st.floats(1e-3, 1e4))
def test_any_pixel_survives_the_way_into_space_and_back(name: str, u: float, v: float, depth: float) -> None:
    camera = CAMERAS[name]
    pixel = np.array([[u * (camera.width - 1), v * (camera.height - 1)]])
    np.testing.assert_allclose(camera.project(depth * camera.unproject(pixel)), pixel, atol=PIXEL)


@each_camera
def test_points_not_in_front_have_no_pixel(camera: Camera) -> None:
    assert np.isnan(camera.project([[0.1, 0.1, 0.0], [0.1, 0.1, -1.0], [0.0, 0.0, np.nan]])).all()
    assert camera.project(np.zeros((0, 3))).shape == (0, 2)
    assert camera.unproject(np.zeros((0, 2))).shape == (0, 3)


def test_a_fisheye_pixel_beyond_ninety_degrees_gets_a_finite_ray() -> None:
    camera = CAMERAS["kb4"]
    rays = camera.unproject([[camera.cx + 1.7 * camera.fx, camera.cy], [camera.cx + 5 * camera.fx, camera.cy]])
    assert np.isfinite(rays).all()
    assert (rays[:, 0] > 100).all()


@each_camera
def test_undistorted_pixels_are_those_of_the_pinhole(camera: Camera) -> None:
    points = cloud(camera)
    seen = camera.undistort(camera.project(points))
    ideal = camera.pinhole().project(points)
    # Relative, for a fisheye's edge lies thousands of pixels out in the pinhole image.
    np.testing.assert_allclose(seen, ideal, rtol=1e-6, atol=PIXEL)


@each_camera
@pytest.mark.parametrize("factor", [0.5, 0.37, 2.0])
def test_scaling_keeps_the_rays(camera: Camera, factor: float) -> None:
    width, height = round(camera.width * factor), round(camera.height * factor)
    small = camera.scaled(width, height)
    ratio = np.array([width / camera.width, height / camera.height])
    pixels = grid(camera)
    # Resampling maps pixel areas: the left edge -0.5 stays the left edge.
    resampled = (pixels + 0.5) * ratio - 0.5
    np.testing.assert_allclose(small.unproject(resampled), camera.unproject(pixels), rtol=1e-9, atol=1e-9)
    assert (small.width, small.height) == (width, height)
    small.check(width, height)


def test_scaling_agrees_with_how_opencv_resamples_images() -> None:
    camera = CAMERAS["pinhole"]
    image = np.zeros((480, 640), np.float32)
    image[200:208, 400:408] = 1.0  # its centre is (403.5, 203.5)
    small = cv2.resize(image, (160, 120), interpolation=cv2.INTER_AREA)
    rows, columns = np.nonzero(small)
    seen = camera.scaled(160, 120).unproject([[columns.mean(), rows.mean()]])
    np.testing.assert_allclose(seen, camera.unproject([[403.5, 203.5]]), atol=1e-12)


def test_a_frame_of_another_resolution_is_refused_with_both_sizes() -> None:
    with pytest.raises(CalibrationError, match="640x480 but the frames are 320x240"):
        CAMERAS["pinhole"].check(320, 240)


def test_disparity_is_that_of_the_right_camera() -> None:
    camera = Camera("pinhole", 1241, 376, 718.856, 718.856, 607.1928, 185.2157, baseline_m=0.5371657)
    point = np.array([[1.0, 0.5, 12.0]])
    left, right = camera.project(point), camera.project(point - [camera.baseline_m, 0.0, 0.0])
    assert camera.disparity_times_depth / 12.0 == pytest.approx((left - right)[0, 0], abs=1e-9)
    with pytest.raises(CalibrationError, match="no stereo baseline"):
        _ = camera.scaled(620, 188).pinhole() and CAMERAS["pinhole"].disparity_times_depth


def test_contains_counts_pixel_centres_and_leaves_nan_outside() -> None:
    camera = CAMERAS["pinhole"]
    pixels = np.array([[0.0, 0.0], [639.0, 479.0], [639.1, 0.0], [-0.1, 0.0], [np.nan, 5.0], [10.0, 10.0]])
    assert camera.contains(pixels).tolist() == [True, True, False, False, False, True]
    assert camera.contains(pixels, border_px=10.0).tolist() == [False, False, False, False, False, True]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "mei"}, "'mei' is unknown: use pinhole, radtan, kb4"),
        ({"model": "radtan", "distortion": (0.1,)}, "radtan takes 4 or 5 or 8 distortion values, got 1"),
        ({"distortion": (0.1,)}, "pinhole takes 0 distortion values, got 1"),
        ({"fx": 0.0}, "positive focal"),
        ({"cx": float("nan")}, "finite"),
        ({"width": 0}, "positive size"),
        ({"baseline_m": 0.0}, "baseline must be positive"),
    ],
)
def test_impossible_cameras_are_refused(change: dict, message: str) -> None:
    good = {"model": "pinhole", "width": 640, "height": 480, "fx": 500.0, "fy": 500.0, "cx": 320.0, "cy": 240.0}
    with pytest.raises(CalibrationError, match=message):
        Camera(**{**good, **change})
