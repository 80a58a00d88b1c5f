"""Tiny datasets of every layout, built in a folder."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from slamfront.calibration import write_calibration
from slamfront.geometry.camera import Camera
from slamfront.types import Image

WIDTH, HEIGHT = 64, 48
CAMERA = Camera("pinhole", WIDTH, HEIGHT, 60.0, 60.0, 31.5, 23.5)


def picture(number: int, colour: bool = False, width: int = WIDTH, height: int = HEIGHT) -> Image:
    """Return a picture that tells its number: noise, the same each time."""
    shape = (height, width, 3) if colour else (height, width)
    return np.random.default_rng(number).integers(0, 256, shape, dtype=np.uint8)


def save(path: Path, image: np.ndarray) -> Path:
    """Write a picture, RGB or grey or depth, making its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if image.ndim == 3 else image)
    return path


def depth(number: int, unit: int) -> np.ndarray:
    """Return a depth map of `number` + 1 metres, in units of 1/unit m, unknown in its first row."""
    raw = np.full((HEIGHT, WIDTH), (number + 1) * unit, np.uint16)
    raw[0] = 0
    return raw


def make_tum(folder: Path, count: int = 5, depth_late_s: float = 0.004) -> Path:
    """Build a TUM RGB-D sequence at 10 Hz whose depth is a little late."""
    lists: dict[str, list[str]] = {"rgb": ["# color images"], "depth": ["# depth maps"]}
    truth = ["# timestamp tx ty tz qx qy qz qw"]
    for number in range(count):
        colour_s, depth_s = f"100.{number}00000", f"{100 + number / 10 + depth_late_s:.6f}"
        save(folder / "rgb" / f"{colour_s}.png", picture(number, colour=True))
        save(folder / "depth" / f"{depth_s}.png", depth(number, 5000))
        lists["rgb"].append(f"{colour_s} rgb/{colour_s}.png")
        lists["depth"].append(f"{depth_s} depth/{depth_s}.png")
        truth.append(f"{colour_s} {number} 0 0 0 0 0 1")
    for name, lines in lists.items():
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n")
    (folder / "groundtruth.txt").write_text("\n".join(truth) + "\n")
    write_calibration(folder / "calibration.yaml", CAMERA)
    return folder


def make_kitti(root: Path, name: str = "00", left: int = 5, right: int = 5, first_camera: int = 0) -> Path:
    """Build a KITTI odometry sequence in `root`; returns the sequence's folder."""
    folder = root / "sequences" / name
    for number in range(left):
        save(folder / f"image_{first_camera}" / f"{number:06d}.png", picture(number))
    for number in range(right):
        save(folder / f"image_{first_camera + 1}" / f"{number:06d}.png", picture(100 + number))
    (folder / "times.txt").write_text("".join(f"{number / 10:e}\n" for number in range(left)))
    shifts = {0: 0.0, 1: -30.0, 2: 3.0, 3: -27.0}
    rows = (f"P{n}: 60 0 31.5 {shift} 0 60 23.5 0 0 0 1 0\n" for n, shift in shifts.items())
    (folder / "calib.txt").write_text("".join(rows))
    (root / "poses").mkdir(exist_ok=True)
    poses = (f"1 0 0 0 0 1 0 0 0 0 1 {number}\n" for number in range(left))
    (root / "poses" / f"{name}.txt").write_text("".join(poses))
    return folder


SENSOR = """%YAML:1.0
sensor_type: camera
T_BS:
  cols: 4
  rows: 4
  data: [0.0, 0.0, 1.0, {x},
         -1.0, 0.0, 0.0, {y},
         0.0, -1.0, 0.0, 0.0,
         0.0, 0.0, 0.0, 1.0]
resolution: [64, 48]
camera_model: pinhole
intrinsics: [60.0, 60.0, 31.5, 23.5] #fu, fv, cu, cv
distortion_model: radial-tangential
distortion_coefficients: [-0.1, 0.01, 0.0, 0.0]
"""


def make_euroc(folder: Path, count: int = 5) -> Path:
    """Build an ASL recording: cameras that look along the body's x axis, the right one at y = -0.1 m."""
    for camera, y in ((0, 0.0), (1, -0.1)):
        base = folder / "mav0" / f"cam{camera}"
        times = [1_400_000_000_000_000_000 + number * 50_000_000 for number in range(count)]
        for number, time_ns in enumerate(times):
            save(base / "data" / f"{time_ns}.png", picture(100 * camera + number))
        rows = "".join(f"{time_ns},{time_ns}.png\r\n" for time_ns in times)
        (base / "data.csv").write_text(f"#timestamp [ns],filename\r\n{rows}")
        (base / "sensor.yaml").write_text(SENSOR.format(x=0.0, y=y))
    imu = folder / "mav0" / "imu0"
    imu.mkdir()
    (imu / "data.csv").write_text("#timestamp [ns],w,w,w,a,a,a\n100,1,2,3,4,5,6\n200,1,2,3,4,5,9.81\n")
    truth = folder / "mav0" / "state_groundtruth_estimate0"
    truth.mkdir()
    rows = "".join(f"{time_ns}, {number}, 0, 0, 1, 0, 0, 0, 0, 0, 0\n" for number, time_ns in enumerate(times))
    (truth / "data.csv").write_text(f"#timestamp, p_RS_R_x [m]\n{rows}")
    return folder


def make_sevenscenes(folder: Path, count: int = 3) -> Path:
    """Build a 7-Scenes sequence; its last pose is not finite, as a few of the real ones are."""
    for number in range(count):
        stem = folder / f"frame-{number:06d}"
        save(stem.with_suffix(".color.png"), picture(number, colour=True, width=640, height=480))
        raw = np.full((480, 640), 1000 * (number + 1), np.uint16)
        raw[0] = 65535
        save(stem.with_suffix(".depth.png"), raw)
        pose = np.eye(4)
        pose[0, 3] = number if number < count - 1 else -np.inf
        np.savetxt(stem.with_suffix(".pose.txt"), pose, delimiter="\t ")
    return folder


def make_icl(folder: Path, count: int = 3) -> Path:
    """Build an ICL-NUIM sequence that rises along its upward y axis and turns about x."""
    pairs, truth = [], []
    for number in range(count):
        save(folder / "rgb" / f"{number}.png", picture(number, colour=True, width=640, height=480))
        save(folder / "depth" / f"{number}.png", np.full((480, 640), 10000, np.uint16))
        pairs.append(f"{number} depth/{number}.png {number} rgb/{number}.png")
        truth.append(f"{number} 0 {number} 2 {np.sin(0.1 * number)} 0 0 {np.cos(0.1 * number)}")
    (folder / "associations.txt").write_text("\n".join(pairs))
    (folder / "livingRoom0.gt.freiburg").write_text("\n".join(truth))
    return folder


def make_images(folder: Path, names: list[str]) -> Path:
    """Build a folder of images with their calibration; the n-th name shows picture n."""
    for number, name in enumerate(names):
        save(folder / name, picture(number))
    write_calibration(folder / "calibration.yaml", CAMERA)
    return folder
