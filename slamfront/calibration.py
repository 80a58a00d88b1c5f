"""Calibration files: slamfront's own YAML, and those of the tools that people calibrate with.

Read are: the own YAML, Kalibr's camchain, ROS camera_info, OpenCV's calibration sample, COLMAP's cameras.txt,
ORB-SLAM's settings (2 and 3), EuRoC's sensor.yaml, KITTI's calib.txt, and one line `fx fy cx cy [distortion]`. The kind
is told from the content. Every number of every kind ends in slamfront's convention, where pixel (0, 0) is the centre of
the top left pixel.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from slamfront.errors import CalibrationError, refused_as, shortened
from slamfront.geometry.camera import Camera, Model, StereoRig
from slamfront.geometry.pose import Pose
from slamfront.reading import MOST_YAML_BYTES, brief, load_yaml, read_text
from slamfront.writing import write_atomically

Array = NDArray[np.float64]
Size = tuple[int, int]
Calibration = Camera | StereoRig

_MOST_PIXELS, _MOST_SIDE = 1 << 26, 1 << 15
"""No camera that can be tracked with has more."""

_DEPTH_FACTORS = ("DepthMapFactor", "RGBD.DepthMapFactor", "depthmap_factor", "Camera.depthmap_factor")

_MODELS: dict[str, Model] = {
    "": "radtan",
    "none": "pinhole",
    "pinhole": "pinhole",
    "radtan": "radtan",
    "radial-tangential": "radtan",
    "plumb_bob": "radtan",
    "rational_polynomial": "radtan",
    "equidistant": "kb4",
    "equidist": "kb4",
    "fisheye": "kb4",
    "kannala_brandt": "kb4",
    "kannalabrandt8": "kb4",
    "kb4": "kb4",
}


def read_calibration(path: Path | str, size: Size | None = None) -> Calibration:
    """Return the camera, or the two cameras before rectification, that a calibration file describes.

    `size` is (width, height) in pixels of the frames, for the kinds that do not state it (KITTI, one line, old ORB-SLAM
    settings). Raises CalibrationError when the file cannot be read, is of no known kind, or misses a value.
    """
    path = Path(path)
    text = read_text(path, CalibrationError, MOST_YAML_BYTES)
    try:
        with refused_as(CalibrationError, "a value has the wrong form"):
            calibration = _parse(text, size)
        check_plausible(calibration)
        return calibration
    except CalibrationError as error:
        raise CalibrationError(f"{shortened(str(path))}: {error}") from error


def read_depth_unit(path: Path) -> float | None:
    """Return what one step of a depth image is, m, by the DepthMapFactor of an ORB-SLAM settings file, or the like.

    None where the calibration file says nothing of it. Raises CalibrationError when it cannot be read.
    """
    text = read_text(Path(path), CalibrationError, MOST_YAML_BYTES)
    if not re.search(r"depth_?map_?factor", text, re.IGNORECASE):
        return None
    values = parse_yaml(text)
    key = next((key for key in _DEPTH_FACTORS if key in values), None)
    if key is None:
        return None
    factor = values[key]
    if isinstance(factor, bool) or not isinstance(factor, (int, float)) or not 1 <= abs(factor) <= 1e6:
        raise CalibrationError(f"{path}: {key} must be 1 to 1000000, got {brief(factor)}")
    return 1 / abs(float(factor))


def check_plausible(calibration: Calibration) -> None:
    """Raise CalibrationError for what no lens is: lengths in mm, or as a share of the width, where pixels are meant.

    From 0.1 to 100 widths of focal length are 157 degrees of a pinhole's view, or 320 of a fisheye's, to 0.6.
    """
    for camera in (calibration.left, calibration.right) if isinstance(calibration, StereoRig) else (calibration,):
        width, height = camera.width, camera.height
        if width * height > _MOST_PIXELS or max(width, height) > _MOST_SIDE:
            raise CalibrationError(f"a calibration for {brief(width)}x{brief(height)} pixels is of no camera")
        for name, focal in (("fx", camera.fx), ("fy", camera.fy)):
            if not 0.1 * min(width, height) <= focal <= 100 * max(width, height):
                raise CalibrationError(
                    f"{name} is {focal:g}, which cannot be the focal length in pixels of {width}x{height} images"
                )
        for name, centre, side in (("cx", camera.cx, width), ("cy", camera.cy, height)):
            if not -side <= centre <= 2 * side:
                raise CalibrationError(f"{name} is {centre:g}, far outside the image of {width}x{height} pixels")


def write_calibration(path: Path, calibration: Calibration) -> None:
    """Write slamfront's own YAML, which `read_calibration` reads back to the last digit; OutputError when it cannot."""
    if isinstance(calibration, Camera):
        values = _own_mapping(calibration)
    else:
        values = {
            "left": _own_mapping(calibration.left),
            "right": _own_mapping(calibration.right),
            "right_from_left": calibration.right_from_left.matrix().tolist(),
        }
    write_atomically(path, yaml.safe_dump(values, sort_keys=False, default_flow_style=None))


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping of a YAML file, OpenCV's dialect included; CalibrationError when it cannot be read."""
    text = read_text(path, CalibrationError, MOST_YAML_BYTES)
    try:
        return parse_yaml(text)
    except CalibrationError as error:
        raise CalibrationError(f"{path}: {error}") from error


