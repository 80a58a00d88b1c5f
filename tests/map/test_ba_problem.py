from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from slamfront.backend.null import NullBackend
from slamfront.config import BundleConfig
from slamfront.geometry.pose import Pose, Sim3
from slamfront.map import KeyframeMap
from slamfront.map.ba_problem import apply, full_ba_problem, local_ba_problem
from slamfront.map.joining import absorb
from slamfront.types import BundleAdjustmentProblem, Correction
from tests.map.worlds import add_keyframe, add_landmarks, assert_consistent, chain, empty_map

MOVE = Pose.exp([0.05, -0.1, 0.02, 0.3, -0.2, 0.1])


def correction_of(problem: BundleAdjustmentProblem, move: Pose = MOVE) -> Correction:
    """Return a correction that moves every free keyframe and every landmark of the problem alike."""
    same = NullBackend().solve(problem)
    poses = [move @ Pose(r, t) for r, t in zip(same.rotations, same.positions_m)]
    return replace(
        same,
        rotations=np.array([p.rotation for p in poses]).reshape(-1, 3, 3),
        positions_m=np.array([p.translation_m for p in poses]).reshape(-1, 3),
        landmarks_m=move.apply(same.landmarks_m),
    )


def assert_rows_are_consistent(problem: BundleAdjustmentProblem, world: KeyframeMap) -> None:
    """Every observation of the problem is one of the map, and the map has no other between the two."""
    assert (np.diff(problem.keyframe_ids) > 0).all()
    marks = world.landmarks.rows(problem.landmark_ids)
    np.testing.assert_array_equal(problem.landmarks_m, world.landmarks.positions_m[marks])
    seen = set()
    for k, keyframe_id in enumerate(problem.keyframe_ids.tolist()):
        record = world.keyframes[keyframe_id]
        np.testing.assert_array_equal(problem.positions_m[k], record.world_from_camera.translation_m)
        np.testing.assert_array_equal(problem.rotations[k], record.world_from_camera.rotation)
        mine = problem.keyframe_rows == k
        keypoints = problem.keypoint_rows[mine]
        np.testing.assert_array_equal(record.landmark_rows[keypoints], marks[problem.landmark_rows[mine]])
        np.testing.assert_array_equal(problem.pixels_xy[mine], record.features.keypoints_xy[keypoints])
        np.testing.assert_array_equal(problem.sigmas_px[mine], record.sigmas_px[keypoints])
        np.testing.assert_array_equal(problem.right_x[mine], record.right_x[keypoints])
        assert len(keypoints) == np.isin(record.landmark_rows, marks).sum()
        seen |= set(problem.landmark_rows[mine].tolist())
    assert seen == set(range(len(problem.landmark_ids)))


def test_two_keyframes_side_by_side_do_not_hold_the_unit_of_length_of_a_long_window() -> None:
    """With one camera a short way that is a fifth too long would stretch all of a long one by as much."""
    world, _ = chain(8, shared=25)
    world.camera = replace(world.camera, baseline_m=None)
    apart = local_ba_problem(world, 7, 3, 1.0, config=BundleConfig())
    held = apart.positions_m[apart.fixed]
    assert np.linalg.norm(held[0] - held[-1]) > 0.5 * np.linalg.norm(held[0] - apart.positions_m[-1])
    near = world.keyframes[int(apart.keyframe_ids[apart.fixed][0])].world_from_camera
    for keyframe_id in apart.keyframe_ids[apart.fixed].tolist():
        world.keyframes[keyframe_id].world_from_camera = near
    assert local_ba_problem(world, 7, 3, 1.0, config=BundleConfig()).fixed.sum() == 1
    world.camera = replace(world.camera, baseline_m=0.1)
    assert local_ba_problem(world, 7, 3, 1.0, config=BundleConfig()).fixed.sum() == apart.fixed.sum()


def test_the_window_is_held_by_keyframes_outside_it() -> None:
    world, _ = chain(8)
    problem = local_ba_problem(world, 7, 3, 0.5, config=BundleConfig())
    free = set(problem.keyframe_ids[~problem.fixed].tolist())
    covisible = set(world.covisible(world.keyframes[7])[:2].tolist())
    assert free == {7} | covisible
    outside = set(problem.keyframe_ids[problem.fixed].tolist())
    seen_by = set(world.keyframes_seeing(world.observed_by(np.array(sorted(free))))[0].tolist())
    assert outside and outside == seen_by - free
    assert (problem.disparity_sigma_px == 0.5).all() and len(problem.disparity_sigma_px) == len(problem.pixels_xy)
    assert_rows_are_consistent(problem, world)


