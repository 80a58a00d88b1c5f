"""Tracking: where each frame's camera is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Interval

from slamfront.config.association import AlignmentConfig, DepthConfig, FlowConfig, ProjectionConfig
from slamfront.config.initialization import InitializerConfig, RelocalizationConfig
from slamfront.config.pose import MotionConfig, OverlayConfig, PoseConfig
from slamfront.config.settings import Expert, Settings, Several, Share

Association = Literal["flow", "projection", "matcher"]


@dataclass(frozen=True)
class TrackerConfig(Settings, section="tracker"):
    """When a frame counts as tracked, and how its pose is found."""

    min_inliers: Annotated[int, Interval(ge=4, le=10**6)] = 15
    """Fewest landmarks that agree with a pose."""
    search_radius_px: Annotated[float, Interval(ge=1, le=1000)] = 12.0
    """Radius of the search for a projected landmark."""
    max_error_px: Annotated[float, Interval(ge=0.1, le=100)] = 4.0
    """Largest reprojection error of an inlier where a pose is found by RANSAC."""
    max_position_sigma: Annotated[float, Interval(ge=0, le=1000)] = 0.033
    """Largest standard deviation of a pose's position, in median depths of its landmarks: three of them are the tenth
    of the depth from which on a pose is wrong."""
    max_rotation_sigma_deg: Annotated[float, Interval(ge=0, le=180)] = 1.67
    """Largest standard deviation of a pose's rotation, degrees: three of them are the 5 degrees from which on it is
    wrong."""
    local_keyframes: Several = 20
    """Keyframes whose landmarks are projected into a frame."""
    max_landmarks: Annotated[int, Interval(ge=1, le=100_000)] = 400
    """Most landmarks looked for in a frame by their patches."""
    association: Association = "flow"
    """How landmarks are looked for in a frame at first: by optical flow from the frame before, so that features are
    extracted for keyframes and where that fails only; among the frame's features near where motion puts them; or by
    matching its features with the reference keyframe's. Where the first fails the others are tried."""
    max_depth_baselines: Annotated[float, Interval(ge=1, le=1e6)] = 60.0
    """Depths beyond this many baselines do not start a landmark (stereo)."""
    max_depth_m: Annotated[float, Interval(ge=0.01, le=1e6)] = 6.0
    """Depths beyond this do not start a landmark (RGB-D)."""
    motion: Annotated[MotionConfig, Expert] = field(default_factory=MotionConfig)
    flow: Annotated[FlowConfig, Expert] = field(default_factory=FlowConfig)
    alignment: Annotated[AlignmentConfig, Expert] = field(default_factory=AlignmentConfig)
    projection: Annotated[ProjectionConfig, Expert] = field(default_factory=ProjectionConfig)
    pose: Annotated[PoseConfig, Expert] = field(default_factory=PoseConfig)
    depth: Annotated[DepthConfig, Expert] = field(default_factory=DepthConfig)
    initializer: Annotated[InitializerConfig, Expert] = field(default_factory=InitializerConfig)
    relocalization: Annotated[RelocalizationConfig, Expert] = field(default_factory=RelocalizationConfig)
    overlay: Annotated[OverlayConfig, Expert] = field(default_factory=OverlayConfig)


@dataclass(frozen=True)
class GuessConfig(Settings, section="guess"):
    """How far poses of other odometry, which a program pushes with its frames, may be off: standard deviations. The
    defaults are those of good wheels or a good inertial sensor, with a margin for what is between it and the camera.
    """

    turning_share: Share = 0.03
    """Of what was turned."""
    turning_deg_per_s: Annotated[float, Interval(ge=0, le=180)] = 0.3
    """Degrees a second."""
    moving_share: Share = 0.05
    """Of the way that was gone."""
    moving_m_per_s: Annotated[float, Interval(ge=0, le=1000)] = 0.01
    """Metres a second."""