def parse_yaml(text: str) -> dict[str, Any]:
    """Return the mapping in a YAML text; OpenCV's header and matrix tags are taken off first."""
    plain = re.sub(r"\A\s*%YAML[:\s].*\n", "", text).replace("!!opencv-matrix", "")
    plain = re.sub(r"\A\s*---[ \t]*\n", "", plain).replace("\t", "    ")
    values = load_yaml(plain, CalibrationError, "the calibration")
    if not isinstance(values, dict):
        raise CalibrationError("no known calibration: expected a mapping of keys to values")
    return values


def projections_from_kitti(text: str) -> dict[str, Array]:
    """Return the projection matrices (3,4) by name ("P0" to "P3") of a KITTI calib.txt, in px and px m."""
    rows = (line.split(":", 1) for line in text.splitlines() if re.match(r"P\d\s*:", line))
    return {name.strip(): np.array(values.split(), np.float64).reshape(3, 4) for name, values in rows}


def camera_from_kitti(projections: Mapping[str, Array], size: Size, left: str = "P0", right: str = "P1") -> Camera:
    """Return the rectified camera `left`, with the baseline to `right` where that is given."""
    p = projections[left]
    camera = _from_projection(p, *size)
    if right not in projections:
        return camera
    other = projections[right]
    return replace(camera, baseline_m=float(p[0, 3] / p[0, 0] - other[0, 3] / other[0, 0]))


def camera_from_info(info: Mapping[str, Any], rectified: bool = False, size: Size | None = None) -> Camera:
    """Return the camera of a ROS CameraInfo, given as a mapping with the message's or the YAML file's keys.

    With `rectified` it is the camera of the rectified image (P), otherwise that of the raw image (K and D). A right
    camera's P carries the baseline, which is kept in either case. A message tells the whole sensor's camera and, apart,
    which region of it was read out and by how much that was binned; `size` is the images' where it is known, so that
    one which tells the binned images' camera at once is not binned twice.
    """
    _check_unused(info, _INFO_KEYS)
    width, height = int(_first(info, "width", "image_width")), int(_first(info, "height", "image_height"))
    p = _matrix(_first(info, "P", "p", "projection_matrix", default=np.zeros(12)), 3, 4)
    baseline_m = float(-p[0, 3] / p[0, 0]) if p[0, 0] > 0 and p[0, 3] < 0 else None
    if rectified:
        return _read_out(replace(_from_projection(p, width, height), baseline_m=baseline_m), info, size)
    k = _matrix(_first(info, "K", "k", "camera_matrix"), 3, 3)
    coefficients = _numbers(_first(info, *_COEFFICIENTS, default=()))
    name = info.get("distortion_model", "")
    if info.get("fisheye_model"):  # OpenCV's calibration sample: cv::fisheye, and no name of a model
        name = name or "fisheye"
    model, distortion = _distortion(name, coefficients)
    camera = replace(_from_projection(k, width, height), model=model, distortion=distortion, baseline_m=baseline_m)
    return _read_out(camera, info, size)


