"""Solvers of problems about the map: bundle adjustment, incremental smoothing, nothing, pose graphs, and any of them in
a process of its own.

GTSAM is loaded when a name that needs it is first used, so that a parent whose backend is remote never loads it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from slamfront.config import BackendConfig
from slamfront.protocols import BundleAdjustmentSolver

if TYPE_CHECKING:
    from slamfront.backend.factors import graph_from_problem, keyframe_factors, landmark_key, pose_key
    from slamfront.backend.gtsam_ba import BundleAdjustment, for_whole_map
    from slamfront.backend.isam2 import IncrementalSmoother
    from slamfront.backend.map_solver import MapSolver
    from slamfront.backend.null import NullBackend
    from slamfront.backend.pose_graph import PoseGraphOptimization
    from slamfront.backend.remote import RemoteBackend

_HOMES = {
    "BundleAdjustment": "gtsam_ba",
    "IncrementalSmoother": "isam2",
    "MapSolver": "map_solver",
    "NullBackend": "null",
    "PoseGraphOptimization": "pose_graph",
    "RemoteBackend": "remote",
    "for_whole_map": "gtsam_ba",
    "graph_from_problem": "factors",
    "keyframe_factors": "factors",
    "landmark_key": "factors",
    "pose_key": "factors",
}

__all__ = [
    "BundleAdjustment",
    "IncrementalSmoother",
    "MapSolver",
    "NullBackend",
    "PoseGraphOptimization",
    "RemoteBackend",
    "for_whole_map",
    "graph_from_problem",
    "keyframe_factors",
    "landmark_key",
    "local_backend",
    "pose_key",
]


def local_backend(config: BackendConfig) -> BundleAdjustmentSolver:
    """Return the solver of bundle adjustments that `config.kind` names, to run in this process."""
    name = {"gtsam": "BundleAdjustment", "isam2": "IncrementalSmoother"}.get(config.kind)
    solver: BundleAdjustmentSolver = __getattr__(name)(config) if name else __getattr__("NullBackend")()
    return solver


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
