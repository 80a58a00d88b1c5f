"""One text names any source of frames; the kind of a folder is told from what lies in it."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qsl

from slamfront.calibration import read_depth_unit
from slamfront.config import SourceConfig
from slamfront.errors import SourceError, refused_as
from slamfront.image_files import IMAGE_SUFFIXES
from slamfront.protocols import Source
from slamfront.sources.camera import open_camera
from slamfront.sources.euroc import is_euroc, open_euroc
from slamfront.sources.icl import is_icl, open_icl
from slamfront.sources.images import is_images, open_images
from slamfront.sources.kitti import find_kitti, is_kitti, open_kitti
from slamfront.sources.masks import masked
from slamfront.sources.reader import FrameReader, SensorChoice
from slamfront.sources.recording import Recording
from slamfront.sources.rectify import rectified
from slamfront.sources.rosbag import is_bag, open_bag
from slamfront.sources.sevenscenes import is_sevenscenes, open_sevenscenes
from slamfront.sources.tum import is_tum, open_tum
from slamfront.sources.video import VIDEO_SUFFIXES, open_video
from slamfront.sources.wrappers import prefetched, resized, taken

Opener = Callable[[Path, SensorChoice, Path | None], FrameReader]

# Images come last: the datasets hold images too.
_FOLDERS: tuple[tuple[Callable[[Path], bool], Opener], ...] = (
    (is_bag, open_bag),
    (is_icl, open_icl),
    (is_tum, open_tum),
    (is_euroc, open_euroc),
    (is_kitti, open_kitti),
    (is_sevenscenes, open_sevenscenes),
    (is_images, open_images),
)
_KNOWN = "TUM RGB-D, ICL-NUIM, EuRoC, KITTI odometry, 7-Scenes, a ROS 2 bag, or images"


def open_source(spec: str | Path, config: SourceConfig | None = None, sensor: SensorChoice = "auto") -> Source:
    """Return the source that `spec` names, with ideal pinhole frames, prepared as `config` says.

    spec    a dataset's folder (its kind is guessed), a folder or glob of images, a video, a bag (with
            `?image=TOPIC&right=TOPIC&depth=TOPIC` where guessing the topics fails), `camera:0`, or `synthetic:NAME`
    sensor  what frames should carry; "auto" takes the most that the source offers

    Frames are taken and masked, lenses undistorted and stereo pairs rectified, then frames are resized and read ahead.
    Raises SourceError when there is no such source or mask, CalibrationError when its calibration is missing or does
    not fit.
    """
    config = config or SourceConfig()
    spec = os.fspath(spec)
    with refused_as(SourceError, f"{spec} cannot be opened"):
        opened = _open(spec, config.calibration, sensor)
        if isinstance(opened, Recording) and opened.sensor == "rgbd":
            opened.set_depth_unit(_depth_unit_m(config))
        return _prepared(opened, config)


def _depth_unit_m(config: SourceConfig) -> float | None:
    """Return what one step of a depth image is by the settings, or else by a calibration file that is named."""
    if config.depth_unit_m is not None or config.calibration is None:
        return config.depth_unit_m
    return read_depth_unit(config.calibration)


def _prepared(opened: Source, config: SourceConfig) -> Source:
    source = masked(taken(opened, config.start, config.end, config.stride), config.mask, config.right_mask)
    if isinstance(opened, FrameReader):
        source = rectified(source, opened.calibration)
    if config.width is not None:
        source = resized(source, config.width)
    return prefetched(source, config.prefetch)


def _open(spec: str, calibration: Path | None, sensor: SensorChoice) -> Source:
    kind, _, name = spec.partition(":")
    if kind == "synthetic":
        return _open_synthetic(name, sensor)
    if kind == "camera":
        return open_camera(name or "0", sensor, calibration)
    path = Path(spec).expanduser()
    if path.is_dir():
        return _open_folder(path, sensor, calibration)
    if path.is_file():
        return _open_file(path, sensor, calibration)
    if glob.has_magic(spec) and glob.glob(str(path), recursive=True):
        return open_images(path, sensor, calibration)
    if find_kitti(path) is not None:
        return open_kitti(path, sensor, calibration)
    bag, mark, topics = spec.partition("?")
    if mark and is_bag(Path(bag).expanduser()):
        return open_bag(Path(bag).expanduser(), sensor, calibration, dict(parse_qsl(topics)))
    raise SourceError(f"{spec} does not exist")


def _open_synthetic(name: str, sensor: SensorChoice) -> Source:
    from slamfront.sources.synthetic import open_synthetic  # only who wants it waits for the renderer

    return open_synthetic(name, "rgbd" if sensor == "auto" else sensor)


def _open_folder(folder: Path, sensor: SensorChoice, calibration: Path | None) -> FrameReader:
    for fits, opener in _FOLDERS:
        if fits(folder):
            return opener(folder, sensor, calibration)
    raise SourceError(f"{folder} holds nothing that is known: expected {_KNOWN}")


def _open_file(path: Path, sensor: SensorChoice, calibration: Path | None) -> FrameReader:
    suffix = path.suffix.lower()
    if is_bag(path):
        return open_bag(path, sensor, calibration)
    if suffix in VIDEO_SUFFIXES:
        return open_video(path, sensor, calibration)
    if suffix in IMAGE_SUFFIXES:
        return open_images(path, sensor, calibration)
    raise SourceError(f"{path} is of no known kind: expected a video, a bag or an image, or a folder")
