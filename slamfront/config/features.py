"""Keypoints, descriptors and how they are matched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Interval

from slamfront.config.settings import Settings, Share


@dataclass(frozen=True)
class ExtractorConfig(Settings, section="extractor"):
    """How keypoints are found and described."""

    kind: Literal["auto", "orb", "sift", "superpoint"] = "auto"
    """`auto` takes SuperPoint where weights are installed that may be used freely, else ORB."""
    max_keypoints: Annotated[int, Interval(ge=1, le=20000)] = 1000
    """Most keypoints of an image."""
    grid: Annotated[int, Interval(ge=0, le=256)] | None = None
    """Keypoints are spread over this many columns of cells; 0 takes the strongest wherever they are. None takes 8 for
    SuperPoint and 16 for ORB and SIFT."""
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
    """Refine keypoints below the pixel (SuperPoint)."""
    weights: str = "superpoint-lite"
    """Name of known weights, or a checkpoint file (SuperPoint)."""
    engine: Literal["torch", "openvino"] = "torch"
    """What runs the network; OpenVINO, an optional extra, is faster on CPUs but seconds later to start (SuperPoint)."""


@dataclass(frozen=True)
class MatcherConfig(Settings, section="matcher"):
    """How two sets of features are matched."""

    kind: Literal["auto", "nearest", "superglue", "lightglue"] = "auto"
    """`auto` takes LightGlue for superpoint-lite's keypoints, else nearest neighbours: these are much quicker, and lose
    more frames where the camera leaps."""
    ratio: Share = 0.85
    """Best distance over second best, at most (nearest)."""
    threshold: Share | None = None
    """Smallest matching score (SuperGlue, LightGlue); None takes that of the networks' authors, 0.2 and 0.1."""
    adaptive: bool = True
    """Stop after the first layer that is sure, and drop hopeless keypoints on the way (LightGlue)."""
    weights: str = ""
    """Name of known weights, or a checkpoint file; empty takes those that were trained with the extractor's."""
