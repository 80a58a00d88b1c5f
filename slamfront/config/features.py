"""Keypoints, descriptors and how they are matched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Interval

from slamfront.config.settings import Settings, Share


@dataclass(frozen=True)
class ExtractorConfig(Settings, section="extractor"):
    """How keypoints are found and described."""

    kind: Literal["auto", "orb", "sift", "superpoint", "dedode"] = "auto"
    """`auto` takes SuperPoint where weights are installed that may be used freely, else ORB. `dedode` takes keypoints
    of one kind and descriptors of another, by default DeDoDe's, whose weights are yours to fetch."""
    max_keypoints: Annotated[int, Interval(ge=1, le=20000)] = 1000
    """Most keypoints of an image."""
    grid: Annotated[int, Interval(ge=0, le=256)] | None = None
    """Keypoints are spread over this many columns of cells; 0 takes the strongest wherever they are. None takes 8 for
    SuperPoint, 16 for ORB and SIFT, and 0 for DeDoDe."""
    crowding: Annotated[float, Interval(ge=0, le=100)] | None = None
    """Each stronger keypoint in its cell makes a keypoint count for exp(-crowding) as much: more spreads them more
    evenly, and 100 lets cells take turns. None takes .05 for SuperPoint, whose scores tell how surely a keypoint is
    found again, and turns for ORB and SIFT, whose scores do not."""
    levels: Annotated[int, Interval(ge=1, le=16)] = 8
    """Pyramid levels (ORB)."""
    scale_factor: Annotated[float, Interval(ge=1.01, le=2)] = 1.2
    """Size ratio of neighbouring pyramid levels (ORB)."""
    threshold: Share = 0.005
    """Smallest score of a keypoint (SuperPoint)."""
    nms_radius: Annotated[int, Interval(ge=0, le=64)] = 4
    """No two keypoints are closer than this, px (SuperPoint)."""
    octaves: Annotated[int, Interval(ge=1, le=5)] = 1
    """Sizes in which an image is searched, each half of the one before: with 2 or 3 what is seen from two or four times
    as far is found again, in up to a third more time, but less of what is seen from as near (SuperPoint)."""
    subpixel: bool = True
    """Refine keypoints below the pixel (SuperPoint, and DeDoDe's after suppression)."""
    weights: str = "superpoint-lite"
    """Name of known weights, or a checkpoint file (SuperPoint)."""
    engine: Literal["torch", "openvino"] = "torch"
    """What runs the network; OpenVINO, an optional extra, is faster on CPUs but seconds later to start (SuperPoint)."""
    detector: Literal["dedode", "superpoint", "orb", "sift"] = "dedode"
    """Whose keypoints are taken (kind dedode)."""
    descriptor: Literal["dedode", "superpoint"] = "dedode"
    """Whose descriptors are taken at them (kind dedode)."""
    detector_weights: str = "dedode_detector_L_v2"
    """Name of known weights, or a checkpoint file, of DeDoDe's detector, L or B, or of DaD's, S (kind dedode)."""
    descriptor_weights: str = "dedode_descriptor_B"
    """The same of DeDoDe's descriptor, B or G (kind dedode)."""
    patch_weights: str = "dinov2_vitl14"
    """The same of DINOv2, which descriptor G is built on (kind dedode)."""
    sampling: Literal["auto", "coverage", "suppression"] = "auto"
    """How DeDoDe's keypoints are chosen: weak ones far from others before those in crowds, as DeDoDe does it, or the
    strongest of 3x3 pixels, as DaD does. `auto` takes the second for detector S."""
    resize: Literal["none", "longer", "square"] = "none"
    """What DeDoDe's networks are given: the image as it is, or resized to `resize_px`, its longer side (DaD: 1024) or
    both, whatever its shape (DeDoDe: 784)."""
    resize_px: Annotated[int, Interval(ge=16, le=2560)] = 784
    """Side of a resized image, px (kind dedode)."""


@dataclass(frozen=True)
class MatcherConfig(Settings, section="matcher"):
    """How two sets of features are matched."""

    kind: Literal["auto", "nearest", "dual-softmax", "superglue", "lightglue"] = "auto"
    """`auto` takes LightGlue for superpoint-lite's keypoints, dual softmax for DeDoDe's descriptors, which learned with
    it, else nearest neighbours: these are much quicker than networks, and lose more frames where the camera leaps."""
    ratio: Share = 0.85
    """Best distance over second best, at most (nearest)."""
    threshold: Share | None = None
    """Smallest matching score (SuperGlue, LightGlue, dual softmax); None takes that of their authors: .2, .1 and .1."""
    sharpness: Annotated[float, Interval(ge=0.1, le=1000)] = 20.0
    """What cosines are multiplied by before the softmax (dual softmax): DeDoDe's descriptors learned with 20."""
    adaptive: bool = True
    """Stop after the first layer that is sure, and drop hopeless keypoints on the way (LightGlue)."""
    weights: str = ""
    """Name of known weights, or a checkpoint file; empty takes those that were trained with the extractor's."""
