from __future__ import annotations

import subprocess
import sys

import gtsam
import numpy as np
import pytest
from gtsam.symbol_shorthand import L, X

from slamfront.backend import BundleAdjustment, graph_from_problem, keyframe_factors, landmark_key, pose_key
from slamfront.backend.residuals import chi_square
from slamfront.config import BackendConfig
from slamfront.errors import BackendError
from slamfront.types import Sensor
from tests.backend.worlds import first_keyframes, make_world


def _optimum(graph: gtsam.NonlinearFactorGraph, values: gtsam.Values) -> gtsam.Values:
    return gtsam.LevenbergMarquardtOptimizer(graph, values).optimize()


def test_keys_are_those_of_gtsams_shorthand() -> None:
    assert (pose_key(17), landmark_key(123456)) == (X(17), L(123456))


@pytest.mark.parametrize("sensor", ["mono", "stereo", "rgbd"])
def test_the_graph_of_a_problem_has_its_optimum_at_the_truth(sensor: Sensor) -> None:
    world = make_world(sensor)
    result = _optimum(*graph_from_problem(world.problem))
    for i, pose in enumerate(world.poses):
        assert np.linalg.norm(result.atPose3(X(i)).translation() - pose.translation_m) < 1e-4


@pytest.mark.parametrize("sensor", ["mono", "stereo", "rgbd"])
def test_the_graphs_error_is_half_the_chi_square_of_the_residuals(sensor: Sensor) -> None:
    world = make_world(sensor, noise_px=0.5, fixed=2, disturb=0.05)
    # So wide a Huber threshold leaves every term quadratic; the priors are at their optimum.
    graph, values = graph_from_problem(world.problem, BackendConfig(huber_px=1e6))
    decided = np.array([values.exists(L(int(i))) for i in world.problem.landmark_rows])
    assert graph.error(values) == pytest.approx(0.5 * chi_square(world.problem)[decided].sum(), rel=1e-9)


def test_the_poses_differ_from_the_truth_by_what_the_graphs_covariance_says() -> None:
    world = make_world("stereo", noise_px=0.5)
    graph, values = graph_from_problem(world.problem)
    result = _optimum(graph, values)
    marginals = gtsam.Marginals(graph, result)
    for i in range(2, 6):
        true = gtsam.Pose3(gtsam.Rot3(world.poses[i].rotation), world.poses[i].translation_m)
        error = result.atPose3(X(i)).localCoordinates(true)
        distance = error @ np.linalg.solve(marginals.marginalCovariance(X(i)), error)
        assert distance < 22.5  # chi-square with 6 degrees of freedom: one in a thousand is beyond


def test_the_graph_can_be_added_to_another_graph() -> None:
    world = make_world("stereo")
    graph, values = graph_from_problem(world.problem)
    mine, mine_values = gtsam.NonlinearFactorGraph(), gtsam.Values()
    body = gtsam.symbol("b", 0)
    offset = gtsam.Pose3(gtsam.Rot3.Yaw(0.3), np.array([0.1, 0.0, 0.2]))
    mine.add(gtsam.BetweenFactorPose3(X(5), body, offset, gtsam.noiseModel.Isotropic.Sigma(6, 0.01)))
    mine_values.insert(body, gtsam.Pose3())
    mine.push_back(graph)
    mine_values.insert(values)
    result = _optimum(mine, mine_values)
    true = gtsam.Pose3(gtsam.Rot3(world.poses[5].rotation), world.poses[5].translation_m).compose(offset)
    assert result.atPose3(body).equals(true, 1e-3)


@pytest.mark.parametrize("sensor", ["mono", "stereo", "rgbd"])
def test_the_factors_of_keyframes_as_they_arise_add_up_to_the_problem(sensor: Sensor) -> None:
    world = make_world(sensor)
    graph, values = gtsam.NonlinearFactorGraph(), gtsam.Values()
    hold = gtsam.noiseModel.Isotropic.Sigma(6, 1e-6)
    for i in range(6):
        problem = first_keyframes(world.problem, i + 1)
        added, initial = keyframe_factors(problem, i)
        assert initial.exists(X(i))
        graph.push_back(added)
        values.insert(initial)
        if i < 2:
            graph.addPriorPose3(X(i), initial.atPose3(X(i)), hold)
    whole, whole_values = graph_from_problem(world.problem)
    assert graph.size() == whole.size()
    assert sorted(values.keys()) == sorted(whole_values.keys())
    result = _optimum(graph, values)
    assert np.linalg.norm(result.atPose3(X(5)).translation() - world.poses[5].translation_m) < 1e-4


def test_a_keyframe_that_is_not_in_the_problem_is_refused() -> None:
    with pytest.raises(BackendError, match="no keyframe 99"):
        keyframe_factors(make_world("mono").problem, 99)


def test_the_optimum_of_the_backend_is_that_of_the_public_graph() -> None:
    world = make_world("stereo", noise_px=0.3)
    correction = BundleAdjustment(BackendConfig(max_iterations=40)).solve(world.problem)
    result = _optimum(*graph_from_problem(world.problem))
    for i, position in zip(correction.keyframe_ids.tolist(), correction.positions_m):
        # They differ by the outliers, which the graph only weighs down.
        assert np.linalg.norm(result.atPose3(X(i)).translation() - position) < 3e-3


def test_importing_the_room_does_not_load_gtsam() -> None:
    code = "import sys, slamfront.backend as b; b.NullBackend; b.RemoteBackend; sys.exit('gtsam' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
