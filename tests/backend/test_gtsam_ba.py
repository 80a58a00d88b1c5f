from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from slamfront.backend import BundleAdjustment, for_whole_map
from slamfront.backend.residuals import correction_between, expected_offset, huber_threshold
from slamfront.config import BackendConfig, BundleConfig
from slamfront.types import BundleAdjustmentProblem, Sensor
from tests.backend.worlds import World, make_world, part

CONFIG = BackendConfig(max_iterations=20)


@pytest.mark.parametrize("sensor", ["mono", "stereo", "rgbd"])
def test_exact_measurements_bring_back_the_truth(sensor: Sensor) -> None:
    world = make_world(sensor)
    correction = BundleAdjustment(CONFIG).solve(world.problem)
    assert correction.keyframe_ids.tolist() == [2, 3, 4, 5]
    # The optimiser stops at a relative change of the error; a tenth of a millimetre is far below any image noise.
    assert world.position_errors(correction).max() < 1e-4
    assert world.rotation_errors(correction).max() < 1e-4
    seen = np.bincount(world.problem.landmark_rows, minlength=150) >= 2
    assert world.landmark_errors(correction)[seen].max() < 2e-3
    assert len(correction.outliers) == 0
    assert correction.final_error < 1e-3 < correction.initial_error


@pytest.mark.parametrize("sensor", ["mono", "stereo", "rgbd"])
def test_noisy_measurements_come_close_to_the_truth_and_few_are_outliers(sensor: Sensor) -> None:
    world = make_world(sensor, noise_px=0.5)
    before = np.linalg.norm(world.problem.positions_m - [p.translation_m for p in world.poses], axis=1)[2:]
    correction = BundleAdjustment(CONFIG).solve(world.problem)
    # Half a pixel at 5 m and f = 450 is 6 mm; moving sideways trades a turn for a shift, which doubles it.
    assert world.position_errors(correction).max() < 12e-3 < before.max()
    # The limit lets 95 % of true measurements pass.
    assert len(correction.outliers) < 0.07 * len(world.problem.pixels_xy)


@pytest.mark.parametrize("sensor", ["mono", "stereo", "rgbd"])
def test_gross_outliers_are_named_and_do_no_harm(sensor: Sensor) -> None:
    world = make_world(sensor)
    rng = np.random.default_rng(1)
    problem = world.problem
    wrong = rng.choice(len(problem.pixels_xy), 25, replace=False)
    pixels = problem.pixels_xy.copy()
    pixels[wrong] += rng.choice([-1, 1], (25, 2)) * rng.uniform(15, 60, (25, 2))
    right_x = problem.right_x + (pixels - problem.pixels_xy)[:, 0]
    correction = BundleAdjustment(CONFIG).solve(replace(problem, pixels_xy=pixels, right_x=right_x))
    truth = set(zip(problem.keyframe_ids[problem.keyframe_rows[wrong]].tolist(), problem.keypoint_rows[wrong].tolist()))
    named = set(map(tuple, correction.outliers.tolist()))
    # An outlier on a landmark that only two keyframes see can hide, or take the other observation along.
    assert len(truth & named) >= 23
    assert len(named - truth) <= 5
    assert world.position_errors(correction).max() < 2e-3


def test_a_wrong_disparity_alone_is_an_outlier() -> None:
    world = make_world("stereo")
    right_x = world.problem.right_x.copy()
    right_x[7] += 9.0
    correction = BundleAdjustment(CONFIG).solve(replace(world.problem, right_x=right_x))
    row = world.problem.keyframe_ids[world.problem.keyframe_rows[7]], world.problem.keypoint_rows[7]
    assert correction.outliers.tolist() == [list(row)]


def test_errors_far_below_their_sigmas_make_the_rule_of_huber_begin_sooner() -> None:
    """One disparity in ten is half a pixel too large, which the stated deviation of half a pixel would let pass."""
    world = make_world("stereo", keyframes=10, fixed=1, landmarks=400, disturb=0.02)
    rng = np.random.default_rng(2)
    problem = world.problem
    count = len(problem.right_x)
    fat = rng.choice(np.unique(problem.landmark_rows), 40, replace=False)
    right_x = problem.right_x + rng.normal(0, 0.05, count) - 0.5 * np.isin(problem.landmark_rows, fat)
    problem = replace(problem, right_x=right_x, pixels_xy=problem.pixels_xy + rng.normal(0, 0.05, (count, 2)))
    # A tenth of the stated deviations, and what the landmarks' places are off by at first
    assert 0.2 <= huber_threshold(problem, 2.0, config=BundleConfig()) < 0.4
    # Begun at two stated deviations the rule leaves 9 mm
    assert world.position_errors(BundleAdjustment(CONFIG).solve(problem)).max() < 0.006


