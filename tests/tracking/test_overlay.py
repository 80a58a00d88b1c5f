"""What stays at its pixels while the scene moves is found, and nothing else is."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import pytest

import slamfront
from slamfront.config import OverlayConfig, SourceConfig
from slamfront.geometry.camera import Camera
from slamfront.geometry.pose import Pose
from slamfront.imaging import grey
from slamfront.protocols import Source
from slamfront.sources.guess import open_source
from slamfront.tracking.overlay import OverlayFinder
from tests.tracking.worlds import CONFIG

CAMERA = Camera("pinhole", 640, 480, 500.0, 500.0, 319.5, 239.5)
STRIP = np.s_[360:, 100:500]
NEAREST_M = 0.5


def texture(seed: int, shape: tuple[int, int]) -> np.ndarray:
    """Return smooth noise (H,W) uint8 with detail of about 8 px."""
    noise = np.random.default_rng(seed).normal(0, 1, shape).astype(np.float32)
    blurred = cv2.GaussianBlur(noise, (0, 0), 4.0)
    return np.clip(128 + 50 * blurred / blurred.std(), 0, 255).astype(np.uint8)


FAR = texture(0, (1200, 2400))
BODY = texture(1, (480, 640))


def turned(yaw_rad: float, pitch_rad: float = 0.0, strip: bool = True, noise_seed: int | None = None) -> np.ndarray:
    """Return what a camera sees that has turned in front of something far, with a part of its own body or not."""
    rotation = Pose.exp([pitch_rad, yaw_rad, 0, 0, 0, 0]).rotation
    middle = np.array([[1.0, 0, 900], [0, 1.0, 350], [0, 0, 1]])
    image = cv2.warpPerspective(
        FAR,
        middle @ CAMERA.matrix @ rotation @ np.linalg.inv(CAMERA.matrix),
        (640, 480),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
    )
    if strip:
        image[STRIP] = BODY[STRIP]
    if noise_seed is not None:
        noise = np.random.default_rng(noise_seed).normal(0, 3, image.shape)
        image = np.clip(image + noise, 0, 255).astype(np.uint8)
    return np.asarray(image)


def looked(images: Iterable[np.ndarray], turns: Iterable[tuple[float, float]]) -> OverlayFinder:
    """Let a finder look at images of a camera that has turned by (yaw, pitch) since the image before."""
    finder = OverlayFinder(CAMERA, OverlayConfig())
    for image, (yaw, pitch) in zip(images, turns):
        # A point moves in the camera's frame by the inverse of how the camera turns
        finder.look(image, Pose.exp([pitch, yaw, 0, 0, 0, 0]).inverse(), NEAREST_M)
    return finder


@pytest.mark.parametrize(("yaw", "pitch"), [(0.02, 0.0), (0.0, 0.015), (-0.01, 0.01)])
def test_a_part_of_the_body_is_found_within_a_few_frames(yaw: float, pitch: float) -> None:
    count = 8
    images = [turned(i * yaw, i * pitch, noise_seed=i) for i in range(count)]
    mask = looked(images, [(yaw, pitch)] * count).mask
    assert mask is not None and mask.shape == (480, 640) and mask.dtype == np.bool_
    body = np.zeros_like(mask)
    body[STRIP] = True
    assert (~mask[body]).mean() > 0.95
    # Cells beside it are left out too: of 20 px all around, and those that it covers in part
    assert (~mask[~body]).mean() < 0.12


@pytest.mark.parametrize("yaw", [0.002, 0.02, 0.1])
def test_a_scene_without_overlay_has_none(yaw: float) -> None:
    images = [turned(i * yaw, strip=False, noise_seed=i) for i in range(6)]
    finder = looked(images, [(yaw, 0.0)] * 6)
    assert finder.mask is None and finder.evidence.max() < 1.0


def test_a_camera_that_stands_still_tells_nothing() -> None:
    rng = np.random.default_rng(2)
    images = [turned(0.0, noise_seed=i) for i in range(60)]
    # Tracking lets the camera tremble by a pixel or two
    finder = looked(images, rng.normal(0, 0.003, (60, 2)).tolist())
    assert finder.mask is None and finder.evidence.max() < 1.0


def test_a_wrong_motion_of_a_camera_that_stands_still_tells_nothing() -> None:
    finder = looked([turned(0.0, noise_seed=i) for i in range(20)], [(0.05, 0.0)] * 20)
    assert finder.mask is None and finder.evidence.max() == 0.0


def test_what_has_no_texture_tells_nothing() -> None:
    images = [turned(i * 0.02, strip=False, noise_seed=i) for i in range(8)]
    for image in images:
        image[:240] = 200  # sky
    finder = looked(images, [(0.02, 0.0)] * 8)
    assert finder.mask is None
    assert np.abs(finder.evidence[:11]).max() < 1.0 and finder.evidence[13:].max() < 0.0


def test_edges_along_the_motion_tell_nothing() -> None:
    finder = OverlayFinder(CAMERA, OverlayConfig())
    rails = np.repeat(texture(3, (240, 1)), 640, axis=1)
    for i in range(8):
        image = FAR[350:830, 900 + 10 * i : 1540 + 10 * i].copy()
        image[240:] = rails
        # Sideways by 4 cm, 2 m away from it all
        finder.look(image, Pose(np.eye(3), np.array([-0.04, 0.0, 0.0])), NEAREST_M, np.full(len(finder.cells_xy), 2.0))
    assert np.abs(finder.evidence[13:]).max() < 0.1 and finder.evidence[:11].max() < 0.0


def test_where_the_camera_moves_to_things_stay_without_being_an_overlay() -> None:
    """About the focus of expansion nothing moves, and what is far does not anywhere."""
    finder, image = OverlayFinder(CAMERA, OverlayConfig()), turned(0.0, strip=False)
    for _ in range(20):
        finder.look(image, Pose(np.eye(3), np.array([0.0, 0.0, -0.2])), NEAREST_M)
    assert finder.evidence.max() == 0.0


def test_depths_tell_that_a_near_thing_should_have_moved() -> None:
    finder = OverlayFinder(CAMERA, OverlayConfig())
    depths_m = np.full(len(finder.cells_xy), np.nan)
    body = (finder.cells_xy[:, 1] > 360) & (finder.cells_xy[:, 0] > 100) & (finder.cells_xy[:, 0] < 500)
    depths_m[body] = 1.0
    depths_m[~body] = 2.0
    for i in range(8):
        # Sideways by 4 cm before a wall at 2 m: 10 px, and 20 px at 1 m
        image = FAR[350:830, 900 + 10 * i : 1540 + 10 * i].copy()
        image[STRIP] = BODY[STRIP]
        finder.look(image, Pose(np.eye(3), np.array([-0.04, 0.0, 0.0])), NEAREST_M, depths_m)
    assert finder.mask is not None
    assert (~finder.mask[STRIP]).mean() > 0.95 and (~finder.mask[:300]).mean() < 0.01


def test_an_overlay_that_is_gone_is_used_again() -> None:
    images = [turned(i * 0.02, strip=i < 8, noise_seed=i) for i in range(30)]
    finder = looked(images[:8], [(0.02, 0.0)] * 8)
    assert finder.mask is not None
    for image in images[8:]:
        finder.look(image, Pose.exp([0, 0.02, 0, 0, 0, 0]).inverse(), NEAREST_M)
    assert finder.mask is None


def test_nothing_is_learned_without_a_motion() -> None:
    finder = OverlayFinder(CAMERA, OverlayConfig())
    for i in range(8):
        finder.look(turned(i * 0.02), None, NEAREST_M)
    assert finder.mask is None and not finder.evidence.any()


@pytest.mark.parametrize(("width", "height"), [(1241, 376), (100, 70), (16, 12), (753, 481)])
def test_the_mask_is_of_the_images_size(width: int, height: int) -> None:
    finder = OverlayFinder(Camera("pinhole", width, height, 300.0, 300.0, width / 2, height / 2), OverlayConfig())
    finder.look(BODY[:height, :width] if width <= 640 else cv2.resize(BODY, (width, height)), Pose.identity(), 1.0)
    finder.evidence[:] = 20.0
    finder._draw()
    assert finder.mask is not None and finder.mask.shape == (height, width)


def found_in(source: Source, strip: bool) -> OverlayFinder:
    """Run a source, and let a finder look at its images, with a strip pasted or not, moved as tracking says."""
    finder, last = OverlayFinder(source.camera, OverlayConfig()), None
    photo = cv2.resize(texture(4, (60, 320)), (640, 120))
    with slamfront.Slam(CONFIG, camera=source.camera, sensor=source.sensor) as slam:
        for frame in source:
            answer = slam.push(frame.image, frame.time_ns, right=frame.right, depth_m=frame.depth_m)
            pose, image = answer.odom_from_camera, grey(frame.image).copy()
            if strip:
                image[-120:] = photo
            motion = None if pose is None or last is None else pose.inverse() @ last
            finder.look(image, motion, NEAREST_M)
            last = pose
    return finder


@pytest.mark.parametrize(
    ("folder", "count"), [("tum/rgbd_dataset_freiburg1_rpy", 60), ("kitti/sequences/00", 30), ("euroc/V1_01_easy", 20)]
)
def test_real_scenes_have_no_overlay(data: Path, folder: str, count: int) -> None:
    finder = found_in(open_source(str(data / folder), SourceConfig(end=count, prefetch=0)), strip=False)
    assert finder.mask is None and finder.evidence.max() < 3.0


def test_a_pasted_strip_is_found_in_a_real_scene(data: Path) -> None:
    path = data / "tum" / "rgbd_dataset_freiburg1_rpy"
    mask = found_in(open_source(str(path), SourceConfig(end=20, prefetch=0)), strip=True).mask
    assert mask is not None
    assert (~mask[-120:]).mean() > 0.95 and (~mask[:-150]).mean() < 0.01
