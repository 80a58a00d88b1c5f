"""Calibration files of every kind give the camera that they describe."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from slamfront.calibration import Calibration, read_calibration, write_calibration
from slamfront.errors import CalibrationError, OutputError
from slamfront.geometry.camera import Camera, StereoRig
from slamfront.geometry.pose import Pose

RADTAN = Camera("radtan", 640, 480, 517.3, 516.5, 318.6, 255.3, (0.26, -0.95, -0.005, 0.003, 1.16), 0.08)
KB4 = Camera("kb4", 512, 512, 190.9, 190.8, 254.9, 256.8, (0.0034, 0.0007, -0.002, 0.0002))
RIG = StereoRig(KB4, KB4, Pose.exp([0.01, -0.02, 0.005, -0.1, 0.001, 0.002]))


def read(folder: Path, text: str, name: str = "calibration.yaml", size: tuple[int, int] | None = None) -> Calibration:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return read_calibration(path, size)


def one_camera(calibration: Calibration) -> Camera:
    assert isinstance(calibration, Camera)
    return calibration


def two_cameras(calibration: Calibration) -> StereoRig:
    assert isinstance(calibration, StereoRig)
    return calibration


@pytest.mark.parametrize("camera", [RADTAN, KB4, RADTAN.pinhole()])
def test_own_yaml_is_read_back_to_the_last_digit(tmp_path: Path, camera: Camera) -> None:
    write_calibration(tmp_path / "c.yaml", camera)
    assert read_calibration(tmp_path / "c.yaml") == camera


def test_own_yaml_of_two_cameras_is_read_back(tmp_path: Path) -> None:
    write_calibration(tmp_path / "c.yaml", RIG)
    rig = two_cameras(read_calibration(tmp_path / "c.yaml"))
    assert (rig.left, rig.right) == (RIG.left, RIG.right)
    np.testing.assert_allclose(rig.right_from_left.matrix(), RIG.right_from_left.matrix(), atol=1e-15)


def test_own_yaml_names_the_key_that_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match="focal"):
        read(tmp_path, "{model: pinhole, width: 64, height: 48, fx: 50, fy: 50, cx: 31, cy: 23, focal: 50}")
    with pytest.raises(CalibrationError, match="'cy' is missing"):
        read(tmp_path, "{model: pinhole, width: 64, height: 48, fx: 50, fy: 50, cx: 31}")


def test_writing_where_nothing_can_be_written_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        write_calibration(tmp_path / "file" / "c.yaml", KB4)


def test_one_line_takes_the_size_of_the_frames(tmp_path: Path) -> None:
    line = "517.3 516.5 318.6 255.3 0.26 -0.95 -0.005 0.003 1.16"
    camera = one_camera(read(tmp_path, line, "c.txt", (640, 480)))
    assert camera.distortion == RADTAN.distortion
    assert (camera.fx, camera.fy, camera.cx, camera.cy) == (517.3, 516.5, 318.6, 255.3)
    assert one_camera(read(tmp_path, "500 500 320 240\n", "c.txt", (640, 480))).model == "pinhole"
    with pytest.raises(CalibrationError, match="size"):
        read(tmp_path, line, "c.txt")


KALIBR = """
cam0:
  camera_model: pinhole
  distortion_coeffs: [0.0034, 0.0007, -0.002, 0.0002]
  distortion_model: equidistant
  intrinsics: [190.9, 190.8, 254.9, 256.8]
  resolution: [512, 512]
  rostopic: /cam0/image_raw
"""
KALIBR_RIGHT = """
cam1:
  T_cn_cnm1:
  - [1.0, 0.0, 0.0, -0.1]
  - [0.0, 1.0, 0.0, 0.002]
  - [0.0, 0.0, 1.0, 0.0]
  - [0.0, 0.0, 0.0, 1.0]
  camera_model: pinhole
  distortion_coeffs: [-0.28, 0.07, 0.0002, 0.00002]
  distortion_model: radtan
  intrinsics: [191.0, 191.1, 250.0, 251.0]
  resolution: [512, 512]