def test_errors_as_large_as_their_sigmas_leave_the_rule_of_huber_where_it_is() -> None:
    assert huber_threshold(make_world("stereo", noise_px=0.5).problem, 2.0, config=BundleConfig()) == 2.0
    assert huber_threshold(make_world("mono", noise_px=3.0).problem, 2.0, config=BundleConfig()) == 2.0


def test_fixed_poses_are_no_part_of_the_answer_and_the_input_is_left_alone() -> None:
    world = make_world("stereo", noise_px=1.0)
    before = world.problem.rotations.copy(), world.problem.positions_m.copy(), world.problem.landmarks_m.copy()
    correction = BundleAdjustment(CONFIG).solve(world.problem)
    assert not set(correction.keyframe_ids) & set(world.problem.keyframe_ids[world.problem.fixed])
    after = world.problem.rotations, world.problem.positions_m, world.problem.landmarks_m
    assert all(np.array_equal(a, b) for a, b in zip(before, after))


def test_rotations_stay_rotations() -> None:
    correction = BundleAdjustment(CONFIG).solve(make_world("stereo", noise_px=1.0).problem)
    product = np.einsum("kij,klj->kil", correction.rotations, correction.rotations)
    assert np.abs(product - np.eye(3)).max() < 1e-12


def test_equal_problems_give_equal_answers() -> None:
    world = make_world("rgbd", noise_px=0.5)
    backend = BundleAdjustment(CONFIG)
    first, second = backend.solve(world.problem), backend.solve(world.problem)
    assert np.array_equal(first.positions_m, second.positions_m)
    assert np.array_equal(first.landmarks_m, second.landmarks_m)


def test_without_a_fixed_pose_the_first_one_stays() -> None:
    world = make_world("stereo")
    correction = BundleAdjustment(CONFIG).solve(replace(world.problem, fixed=np.zeros(6, bool)))
    assert np.array_equal(correction.positions_m[0], world.problem.positions_m[0])
    assert world.position_errors(correction).max() < 1e-4


def test_mono_with_one_fixed_pose_keeps_its_scale() -> None:
    world = make_world("mono", fixed=1)
    distance = np.linalg.norm(world.problem.positions_m - world.problem.positions_m[0], axis=1)
    far = int(np.argmax(distance))
    correction = BundleAdjustment(CONFIG).solve(world.problem)
    kept = np.linalg.norm(correction.positions_m[far - 1] - world.problem.positions_m[0])
    assert kept == pytest.approx(distance[far], rel=1e-3)  # the distance's own sigma
    true = np.linalg.norm(world.poses[far].translation_m - world.poses[0].translation_m)
    shape = (correction.positions_m - world.poses[0].translation_m) * (true / kept)
    expected = np.array([p.translation_m - world.poses[0].translation_m for p in world.poses[1:]])
    assert np.abs(shape - expected).max() < 1e-3


def test_the_final_adjustment_takes_its_own_number_of_iterations() -> None:
    config = for_whole_map(BackendConfig(kind="isam2", max_iterations=1, final_iterations=40))
    assert (config.kind, config.max_iterations) == ("gtsam", 40)


def _empty(problem: BundleAdjustmentProblem) -> BundleAdjustmentProblem:
    return part(problem, np.zeros(len(problem.pixels_xy), bool))


def _one_keyframe(problem: BundleAdjustmentProblem) -> BundleAdjustmentProblem:
    return part(problem, problem.keyframe_rows == 3)


def _landmark_behind(problem: BundleAdjustmentProblem) -> BundleAdjustmentProblem:
    landmarks = problem.landmarks_m.copy()
    landmarks[:20, 2] = -5.0
    return replace(problem, landmarks_m=landmarks)


def _landmark_at_infinity(problem: BundleAdjustmentProblem) -> BundleAdjustmentProblem:
    landmarks = problem.landmarks_m.copy()
    landmarks[:10] *= 1e7
    landmarks[10] = np.nan
    landmarks[11] = problem.positions_m[0]
    return replace(problem, landmarks_m=landmarks)


