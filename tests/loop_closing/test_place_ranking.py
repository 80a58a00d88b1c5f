from __future__ import annotations

from dataclasses import replace

import pytest

from slamfront.config import KeyframeConfig
from slamfront.loop_closing.place_ranking import PlaceRanking
from slamfront.map import KeyframeMap
from slamfront.map.places import PlaceIndex, packaged_vocabulary
from tests.tracking.worlds import CONFIG, Clip, clip, run_on, view_of


@pytest.fixture(scope="module")
def seen() -> Clip:
    return clip("house?speed=4", "rgbd", frames=60)


@pytest.fixture(scope="module")
def world(seen: Clip) -> KeyframeMap:
    config = replace(CONFIG, keyframes=KeyframeConfig(max_interval=6, min_interval=1, cull_redundancy=1.0))
    return run_on(seen, config).front.world


def test_the_first_keyframe_tried_stands_near_the_view(seen: Clip, world: KeyframeMap) -> None:
    ranking = PlaceRanking(PlaceIndex(packaged_vocabulary("orb")))
    times = {record.id: record.time_ns for record in world.keyframes.values()}
    for row in range(0, 60, 5):
        first = ranking.ranked(view_of(seen.frames[row]), [world], 3)[0]
        # A second is 16 degrees of a turn or 1.6 m of a walk
        assert abs(times[first] - seen.frames[row].time_ns) < 0.5e9


def test_every_keyframe_has_its_turn_once_in_a_while(seen: Clip, world: KeyframeMap) -> None:
    ranking, view = PlaceRanking(PlaceIndex(packaged_vocabulary("orb"))), view_of(seen.frames[0])
    tried = [ranking.ranked(view, [world], 3) for _ in range(len(world.keyframes))]
    assert {keyframe_id for ids in tried for keyframe_id in ids} == set(world.keyframes)
    assert all(len(set(ids)) == len(ids) <= 3 for ids in tried)


def test_keyframes_come_in_turn_while_no_place_is_known(seen: Clip, world: KeyframeMap) -> None:
    class Nowhere(PlaceIndex):
        def update(self, world: KeyframeMap) -> None:
            pass

    ids = PlaceRanking(Nowhere()).ranked(view_of(seen.frames[0]), [world], 3)
    assert list(ids) == sorted(world.keyframes, reverse=True)[:3]
