"""The map against a slow model of it, made of dictionaries, under random operations."""

from __future__ import annotations

import numpy as np
import pytest

from slamfront.map import KeyframeMap
from tests.map.worlds import add_keyframe, add_landmarks, assert_consistent, empty_map

OPERATIONS = ("keyframe", "landmarks", "observe", "forget", "remove landmarks", "remove keyframe", "merge")
FEATURES = 25


class Model:
    """What each feature of each keyframe observes: keyframe id -> keypoint row -> landmark id."""

    def __init__(self) -> None:
        self.seen: dict[int, dict[int, int]] = {}

    def observers(self, landmark: int) -> set[int]:
        return {keyframe for keyframe, rows in self.seen.items() if landmark in rows.values()}

    def landmarks(self) -> set[int]:
        return {landmark for rows in self.seen.values() for landmark in rows.values()}

    def shared(self, first: int, second: int) -> int:
        return len(set(self.seen[first].values()) & set(self.seen[second].values()))

    def forget(self, gone: set[int]) -> None:
        self.seen = {
            keyframe: {row: landmark for row, landmark in rows.items() if landmark not in gone}
            for keyframe, rows in self.seen.items()
        }

    def merge(self, kept: int, gone: int) -> None:
        for rows in self.seen.values():
            both = kept in rows.values()
            for row in [row for row, landmark in rows.items() if landmark == gone]:
                if both:
                    del rows[row]
                else:
                    rows[row] = kept


def ids_of(world: KeyframeMap, rows: np.ndarray) -> list[int]:
    ids: list[int] = world.landmarks.ids(rows).tolist()
    return ids


def operate(world: KeyframeMap, model: Model, what: str, rng: np.random.Generator) -> None:
    """Do one random thing to the map and to the model."""
    living = np.array(sorted(model.landmarks()), np.int64)
    some = rng.permutation(living)[: rng.integers(0, FEATURES)]
    if what == "keyframe" or not world.keyframes:
        record = add_keyframe(world, FEATURES, world.landmarks.rows(some), seed=int(rng.integers(1000)))
        model.seen[record.id] = dict(enumerate(some.tolist()))
        return
    record = world.keyframes[int(rng.choice(list(world.keyframes)))]
    free = rng.permutation(np.flatnonzero(record.landmark_rows < 0))
    rows = model.seen[record.id]
    if what == "landmarks":
        chosen = free[: rng.integers(0, 12)]
        rows.update(zip(chosen.tolist(), ids_of(world, add_landmarks(world, record, chosen))))
    elif what == "observe":
        unseen = [landmark for landmark in some.tolist() if landmark not in rows.values()][: len(free)]
        chosen = free[: len(unseen)]
        world.add_observations(record, chosen, world.landmarks.rows(np.array(unseen, np.int64)))
        rows.update(zip(chosen.tolist(), unseen))
    elif what == "forget":
        chosen = rng.permutation(FEATURES)[: rng.integers(0, 10)]
        world.remove_observations(record, chosen)
        model.seen[record.id] = {row: landmark for row, landmark in rows.items() if row not in chosen}
    elif what == "remove landmarks":
        world.remove_landmarks(world.landmarks.rows(some[:5]))
        model.forget(set(some[:5].tolist()))
    elif what == "remove keyframe" and len(world.keyframes) > 1:
        heir = next(keyframe for keyframe in world.keyframes if keyframe != record.id)
        world.remove_keyframe(record.id, heir)
        del model.seen[record.id]
    elif what == "merge" and len(some) >= 2:
        half = len(some) // 2
        kept, gone = some[:half], some[half : 2 * half]
        world.merge_landmarks(world.landmarks.rows(kept), world.landmarks.rows(gone))
        for pair in zip(kept.tolist(), gone.tolist()):
            model.merge(*pair)


def assert_equal(world: KeyframeMap, model: Model) -> None:
    assert list(world.keyframes) == list(model.seen)
    for keyframe, rows in model.seen.items():
        expected = np.full(FEATURES, -1, np.int64)
        expected[list(rows)] = list(rows.values())
        np.testing.assert_array_equal(world.keyframe(keyframe).landmark_ids, expected)
    living = np.flatnonzero(world.landmarks.alive)
    assert set(ids_of(world, living)) == model.landmarks()
    assert_consistent(world)


def assert_same_answers(world: KeyframeMap, model: Model, rng: np.random.Generator) -> None:
    record = world.keyframes[int(rng.choice(list(world.keyframes)))]
    shared = {other: model.shared(record.id, other) for other in model.seen if other != record.id}
    found = world.covisible(record, minimum=3).tolist()
    assert set(found) == {other for other, count in shared.items() if count >= 3}
    assert [shared[other] for other in found] == sorted((shared[other] for other in found), reverse=True)
    living = np.array(sorted(model.landmarks()), np.int64)
    some = rng.permutation(living)[:8]
    ids, counts = world.keyframes_seeing(world.landmarks.rows(some))
    expected = {k: len(set(some.tolist()) & set(rows.values())) for k, rows in model.seen.items()}
    assert dict(zip(ids.tolist(), counts.tolist())) == {k: count for k, count in expected.items() if count}
    half = list(world.keyframes)[::2]
    observed = set(ids_of(world, world.observed_by(np.array(half, np.int64))))
    assert observed == {landmark for k in half for landmark in model.seen[k].values()}


@pytest.mark.parametrize("seed", range(6))
def test_the_map_agrees_with_a_slow_model_of_it(seed: int) -> None:
    rng = np.random.default_rng(seed)
    world, model = empty_map(), Model()
    weights = np.array([4, 6, 3, 2, 1, 3, 2]) / 21
    for _ in range(150):
        operate(world, model, str(rng.choice(OPERATIONS, p=weights)), rng)
        assert_equal(world, model)
        assert_same_answers(world, model, rng)
