"""The configuration: frozen dataclasses, each default written here and nowhere else, with its unit, reason and range.

`RunConfig` has a section for each stage of a run. Numbers that seldom need to be set, but decide the trajectory, are in
sections of these (`tracker.motion`, `keyframes.culling`, ...), which help leaves out: `slamfront config --all` prints
them, and files and options set them as any other.
"""

from __future__ import annotations

from slamfront.config.association import AlignmentConfig, DepthConfig, FlowConfig, ProjectionConfig
from slamfront.config.backend import BackendConfig, BundleConfig, IncrementalConfig
from slamfront.config.features import ExtractorConfig, MatcherConfig
from slamfront.config.initialization import InitializerConfig, RelocalizationConfig
from slamfront.config.loops import (
    ClosingConfig,
    LoopConfig,
    MapMergingConfig,
    MapsConfig,
    ReassociationConfig,
    VerificationConfig,
)
from slamfront.config.mapping import (
    CovisibilityConfig,
    CullingConfig,
    KeyframeConfig,
    SelectionConfig,
    TriangulationConfig,
)
from slamfront.config.pose import MotionConfig, OverlayConfig, PoseConfig, SmoothingConfig
from slamfront.config.run import RunConfig, ViewerConfig, dump, load
from slamfront.config.settings import (
    Count,
    Expert,
    Settings,
    Several,
    Share,
    base_of,
    check_ranges,
    from_mapping,
    hints_of,
    is_expert,
    to_mapping,
)
from slamfront.config.source import SourceConfig
from slamfront.config.tracking import Association, GuessConfig, TrackerConfig

__all__ = [
    "AlignmentConfig",
    "Association",
    "BackendConfig",
    "BundleConfig",
    "ClosingConfig",
    "Count",
    "CovisibilityConfig",
    "CullingConfig",
    "DepthConfig",
    "Expert",
    "ExtractorConfig",
    "FlowConfig",
    "GuessConfig",
    "IncrementalConfig",
    "InitializerConfig",
    "KeyframeConfig",
    "LoopConfig",
    "MapMergingConfig",
    "MapsConfig",
    "MatcherConfig",
    "MotionConfig",
    "OverlayConfig",
    "PoseConfig",
    "ProjectionConfig",
    "ReassociationConfig",
    "RelocalizationConfig",
    "RunConfig",
    "SelectionConfig",
    "Settings",
    "Several",
    "Share",
    "SmoothingConfig",
    "SourceConfig",
    "TrackerConfig",
    "TriangulationConfig",
    "VerificationConfig",
    "ViewerConfig",
    "base_of",
    "check_ranges",
    "dump",
    "from_mapping",
    "hints_of",
    "is_expert",
    "load",
    "to_mapping",
]
