from __future__ import annotations

import numpy as np
import pytest

from slamfront.geometry.pose import Pose, Sim3
from slamfront.map import KeyframeMap
from slamfront.map.graph import apply_graph, essential_graph
from slamfront.types import GraphCorrection

from . import worlds


def pairs_of(world: KeyframeMap) -> set[tuple[int, int]]:
    graph = essential_graph(world, [], scaled=False)
    return {(int(graph.keyframe_ids[a]), int(graph.keyframe_ids[b])) for a, b in graph.edges}


def answer(world: KeyframeMap, motions: dict[int, Sim3]) -> GraphCorrection:
    """Return the correction that moves each keyframe by its own similarity."""
    graph = essential_graph(world, [], scaled=True)
    moved = [
        motions[int(i)] @ Sim3.from_pose(Pose(r, t))
        for i, r, t in zip(graph.keyframe_ids, graph.rotations, graph.positions_m)
    ]
    return GraphCorrection(
        graph.keyframe_ids,
        graph.rotations,
        graph.positions_m,
        np.array([m.rotation for m in moved]),
        np.array([m.translation for m in moved]),
        np.array([m.scale for m in moved]),
        np.ones(len(graph.edges), bool),
    )


def some_motion(seed: int, scale: float = 1.0) -> Sim3:
    return Sim3.from_pose(Pose.exp(np.random.default_rng(seed).normal(0, 0.3, 6)), scale)


def in_cameras(world: KeyframeMap, landmark_ids: np.ndarray) -> list[np.ndarray]:
    """Return each landmark as its anchor keyframe sees it."""
    marks = world.landmarks
    rows = marks.rows(landmark_ids)
    places = [world.world_from_keyframe(int(marks.anchor_ids[row])) for row in rows]
    return [place.inverse().apply(marks.positions_m[row]) for place, row in zip(places, rows)]


def test_keyframes_are_joined_in_time_by_the_strongest_tree_and_where_they_share_much() -> None:
    weak, _ = worlds.chain(5, count=30, shared=20)
    assert pairs_of(weak) == {(0, 1), (1, 2), (2, 3), (3, 4)}
    strong, _ = worlds.chain(5, count=80, shared=60)
    assert {(0, 1), (1, 2), (2, 3), (3, 4)} < pairs_of(strong)
    ids, shared = strong.shared_landmarks()
    counts = shared.toarray()
    assert pairs_of(strong) >= {
        (int(ids[a]), int(ids[b])) for a, b in zip(*np.nonzero(np.triu(counts, 1))) if counts[a, b] >= 30
    }


def test_shared_landmarks_are_counted_as_covisibility_counts_them() -> None:
    world, records = worlds.chain(6, count=60, shared=40)
    world.remove_keyframe(2, 3)
    ids, shared = world.shared_landmarks()
    assert ids.tolist() == [0, 1, 3, 4, 5]
    for a, keyframe_id in enumerate(ids.tolist()):
        record = world.keyframes[keyframe_id]
        seen, counts = world.keyframes_seeing(record.landmark_rows[record.landmark_rows >= 0])
        assert {int(ids[b]): int(shared[a, b]) for b in np.nonzero(shared[[a]].toarray()[0])[0]} == dict(
            zip(seen.tolist(), counts.tolist())
        )
    assert records[0].id == 0


def test_edges_hold_what_the_map_has_and_loops_what_was_measured() -> None:
    world, records = worlds.chain(4)
    measured = some_motion(1, 1.2)
    graph = essential_graph(world, [(0, 3, measured)], scaled=True)
    assert graph.loops.tolist() == [False] * 3 + [True]
    assert graph.edges[-1].tolist() == [0, 3] and graph.relative_scales[-1] == 1.2
    assert np.array_equal(graph.relative_rotations[-1], measured.rotation)
    for row, (a, b) in enumerate(graph.edges[:-1].tolist()):
        expected = records[a].world_from_camera.inverse() @ records[b].world_from_camera
        assert np.allclose(graph.relative_positions_m[row], expected.translation_m)