def _no_parallax(problem: BundleAdjustmentProblem) -> BundleAdjustmentProblem:
    return replace(problem, positions_m=np.zeros_like(problem.positions_m))


def _one_observation_each(problem: BundleAdjustmentProblem) -> BundleAdjustmentProblem:
    _, first = np.unique(problem.landmark_rows, return_index=True)
    return part(problem, first)


def _all_fixed(problem: BundleAdjustmentProblem) -> BundleAdjustmentProblem:
    return replace(problem, fixed=np.ones_like(problem.fixed))


def _no_keyframes(problem: BundleAdjustmentProblem) -> BundleAdjustmentProblem:
    empty = _empty(problem)
    return replace(
        empty,
        keyframe_ids=problem.keyframe_ids[:0],
        rotations=problem.rotations[:0],
        positions_m=problem.positions_m[:0],
        fixed=problem.fixed[:0],
        landmark_ids=problem.landmark_ids[:0],
        landmarks_m=problem.landmarks_m[:0],
    )


DEGENERATE = [
    _empty,
    _one_keyframe,
    _landmark_behind,
    _landmark_at_infinity,
    _no_parallax,
    _one_observation_each,
    _all_fixed,
    _no_keyframes,
]


@pytest.mark.filterwarnings("ignore:overflow")
@pytest.mark.parametrize("spoil", DEGENERATE)
@pytest.mark.parametrize("sensor", ["mono", "stereo"])
@pytest.mark.parametrize("fixed", [0, 2])
def test_degenerate_problems_never_crash(spoil, sensor: Sensor, fixed: int) -> None:
    problem = spoil(make_world(sensor, fixed=fixed).problem)
    correction = BundleAdjustment(BackendConfig()).solve(problem)
    assert correction.keyframe_ids.tolist() == problem.keyframe_ids[~problem.fixed].tolist()
    assert np.isfinite(correction.rotations).all()
    assert np.isfinite(correction.positions_m).all()
    assert np.isfinite(correction.landmarks_m[np.isfinite(problem.landmarks_m)]).all()
    assert np.isfinite(correction.initial_error)
    assert np.isfinite(correction.final_error)


def test_landmarks_behind_the_camera_are_outliers_and_the_rest_is_solved() -> None:
    world = make_world("stereo")
    problem = world.problem
    landmarks = problem.landmarks_m.copy()
    landmarks[:5, 2] = -5.0
    correction = BundleAdjustment(CONFIG).solve(replace(problem, landmarks_m=landmarks))
    behind = problem.landmark_rows < 5
    expected = {
        (int(problem.keyframe_ids[k]), int(p))
        for k, p in zip(problem.keyframe_rows[behind], problem.keypoint_rows[behind])
    }
    assert set(map(tuple, correction.outliers.tolist())) == expected
    assert world.position_errors(correction).max() < 1e-4


def test_a_keyframe_with_hardly_an_observation_stays_where_it_is() -> None:
    world = make_world("stereo")
    problem = world.problem
    last = np.flatnonzero(problem.keyframe_rows == 5)
    problem = part(problem, np.setdiff1d(np.arange(len(problem.pixels_xy)), last[2:]))
    correction = BundleAdjustment(CONFIG).solve(problem)
    assert np.array_equal(correction.positions_m[-1], problem.positions_m[5])
    assert world.position_errors(correction)[:-1].max() < 1e-4


def test_a_landmark_that_ran_off_stays_where_it_was() -> None:
    problem = make_world("mono").problem
    away = problem.landmarks_m.copy()
    away[0] = problem.positions_m.mean(axis=0) + (0, 0, 1e30)
    away[1] += (0, 0, 100.0)  # far is not nowhere
    correction = correction_between(problem, replace(problem, landmarks_m=away))
    np.testing.assert_array_equal(correction.landmarks_m[0], problem.landmarks_m[0])
    np.testing.assert_array_equal(correction.landmarks_m[1:], away[1:])


