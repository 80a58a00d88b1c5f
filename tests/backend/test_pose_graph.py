from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from slamfront.backend import PoseGraphOptimization, RemoteBackend
from slamfront.config import BackendConfig
from slamfront.geometry.pose import Pose, Sim3
from slamfront.types import PoseGraph

RADIUS_M = 4.0

solve = PoseGraphOptimization().solve


def ring(count: int, radius_m: float = RADIUS_M) -> list[Pose]:
    """Return true poses on a circle, looking outwards, seen from the first one."""
    poses = [
        Pose.exp([0, 2 * np.pi * i / count, 0, 0, 0, 0]) @ Pose(np.eye(3), np.array([0.0, 0.0, radius_m]))
        for i in range(count)
    ]
    return [poses[0].inverse() @ pose for pose in poses]


def drifted(true: list[Pose], growth: float, seed: int = 0) -> list[Sim3]:
    """Return the ring as odometry has it, which turns and moves a little too much each step, in a growing unit."""
    rng = np.random.default_rng(seed)
    poses = [Sim3.from_pose(Pose.identity())]
    for before, after in pairwise(true):
        error = np.r_[rng.normal(1e-3, 5e-4, 3), rng.normal(4e-3, 2e-3, 3)]
        step = before.inverse() @ after @ Pose.exp(error)
        poses.append(poses[-1] @ Sim3(growth, step.rotation, step.translation_m))
    return poses


def graph_of(
    true: list[Pose], loops: Sequence[tuple[int, int, Pose]], growth: float = 1.0, span: int = 3
) -> tuple[PoseGraph, np.ndarray]:
    """Return the graph of the drifted ring, each keyframe joined to those before it, and the true positions."""
    estimate = drifted(true, growth)
    poses = [Pose(p.rotation, p.translation) for p in estimate]
    pairs = [(i - d, i) for i in range(len(true)) for d in range(1, span + 1) if i >= d]
    relative = [poses[a].inverse() @ poses[b] for a, b in pairs] + [pose for _, _, pose in loops]
    scales = [1.0] * len(pairs) + [estimate[a].scale / estimate[b].scale for a, b, _ in loops]
    graph = PoseGraph(
        np.arange(len(true)),
        np.array([p.rotation for p in poses]),
        np.array([p.translation_m for p in poses]),
        np.array(pairs + [(a, b) for a, b, _ in loops]),
        np.array([p.rotation for p in relative]),
        np.array([p.translation_m for p in relative]),
        np.array(scales),
        np.arange(len(relative)) >= len(pairs),
        growth != 1.0,
    )
    return graph, np.array([p.translation_m for p in true])


def right(true: list[Pose], a: int, b: int) -> tuple[int, int, Pose]:
    return a, b, true[a].inverse() @ true[b]


def rmse_m(positions_m: np.ndarray, true_m: np.ndarray) -> float:
    return float(np.sqrt(((positions_m - true_m) ** 2).sum(axis=1).mean()))


@pytest.mark.parametrize("growth", [1.0, 1.005], ids=["rigid", "with a growing unit of length"])
def test_a_ring_that_drifted_closes(growth: float) -> None:
    true = ring(60)
    graph, true_m = graph_of(true, [right(true, 0, 59)], growth)
    answer = solve(graph)
    assert answer.accepted.all()
    # What a single loop cannot tell, how the error was distributed along the way, stays
    assert rmse_m(answer.positions_m, true_m) < 0.3 * rmse_m(graph.positions_m, true_m)
    assert np.allclose(answer.positions_m[0], graph.positions_m[0], atol=1e-4), "the first keyframe is held"
    assert np.allclose(answer.rotations @ answer.rotations.transpose(0, 2, 1), np.eye(3), atol=1e-9)
    assert answer.scales[-1] == pytest.approx(growth**-59, rel=0.1)


@pytest.mark.parametrize("growth", [1.0, 1.005], ids=["rigid", "with a growing unit of length"])
def test_a_wrong_loop_is_dropped_and_the_right_one_kept(growth: float) -> None:
    true = ring(60)
    alone, _ = graph_of(true, [right(true, 0, 59)], growth)
    graph, _ = graph_of(true, [(10, 40, Pose.identity()), right(true, 0, 59)], growth)
    answer = solve(graph)
    assert answer.accepted[graph.loops].tolist() == [False, True]
    assert np.allclose(answer.positions_m, solve(alone).positions_m, atol=0.01)


def test_a_camera_that_turns_on_the_spot_may_drift_by_a_share_of_how_far_it_sees() -> None:
    """Steps of 1 cm are wrong by 7 mm each, in a room of 2 m."""
    true = ring(13, radius_m=0.02)
    graph, true_m = graph_of(true, [right(true, 0, 12)])
    assert not solve(graph).accepted[-1], "of the way travelled this is more than odometry drifts"
    answer = solve(replace(graph, seen_m=2.0))
    assert answer.accepted.all()
    # What a single loop tells is where its end lies
    assert rmse_m(answer.positions_m[-1:], true_m[-1:]) < 0.2 * rmse_m(graph.positions_m[-1:], true_m[-1:])


def test_nothing_moves_for_a_wrong_loop_alone() -> None:
    graph, _ = graph_of(ring(60), [(10, 40, Pose.identity())])
    answer = solve(graph)
    assert not answer.accepted[-1]
    assert np.array_equal(answer.positions_m, graph.positions_m)
    assert np.array_equal(answer.rotations, graph.rotations)


def test_a_graph_that_agrees_with_itself_stays() -> None:
    true = ring(12)
    poses = [Pose(p.rotation, p.translation_m) for p in true]
    graph = PoseGraph(
        np.arange(12) * 3,
        np.array([p.rotation for p in poses]),
        np.array([p.translation_m for p in poses]),
        np.array([(i, i + 1) for i in range(11)] + [(0, 11)]),
        np.array([(poses[i].inverse() @ poses[i + 1]).rotation for i in range(11)] + [poses[11].rotation]),
        np.array([(poses[i].inverse() @ poses[i + 1]).translation_m for i in range(11)] + [poses[11].translation_m]),
        np.ones(12),
        np.arange(12) == 11,
        False,
    )
    answer = solve(graph)
    assert answer.accepted.all()
    assert np.allclose(answer.positions_m, graph.positions_m, atol=1e-6)


def test_the_backend_process_gives_the_same_answer() -> None:
    true = ring(20)
    graph, _ = graph_of(true, [right(true, 0, 19)], growth=1.002)
    here = solve(graph)
    with RemoteBackend(BackendConfig()) as backend:
        there = backend.solve(graph)
    assert np.array_equal(here.positions_m, there.positions_m)
    assert np.array_equal(here.scales, there.scales)
    assert np.array_equal(here.accepted, there.accepted)
