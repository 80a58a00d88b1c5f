"""Every problem about the map, each by its own solver."""

from __future__ import annotations

from typing import overload

from slamfront.protocols import BundleAdjustmentSolver
from slamfront.types import (
    BundleAdjustmentProblem,
    Correction,
    GraphCorrection,
    LoopClosingProblem,
    LoopClosingSolution,
    PoseGraph,
)


class MapSolver:
    """Solves pose graphs, and bundle adjustments by the solver that it is given, in this process."""

    def __init__(self, bundle_adjustment: BundleAdjustmentSolver) -> None:
        self._bundle_adjustment = bundle_adjustment

    @overload
    def solve(self, problem: BundleAdjustmentProblem, /) -> Correction: ...
    @overload
    def solve(self, problem: PoseGraph, /) -> GraphCorrection: ...
    @overload
    def solve(self, problem: LoopClosingProblem, /) -> LoopClosingSolution: ...
    def solve(self, problem: LoopClosingProblem, /) -> LoopClosingSolution:
        """Return the solution of a problem; raises BackendError when it cannot be solved."""
        if isinstance(problem, BundleAdjustmentProblem):
            return self._bundle_adjustment.solve(problem)
        from slamfront.backend.pose_graph import PoseGraphOptimization  # GTSAM, which the other may do without

        return PoseGraphOptimization().solve(problem)
