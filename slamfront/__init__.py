"""A real-time visual odometry and SLAM front end with learned features.

What is listed in `__all__` is loaded when it is first used, so that `import slamfront` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from slamfront.api import Slam
    from slamfront.backend import graph_from_problem, keyframe_factors
    from slamfront.calibration import read_calibration
    from slamfront.config import RunConfig
    from slamfront.errors import FrameError, SlamfrontError
    from slamfront.geometry.camera import Camera, StereoRig
    from slamfront.geometry.pose import Pose
    from slamfront.image_matcher import ImageMatcher, MatchedPixels
    from slamfront.sources.guess import open_source
    from slamfront.types import BundleAdjustmentProblem, Frame, KeyFrame, Moved, Snapshot, State, Tracked, Trajectory

_HOMES = {
    "Camera": "geometry.camera",
    "Frame": "types",
    "FrameError": "errors",
    "ImageMatcher": "image_matcher",
    "KeyFrame": "types",
    "MatchedPixels": "image_matcher",
    "Moved": "types",
    "Pose": "geometry.pose",
    "RunConfig": "config",
    "Slam": "api",
    "SlamfrontError": "errors",
    "Snapshot": "types",
    "State": "types",
    "StereoRig": "geometry.camera",
    "Tracked": "types",
    "Trajectory": "types",
    "BundleAdjustmentProblem": "types",
    "graph_from_problem": "backend",
    "keyframe_factors": "backend",
    "open_source": "sources.guess",
    "read_calibration": "calibration",
}

__all__ = [
    "BundleAdjustmentProblem",
    "Camera",
    "Frame",
    "FrameError",
    "ImageMatcher",
    "KeyFrame",
    "MatchedPixels",
    "Moved",
    "Pose",
    "RunConfig",
    "Slam",
    "SlamfrontError",
    "Snapshot",
    "State",
    "StereoRig",
    "Tracked",
    "Trajectory",
    "__version__",
    "graph_from_problem",
    "keyframe_factors",
    "open_source",
    "read_calibration",
]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
