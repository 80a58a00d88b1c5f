from __future__ import annotations

import numpy as np
import pytest

from slamfront.map import Landmarks
from slamfront.patches import PATCH_SIZE


def landmarks(capacity: int = 4, dtype: type = np.uint8) -> Landmarks:
    return Landmarks(np.zeros((0, 32), dtype), capacity)


def test_rows_are_used_again_under_new_ids() -> None:
    marks = landmarks()
    rows = marks.take_rows(4)
    old = marks.ids(rows)
    marks.release(rows[1:2])
    again = marks.take_rows(1)
    np.testing.assert_array_equal(again, rows[1:2])
    assert marks.capacity == 4
    assert marks.ids(again)[0] not in old
    np.testing.assert_array_equal(marks.rows(old), [rows[0], -1, rows[2], rows[3]])
    np.testing.assert_array_equal(marks.rows(marks.ids(again)), again)


def test_ids_are_void_after_removal() -> None:
    marks = landmarks()
    rows = marks.take_rows(3)
    ids = marks.ids(rows)
    marks.release(rows)
    np.testing.assert_array_equal(marks.rows(ids), -1)
    assert len(marks) == 0


def test_no_landmark_has_an_id_that_another_had() -> None:
    marks, seen = landmarks(), set[int]()
    for _ in range(20):
        rows = marks.take_rows(3)
        ids = marks.ids(rows).tolist()
        assert seen.isdisjoint(ids)
        seen.update(ids)
        marks.release(rows)


def test_unknown_ids_have_no_row() -> None:
    marks = landmarks()
    rows = marks.take_rows(1)
    np.testing.assert_array_equal(marks.rows(np.array([-1, 0, 17, 1 << 40, (1 << 32) + 99])), -1)
    np.testing.assert_array_equal(marks.ids(np.array([-1])), -1)
    assert marks.rows(marks.ids(rows)) == rows


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_growing_keeps_values_ids_and_types(dtype: type) -> None:
    marks = landmarks(2, dtype)
    rows = marks.take_rows(2)
    marks.positions_m[rows] = [[1, 2, 3], [4, 5, 6]]
    marks.descriptors[rows] = 7
    ids = marks.ids(rows)
    more = marks.take_rows(11)
    assert len(np.unique(np.r_[rows, more])) == 13 == len(marks)
    assert marks.capacity >= 13
    np.testing.assert_array_equal(marks.rows(ids), rows)
    np.testing.assert_array_equal(marks.positions_m[rows], [[1, 2, 3], [4, 5, 6]])
    assert marks.descriptors.dtype == dtype and (marks.descriptors[rows] == 7).all()
    assert {len(value) for value in vars(marks).values() if isinstance(value, np.ndarray)} == {marks.capacity}


def test_a_row_that_is_used_again_starts_with_its_counters_anew() -> None:
    marks = landmarks()
    rows = marks.take_rows(4)
    marks.observations[rows], marks.seen[rows], marks.expected[rows] = 5, 9, 12
    marks.release(rows)
    rows = marks.take_rows(4)
    assert marks.alive[rows].all()
    np.testing.assert_array_equal(marks.observations[rows], 0)
    np.testing.assert_array_equal(marks.seen[rows], marks.expected[rows])


def test_a_patch_has_texture_where_no_shift_leaves_its_middle_alike() -> None:
    marks, size = landmarks(), PATCH_SIZE
    ramp = np.broadcast_to(np.arange(size, dtype=np.uint8) * 10, (size, size))
    noise = np.random.default_rng(0).integers(0, 256, (size, size), np.uint8)
    only_around = np.where(np.pad(np.zeros((11, 11), bool), 5, constant_values=True), noise, np.uint8(90))
    waves = (127 + 100 * np.sin(np.add.outer(np.zeros(size), np.arange(size)))).astype(np.uint8)
    rows = marks.take_rows(5)
    marks.set_patches(rows, np.stack([np.full_like(noise, 90), ramp, waves, only_around, noise]))
    np.testing.assert_array_equal(marks.textured[rows], [False, False, False, False, True])