"""


def test_kalibr_chain_of_one_camera_is_a_camera(tmp_path: Path) -> None:
    assert read(tmp_path, KALIBR) == KB4


def test_kalibr_chain_of_two_cameras_is_a_rig(tmp_path: Path) -> None:
    rig = two_cameras(read(tmp_path, KALIBR + KALIBR_RIGHT))
    assert rig.left == KB4
    assert rig.right.model == "radtan"
    np.testing.assert_allclose(rig.right_from_left.translation_m, [-0.1, 0.002, 0.0])


def test_kalibr_model_that_is_not_supported_is_named(tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match="omni"):
        read(tmp_path, KALIBR.replace("camera_model: pinhole", "camera_model: omni"))


INFO = """
image_width: 640
image_height: 480
camera_name: left
camera_matrix: {rows: 3, cols: 3, data: [517.3, 0, 318.6, 0, 516.5, 255.3, 0, 0, 1]}
distortion_model: plumb_bob
distortion_coefficients: {rows: 1, cols: 5, data: [0.26, -0.95, -0.005, 0.003, 1.16]}
rectification_matrix: {rows: 3, cols: 3, data: [1, 0, 0, 0, 1, 0, 0, 0, 1]}
projection_matrix: {rows: 3, cols: 4, data: [500, 0, 320, -40, 0, 500, 240, 0, 0, 0, 1, 0]}
"""


def test_camera_info_gives_the_raw_camera_and_the_baseline_of_p(tmp_path: Path) -> None:
    assert read(tmp_path, INFO) == RADTAN


@pytest.mark.parametrize(
    ("model", "values", "expected"),
    [
        ("rational_polynomial", [0.1, 0.2, 0.0, 0.0, 0.01, 0.3, 0.02, 0.001], "radtan"),
        ("equidistant", [0.1, 0.2, 0.3, 0.4], "kb4"),
        ("plumb_bob", [0.0, 0.0, 0.0, 0.0, 0.0], "pinhole"),
    ],
)
def test_camera_info_knows_the_models_of_ros(tmp_path: Path, model: str, values: list[float], expected: str) -> None:
    text = INFO.replace("plumb_bob", model).replace("[0.26, -0.95, -0.005, 0.003, 1.16]", str(values))
    camera = one_camera(read(tmp_path, text))
    assert camera.model == expected
    assert camera.distortion == (tuple(values) if any(values) else ())


def test_thin_prism_coefficients_are_refused_rather_than_dropped(tmp_path: Path) -> None:
    text = INFO.replace("[0.26, -0.95, -0.005, 0.003, 1.16]", str([0.1] * 12))
    with pytest.raises(CalibrationError, match="thin prism"):
        read(tmp_path, text)


def test_opencv_calibration_of_a_real_camera_is_read(data: Path) -> None:
    camera = one_camera(read_calibration(data / "charuco" / "modules_aruco_samples_tutorial_camera_charuco.yml"))
    assert (camera.width, camera.height, camera.model, len(camera.distortion)) == (640, 480, "radtan", 5)
    assert camera.fx == 4.5251072219637672e02


@pytest.mark.parametrize(
    ("line", "model", "distortion"),
    [
        ("1 SIMPLE_PINHOLE 640 480 500 320 240", "pinhole", ()),
        ("1 PINHOLE 640 480 500 500 320 240", "pinhole", ()),
        ("1 SIMPLE_RADIAL 640 480 500 320 240 0.1", "radtan", (0.1, 0.0, 0.0, 0.0)),
        ("1 RADIAL 640 480 500 320 240 0.1 0.2", "radtan", (0.1, 0.2, 0.0, 0.0)),
        ("1 OPENCV 640 480 500 500 320 240 0.1 0.2 0.3 0.4", "radtan", (0.1, 0.2, 0.3, 0.4)),
        ("1 OPENCV_FISHEYE 640 480 500 500 320 240 0.1 0.2 0.3 0.4", "kb4", (0.1, 0.2, 0.3, 0.4)),
    ],
)
def test_colmap_pixel_corner_becomes_pixel_centre(
    tmp_path: Path, line: str, model: str, distortion: tuple[float, ...]
) -> None:
    camera = read(tmp_path, f"# Camera list\n#   CAMERA_ID, MODEL, WIDTH, HEIGHT, PARAMS[]\n{line}\n", "cameras.txt")
    assert camera == Camera(model, 640, 480, 500, 500, 319.5, 239.5, distortion)  # type: ignore[arg-type]


def test_colmap_file_of_two_cameras_is_refused(tmp_path: Path) -> None:
    line = "PINHOLE 640 480 500 500 320 240\n"
    with pytest.raises(CalibrationError, match="2 cameras"):
        read(tmp_path, f"1 {line}2 {line}", "cameras.txt")


ORBSLAM2 = """%YAML:1.0
# Camera Parameters
Camera.fx: 517.3
Camera.fy: 516.5
Camera.cx: 318.6
Camera.cy: 255.3
Camera.k1: 0.26
Camera.k2: -0.95
Camera.p1: -0.005
Camera.p2: 0.003
Camera.k3: 1.16
Camera.bf: 41.384
Camera.fps: 30.0
ORBextractor.nFeatures: 1000
"""


def test_orbslam2_settings_take_the_size_of_the_frames(tmp_path: Path) -> None:
    camera = one_camera(read(tmp_path, ORBSLAM2, size=(640, 480)))
    assert camera.distortion == RADTAN.distortion
    assert camera.baseline_m == pytest.approx(41.384 / 517.3)


def test_orbslam3_settings_of_a_pair_give_right_from_left(tmp_path: Path) -> None:
    lines = [
        "%YAML:1.0",
        'File.version: "1.0"',
        'Camera.type: "KannalaBrandt8"',
        "Camera.width: 512",
        "Camera.height: 512",
    ]
    for name in ("Camera1", "Camera2"):
        for key, value in zip(("fx", "fy", "cx", "cy"), (190.9, 190.8, 254.9, 256.8)):
            lines.append(f"{name}.{key}: {value}")
        lines += [f"{name}.k{i + 1}: {value}" for i, value in enumerate(KB4.distortion)]
    numbers = [1.0, 0.0, 0.0, 0.1, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0]
    lines += ["Stereo.T_c1_c2: !!opencv-matrix", "  rows: 4", "  cols: 4", "  dt: f", f"  data: {numbers}"]
    rig = two_cameras(read(tmp_path, "\n".join(lines)))
    assert rig.left == KB4
    np.testing.assert_allclose(rig.right_from_left.translation_m, [-0.1, 0.0, 0.0])


def test_orbslam2_stereo_settings_give_back_the_extrinsics_they_were_rectified_with(tmp_path: Path) -> None:
    """The rectifying rotations and the baseline of OpenCV's stereoRectify hold the extrinsics."""
    cv2 = pytest.importorskip("cv2")
    motion, size = RIG.right_from_left, (512, 512)
    k, d = np.array([[400.0, 0, 255], [0, 400, 256], [0, 0, 1]]), np.array([-0.28, 0.07, 0.0, 0.0, 0.0])
    r1, r2, p1, p2, *_ = cv2.stereoRectify(k, d, k, d, size, motion.rotation, motion.translation_m[:, None])
    lines = [
        "%YAML:1.0",
        "Camera.fx: 435.2",
        "LEFT.width: 512",
        "LEFT.height: 512",
        "RIGHT.width: 512",
        "RIGHT.height: 512",
    ]
    for side, r, p in (("LEFT", r1, p1), ("RIGHT", r2, p2)):
        for key, m in (("D", d[None]), ("K", k), ("R", r), ("P", p)):
            lines += [f"{side}.{key}: !!opencv-matrix", f"   rows: {m.shape[0]}", f"   cols: {m.shape[1]}", "   dt: d"]
            lines += [f"   data: {m.ravel().tolist()}"]
    rig = two_cameras(read(tmp_path, "\n".join(lines)))
    np.testing.assert_allclose(rig.right_from_left.matrix(), motion.matrix(), atol=1e-9)
    assert rig.left.model == "radtan"


