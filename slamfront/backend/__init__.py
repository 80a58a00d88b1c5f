"""Window in, Correction out: bundle adjustment, incremental smoothing, nothing, and any of them in its own process.

GTSAM is loaded when a name that needs it is first used, so that a parent whose backend is remote never loads it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from slamfront.backend.factors import graph_from_window, keyframe_factors, landmark_key, pose_key
    from slamfront.backend.gtsam_ba import BundleAdjustment, for_whole_map
    from slamfront.backend.null import NullBackend

_HOMES = {
    "BundleAdjustment": "gtsam_ba",
    "NullBackend": "null",
    "for_whole_map": "gtsam_ba",
    "graph_from_window": "factors",
    "keyframe_factors": "factors",
    "landmark_key": "factors",
    "pose_key": "factors",
}

__all__ = [
    "BundleAdjustment",
    "NullBackend",
    "for_whole_map",
    "graph_from_window",
    "keyframe_factors",
    "landmark_key",
    "pose_key",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
