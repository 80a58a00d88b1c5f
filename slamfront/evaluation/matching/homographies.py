"""Pairs of images with a known homography between them, made from photographs by seeded chance.

The protocol of photographs, as `PhotographProtocol` has it by default: the photograph is resampled by area to a short
side of 320 px and is the first image. The second, of the same size, is the first through a random homography: its
corners move by up to 12 % of width and height (perspective), then everything is scaled about the centre by .7 to 1.35
(evenly in the logarithm) and turned by up to 30 degrees either way. Its light is changed: contrast about mid grey by up
to 40 %, brightness by up to 20 % of the range, the exponent of the tone curve by a factor of up to 1.5 either way,
Gaussian blur of up to 1.4 px, and Gaussian noise of up to 3 % of the range. Where it would see beyond the photograph it
is black (the void), and keypoints that lie, in the second image, within 8 px of the void are left out of both images
before matching. Every photograph has random numbers of its own, so that their number does not change the pairs.

The strength of the light's change and of the perspective was set so that RootSIFT and ORB come near the figures that
are known for them under this kind of protocol; no learned detector took part in that.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import cv2
import numpy as np
from annotated_types import Interval
from numpy.typing import NDArray

from slamfront.config import Settings, Share
from slamfront.errors import ConfigError
from slamfront.evaluation.matching.metrics import warp_points
from slamfront.evaluation.matching.pairs import Warp, pixel_grid
from slamfront.reading import brief
from slamfront.types import BoolArray, Features, FloatArray, Image

Group = Literal["viewpoint", "illumination", "viewpoint and illumination", "blur", "compression"]
"""What differs between the two images of a pair."""

_GEOMETRY, _LIGHT = 1, 2  # streams of random numbers that must not repeat each other


@dataclass(frozen=True)
class LightChange(Settings, section="photographs.light"):
    """How strongly the light of an image is changed by chance; zeros mean not at all."""

    contrast: Share = 0.4
    """Contrast about mid grey changes by up to this share either way."""
    brightness: Share = 0.2
    """Brightness changes by up to this share of the range either way."""
    gamma: Annotated[float, Interval(ge=1, le=10)] = 1.5
    """The exponent of the tone curve is up to this factor above or below 1."""
    blur_px: Annotated[float, Interval(ge=0, le=100)] = 1.4
    """Largest standard deviation of the Gaussian blur, px."""
    noise: Share = 0.03
    """Largest standard deviation of the Gaussian noise, as a share of the range."""


@dataclass(frozen=True)
class PhotographProtocol(Settings, section="photographs"):
    """How photographs become pairs of images."""

    count: Annotated[int, Interval(ge=1, le=10**6)] = 100
    """Photographs to take, the first by name."""
    short_side_px: Annotated[int, Interval(ge=16, le=4096)] = 320
    """Photographs are resampled by area to this short side."""
    rotation_deg: Annotated[float, Interval(ge=0, le=180)] = 30.0
    """Largest rotation either way."""
    scale: tuple[Annotated[float, Interval(ge=0.01, le=100)], ...] = (0.7, 1.35)
    """Least and greatest scale."""
    perspective: Annotated[float, Interval(ge=0, le=0.249)] = 0.12
    """Corners move by up to this share of width and height, less than .25."""
    void_px: Annotated[int, Interval(ge=0, le=4096)] = 8
    """Keypoints this near to what lies beyond the photograph do not count."""
    seed: Annotated[int, Interval(ge=0, le=2**31 - 1)] = 0
    """Seed of every random choice."""
    light: LightChange = field(default_factory=LightChange)

    def __post_init__(self) -> None:
        """Raise ConfigError for what has no meaning."""
        super().__post_init__()
        if len(self.scale) != 2 or self.scale[0] > self.scale[1]:
            raise ConfigError(f"photographs.scale must be two rising numbers, got {brief(self.scale)}")

    def describe(self) -> str:
        """Return the protocol in sentences, with its figures."""
        light, (least, greatest) = self.light, self.scale
        return (
            f"Photographs at a short side of {self.short_side_px} px (resampled by area), the first {self.count} by "
            f"name, and the same through random homographies (seed {self.seed}): rotation within "
            f"{self.rotation_deg:g} degrees, scale {least:g} to {greatest:g}, corners moved by up to "
            f"{self.perspective:.0%} of width and height. Light of the second image: contrast ±{light.contrast:.0%}, "
            f"brightness ±{light.brightness:.0%}, gamma up to a factor of {light.gamma:g} either way, blur up to "
            f"{light.blur_px:g} px, noise up to {light.noise:.0%} of the range. Beyond the photograph it is black, and "
            f"keypoints within {self.void_px} px of that, in the second image, count in neither."
        )


@dataclass(frozen=True, slots=True, eq=False)
class HomographyPair:
    """Two grey images uint8 (H,W) of a plane.

    second_from_first   homography (3,3) of pixels (x, y, 1)
    usable              bool like the second image: where its keypoints count; None = everywhere
    """

    first: Image
    second: Image
    second_from_first: FloatArray
    usable: BoolArray | None = None

    @property
    def shutters(self) -> None:
        """All rows are exposed at once."""
        return None

    @property
    def overlap(self) -> float:
        """The smaller of the shares of either image that is seen in the other."""
        return min(
            _share_inside(self.second_from_first, self.first, self.second),
            _share_inside(np.linalg.inv(np.asarray(self.second_from_first, np.float64)), self.second, self.first),
        )

    def prepared(self, first: Features, second: Features) -> tuple[Features, Features]:
        """Return of the features of either image those that lie, in the second image, where keypoints count."""
        return (
            first.take(counted(warp_points(self.second_from_first, first.keypoints_xy), self.usable)),
            second.take(counted(np.asarray(second.keypoints_xy, np.float64), self.usable)),
        )

    def warp(self, points_xy: FloatArray) -> Warp:
        """Return where points (N,2) of the first image lie in the second or beside it, which is always known."""
        return Warp(warp_points(self.second_from_first, points_xy), np.ones(len(points_xy), np.bool_))


def photograph_pair(photograph: Image, protocol: PhotographProtocol, index: int, group: Group) -> HomographyPair:
    """Return the pair made from a grey photograph (H,W), the one of that index in its folder.

    The groups "viewpoint" and "illumination" have the homography or the light of "viewpoint and illumination" alone.
    """
    first = resampled(photograph, protocol.short_side_px)
    size = (first.shape[1], first.shape[0])
    homography = np.eye(3)
    if group != "illumination":
        homography = random_homography(np.random.default_rng([protocol.seed, _GEOMETRY, index]), size, protocol)
    second = cv2.warpPerspective(first, homography, size)
    if group != "viewpoint":
        second = changed_light(second, protocol.light, np.random.default_rng([protocol.seed, _LIGHT, index]))
    return _with_void(first, second, homography, protocol.void_px)


def scaled_pair(photograph: Image, protocol: PhotographProtocol, scale: float) -> HomographyPair:
    """Return a grey photograph (H,W) and the same resampled by area to `scale` times its size, from above 0 to 1."""
    first = resampled(photograph, protocol.short_side_px)
    second = resampled(first, max(round(scale * protocol.short_side_px), 1))
    return HomographyPair(first, second, resampling(first, second))


def turned_pair(photograph: Image, protocol: PhotographProtocol, rotation_deg: float) -> HomographyPair:
    """Return a grey photograph (H,W) and the same turned about its centre, of the same size; void is black."""
    first = resampled(photograph, protocol.short_side_px)
    size = (first.shape[1], first.shape[0])
    homography = np.eye(3)
    homography[:2] = cv2.getRotationMatrix2D(((size[0] - 1) / 2, (size[1] - 1) / 2), rotation_deg, 1.0)
    return _with_void(first, cv2.warpPerspective(first, homography, size), homography, protocol.void_px)


def _with_void(first: Image, second: NDArray[Any], homography: NDArray[np.float64], void_px: int) -> HomographyPair:
    """Return the pair of an image and the same through a homography, black where it sees beyond the photograph."""
    inside = cv2.warpPerspective(np.ones_like(first), homography, first.shape[::-1], flags=cv2.INTER_NEAREST)
    # What lies beyond the image's own edge is no void: there the photograph may well go on
    second[inside == 0] = 0
    reach = np.ones((2 * void_px + 1,) * 2, np.uint8)
    usable = cv2.erode(inside, reach, borderType=cv2.BORDER_CONSTANT, borderValue=1) > 0
    return HomographyPair(first, second, homography, usable)


def random_homography(
    rng: np.random.Generator, size: tuple[int, int], protocol: PhotographProtocol
) -> NDArray[np.float64]:
    """Return second_from_first (3,3) of images of a size (width, height), drawn as the protocol says."""
    width, height = size
    corners = np.array([[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]], np.float64)
    centre = corners.mean(axis=0)
    moved = corners - centre + rng.uniform(-protocol.perspective, protocol.perspective, (4, 2)) * size
    scale = np.exp(rng.uniform(*np.log(protocol.scale)))
    angle = np.radians(rng.uniform(-protocol.rotation_deg, protocol.rotation_deg))
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    carried = moved @ turn.T + centre
    return np.asarray(
        cv2.getPerspectiveTransform(corners.astype(np.float32), carried.astype(np.float32)), dtype=np.float64
    )


def changed_light(image: Image, change: LightChange, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return an image uint8 (H,W) with contrast, brightness, gamma, sharpness and noise changed by chance."""
    contrast = 1 + rng.uniform(-change.contrast, change.contrast)
    brightness = rng.uniform(-change.brightness, change.brightness)
    exponent = change.gamma ** rng.uniform(-1, 1)
    blur_px, noise = rng.uniform(0, change.blur_px), rng.uniform(0, change.noise)
    # The tone curve is a table of 256 values: the same, and much faster
    levels = np.clip((np.linspace(0, 1, 256) - 0.5) * contrast + 0.5 + brightness, 0, 1) ** exponent
    result: NDArray[Any] = levels.astype(np.float32)[image]
    if blur_px > 0.1:  # a smaller one is none between pixels
        result = cv2.GaussianBlur(result, (0, 0), blur_px)
    result = result + np.float32(noise) * rng.standard_normal(result.shape, np.float32)
    return np.clip(np.rint(255 * result), 0, 255).astype(np.uint8)


