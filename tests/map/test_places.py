from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from slamfront.errors import WeightsError
from slamfront.map.places import PlaceIndex, Vocabulary, grouped, packaged_vocabulary
from slamfront.types import Features

from . import worlds

BITS = 256


def place(seed: int, count: int = 300) -> Features:
    """Return features that no other place shows."""
    return worlds.features(count, np.random.default_rng(seed))


def seen_again(features: Features, seed: int, flipped: float = 0.1, lost: float = 0.3) -> Features:
    """Return the features of another visit: a share of the bits differs, and a share of the features is another."""
    rng = np.random.default_rng(seed)
    bits = np.unpackbits(features.descriptors, axis=1)
    bits ^= (rng.random(bits.shape) < flipped).astype(np.uint8)
    descriptors = np.packbits(bits, axis=1)
    other = rng.random(len(features)) < lost
    descriptors[other] = rng.integers(0, 256, (int(other.sum()), descriptors.shape[1]), np.uint8)
    size = features.image_size
    return Features(features.keypoints_xy, features.scores, descriptors, size, features.scales)


def index_of(count: int, vocabulary: Vocabulary | None) -> PlaceIndex:
    index = PlaceIndex(vocabulary)
    for seed in range(count):
        index.add(seed, place(seed))
    return index


@pytest.mark.parametrize("vocabulary", [packaged_vocabulary("orb"), None], ids=["shipped", "made while running"])
def test_a_place_seen_again_under_noise_is_found_first(vocabulary: Vocabulary | None) -> None:
    index = index_of(100, vocabulary)
    found = [index.query(seen_again(place(seed), 1000 + seed), limit=1) for seed in range(100)]
    # Random bits are harder than those of images, which lie near the words and along the axes of the vocabulary
    assert sum(ids == [seed] for seed, ids in enumerate(found)) >= 95


def test_removed_keyframes_are_not_found_and_the_others_keep_their_ids() -> None:
    index = index_of(30, packaged_vocabulary("orb"))
    for gone in (0, 7, 29, 11):
        index.remove(gone)
    index.remove(7)
    assert len(index) == 26 and 7 not in index and 8 in index
    for seed in range(30):
        found = index.query(place(seed), limit=3)
        assert (found[0] == seed) == (seed not in (0, 7, 29, 11))
        assert not set(found) & {0, 7, 29, 11}
    index.add(30, place(7))
    assert index.query(place(7), limit=1) == [30]


def test_an_index_follows_the_keyframes_of_its_map() -> None:
    world, records = worlds.chain(6, count=60, shared=40)
    index = PlaceIndex(packaged_vocabulary("orb"))
    index.update(world)
    assert index.query(records[4].features, limit=1) == [4]
    world.remove_keyframe(4, 5)
    index.update(world)
    assert 4 not in index and len(index) == 5


def test_keyframes_that_share_landmarks_count_as_one_place() -> None:
    world, _ = worlds.chain(6, count=60, shared=40)
    ids = np.arange(6)
    scores = np.array([0.1, 0.1, 0.1, 0.5, 0.6, 0.55], np.float32)
    ranked = grouped(world, ids, scores, count=3)
    assert [keyframe_id for keyframe_id, _ in ranked] == [4]
    assert ranked[0][1] > 0.6, "the likeness of its neighbours counts for the place"


def test_nothing_is_found_before_there_are_enough_features_for_a_vocabulary() -> None:
    index = PlaceIndex(None)
    index.add(0, place(0))
    assert index.query(place(0)) == [] and 0 in index
    index.remove(0)
    assert 0 not in index


def test_descriptors_of_another_width_get_a_vocabulary_of_their_own() -> None:
    rng = np.random.default_rng(0)

    def floats() -> Features:
        values = rng.normal(size=(500, 96)).astype(np.float32)
        values /= np.linalg.norm(values, axis=1, keepdims=True)
        base = worlds.features(500, rng)
        return Features(base.keypoints_xy, base.scores, values, base.image_size, base.scales)

    views = [floats() for _ in range(15)]
    index = PlaceIndex(packaged_vocabulary("orb"))
    for keyframe_id, view in enumerate(views):
        index.add(keyframe_id, view)
    assert [index.query(view, limit=1) for view in views] == [[i] for i in range(15)]


def test_a_view_without_features_finds_nothing() -> None:
    assert index_of(3, packaged_vocabulary("orb")).query(place(0).take(np.zeros(0, np.int64))) == []


def test_a_vocabulary_survives_its_file(tmp_path: Path) -> None:
    vocabulary = Vocabulary.train(np.concatenate([place(seed).descriptors for seed in range(5)]))
    vocabulary.save(tmp_path / "v.safetensors")
    again = Vocabulary.load(tmp_path / "v.safetensors")
    assert np.array_equal(again.describe(place(1).descriptors), vocabulary.describe(place(1).descriptors))


def test_a_file_that_is_no_vocabulary_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "broken.safetensors"
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(WeightsError, match="broken.safetensors"):
        Vocabulary.load(path)


def test_too_few_descriptors_make_no_vocabulary() -> None:
    with pytest.raises(ValueError, match="64 are needed"):
        Vocabulary.train(place(0, 20).descriptors)


@pytest.mark.parametrize("name", ["orb", "sift"])
def test_vocabularies_ship_for_the_classical_extractors(name: str) -> None:
    vocabulary = packaged_vocabulary(name)
    assert vocabulary is not None
    assert vocabulary.words.shape == (64, 64) and np.isfinite(vocabulary.words).all()