def test_a_camera_that_hardly_moves_does_not_draw_landmarks_towards_it() -> None:
    """Keyframes half a millimetre apart see landmarks at 3 to 8 m: parallax is a fifth of the noise, half a pixel."""
    world = make_world("mono", disturb=0.0)
    problem, rng = world.problem, np.random.default_rng(3)
    positions = np.column_stack([0.0005 * np.arange(6.0), np.zeros((6, 2))])
    rows, marks = problem.keyframe_rows, problem.landmark_rows
    true = np.einsum("mij,mi->mj", problem.rotations[rows], world.landmarks_m[marks] - positions[rows])
    pixels = problem.camera.project(true) + rng.normal(0, 0.5, (len(rows), 2))
    guessed = world.landmarks_m * (5.0 / world.landmarks_m[:, 2:])
    begun = replace(problem, positions_m=positions, pixels_xy=pixels, landmarks_m=guessed)
    correction = BundleAdjustment(CONFIG).solve(begun)
    depths = correction.landmarks_m[np.isin(correction.landmark_ids, np.flatnonzero(np.bincount(marks) >= 2)), 2]
    assert depths.min() > 2.5, "inverse depth of twice the typical one is a deviation of what is expected"
    assert np.median(depths) == pytest.approx(5.0, rel=0.2)


# --- what all disparities are off by


def lifted(world: World, offset_px: float) -> World:
    """Return a world all of whose disparities were measured too large."""
    return replace(world, problem=replace(world.problem, right_x=world.problem.right_x - offset_px))


def asked(problem: BundleAdjustmentProblem, sigma_px: float = 0.2, precise: float = 1.0) -> BundleAdjustmentProblem:
    """Return a problem whose offset is asked for, and whose observations are that many times as precise as stated."""
    sigmas_px, disparity_sigma_px = problem.sigmas_px / precise, problem.disparity_sigma_px / precise
    return replace(problem, sigmas_px=sigmas_px, disparity_sigma_px=disparity_sigma_px, offset_sigma_px=sigma_px)


@pytest.mark.parametrize("offset_px", [-0.15, 0.1, 0.25])
def test_what_all_disparities_are_off_by_is_found_and_undone(offset_px: float) -> None:
    world = lifted(make_world(keyframes=10, fixed=1, landmarks=400, disturb=0.3), offset_px)
    correction = BundleAdjustment(BackendConfig()).solve(asked(world.problem, precise=4.0))
    # A step of the secant method on a problem that robust weights bend, and a prior that shrinks it
    assert abs(correction.disparity_offset_px - offset_px) < 0.12 * abs(offset_px)
    assert world.position_errors(correction).max() < 0.002
    as_it_was = BundleAdjustment(BackendConfig()).solve(world.problem)
    assert np.isnan(as_it_was.disparity_offset_px)
    assert world.position_errors(as_it_was).max() > 0.005


def test_noise_alone_makes_hardly_an_offset() -> None:
    """The offset's own deviation in these ten worlds is about 0.01 px, and most of one is taken for noise."""
    for seed in range(10):
        world = make_world(keyframes=10, fixed=1, landmarks=400, noise_px=0.3, seed=seed, disturb=0.3)
        solved = BundleAdjustment(BackendConfig()).solve(asked(world.problem))
        assert abs(solved.disparity_offset_px) < 0.02


def test_one_keyframe_tells_nothing_of_an_offset() -> None:
    world = lifted(make_world(keyframes=1, fixed=0), 0.3)
    solved = BundleAdjustment(BackendConfig()).solve(asked(world.problem))
    assert abs(solved.disparity_offset_px) < 1e-9


def test_a_single_camera_has_no_offset() -> None:
    solved = BundleAdjustment(BackendConfig()).solve(replace(make_world("mono").problem, offset_sigma_px=0.1))
    assert np.isnan(solved.disparity_offset_px)


def test_what_is_found_counts_from_what_was_known() -> None:
    world = lifted(make_world(keyframes=10, fixed=1, landmarks=400, disturb=0.3), 0.1)
    known = replace(asked(world.problem, precise=10.0), camera=replace(world.problem.camera, disparity_offset_px=0.2))
    # The prior is about no offset at all, and takes off some hundredths of it
    assert BundleAdjustment(BackendConfig()).solve(known).disparity_offset_px == pytest.approx(0.3, rel=0.03)


def test_an_offset_is_weighed_against_exact_rectification() -> None:
    """A pair that is off by what its measurement varies by is as likely exact; one far beyond it is not."""
    assert expected_offset(0.02, 0.02, 0.2) < 0.005
    assert 0.3 * 0.06 < expected_offset(0.06, 0.03, 0.2) < 0.7 * 0.06
    assert expected_offset(-0.2, 0.02, 0.2) == pytest.approx(-0.2, rel=0.02)
    assert expected_offset(3.0, 100.0, 0.2) == pytest.approx(0.0, abs=1e-4)
