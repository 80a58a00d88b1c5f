from __future__ import annotations

import numpy as np
import pytest

from slamfront.simulation.traced.meshes import Mesh, box, cushion, cylinder, joined, lathe, quad, sheet, tube
from slamfront.types import FloatArray

BODIES = {
    "box": (box((1, 2, 3)), 6.0),
    "cylinder": (cylinder(0.5, 2.0, segments=200), np.pi / 2),
    "sphere": (cushion((1, 1, 1), 1.0), np.pi / 6),
    "cone": (lathe([(0, 0), (1, 0), (0, 3)], 200), np.pi),
}


def face_normals(mesh: Mesh) -> tuple[FloatArray, FloatArray]:
    """Return of each face that has an area its normal (F,3), and the mean normal of its vertices."""
    corners = mesh.vertices_m[mesh.faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    length = np.linalg.norm(normals, axis=1)
    real = length > 1e-12
    return normals[real] / length[real, None], mesh.normals[mesh.faces].mean(axis=1)[real]


def volume(mesh: Mesh) -> float:
    first, second, third = mesh.vertices_m[mesh.faces].transpose(1, 0, 2)
    return float((first * np.cross(second, third)).sum() / 6)


@pytest.mark.parametrize("name", list(BODIES))
def test_bodies_are_closed_and_have_their_volume(name: str) -> None:
    mesh, expected = BODIES[name]
    # The sphere has 54 segments round: a polygon's area falls short of its circle's by a few thousandths.
    assert volume(mesh) == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize(
    "mesh",
    [
        *(mesh for mesh, _ in BODIES.values()),
        cushion((1, 0.5, 0.3), 0.2),
        tube([(0, 0, 0), (0, 0, 0.5), (0.3, 0, 1), (0.6, 0.2, 1)], 0.05),
        quad((1, 1, 1), (0, 2, 0), (0, 0, 1)),
    ],
)
def test_faces_and_normals_point_the_same_way(mesh: Mesh) -> None:
    normals, shading = face_normals(mesh)
    assert ((normals * shading).sum(axis=1) > 0.7).all()
    np.testing.assert_allclose(np.linalg.norm(mesh.normals, axis=1), 1, atol=1e-6)


def test_a_sheet_turned_over_faces_the_other_way() -> None:
    y, x = np.mgrid[0:1:8j, 0:1:8j]
    points = np.stack([x, y, 0.1 * np.sin(5 * x)], axis=-1)
    assert face_normals(sheet(points))[0][:, 2].min() > 0 > face_normals(sheet(points, turned_over=True))[0][:, 2].max()


def test_moving_turns_about_the_upright_axis_first() -> None:
    moved = quad((0, 0, 0), (1, 0, 0), (0, 1, 0)).moved((2, 0, 1), np.pi / 2)
    np.testing.assert_allclose(moved.vertices_m, [[2, 0, 1], [2, 1, 1], [1, 1, 1], [1, 0, 1]], atol=1e-12)


def test_joined_meshes_keep_their_faces() -> None:
    both = joined([box((1, 1, 1)), box((1, 1, 1), (3, 0, 0))])
    assert volume(both) == pytest.approx(2.0)


def test_pictures_lie_upright_on_the_sides_of_a_box() -> None:
    mesh = box((2, 2, 2))
    sides = np.abs(mesh.normals[:, 2]) < 0.5
    np.testing.assert_allclose(mesh.uv_m[sides, 1], mesh.vertices_m[sides, 2] + 1, atol=1e-12)
