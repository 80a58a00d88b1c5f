"""How good a trajectory is: ATE, RPE, drift, and reports of runs."""

from slamfront.evaluation.trajectory.metrics import FrameTimes, TrajectoryMetrics, evaluate, metrics_table

__all__ = ["FrameTimes", "TrajectoryMetrics", "evaluate", "metrics_table"]
