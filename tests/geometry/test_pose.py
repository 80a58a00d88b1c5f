"""SE(3) and Sim(3): group axioms, exponential and logarithm at every angle, quaternions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import expm

from slamfront.geometry.pose import (
    Pose,
    Sim3,
    quaternion_from_rotation,
    rotation_angle,
    rotation_exp,
    rotation_from_quaternion,
    rotation_log,
    skew,
)

EXACT = 1e-9  # coordinates up to some hundred metres in float64

number = st.floats(-100.0, 100.0)
point = st.tuples(number, number, number).map(np.array)
unit = st.floats(-1.0, 1.0)
axis = st.tuples(unit, unit, unit).filter(lambda v: np.linalg.norm(v) > 0.1).map(lambda v: v / np.linalg.norm(v))
# Angles of every size, with those around 0 and pi where formulas lose their digits.
angle = st.one_of(
    st.floats(0.0, np.pi),
    st.sampled_from([0.0, 1e-300, 1e-12, 1e-9, 1e-8, 2e-8, 1e-7, 1e-5, 1.1e-5, 1e-4, 1e-3]),
    st.sampled_from([1e-12, 1e-9, 1e-7, 1e-4]).map(lambda gap: np.pi - gap),
)
rotation_vector = st.builds(lambda a, v: a * v, angle, axis)
pose = st.builds(lambda phi, t: Pose(rotation_exp(phi), t), rotation_vector, point)
similarity = st.builds(Sim3.from_pose, pose, st.floats(0.01, 100.0))


def assert_same(a: Pose, b: Pose) -> None:
    np.testing.assert_allclose(a.matrix(), b.matrix(), atol=EXACT)


@given(pose, pose, pose)
def test_poses_compose_associatively(a: Pose, b: Pose, c: Pose) -> None:
    assert_same((a @ b) @ c, a @ (b @ c))


@given(pose)
def test_a_pose_and_its_inverse_cancel_on_both_sides(a: Pose) -> None:
    assert_same(a @ a.inverse(), Pose.identity())
    assert_same(a.inverse() @ a, Pose.identity())
    assert_same(a @ Pose.identity(), a)


@given(pose, pose, point)
def test_a_composed_pose_moves_points_as_its_factors_do(a: Pose, b: Pose, p: np.ndarray) -> None:
    np.testing.assert_allclose((a @ b).apply(p), a.apply(b.apply(p)), atol=EXACT)
    np.testing.assert_allclose(a.apply(p), (a.matrix() @ [*p, 1.0])[:3], atol=EXACT)


@given(rotation_vector)
def test_a_rotation_is_orthonormal_and_keeps_handedness(phi: np.ndarray) -> None:
    r = rotation_exp(phi)
    np.testing.assert_allclose(r @ r.T, np.eye(3), atol=1e-14)
    assert np.linalg.det(r) == pytest.approx(1.0, abs=1e-14)


@given(rotation_vector)
def test_rotation_log_undoes_exp_at_every_angle_below_pi(phi: np.ndarray) -> None:
    # Relative to the angle for small ones; near pi the last digits of the matrix decide the axis.
    np.testing.assert_allclose(rotation_log(rotation_exp(phi)), phi, rtol=1e-12, atol=1e-14)


@given(axis)
def test_half_a_turn_has_one_of_two_logarithms(v: np.ndarray) -> None:
    found = rotation_log(rotation_exp(np.pi * v))
    assert min(np.abs(found - np.pi * v).max(), np.abs(found + np.pi * v).max()) < 1e-12
    assert rotation_angle(rotation_exp(np.pi * v)) == pytest.approx(np.pi, abs=1e-12)


@given(rotation_vector, point)
def test_exp_is_the_matrix_exponential_of_the_twist(phi: np.ndarray, velocity: np.ndarray) -> None:
    generator = np.zeros((4, 4))
    generator[:3, :3], generator[:3, 3] = skew(phi), velocity
    np.testing.assert_allclose(Pose.exp([*phi, *velocity]).matrix(), expm(generator), atol=1e-12 * 300)


@given(rotation_vector, point)
def test_pose_log_undoes_exp(phi: np.ndarray, velocity: np.ndarray) -> None:
    twist = np.concatenate([phi, velocity])
    # The rotation is known to 1e-16 and turns translations of up to 100 m: some hundred roundings
    np.testing.assert_allclose(Pose.exp(twist).log(), twist, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_a_matrix_that_is_not_finite_is_refused_at_once(value: float) -> None:
    for entry in np.ndindex(3, 4):
        matrix = np.eye(4)
        matrix[entry] = value
        with pytest.raises(ValueError, match="finite"):
            Pose.from_matrix(matrix)
    with pytest.raises(ValueError, match="4x4"):
        Pose.from_matrix(np.eye(3))


def test_a_pose_is_shown_in_one_short_line() -> None:
    assert repr(Pose.exp([0, 0, np.pi / 2, 0, 0, 0])) == "Pose(translation_m=(0, 0, 0), rotation_deg=(0, 0, 90))"


@pytest.mark.parametrize("angle", [0.99e-5, 1e-5 * (1 - 1e-12), 1e-5 * (1 + 1e-12), 1.01e-5, 3e-5, 1e-4])
def test_pose_log_undoes_exp_about_the_angle_where_its_formula_changes(angle: float) -> None:
    """Twist by twist, since an angle this near to the change is seldom drawn; to the last digits of 100 m."""
    for way in np.random.default_rng(0).normal(size=(20, 3)):
        twist = np.concatenate([angle * way / np.linalg.norm(way), [100.0, -50.0, 25.0]])
        np.testing.assert_allclose(Pose.exp(twist).log(), twist, rtol=1e-12, atol=1e-16)


@given(pose)
def test_pose_exp_undoes_log(a: Pose) -> None:
    assert_same(Pose.exp(a.log()), a)


def test_twists_are_ordered_as_in_gtsam() -> None:
    gtsam = pytest.importorskip("gtsam")
    twist = np.array([0.3, -0.2, 0.5, 1.0, 2.0, -3.0])
    np.testing.assert_allclose(Pose.exp(twist).matrix(), gtsam.Pose3.Expmap(twist).matrix(), atol=1e-12)


@given(rotation_vector)
def test_quaternions_keep_the_rotation_and_have_positive_w(phi: np.ndarray) -> None:
    q = quaternion_from_rotation(rotation_exp(phi))
    assert q[3] >= 0
    assert np.linalg.norm(q) == pytest.approx(1.0, abs=1e-14)
    np.testing.assert_allclose(rotation_from_quaternion(q), rotation_exp(phi), atol=1e-14)
    np.testing.assert_allclose(
        q[:3], np.sin(np.linalg.norm(phi) / 2) * phi / max(np.linalg.norm(phi), 1e-300), atol=1e-14
    )


@pytest.mark.parametrize("q", [(1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1), (0.6, 0.8, 0, 0)])
def test_quaternions_of_half_turns_round_trip(q: tuple[float, ...]) -> None:
    np.testing.assert_allclose(np.abs(quaternion_from_rotation(rotation_from_quaternion(q))), q, atol=1e-15)


@given(rotation_vector, st.floats(1e-6, 1e6), st.sampled_from([-1.0, 1.0]))
def test_length_and_sign_of_a_quaternion_do_not_matter(phi: np.ndarray, length: float, sign: float) -> None:
    q = quaternion_from_rotation(rotation_exp(phi))
    np.testing.assert_allclose(rotation_from_quaternion(sign * length * q), rotation_exp(phi), atol=1e-14)


@pytest.mark.parametrize("q", [(0, 0, 0, 0), (np.nan, 0, 0, 1), (np.inf, 0, 0, 1)])
def test_a_quaternion_without_direction_is_refused(q: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="no rotation"):
        rotation_from_quaternion(q)


@given(pose, st.integers(0, 1000))
def test_from_matrix_mends_a_rotation_written_with_few_digits(a: Pose, seed: int) -> None:
    noise = np.random.default_rng(seed).uniform(-1e-6, 1e-6, (3, 4))
    mended = Pose.from_matrix(a.matrix()[:3] + noise)
    np.testing.assert_allclose(mended.rotation @ mended.rotation.T, np.eye(3), atol=1e-14)
    np.testing.assert_allclose(mended.rotation, a.rotation, atol=1e-5)


@given(pose)
def test_normalized_mends_a_rotation_that_has_drifted(a: Pose) -> None:
    drifted = Pose(a.rotation * (1 + 1e-6), a.translation_m)
    mended = drifted.normalized().rotation
    np.testing.assert_allclose(mended @ mended.T, np.eye(3), atol=1e-14)
    np.testing.assert_allclose(mended, a.rotation, atol=2e-6)  # no further off than the drift was


def test_a_pose_is_a_read_only_copy() -> None:
    rotation, translation = np.eye(3), np.zeros(3)
    a = Pose(rotation, translation)
    translation[0] = 5.0
    assert a.translation_m[0] == 0.0
    with pytest.raises(ValueError, match="read-only"):
        a.rotation[0, 0] = 2.0


def test_a_pose_of_the_wrong_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="shape"):
        Pose(np.eye(4), np.zeros(3))


@given(similarity, similarity, point)
def test_similarities_compose_and_invert(a: Sim3, b: Sim3, p: np.ndarray) -> None:
    # Scales of 1e-4 to 1e4 carry coordinates of up to 1e6.
    np.testing.assert_allclose((a @ b).apply(p), a.apply(b.apply(p)), rtol=1e-9, atol=1e-7)
    np.testing.assert_allclose(a.inverse().apply(a.apply(p)), p, rtol=1e-9, atol=1e-7)


@given(similarity, pose, point)
def test_a_similarity_moves_a_camera_with_what_it_sees(a: Sim3, world_from_camera: Pose, p: np.ndarray) -> None:
    moved = a.apply_to_pose(world_from_camera)
    np.testing.assert_allclose(moved.apply(a.scale * p), a.apply(world_from_camera.apply(p)), rtol=1e-9, atol=1e-7)