def test_a_problem_that_is_the_whole_map_is_held_by_its_oldest_keyframe() -> None:
    world, _ = chain(3)
    problem = local_ba_problem(world, 2, 10, 1.0, config=BundleConfig())
    np.testing.assert_array_equal(problem.keyframe_ids, [0, 1, 2])
    np.testing.assert_array_equal(problem.fixed, [True, False, False])
    assert_rows_are_consistent(problem, world)


def test_a_window_of_one_keyframe_has_nothing_free() -> None:
    world, _ = chain(1)
    problem = local_ba_problem(world, 0, 5, 1.0, config=BundleConfig())
    np.testing.assert_array_equal(problem.fixed, [True])
    assert_rows_are_consistent(problem, world)


def test_no_window_grows_with_the_map() -> None:
    world = empty_map()
    rows = add_landmarks(world, add_keyframe(world), np.arange(30))
    for i in range(1, 60):
        add_keyframe(world, 30, rows, 0.01 * i, seed=i)
    problem = local_ba_problem(world, 59, 5, 1.0, config=BundleConfig())
    assert (~problem.fixed).sum() == 5
    assert 1 <= problem.fixed.sum() <= 20, "keyframes that only hold the problem are bounded too"


def test_the_full_problem_is_the_whole_map_with_its_first_keyframe_fixed() -> None:
    world, _ = chain(5)
    world.remove_keyframe(0, 1)
    problem = full_ba_problem(world, 1.0)
    np.testing.assert_array_equal(problem.keyframe_ids, [1, 2, 3, 4])
    np.testing.assert_array_equal(problem.fixed, [True, False, False, False])
    shared = np.flatnonzero(world.landmarks.alive & (world.landmarks.observations > 1))
    np.testing.assert_array_equal(world.landmarks.rows(problem.landmark_ids), shared)
    assert_rows_are_consistent(problem, world)


def test_a_window_for_listeners_holds_landmarks_that_one_keyframe_sees_as_well() -> None:
    world, records = chain(4)
    every = local_ba_problem(world, 3, 10, 1.0, shared=False, config=BundleConfig())
    assert set(world.landmarks.rows(every.landmark_ids)) >= set(records[3].landmark_rows[records[3].landmark_rows >= 0])
    assert len(every.landmark_ids) > len(local_ba_problem(world, 3, 10, 1.0, config=BundleConfig()).landmark_ids)


def test_a_window_is_a_copy() -> None:
    world, records = chain(4)
    problem = local_ba_problem(world, 3, 2, 1.0, config=BundleConfig())
    before = {name: getattr(problem, name).copy() for name in ("positions_m", "landmarks_m", "pixels_xy", "right_x")}
    records[3].world_from_camera = MOVE
    world.landmarks.positions_m += 1.0
    world.move_keypoints(records[3], np.arange(10), np.ones((10, 2)), 0.5)
    for name, value in before.items():
        np.testing.assert_array_equal(getattr(problem, name), value)


# --- corrections


def test_a_correction_is_written_to_free_keyframes_and_what_hangs_on_them_only() -> None:
    world, _ = chain(8)
    problem = local_ba_problem(world, 7, 3, 1.0, config=BundleConfig())
    others = {k: r.world_from_camera.matrix() for k, r in world.keyframes.items()}
    outside = np.setdiff1d(np.flatnonzero(world.landmarks.alive), world.landmarks.rows(problem.landmark_ids))
    former = world.landmarks.positions_m[outside].copy()
    correction = correction_of(problem)
    apply(world, correction)
    moved = set(correction.keyframe_ids.tolist())
    carried = np.isin(world.landmarks.anchor_ids[outside], correction.keyframe_ids)
    for keyframe_id, record in world.keyframes.items():
        expected = MOVE.matrix() @ others[keyframe_id] if keyframe_id in moved else others[keyframe_id]
        np.testing.assert_allclose(record.world_from_camera.matrix(), expected, atol=1e-12)
    rows = world.landmarks.rows(correction.landmark_ids)
    np.testing.assert_allclose(world.landmarks.positions_m[rows], correction.landmarks_m)
    assert carried.any() and not carried.all()
    np.testing.assert_array_equal(world.landmarks.positions_m[outside[~carried]], former[~carried])
    np.testing.assert_allclose(world.landmarks.positions_m[outside[carried]], MOVE.apply(former[carried]))