def test_everything_moves_with_its_keyframe() -> None:
    world, records = worlds.chain(5)
    ids = world.landmarks.ids(np.flatnonzero(world.landmarks.alive))
    before = in_cameras(world, ids)
    anchors = world.landmarks.anchor_ids[world.landmarks.rows(ids)].tolist()
    distances = world.landmarks.anchor_distances_m[world.landmarks.rows(ids)].copy()
    motions = {i: some_motion(i, 1.0 + 0.1 * i) for i in range(5)}
    poses = {record.id: record.world_from_camera for record in records}
    apply_graph(world, answer(world, motions))
    for record in records:
        expected = motions[record.id].apply_to_pose(poses[record.id])
        assert np.allclose(record.world_from_camera.matrix(), expected.matrix())
    for old, new, anchor in zip(before, in_cameras(world, ids), anchors):
        assert np.allclose(new, motions[anchor].scale * old)
    scales = [motions[anchor].scale for anchor in anchors]
    assert np.allclose(world.landmarks.anchor_distances_m[world.landmarks.rows(ids)], distances * scales)
    assert world.landmarks.ids(world.landmarks.rows(ids)).tolist() == ids.tolist(), "ids stay valid"


def test_rotations_stay_rotations_however_many_loops_are_closed() -> None:
    """Solvers hand on what rounding took from a rotation; each loop made three times as much of it."""
    world, records = worlds.chain(3)
    in_first = records[0].world_from_camera.inverse() @ records[2].world_from_camera
    for loop in range(60):
        apply_graph(world, answer(world, dict.fromkeys(range(3), some_motion(loop))))
    for record in records:
        rotation = record.world_from_camera.rotation
        assert np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    after = records[0].world_from_camera.inverse() @ records[2].world_from_camera
    assert np.allclose(after.matrix(), in_first.matrix(), atol=1e-9)


def test_keyframes_that_came_or_changed_meanwhile_move_along() -> None:
    world, records = worlds.chain(3)
    correction = answer(world, {0: some_motion(0), 1: some_motion(1), 2: some_motion(2)})
    nudge = Pose.exp([0.01, 0.0, 0.02, 0.03, 0.0, 0.0])
    records[1].world_from_camera = nudge @ records[1].world_from_camera
    adjusted = records[1].world_from_camera
    newer = worlds.add_keyframe(world, x_m=5.0, seed=9)
    place = newer.world_from_camera
    apply_graph(world, correction)
    assert np.allclose(newer.world_from_camera.matrix(), some_motion(2).apply_to_pose(place).matrix())
    assert np.allclose(records[1].world_from_camera.matrix(), some_motion(1).apply_to_pose(adjusted).matrix())


def test_a_culled_keyframe_and_what_is_anchored_in_it_follow_its_heir() -> None:
    world, _ = worlds.chain(4, count=60, shared=40)
    correction = answer(world, {i: some_motion(7, 2.0) for i in range(4)})
    before = world.world_from_keyframe(1)
    marks = world.landmarks
    world.remove_keyframe(1, 2)
    orphans = np.flatnonzero(marks.alive & (marks.anchor_ids == 1))
    positions = marks.positions_m[orphans].copy()
    apply_graph(world, correction)
    assert len(orphans)
    assert np.allclose(world.world_from_keyframe(1).matrix(), some_motion(7, 2.0).apply_to_pose(before).matrix())
    assert np.allclose(marks.positions_m[orphans], some_motion(7, 2.0).apply(positions))
    assert world.scale(1) == pytest.approx(2.0) and world.scale(2) == pytest.approx(2.0)


def test_the_answer_to_a_map_that_was_begun_anew_changes_nothing() -> None:
    world, _ = worlds.chain(3)
    correction = answer(world, {i: some_motion(i) for i in range(3)})
    world.clear()
    record = worlds.add_keyframe(world)
    place = record.world_from_camera
    apply_graph(world, correction)
    assert record.world_from_camera is place