def _read_out(camera: Camera, info: Mapping[str, Any], size: Size | None) -> Camera:
    """Return the camera of the region of a sensor that a CameraInfo says was read out, binned as it says."""
    if size == (camera.width, camera.height):
        return camera
    roi = info.get("roi") or {}
    x, y, width, height = (int(_attribute(roi, key)) for key in ("x_offset", "y_offset", "width", "height"))
    bins = [max(1, int(info.get(key) or 1)) for key in ("binning_x", "binning_y")]
    width, height = width or camera.width, height or camera.height
    region = replace(camera, width=width, height=height, cx=camera.cx - x, cy=camera.cy - y)
    return region if bins == [1, 1] else region.scaled(width // bins[0], height // bins[1])


def _attribute(value: Any, key: str) -> Any:
    return value.get(key, 0) if isinstance(value, Mapping) else getattr(value, key, 0)


def rig_from_infos(left: Mapping[str, Any], right: Mapping[str, Any], size: Size | None = None) -> StereoRig:
    """Return the two raw cameras of a pair of ROS CameraInfos.

    Their R turn each camera into the rectified frame, where the right one stands at -P[0,3]/P[0,0] along x (REP-104 and
    the message's own text); so X_right = R_right^T (R_left X_left - baseline).
    """
    rotations = [_matrix(_first(info, "R", "r", "rectification_matrix"), 3, 3) for info in (left, right)]
    cameras = [camera_from_info(info, size=size) for info in (left, right)]
    baseline_m = cameras[1].baseline_m
    if baseline_m is None:
        raise CalibrationError("the right camera's P holds no baseline: calibrate the pair together")
    shift = Pose(np.eye(3), np.array([-baseline_m, 0.0, 0.0]))
    right_from_left = _rotation(rotations[1]).inverse() @ shift @ _rotation(rotations[0])
    return StereoRig(cameras[0], replace(cameras[1], baseline_m=None), right_from_left)


def camera_from_euroc(values: Mapping[str, Any]) -> Camera:
    """Return the camera of an EuRoC sensor.yaml."""
    _check_unused(values, _EUROC_KEYS)
    width, height = (int(v) for v in values["resolution"])
    coefficients = _numbers(_first(values, "distortion_coefficients", "distortion_coeffs"))
    model, distortion = _distortion(values["distortion_model"], coefficients)
    if values.get("camera_model", "pinhole") != "pinhole":
        raise CalibrationError(f"the camera model {brief(values['camera_model'])} is not supported: use pinhole")
    fx, fy, cx, cy = _numbers(values["intrinsics"])
    return Camera(model, width, height, fx, fy, cx, cy, distortion)


def _parse(text: str, size: Size | None) -> Calibration:
    lines = [line.split() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    if not lines:
        raise CalibrationError("the file is empty")
    if projections := projections_from_kitti(text):
        return camera_from_kitti(projections, _need(size))
    if len(lines[0]) > 4 and lines[0][1].isupper() and lines[0][0].isdigit():
        return _from_colmap(lines)
    if len(lines) == 1 and len(lines[0]) >= 4 and all(map(_is_number, lines[0])):
        return _from_line([float(v) for v in lines[0]], _need(size))
    values = parse_yaml(text)
    for keys, parse in _KINDS:
        if any(key in values for key in keys):
            return parse(values, size)
    raise CalibrationError("no known calibration: see the documentation for the kinds that are read")


def _own_mapping(camera: Camera) -> dict[str, Any]:
    return {
        "model": camera.model,
        "width": int(camera.width),
        "height": int(camera.height),
        **{key: float(getattr(camera, key)) for key in ("fx", "fy", "cx", "cy")},
        "distortion": [float(v) for v in camera.distortion],
        "baseline_m": None if camera.baseline_m is None else float(camera.baseline_m),
        "readout_s": float(camera.readout_s),
        "depth_delay_s": float(camera.depth_delay_s),
        "disparity_offset_px": float(camera.disparity_offset_px),
    }


def _from_own(values: Mapping[str, Any], size: Size | None) -> Calibration:
    if "left" in values:
        left, right = _own_camera(values["left"], size), _own_camera(values["right"], size)
        return StereoRig(left, right, Pose.from_matrix(_matrix(values["right_from_left"], 4, 4)))
    return _own_camera(values, size)


def _own_camera(values: Mapping[str, Any], size: Size | None) -> Camera:
    measured = ("readout_s", "depth_delay_s", "disparity_offset_px")
    known = ("model", "width", "height", "fx", "fy", "cx", "cy", "distortion", "baseline_m", *measured)
    if unknown := [key for key in values if key not in known]:
        raise CalibrationError(f"unknown key '{unknown[0]}': known keys are {', '.join(known)}")
    width, height = (values["width"], values["height"]) if "width" in values else _need(size)
    distortion = tuple(_numbers(values.get("distortion") or ()))
    model = values.get("model", "radtan" if distortion else "pinhole")
    fx, fy, cx, cy = (float(values[key]) for key in ("fx", "fy", "cx", "cy"))
    baseline = values.get("baseline_m")
    baseline_m = None if baseline is None else float(baseline)
    rest = (float(values.get(key, 0.0)) for key in measured)
    return Camera(model, int(width), int(height), fx, fy, cx, cy, distortion, baseline_m, *rest)


def _from_kalibr(values: Mapping[str, Any], _size: Size | None) -> Calibration:
    left = camera_from_euroc(values["cam0"])
    if "cam1" not in values:
        return left
    return StereoRig(left, camera_from_euroc(values["cam1"]), Pose.from_matrix(values["cam1"]["T_cn_cnm1"]))


def _from_info(values: Mapping[str, Any], size: Size | None) -> Calibration:
    return camera_from_info(values, size=size)


def _from_euroc(values: Mapping[str, Any], _size: Size | None) -> Calibration:
    return camera_from_euroc(values)


def _from_orbslam(values: Mapping[str, Any], size: Size | None) -> Calibration:
    """Return the calibration of an ORB-SLAM settings file, of version 2 (`Camera.fx`) or 3 (`Camera1.fx`), or of
    stella_vslam, which shares most of version 2's keys.
    """
    if "LEFT.K" in values:
        return rig_from_infos(_orbslam_side(values, "LEFT"), _orbslam_side(values, "RIGHT"))
    _check_unused(values, _ORBSLAM_KEYS, r"Camera\d?\..*")
    first = "Camera1" if "Camera1.fx" in values else "Camera"
    camera = _orbslam_camera(values, first, size)
    if "Stereo.T_c1_c2" in values:
        left_from_right = Pose.from_matrix(_matrix(values["Stereo.T_c1_c2"], 4, 4))
        return StereoRig(camera, _orbslam_camera(values, "Camera2", size), left_from_right.inverse())
    if "Stereo.b" in values:
        return replace(camera, baseline_m=float(values["Stereo.b"]))
    key = next((key for key in ("Camera.bf", "Camera.focal_x_baseline") if key in values), None)
    if key is None or not float(values[key]) > 0:
        return camera
    return replace(camera, baseline_m=float(values[key]) / camera.fx)


def _orbslam_side(values: Mapping[str, Any], side: str) -> dict[str, Any]:
    """Return one raw camera of version 2's stereo settings under the keys of a ROS CameraInfo."""
    info = {key: values[f"{side}.{key}"] for key in ("D", "K", "R", "P")}
    return {"width": values[f"{side}.width"], "height": values[f"{side}.height"], **info}


def _orbslam_camera(values: Mapping[str, Any], name: str, size: Size | None) -> Camera:
    for columns, rows in (("Camera.width", "Camera.height"), ("Camera.cols", "Camera.rows")):
        if columns in values:
            size = int(values[columns]), int(values[rows])
    fx, fy, cx, cy = (float(values[f"{name}.{key}"]) for key in ("fx", "fy", "cx", "cy"))
    kind = values.get("Camera.type", values.get("Camera.model", "PinHole"))
    model = _ORBSLAM_MODELS.get(kind.lower()) if isinstance(kind, str) else None
    if model is None:
        raise CalibrationError(f"the camera model {brief(kind)} is not supported: use PinHole or KannalaBrandt8")
    if model == "kb4":
        distortion = tuple(float(values[f"{name}.{key}"]) for key in ("k1", "k2", "k3", "k4"))
        return Camera("kb4", *_need(size), fx, fy, cx, cy, distortion)
    if model == "pinhole":
        return Camera("pinhole", *_need(size), fx, fy, cx, cy)
    coefficients = [float(values.get(f"{name}.{key}", 0.0)) for key in ("k1", "k2", "p1", "p2", "k3")]
    model, distortion = _distortion("radtan", coefficients)
    return Camera(model, *_need(size), fx, fy, cx, cy, distortion)


def _check_unused(values: Mapping[str, Any], known: frozenset[str], prefix: str = "") -> None:
    """Refuse a key that is not read and may change the lens: without it, every pixel would be a little wrong."""
    for key in values:
        text = str(key)
        suspicious = _LENS_KEY.search(text) or (prefix and re.fullmatch(prefix, text))
        if key not in known and suspicious:
            raise CalibrationError(f"the key {brief(text)} is not read, and may change what the lens does: remove it")


def _from_colmap(lines: Sequence[Sequence[str]]) -> Camera:
    """Return the one camera of a COLMAP cameras.txt, whose pixel (0.5, 0.5) is the centre of the top left pixel."""
    if len(lines) > 1:
        raise CalibrationError(f"it holds {len(lines)} cameras: keep the line of the one that took the frames")
    model, width, height, *p = lines[0][1], int(lines[0][2]), int(lines[0][3]), *map(float, lines[0][4:])
    if model not in _COLMAP:
        raise CalibrationError(f"COLMAP's model {model} is not supported: use one of {', '.join(_COLMAP)}")
    kind, focals, count = _COLMAP[model]
    if len(p) != focals + 2 + count:
        raise CalibrationError(f"COLMAP's model {model} takes {focals + 2 + count} parameters, got {len(p)}")
    cx, cy, *distortion = p[focals:]
    if kind == "radtan":
        distortion += [0.0] * (4 - len(distortion))
    return Camera(kind, width, height, p[0], p[focals - 1], cx - 0.5, cy - 0.5, tuple(distortion))


def _from_line(numbers: Sequence[float], size: Size) -> Camera:
    model, distortion = _distortion("radtan", numbers[4:])
    fx, fy, cx, cy = numbers[:4]
    return Camera(model, *size, fx, fy, cx, cy, distortion)


def _distortion(name: Any, coefficients: Sequence[float]) -> tuple[Model, tuple[float, ...]]:
    """Return slamfront's model and coefficients for a named model; all zeros make an ideal pinhole."""
    model = _MODELS.get(name.lower()) if isinstance(name, str) else None
    if model is None:
        raise CalibrationError(f"the distortion model {brief(name)} is not supported: use radtan or equidistant")
    values = tuple(float(v) for v in coefficients)
    if model == "kb4":
        return model, values
    if not any(values):
        return "pinhole", ()
    if len(values) > 8 and any(values[8:]):
        raise CalibrationError(
            "thin prism and tilt coefficients are not supported: calibrate with at most 8 coefficients"
        )
    return "radtan", values[:8]


def _from_projection(matrix: Array, width: int, height: int) -> Camera:
    """Return the ideal camera of a K (3,3) or P (3,4)."""
    fx, fy, cx, cy = (float(matrix[i]) for i in ((0, 0), (1, 1), (0, 2), (1, 2)))
    return Camera("pinhole", width, height, fx, fy, cx, cy)


def _rotation(matrix: Array) -> Pose:
    return Pose.from_matrix(np.column_stack([matrix, np.zeros(3)]))


def _matrix(value: Any, rows: int, columns: int) -> Array:
    return np.array(_numbers(value)).reshape(rows, columns)


def _numbers(value: Any) -> list[float]:
    """Return the numbers of a list, a nested list, an array, or a mapping with the list under `data`."""
    flat = np.asarray(value["data"] if isinstance(value, Mapping) else value, np.float64)
    if not np.isfinite(flat).all():
        raise CalibrationError("a number is not finite")
    return [float(v) for v in flat.ravel()]


def _first(values: Mapping[str, Any], *keys: str, default: Any = None) -> Any:
    for key in keys:
        if key in values:
            return values[key]
    if default is None:
        raise KeyError(keys[0])
    return default


def _need(size: Size | None) -> Size:
    if size is None:
        raise CalibrationError("this kind of calibration does not state its image size, and none was given")
    return size


def _is_number(text: str) -> bool:
    try:
        return bool(np.isfinite(float(text)))
    except ValueError:
        return False


# COLMAP's model: slamfront's model, how many focal lengths, how many distortion coefficients.
_COLMAP: dict[str, tuple[Model, int, int]] = {
    "SIMPLE_PINHOLE": ("pinhole", 1, 0),
    "PINHOLE": ("pinhole", 2, 0),
    "SIMPLE_RADIAL": ("radtan", 1, 1),
    "RADIAL": ("radtan", 1, 2),
    "OPENCV": ("radtan", 2, 4),
    "OPENCV_FISHEYE": ("kb4", 2, 4),
    "FULL_OPENCV": ("radtan", 2, 8),
}

_COEFFICIENTS = ("D", "d", "distortion_coefficients", "dist_coeff", "dist_coeffs", "distortion_coeffs", "distCoeffs")

# Keys that are read, or known to leave the lens as it is
_INFO_KEYS = frozenset(
    (
        *(
            "width",
            "height",
            "image_width",
            "image_height",
            "camera_name",
            "header",
            "distortion_model",
            "fisheye_model",
        ),
        *("K", "k", "camera_matrix", "R", "r", "rectification_matrix", "P", "p", "projection_matrix", *_COEFFICIENTS),
        *("binning_x", "binning_y", "roi"),
    )
)
_EUROC_KEYS = frozenset(
    (
        *("sensor_type", "comment", "T_BS", "rate_hz", "resolution", "camera_model", "intrinsics", "distortion_model"),
        *("distortion_coefficients", "distortion_coeffs", "rostopic", "T_cn_cnm1", "T_cam_imu", "timeshift_cam_imu"),
    )
)
_ORBSLAM_KEYS = frozenset(
    (
        *(f"{c}.{k}" for c in ("Camera", "Camera1", "Camera2") for k in ("fx", "fy", "cx", "cy", "k1", "k2", "k3")),
        *(f"{c}.{k}" for c in ("Camera", "Camera1", "Camera2") for k in ("k4", "p1", "p2", "overlappingBegin")),
        *("Camera1.overlappingEnd", "Camera2.overlappingEnd"),
        *("Camera.width", "Camera.height", "Camera.cols", "Camera.rows", "Camera.newWidth", "Camera.newHeight"),
        *("Camera.type", "Camera.model", "Camera.setup", "Camera.name", "Camera.fps", "Camera.RGB"),
        *("Camera.color_order", "Camera.bf", "Camera.focal_x_baseline", "Camera.depthmap_factor"),
    )
)
_LENS_KEY = re.compile(
    r"dist|fish|lens|model|skew|omni|mirror|coeff|radial|tangential|shear|^xi$|^alpha$|^beta$|^[kps]\d+$", re.IGNORECASE
)
_ORBSLAM_MODELS: dict[str, Model] = {
    "pinhole": "radtan",
    "perspective": "radtan",
    "rectified": "pinhole",
    "kannalabrandt8": "kb4",
    "fisheye": "kb4",
}

# Keys that give a kind of YAML away, tried in this order.
_KINDS = (
    (("fx", "left"), _from_own),
    (("cam0",), _from_kalibr),
    (("Camera.fx", "Camera1.fx"), _from_orbslam),
    (("K", "k", "camera_matrix"), _from_info),
    (("intrinsics",), _from_euroc),
)
