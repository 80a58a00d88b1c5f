from __future__ import annotations

import numpy as np
import pytest

from slamfront.descriptors import distance_table, distances_to_candidates, same_landmark_distance


def bits(shape: tuple[int, ...], seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def floats(shape: tuple[int, ...], seed: int) -> np.ndarray:
    values = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    return values / np.linalg.norm(values, axis=-1, keepdims=True)


def naive(first: np.ndarray, second: np.ndarray) -> float:
    if first.dtype == np.uint8:
        return float(np.unpackbits(first ^ second).sum()) / (first.size * 8 / 2)
    return 1.0 - float(first.astype(float) @ second.astype(float))


@pytest.mark.parametrize(("describe", "size"), [(bits, 32), (bits, 64), (floats, 32), (floats, 128)])
def test_table_and_candidates_hold_the_distance_of_each_pair(describe, size: int) -> None:
    first, second = describe((7, size), 1), describe((9, size), 2)
    table = distance_table(first, second)
    assert table.shape == (7, 9) and table.dtype == np.float32
    # float32 rounding; distances of bits are exact
    expected = [[naive(a, b) for b in second] for a in first]
    np.testing.assert_allclose(table, expected, atol=1e-6 if describe is floats else 0)
    chosen = np.random.default_rng(3).integers(0, 9, (7, 4))
    distances = distances_to_candidates(first, second[chosen])
    assert distances.shape == (7, 4) and distances.dtype == np.float32
    np.testing.assert_allclose(distances, np.take_along_axis(table, chosen, 1), atol=1e-6)


@pytest.mark.parametrize("describe", [bits, floats])
def test_equal_is_zero_unrelated_is_one_and_opposite_is_two(describe) -> None:
    some = describe((200, 32), 1)
    opposite = ~some if describe is bits else -some
    np.testing.assert_allclose(np.diag(distance_table(some, some)), 0, atol=1e-6)
    np.testing.assert_allclose(np.diag(distance_table(some, opposite)), 2, atol=1e-6)
    # 40000 pairs whose distances scatter by 1/16 and 1/sqrt(32)
    assert abs(distance_table(some, describe((200, 32), 2)).mean() - 1) < 0.01


@pytest.mark.parametrize("describe", [bits, floats])
def test_the_same_landmark_is_nearer_than_the_limit_and_another_is_not(describe) -> None:
    some, other = describe((300, 256), 1), describe((300, 256), 2)
    limit = same_landmark_distance(some)
    if describe is bits:
        noisy = some.copy()
        noisy[:, :32] ^= bits((300, 32), 3)  # 1/8 of the bytes become random: 1/16 of the bits
    else:
        noisy = some + 0.5 * other
        noisy /= np.linalg.norm(noisy, axis=1, keepdims=True)
    assert (np.diag(distance_table(some, noisy)) < limit).all()
    assert (distance_table(some, other) > limit).all()


@pytest.mark.parametrize("describe", [bits, floats])
def test_no_descriptors_have_an_empty_table(describe) -> None:
    assert distance_table(describe((0, 32), 1), describe((5, 32), 2)).shape == (0, 5)
    assert distance_table(describe((5, 32), 1), describe((0, 32), 2)).shape == (5, 0)
    assert distances_to_candidates(describe((5, 32), 1), describe((5, 0, 32), 2)).shape == (5, 0)
