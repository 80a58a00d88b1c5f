"""Distances between descriptors, alike for bits and for floats: 0 = equal, 1 = as far as unrelated ones get.

Bits: Hamming distance over half their number, which is what unrelated bits differ by. Floats of unit length: one
minus the dot product.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from slamfront.types import Float32Array

# Largest distance of one landmark's descriptors in two views: 64 of 256 bits (Mur-Artal et al. 2015 use 50 to 100),
# or a cosine of .6
_SAME_BITS = 0.5
_SAME_FLOATS = 0.4


def same_landmark_distance(descriptors: NDArray[Any]) -> float:
    """Return the largest distance at which two descriptors of this kind may show the same landmark."""
    return _SAME_BITS if descriptors.dtype == np.uint8 else _SAME_FLOATS


def distances_to_candidates(queries: NDArray[Any], candidates: NDArray[Any]) -> Float32Array:
    """Return the distances (M,K) of queries (M,D) to their own candidates (M,K,D)."""
    if queries.dtype == np.uint8:
        different = np.bitwise_count(_words(queries)[:, None, :] ^ _words(candidates)).sum(-1, dtype=np.int32)
        return (different / (4.0 * queries.shape[-1])).astype(np.float32)
    return (1.0 - np.einsum("md,mkd->mk", queries, candidates)).astype(np.float32)


def distance_table(first: NDArray[Any], second: NDArray[Any]) -> Float32Array:
    """Return the distances (M,N) between all of first (M,D) and all of second (N,D)."""
    if first.dtype == np.uint8:
        a, b = _words(first), _words(second)
        different = np.zeros((len(a), len(b)), np.uint16)
        for word in range(a.shape[1]):
            different += np.bitwise_count(a[:, None, word] ^ b[None, :, word])
        return different.astype(np.float32) / np.float32(4.0 * first.shape[-1])
    return 1.0 - first @ second.T


def _words(packed: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """View packed bits (..., 8 n) as 64-bit words (..., n)."""
    return np.ascontiguousarray(packed).view(np.uint64)
