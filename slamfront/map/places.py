"""Place recognition: which keyframes show the place that a set of features shows.

Local descriptors are summed up in one vector by VLAD (Jegou et al., "Aggregating local image descriptors into compact
codes", PAMI 2012), intra-normalised and square-rooted (Arandjelovic and Zisserman, "All about VLAD", CVPR 2013), so
that looking for a place is one product of a matrix and a vector. Bits count as numbers -1 and 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slamfront.errors import WeightsError, refused_as
from slamfront.map.keyframe_map import KeyframeMap
from slamfront.types import Features, Float32Array, FloatArray, IntArray

VOCABULARIES = Path(__file__).resolve().parents[1] / "vocabularies"
"""Folder of the vocabularies that ship with slamfront, one for each extractor."""

_WORDS, _DIMENSIONS = 64, 64
_BATCH, _BATCHES = 2048, 40
# Descriptors from which a vocabulary is made while running, where none ships for their extractor
_ENOUGH = 6000


@dataclass(frozen=True, slots=True, eq=False)
class Vocabulary:
    """Typical descriptors, and the directions in which descriptors differ most.

    mean (D,) and projection (D,P): principal components of descriptors of D numbers; words (W,P): their centres
    """

    mean: Float32Array
    projection: Float32Array
    words: Float32Array

    @staticmethod
    def train(descriptors: NDArray[Any], seed: int = 0) -> Vocabulary:
        """Return the vocabulary of descriptors (N,D), floats or packed bits, by mini-batch k-means (Sculley 2010).

        Raises ValueError for fewer descriptors than words.
        """
        values = _numbers(descriptors)
        if len(values) < _WORDS:
            raise ValueError(f"{len(values)} descriptors, {_WORDS} are needed")
        mean = values.mean(axis=0)
        _, axes = np.linalg.eigh(np.cov(values - mean, rowvar=False))
        projection = np.ascontiguousarray(axes[:, ::-1][:, :_DIMENSIONS], np.float32)
        return Vocabulary(mean, projection, _centres((values - mean) @ projection, seed))

    @staticmethod
    def load(path: Path) -> Vocabulary:
        """Return the vocabulary in a .safetensors file; WeightsError when it cannot be read or is something else."""
        from safetensors.numpy import load_file

        with refused_as(WeightsError, f"{path} is not a vocabulary of slamfront"):
            return Vocabulary(**load_file(path))

    def save(self, path: Path) -> None:
        """Write a .safetensors file; OSError when that fails."""
        from safetensors.numpy import save_file

        save_file({"mean": self.mean, "projection": self.projection, "words": self.words}, path)

    def describe(self, descriptors: NDArray[Any]) -> Float32Array:
        """Return the unit descriptor (W * P,) of the place that local descriptors (N,D) show; zeros without any."""
        values = (_numbers(descriptors) - self.mean) @ self.projection
        chosen = np.zeros((len(values), len(self.words)), np.float32)
        chosen[np.arange(len(values)), _nearest(values, self.words)] = 1.0
        residuals = chosen.T @ values - chosen.sum(axis=0)[:, None] * self.words
        residuals /= np.maximum(np.linalg.norm(residuals, axis=1, keepdims=True), 1e-12)
        rooted = (np.sign(residuals) * np.sqrt(np.abs(residuals))).ravel()
        return np.asarray(rooted / max(float(np.linalg.norm(rooted)), 1e-12), np.float32)


@lru_cache(maxsize=4)
def packaged_vocabulary(name: str) -> Vocabulary | None:
    """Return the vocabulary that ships for the extractor of a name, such as "orb", or None."""
    path = VOCABULARIES / f"{name}.safetensors"
    return Vocabulary.load(path) if path.is_file() else None


class PlaceIndex:
    """The places of keyframes, to be looked for by what a frame's features look like.

    vocabulary  None makes one from the features of the first keyframes; until these are enough, nothing is found
    """

    def __init__(self, vocabulary: Vocabulary | None = None) -> None:
        self._vocabulary = vocabulary
        self._rows: dict[int, int] = {}
        self._ids: IntArray = np.zeros(0, np.int64)
        self._table: Float32Array = np.zeros((0, 0), np.float32)
        self._waiting: dict[int, NDArray[Any]] = {}

    def __len__(self) -> int:
        return len(self._rows) + len(self._waiting)

    def __contains__(self, keyframe_id: int) -> bool:
        return keyframe_id in self._rows or keyframe_id in self._waiting

    def add(self, keyframe_id: int, features: Features) -> None:
        """Take in the place that a keyframe shows."""
        vocabulary = self._vocabulary
        if vocabulary is None or vocabulary.mean.shape != (_width(features.descriptors),):
            self._waiting[keyframe_id] = features.descriptors
            self._vocabulary = None
            if sum(map(len, self._waiting.values())) >= _ENOUGH:
                self._begin()
        else:
            self._put(keyframe_id, vocabulary.describe(features.descriptors))

    def remove(self, keyframe_id: int) -> None:
        """Forget a keyframe; one that is not known is nothing to forget."""
        self._waiting.pop(keyframe_id, None)
        row = self._rows.pop(keyframe_id, None)
        if row is None:
            return
        last = len(self._rows)
        if row != last:  # the last row fills the gap
            self._ids[row], self._table[row] = self._ids[last], self._table[last]
            self._rows[int(self._ids[row])] = row

    def update(self, world: KeyframeMap) -> None:
        """Take in the keyframes that a map has and the index has not, and forget those that were culled from it.

        Keyframes of other maps whose ids are other ones stay.
        """
        for gone in [i for i in (*self._rows, *self._waiting) if i not in world.keyframes and world.knows(i)]:
            self.remove(gone)
        for keyframe_id, record in world.keyframes.items():
            if keyframe_id not in self:
                self.add(keyframe_id, record.features)

    def forget(self, world: KeyframeMap) -> None:
        """Forget all keyframes of a map that will be cleared."""
        for gone in [i for i in (*self._rows, *self._waiting) if world.knows(i)]:
            self.remove(gone)

    def scores(self, features: Features, *worlds: KeyframeMap) -> tuple[IntArray, Float32Array]:
        """Return the ids (K,) of the keyframes of some maps, or of all, and how much like the features their places
        look (K,), at most 1.
        """
        count = len(self._rows)
        if self._vocabulary is None or count == 0 or len(features) == 0:
            return np.zeros(0, np.int64), np.zeros(0, np.float32)
        ids, scores = self._ids[:count], self._table[:count] @ self._vocabulary.describe(features.descriptors)
        asked = np.isin(ids, [i for world in worlds for i in world.keyframes]) if worlds else np.ones(count, bool)
        return ids[asked], scores[asked]

    def query(self, features: Features, limit: int = 10, *worlds: KeyframeMap) -> list[int]:
        """Return the ids of at most `limit` keyframes that look like the features most, best first.

        With maps, only their keyframes, and the best one of each place comes first, in the order that `grouped` gives.
        """
        ids, scores = self.scores(features, *worlds)
        order = ids[np.argsort(-scores, kind="stable")].tolist()
        places: list[tuple[int, float]] = []
        for world in worlds:
            own = np.isin(ids, list(world.keyframes))
            places += grouped(world, ids[own], scores[own])
        heads = [keyframe_id for keyframe_id, _ in sorted(places, key=lambda place: -place[1])]
        return [*heads, *(i for i in order if i not in heads)][:limit]

    def _begin(self) -> None:
        self._vocabulary = Vocabulary.train(np.concatenate(list(self._waiting.values())))
        waiting, self._waiting = self._waiting, {}
        for keyframe_id, descriptors in waiting.items():
            self._put(keyframe_id, self._vocabulary.describe(descriptors))

    def _put(self, keyframe_id: int, place: Float32Array) -> None:
        row = len(self._rows)
        if row == len(self._ids):
            size = max(64, 2 * row)
            self._ids = np.resize(self._ids, size)
            table = np.zeros((size, len(place)), np.float32)
            if row:
                table[:row] = self._table
            self._table = table
        self._ids[row], self._table[row] = keyframe_id, place
        self._rows[keyframe_id] = row


def grouped(world: KeyframeMap, ids: IntArray, scores: Float32Array, count: int = 20) -> list[tuple[int, float]]:
    """Return one keyframe for each place and the place's score, best first, from the scores (K,) of keyframes `ids`.

    A place is a keyframe with those that share landmarks with it. Its score is the sum of theirs, as far as they are
    among the `count` best; it is told by its best keyframe (Mur-Artal and Tardos, "Fast relocalisation and loop closing
    in keyframe-based SLAM", ICRA 2014).
    """
    if len(ids) == 0:
        return []
    order = np.argsort(-scores, kind="stable")[:count]
    # What every keyframe scores says nothing about the place
    above = np.maximum(scores[order] - np.median(scores), 0.0)
    best = dict(zip(ids[order].tolist(), above.tolist()))
    places: dict[int, float] = {}
    for keyframe_id in best:
        alike = [i for i in world.covisible(world.keyframes[keyframe_id]).tolist() if i in best]
        head = max([keyframe_id, *alike], key=lambda i: best[i])
        total = best[keyframe_id] + sum(best[i] for i in alike)
        places[head] = max(places.get(head, 0.0), total)
    return sorted(places.items(), key=lambda place: -place[1])


def _centres(values: FloatArray | Float32Array, seed: int) -> Float32Array:
    """Return the centres (W,P) of values (N,P), begun as far apart as in k-means++ (Arthur and Vassilvitskii 2007)."""
    rng = np.random.default_rng(seed)
    few = values[rng.choice(len(values), min(len(values), 4 * _BATCH), replace=False)]
    words = few[:1]
    distance = np.full(len(few), np.inf)
    while len(words) < _WORDS:
        distance = np.minimum(distance, ((few - words[-1]) ** 2).sum(axis=1))
        total = distance.sum()
        share = distance / total if total > 0 else None
        words = np.vstack([words, few[rng.choice(len(few), p=share)]])
    counts = np.zeros(_WORDS)
    for _ in range(_BATCHES):
        batch = values[rng.choice(len(values), min(len(values), _BATCH), replace=False)]
        nearest = _nearest(batch, words)
        new = np.bincount(nearest, minlength=_WORDS)
        sums = np.zeros_like(words)
        np.add.at(sums, nearest, batch)
        counts += new
        some = new > 0
        words[some] += (sums[some] - new[some, None] * words[some]) / counts[some, None]
    return np.asarray(words, np.float32)


def _nearest(values: FloatArray | Float32Array, words: FloatArray | Float32Array) -> IntArray:
    """Return the row (N,) of the word nearest to each value (N,P)."""
    return np.asarray((values @ words.T - 0.5 * (words**2).sum(axis=1)).argmax(axis=1))


def _numbers(descriptors: NDArray[Any]) -> Float32Array:
    """Return descriptors as floats of unit length (N,D), packed bits as -1 and 1 over the root of their number."""
    if descriptors.dtype != np.uint8:
        return np.asarray(descriptors, np.float32)
    bits = np.unpackbits(descriptors, axis=1).astype(np.float32)
    return (2.0 * bits - 1.0) / np.float32(np.sqrt(max(bits.shape[1], 1)))


def _width(descriptors: NDArray[Any]) -> int:
    """Return how many numbers, or bits, a descriptor has."""
    return descriptors.shape[1] * (8 if descriptors.dtype == np.uint8 else 1)