def test_keyframes_newer_than_the_window_move_with_it_and_their_landmarks_too() -> None:
    world, records = chain(5)
    correction = correction_of(local_ba_problem(world, 4, 3, 1.0, config=BundleConfig()))
    shared = records[4].landmark_rows[records[4].landmark_rows >= 0][-20:].copy()
    newer = [add_keyframe(world, 30, shared, 0.1 * i, seed=i) for i in (5, 6)]
    rows = np.concatenate([add_landmarks(world, k, np.flatnonzero(k.landmark_rows < 0)) for k in newer])
    poses, positions = [k.world_from_camera for k in newer], world.landmarks.positions_m[rows].copy()
    apply(world, correction)
    for record, pose in zip(newer, poses):
        np.testing.assert_allclose(record.world_from_camera.matrix(), (MOVE @ pose).matrix(), atol=1e-12)
    np.testing.assert_allclose(world.landmarks.positions_m[rows], MOVE.apply(positions), atol=1e-12)
    # What both see stays where both see it
    in_camera = records[4].world_from_camera.inverse().apply(world.landmarks.positions_m[shared])
    assert (in_camera[:, 2] > 0).all()


def test_rotations_that_a_correction_writes_are_rotations() -> None:
    """A solver hands on what rounding took from a rotation, and the inverse doubles it for whatever moves along."""
    world, records = chain(5)
    correction = correction_of(local_ba_problem(world, 4, 3, 1.0, config=BundleConfig()))
    newer = add_keyframe(world, 30, records[4].landmark_rows[-20:], 0.5, seed=5)
    blunt = Pose(records[4].world_from_camera.rotation * (1 + 1e-7), records[4].world_from_camera.translation_m)
    records[4].world_from_camera = blunt
    apply(world, replace(correction, rotations=correction.rotations * (1 + 1e-7)))
    for record in (*records[3:], newer):
        rotation = record.world_from_camera.rotation
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)


def test_frames_that_refer_to_a_corrected_keyframe_move_with_it() -> None:
    world, _ = chain(4)
    reference_from_camera = Pose.exp([0.0, 0.02, 0.0, 0.05, 0.0, 0.01])
    before = world.world_from_keyframe(3) @ reference_from_camera
    apply(world, correction_of(local_ba_problem(world, 3, 3, 1.0, config=BundleConfig())))
    after = world.world_from_keyframe(3) @ reference_from_camera
    np.testing.assert_allclose(after.matrix(), (MOVE @ before).matrix(), atol=1e-12)


def test_a_correction_of_what_was_removed_meanwhile_touches_nothing_else() -> None:
    world, records = chain(6)
    correction = correction_of(local_ba_problem(world, 5, 4, 1.0, config=BundleConfig()))
    gone = records[5].landmark_rows[:7].copy()
    world.remove_landmarks(gone)
    world.remove_keyframe(4, 5)
    new = add_landmarks(world, records[5], np.flatnonzero(records[5].landmark_rows < 0)[:7])
    assert np.isin(new, gone).any(), "a row of the correction holds another landmark now"
    positions = world.landmarks.positions_m[new].copy()
    apply(world, correction)
    assert 4 not in world.keyframes
    # They hang on keyframe 5, which moved, and are not mistaken for those whose rows they took
    np.testing.assert_allclose(world.landmarks.positions_m[new], MOVE.apply(positions))
    assert_consistent(world)


def test_keyframes_stay_when_the_last_one_of_the_window_was_removed() -> None:
    world, _ = chain(5)
    correction = correction_of(local_ba_problem(world, 3, 3, 1.0, config=BundleConfig()))
    last = int(correction.keyframe_ids[-1])
    newer = [k for k in world.keyframes if k > last]
    before = [world.keyframes[k].world_from_camera.matrix() for k in newer]
    world.remove_keyframe(last, last - 1)
    apply(world, correction)
    for keyframe_id, pose in zip(newer, before):
        np.testing.assert_array_equal(world.keyframes[keyframe_id].world_from_camera.matrix(), pose)