def resampled(image: Image, short_side_px: int) -> Image:
    """Return the image resampled by area to a short side in px."""
    height, width = image.shape
    factor = short_side_px / min(width, height)
    return np.asarray(
        cv2.resize(image, (round(width * factor), round(height * factor)), interpolation=cv2.INTER_AREA), np.uint8
    )


def counted(points_xy: FloatArray, usable: BoolArray | None) -> BoolArray:
    """Return which points (N,2) count (N,): those on usable pixels, and those outside the image, nan too."""
    counts = np.ones(len(points_xy), np.bool_)
    if usable is None:
        return counts
    pixels = np.rint(points_xy)
    inside = ((pixels >= 0) & (pixels < [usable.shape[1], usable.shape[0]])).all(axis=1)
    columns, rows = pixels[inside].astype(int).T
    counts[inside] = usable[rows, columns]
    return counts


def resampling(before: Image, after: Image) -> NDArray[np.float64]:
    """Return the homography (3,3) from pixels of an image to those of it resampled; the images' edges stay edges."""
    x, y = after.shape[1] / before.shape[1], after.shape[0] / before.shape[0]
    return np.array([[x, 0, (x - 1) / 2], [0, y, (y - 1) / 2], [0, 0, 1]])


def _share_inside(homography: FloatArray, image: Image, other: Image) -> float:
    """Return the share of an image that a homography carries into the other image."""
    (height, width), (other_height, other_width) = image.shape, other.shape
    carried = warp_points(homography, pixel_grid(width, height))
    inside = (carried >= -0.5) & (carried < [other_width - 0.5, other_height - 0.5])
    return float(inside.all(axis=1).mean())
