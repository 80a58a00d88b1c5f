"""Places that are seen again: loops, and maps that are merged."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from annotated_types import Interval

from slamfront.config.settings import Count, Degrees, Expert, Pixels, Settings, Several, Share


@dataclass(frozen=True)
class VerificationConfig(Settings, section="loops.verification"):
    """A keyframe placed by the landmarks of another place, and checked."""

    keyframes: Annotated[int, Interval(ge=1, le=1000)] = 10
    """Keyframes about the place whose landmarks are looked for."""
    search_px: Pixels = 10.0
    """Radius in which they are looked for about the pose by RANSAC, px."""
    refined_search_px: Pixels = 5.0
    """Radius about the refined pose, px."""
    max_aligned: Annotated[int, Interval(ge=4, le=100_000)] = 300
    """Most landmarks whose patches are looked for, the most observed first."""
    min_ratios: Annotated[int, Interval(ge=1, le=10_000)] = 15
    """Fewest landmarks with depths on both sides, whose median ratio is the change of scale of a single camera."""


@dataclass(frozen=True)
class ReassociationConfig(Settings, section="loops.reassociation"):
    """Landmarks of the place where a keyframe was taken, found again although the map has drifted."""

    recent: Count = 5
    """Newest keyframes that are left out: what they show has just been tracked."""
    keyframes: Annotated[int, Interval(ge=1, le=1000)] = 40
    """Keyframes about the place whose landmarks are looked for."""
    max_shift: Share = 0.03
    """How far drift may have moved them in the image, as a share of its width."""
    min_landmarks: Annotated[int, Interval(ge=4, le=10_000)] = 40
    """Fewest landmarks that agree: as many as close a loop."""


@dataclass(frozen=True)
class ClosingConfig(Settings, section="loops.closing"):
    """Which keyframes may close a loop, and what follows for the map."""

    recent: Count = 10
    """Newest keyframes that close no loop: they show what was just seen, whatever they share."""
    fused_keyframes: Count = 4
    """Keyframes about the new place that get to observe landmarks of the old one."""
    max_turn_deg: Degrees = 45.0
    """Largest turn of the map that a loop may reveal, degrees."""
    max_scale: Annotated[float, Interval(ge=1, le=100)] = 2.0
    """Largest change of scale that a loop may reveal."""
    adjust_after: Count = 1
    """Keyframes after a loop until the whole map is adjusted: soon, for where the old place is tracked well few come.
    """
    adjust_again_after: Count = 15
    """... and once more, when many see landmarks of the old place."""


@dataclass(frozen=True)
class MapMergingConfig(Settings, section="maps.merging"):
    """Two maps that show a common place, made one."""

    candidates: Annotated[int, Interval(ge=1, le=1000)] = 3
    """Keyframes of the other map that a keyframe is compared with."""
    samples: Annotated[int, Interval(ge=1, le=100_000)] = 300
    """Samples of three landmarks by RANSAC: with a quarter of them right, one is in 99 % of runs."""
    max_error_px: Pixels = 4.0
    """Largest reprojection error of a landmark in the other map's keyframe, px."""
    min_pair: Annotated[int, Interval(ge=4, le=10_000)] = 15
    """Fewest landmarks of two keyframes that agree on how the maps lie."""
    min_all: Annotated[int, Interval(ge=4, le=10_000)] = 30
    """Fewest landmarks of all keyframes that agree in the end."""
    search_px: Pixels = 16.0
    """First radius in which landmarks of one map are looked for in the other's keyframes, px; it is halved twice."""
    keyframes: Annotated[int, Interval(ge=1, le=1000)] = 10
    """Keyframes of one map whose landmarks are looked for in a keyframe of the other."""
    min_facing_cosine: Annotated[float, Interval(ge=-1, le=1)] = 0.5
    """... that look the same way, to 60 degrees."""
    max_disagreement_px: Pixels = 10.0
    """Largest median distance between where two keyframes in a row put landmarks of the kept map, px."""
    joint_keyframes: Annotated[int, Interval(ge=1, le=1000)] = 6
    """Keyframes, the newest and those about it, by which the maps are joined."""
    fused_keyframes: Count = 4
    """Keyframes about the newest one that get to observe what the other map shows there."""


@dataclass(frozen=True)
class LoopConfig(Settings, section="loops"):
    """What is done when a place is seen again that the camera left long ago."""

    enabled: bool = True
    """Close loops, wherever windows are adjusted."""
    candidates: Several = 3
    """Most places that are compared with a new keyframe."""
    consistent: Several = 3
    """Keyframes in a row that must look like a place before it is compared landmark by landmark."""
    min_inliers: Annotated[int, Interval(ge=4, le=10**6)] = 40
    """Fewest landmarks of the place that agree."""
    max_drift: Annotated[float, Interval(ge=0, le=100)] = 0.1
    """Largest error of the map that a loop may reveal, as a share of the way around it, or of how far away the camera
    sees where that is more; twice that with a single camera."""
    verification: Annotated[VerificationConfig, Expert] = field(default_factory=VerificationConfig)
    reassociation: Annotated[ReassociationConfig, Expert] = field(default_factory=ReassociationConfig)
    closing: Annotated[ClosingConfig, Expert] = field(default_factory=ClosingConfig)


@dataclass(frozen=True)
class MapsConfig(Settings, section="maps"):
    """What is done when tracking is lost, and nothing of the map is seen again for long."""

    enabled: bool = True
    """Begin a new map, and keep the old one until its place is seen again: then both become one."""
    new_after_s: Annotated[float, Interval(ge=0, le=1e9)] = 3.0
    """Seconds of frames without a known place before a new map is begun: longer than a hand covers the lens, and
    several times what finding a known place takes."""
    most: Several = 10
    """Maps that are kept apart at most: with so many, none is begun any more."""
    merging: Annotated[MapMergingConfig, Expert] = field(default_factory=MapMergingConfig)