def test_outliers_are_dropped_and_landmarks_that_nobody_sees_go_with_them() -> None:
    world, _ = chain(4)
    problem = local_ba_problem(world, 3, 3, 1.0, config=BundleConfig())
    mine = np.flatnonzero(problem.keyframe_ids[problem.keyframe_rows] == 3)
    keypoints = problem.keypoint_rows[mine]
    outliers = np.column_stack([np.full(len(mine), 3), keypoints])
    # One of a keyframe that is not there, as after culling
    outliers = np.vstack([outliers, [99, 0]])
    # Others stopped seeing some of them while the problem was being solved
    lost = world.keyframes[3].landmark_rows[keypoints][:5].copy()
    for record in world.keyframes.values():
        if record.id != 3:
            world.remove_observations(record, np.flatnonzero(np.isin(record.landmark_rows, lost)))
    ids = world.landmarks.ids(lost)
    apply(world, replace(NullBackend().solve(problem), outliers=outliers))
    assert (world.keyframes[3].landmark_rows[keypoints] == -1).all()
    assert len(ids) and (world.landmarks.rows(ids) == -1).all()
    assert_consistent(world)


def test_an_outlier_whose_keypoint_observes_nothing_any_more_is_passed_over() -> None:
    world, records = chain(3)
    correction = replace(
        NullBackend().solve(local_ba_problem(world, 2, 3, 1.0, config=BundleConfig())),
        outliers=np.array([[2, 0], [2, 0]]),
    )
    world.remove_observations(records[2], np.array([0]))
    apply(world, correction)
    assert_consistent(world)


def test_an_outlier_that_observes_another_landmark_meanwhile_is_not_taken_from_it() -> None:
    """The problem said that keypoint 0 does not fit landmark a; now it observes b, about which nothing was said."""
    world, records = chain(3)
    correction = replace(
        NullBackend().solve(local_ba_problem(world, 2, 3, 1.0, config=BundleConfig())), outliers=np.array([[2, 0]])
    )
    world.remove_observations(records[2], np.array([0]))
    other = next(r for r in records[0].landmark_rows.tolist() if r not in records[2].landmark_rows)
    world.add_observations(records[2], np.array([0]), np.array([other]))
    apply(world, correction)
    assert records[2].landmark_rows[0] in (other, -1)
    assert_consistent(world)


def test_an_empty_correction_changes_nothing() -> None:
    world, _ = chain(1)
    before = world.keyframes[0].world_from_camera.matrix()
    apply(world, NullBackend().solve(local_ba_problem(world, 0, 5, 1.0, config=BundleConfig())))
    np.testing.assert_array_equal(world.keyframes[0].world_from_camera.matrix(), before)


@pytest.mark.parametrize("size", [2, 4, 10])
def test_a_backend_that_changes_nothing_changes_nothing(size: int) -> None:
    world, _ = chain(6)
    poses = {k: r.world_from_camera.matrix() for k, r in world.keyframes.items()}
    positions = world.landmarks.positions_m.copy()
    apply(world, NullBackend().solve(local_ba_problem(world, 5, size, 1.0, config=BundleConfig())))
    for keyframe_id, pose in poses.items():
        np.testing.assert_allclose(world.keyframes[keyframe_id].world_from_camera.matrix(), pose, atol=1e-12)
    np.testing.assert_array_equal(world.landmarks.positions_m, positions)


# --- what all disparities are off by


def test_an_offset_of_disparities_reaches_all_keyframes_and_the_camera_but_for_one_that_cannot_be() -> None:
    world, records = chain(3)
    for record in records:
        record.right_x[:10] = 50.0
    same = correction_of(full_ba_problem(world, 1.0))
    # Also where two problems that did not know of each other have found it
    for found, expected in ((np.nan, 0.0), (0.25, 0.25), (0.25, 0.25), (np.nan, 0.25), (1.5, 0.25), (0.125, 0.125)):
        apply(world, replace(same, disparity_offset_px=found))
        assert world.camera.disparity_offset_px == expected
        for record in records:
            np.testing.assert_array_equal(record.right_x[:10], np.float32(50.0 + expected))
            assert np.isnan(record.right_x[10:]).all()


def test_maps_that_are_joined_agree_on_what_disparities_are_off_by() -> None:
    first, second = chain(2)[0], chain(2)[0]
    first.lower_disparities(0.1)
    second.lower_disparities(-0.1)
    record = second.keyframes[1]
    record.right_x[:] = 20.0
    absorb(first, second, Sim3.from_pose(Pose.identity()))
    np.testing.assert_allclose(record.right_x, 20.2, atol=1e-5)
