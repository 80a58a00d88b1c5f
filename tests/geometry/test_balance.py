from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slamfront.geometry.balance import TURNS, balanced, cells_covered, spread


def cells_of(xy: np.ndarray, width: int, columns: int) -> np.ndarray:
    return np.floor(xy / (width / columns)).astype(int)


def test_every_cell_that_has_keypoints_gives_its_strongest() -> None:
    rng = np.random.default_rng(0)
    xy = (rng.random((4000, 2)) * [640, 480]).astype(np.float32)
    # Strength grows to the right: without balance, the left half would stay empty
    scores = (xy[:, 0] / 640 + 0.01 * rng.random(4000)).astype(np.float32)
    rows = balanced(xy, scores, 640, 480, 8)
    assert len(rows) == len(set(rows)) == 480
    cells = cells_of(xy, 640, 8)
    for cell in np.unique(cells, axis=0):
        members = np.flatnonzero((cells == cell).all(axis=1))
        taken = np.intersect1d(members, rows)
        # 48 cells share 480 places
        assert len(taken) == 10
        assert scores[taken].min() >= np.sort(scores[members])[-10]
    strongest = balanced(xy, scores, 640, 480, 0)
    assert xy[strongest, 0].min() > 500


def test_places_that_poor_cells_leave_go_to_rich_ones() -> None:
    xy = np.array([[5, 5]] * 20 + [[95, 5]], np.float32)
    scores = np.linspace(1, 2, 21, dtype=np.float32)
    rows = balanced(xy, scores, 100, 10, 2)
    assert 20 in rows and len(rows) == 10
    assert set(rows) == {20, *range(11, 20)}


@given(
    count=st.integers(0, 60),
    wanted=st.integers(0, 70),
    columns=st.integers(0, 12),
    size=st.tuples(st.integers(8, 700), st.integers(8, 500)),
    seed=st.integers(0, 99),
)
def test_rows_are_distinct_and_as_many_as_can_be(
    count: int, wanted: int, columns: int, size: tuple[int, int], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    xy = (rng.random((count, 2)) * (np.array(size) - 0.5)).astype(np.float32)
    rows = balanced(xy, rng.random(count).astype(np.float32), size[0], wanted, columns)
    assert len(rows) == len(set(rows)) == min(count, wanted)


@pytest.mark.parametrize("columns", [0, 3])
def test_equal_scores_are_taken_in_order(columns: int) -> None:
    xy = np.full((6, 2), 4, np.float32)
    np.testing.assert_array_equal(balanced(xy, np.ones(6, np.float32), 30, 4, columns), [0, 1, 2, 3])


def test_spreading_takes_strong_keypoints_first_and_fewer_where_they_crowd() -> None:
    rng = np.random.default_rng(0)
    crowd, alone = rng.uniform(0, 10, (50, 2)), np.array([[90.0, 5.0], [60.0, 30.0]])
    xy = np.concatenate([crowd, alone])
    scores = np.concatenate([np.linspace(1.0, 0.5, 50), [0.4, 0.01]])
    # The 10th of the crowd counts for e^-0.9 of its 0.9: less than the 0.4 of the one that is alone.
    taken = spread(xy, scores, 100, 12, 4, 0.1).tolist()
    assert taken[:5] == [0, 1, 2, 3, 4] and 50 in taken and 51 not in taken
    np.testing.assert_array_equal(spread(xy, scores, 100, 12, 4, 0.0), np.arange(12))
    np.testing.assert_array_equal(spread(xy, scores, 100, 12, 0, 0.1), np.arange(12))


def test_much_crowding_is_balance() -> None:
    rng = np.random.default_rng(1)
    xy, scores = rng.uniform(0, 1, (400, 2)) * (640, 480), rng.uniform(0.1, 1, 400)
    np.testing.assert_array_equal(spread(xy, scores, 640, 100, 8, 50.0), balanced(xy, scores, 640, 100, 8))
    np.testing.assert_array_equal(spread(xy, scores, 640, 100, 8, TURNS), balanced(xy, scores, 640, 100, 8))


def test_scores_of_zero_are_ranked_last() -> None:
    xy = np.arange(12.0).reshape(6, 2)
    assert spread(xy, np.array([0.0, 3, 2, 0, 1, 5]), 30, 4, 1, 0.1).tolist() == [5, 1, 2, 4]


def test_covered_cells_are_counted_once_however_many_pixels_they_hold() -> None:
    xy = np.array([[1, 1], [2, 3], [9.5, 9.5], [11, 1], [1, 11], [39, 29]], np.float32)
    assert cells_covered(xy, 40, 4) == 4
    assert cells_covered(xy[:0], 40, 4) == 0
