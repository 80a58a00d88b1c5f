"""`slamfront doctor`: what this machine can do, what is missing, and the command that installs it."""

from __future__ import annotations

import glob
import importlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from slamfront.commands.parsing import parse
from slamfront.config import BackendConfig
from slamfront.environment import environment
from slamfront.errors import SlamfrontError
from slamfront.geometry.camera import Camera
from slamfront.types import BundleAdjustmentProblem

_MODULES = {
    "numpy": "numpy",
    "cv2": "opencv-python",
    "gtsam": "gtsam",
    "poselib": "poselib",
    "scipy": "scipy",
    "torch": "torch",
    "matplotlib": "matplotlib",
    "safetensors": "safetensors",
}
_OPTIONAL = {"rosbags": "rosbags (reads ROS 2 bags)", "evo": "evo (cross-checks figures)"}
_OPEN3D_TIMEOUT_S = 60


@dataclass(frozen=True)
class Doctor:
    """Tell versions, devices, precision, what Open3D and the camera can do, and what is missing."""

    camera: str = "0"
    """Camera to try: a number or a device file."""


def main(arguments: Sequence[str]) -> None:
    """Print one line for each thing that was looked at."""
    given = parse(Doctor, arguments, "doctor")
    for name, value in environment().items():
        print(f"{name:<15} {value}")
    print()
    checks: dict[str, Callable[[], Iterator[str]]] = {
        "packages": _packages,
        "networks": _networks,
        "weights": _weights,
        "backend": _backend,
        "viewer": _viewer,
        "camera": lambda: _camera(given.camera),
    }
    for name, check in checks.items():
        for line in check():
            print(f"{name:<15} {line}")


def _packages() -> Iterator[str]:
    """Tell which packages do not load."""
    broken = 0
    for module, package in _MODULES.items():
        try:
            importlib.import_module(module)
        except Exception as error:  # a compiled library may raise anything while it is loaded
            broken += 1
            yield f"MISSING {package}: {_short(error)}; get it with: {_pip(package)}"
    if not broken:
        yield "all that are needed load"
    for module, what in _OPTIONAL.items():
        if importlib.util.find_spec(module) is None:
            yield f"not installed: {what}; get it with: {_pip(what.split()[0])}"


def _networks() -> Iterator[str]:
    """Tell devices and precision."""
    try:
        import torch

        from slamfront.models.precision import inference_dtype
    except Exception as error:  # as above
        yield f"PyTorch does not load: {_short(error)}"
        return
    yield f"cpu: {torch.get_num_threads()} threads, {str(inference_dtype('cpu')).removeprefix('torch.')}"
    if not torch.cuda.is_available():
        yield "cuda: no device"
    for index in range(torch.cuda.device_count()):
        dtype = str(inference_dtype(f"cuda:{index}")).removeprefix("torch.")
        yield f"cuda:{index}: {torch.cuda.get_device_name(index)}, {dtype}"


def _weights() -> Iterator[str]:
    """Tell which weights there are."""
    from slamfront.models.weights import REGISTRY, cached_path, packaged_weights

    packaged = ", ".join(packaged_weights())
    yield f"come with slamfront: {packaged}" if packaged else "none come with slamfront: ORB finds the keypoints"
    fetched = [name for name, entry in REGISTRY.items() if cached_path(entry).is_file()]
    if fetched:
        yield f"fetched: {', '.join(fetched)}"


def _backend() -> Iterator[str]:
    """Tell whether the backend's process starts and answers."""
    try:
        from slamfront.backend.remote import RemoteBackend

        start_s = time.perf_counter()
        with RemoteBackend(BackendConfig()) as backend:
            backend.solve(_empty_problem())
        yield f"GTSAM in its own process starts and answers in {1e3 * (time.perf_counter() - start_s):.0f} ms"
    except (SlamfrontError, ImportError, OSError) as error:
        yield f"FAILS: {_short(error)}"


def _empty_problem() -> BundleAdjustmentProblem:
    """Return a bundle adjustment without anything in it."""
    none, numbers = np.zeros(0, np.int64), np.zeros(0)
    points, pixels = np.zeros((0, 3)), np.zeros((0, 2))
    camera = Camera("pinhole", 640, 480, 500.0, 500.0, 319.5, 239.5)
    poses = (none, np.zeros((0, 3, 3)), points, np.zeros(0, bool))
    return BundleAdjustmentProblem(*poses, none, points, none, none, none, pixels, numbers, numbers, numbers, camera)


def _viewer() -> Iterator[str]:
    """Tell what Open3D can do; it is tried in a process of its own, since a missing driver may end that."""
    from slamfront.viewer.open3d import SYSTEM_PACKAGES, check_display

    code = "from slamfront.viewer.open3d import load_open3d; load_open3d()"
    try:
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=_OPEN3D_TIMEOUT_S)
        problem = "" if done.returncode == 0 else (done.stderr.strip().splitlines() or ["it ended without a word"])[-1]
    except subprocess.TimeoutExpired:
        problem = f"no answer in {_OPEN3D_TIMEOUT_S} s"
    if problem:
        yield f"Open3D does not load: {problem}"
        if "not installed" not in problem:
            yield f"system packages: {_apt(SYSTEM_PACKAGES)}"
    else:
        yield "Open3D loads"
    try:
        check_display()
        yield "there is a display for --view"
    except SlamfrontError as error:
        yield f"--view: {error}"
    yield "--record works without a display and without Open3D"


def _camera(device: str) -> Iterator[str]:
    """Tell what a camera delivers."""
    if sys.platform.startswith("linux") and not glob.glob("/dev/video*"):
        yield "none is connected (there is no /dev/video*)"
        return
    try:
        import cv2
    except ImportError as error:
        yield f"OpenCV does not load: {_short(error)}"
        return
    capture = cv2.VideoCapture(int(device) if re.fullmatch(r"[0-9]{1,4}", device) else device)
    try:
        if not capture.isOpened() or not capture.grab():
            yield f"camera:{device} does not deliver: is it connected, free, and may you read it (group video)?"
            return
        width, height, fps = (
            capture.get(key) for key in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FPS)
        )
        yield f"camera:{device} delivers {width:.0f}x{height:.0f} at {fps:.0f} frames/s ({capture.getBackendName()})"
    finally:
        capture.release()


def _pip(package: str) -> str:
    return f"{Path(sys.executable).name} -m pip install {package}"


def _apt(packages: Sequence[str]) -> str:
    sudo = "" if getattr(os, "geteuid", lambda: 1)() == 0 else "sudo "
    return f"{sudo}apt-get install {' '.join(packages)}" if shutil.which("apt-get") else " ".join(packages)


def _short(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:200]