def test_kitti_calibration_has_the_baseline_between_its_cameras(tmp_path: Path) -> None:
    text = "P0: 700 0 600 0 0 700 180 0 0 0 1 0\nP1: 700 0 600 -378 0 700 180 0 0 0 1 0\nTr: 1 0 0 0 0 1 0 0 0 0 1 0\n"
    assert read(tmp_path, text, "calib.txt", (1241, 376)) == Camera("pinhole", 1241, 376, 700, 700, 600, 180, (), 0.54)


def test_euroc_sensor_file_with_opencv_header_is_read(data: Path) -> None:
    camera = one_camera(read_calibration(data / "euroc" / "V1_01_easy" / "mav0" / "cam0" / "sensor.yaml"))
    assert (camera.width, camera.height, camera.fx) == (752, 480, 458.654)
    assert camera.distortion == (-0.28340811, 0.07395907, 0.00019359, 1.76187114e-05)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "[1, 2]",
        "a: 1",
        "{fx: [1",
        "\0\1",
        "P0: 1 2 3",
        "1 PINHOLE 640 480 5",
        "fx: abc\nfy: 1\ncx: 1\ncy: 1",
    ],
)
def test_what_is_no_calibration_is_one_clear_error(tmp_path: Path, text: str) -> None:
    with pytest.raises(CalibrationError, match=r"calibration\.yaml") as caught:
        read(tmp_path, text, size=(64, 48))
    assert "\n" not in str(caught.value)


def test_missing_file_and_picture_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match="cannot read"):
        read_calibration(tmp_path / "none.yaml")
    (tmp_path / "a.png").write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(CalibrationError, match="not a text file"):
        read_calibration(tmp_path / "a.png")


def test_yaml_that_would_run_code_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CalibrationError):
        read(tmp_path, "fx: !!python/object/apply:os.getcwd []\n")
