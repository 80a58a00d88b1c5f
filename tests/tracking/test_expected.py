"""The local map as features of the view that should show it, and runs that match it in every frame."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from slamfront.config import TrackerConfig, load
from slamfront.matching.nearest import Nearest
from slamfront.tracking.expected import expected_features, match_local_map
from slamfront.types import State
from tests.tracking.worlds import clip, run_on, view_of

CONFIGS = Path(__file__).parents[2] / "configs" / "run"


def test_the_local_map_is_expected_where_the_view_shows_it() -> None:
    run = run_on(clip("room?speed=4", "rgbd", 20))
    world, true = run.front.world, run.pose(19).inverse()
    reference = world.keyframes[max(world.keyframes)]
    expected, rows = expected_features(world, reference, true, TrackerConfig())
    assert len(expected) == len(rows) == len(set(rows.tolist())) > 100
    assert len(expected) <= len(reference.features)
    assert expected.image_size == reference.features.image_size
    held = np.isin(rows, reference.landmark_rows)
    by_row = dict(zip(reference.landmark_rows.tolist(), reference.features.scores.tolist()))
    assert expected.scores[held].tolist() == [by_row[row] for row in rows[held].tolist()]
    np.testing.assert_array_equal(expected.descriptors, world.landmarks.descriptors[rows])
    shown = world.camera.project(true.apply(world.landmarks.positions_m[rows]))
    np.testing.assert_allclose(expected.keypoints_xy, shown, atol=1e-3)
    # Others of the local map lend landmarks that the reference keyframe does not observe
    assert len(world.keyframes) > 1 and not np.isin(rows, reference.landmark_rows).all()


def test_landmarks_are_matched_with_the_features_that_show_them() -> None:
    run = run_on(clip("room", "rgbd", 12))
    world, true = run.front.world, run.pose(11).inverse()
    view = view_of(run.clip.frames[11], "rgbd")
    reference = world.keyframes[max(world.keyframes)]
    rows, keypoints = match_local_map(world, reference, true, view.features, Nearest(ratio=0.85), TrackerConfig())
    errors = np.linalg.norm(
        world.camera.project(true.apply(world.landmarks.positions_m[rows])) - view.features.keypoints_xy[keypoints],
        axis=1,
    )
    # Nearest neighbours among hundreds of ORB's keypoints: most are right
    assert len(rows) > 80 and (errors < 3.0).mean() > 0.8


@pytest.mark.parametrize("name", ["superglue", "lightglue"])
def test_superpoint_and_its_matchers_track_every_frame_by_appearance(name: str) -> None:
    config = load(CONFIGS / f"{name}.yaml")
    assert config.tracker.association == "matcher"
    # So many keypoints fit a picture of 320x240, and a CPU
    extractor = replace(config.extractor, max_keypoints=256)
    seen = clip("room", "rgbd")
    run = run_on(seen, replace(config, threads=False, extractor=extractor), frames=seen.frames[:6])
    assert run.states == [State.TRACKING] * 6
    # A pixel is about 1 cm at 3 m; the camera moves by 17 cm
    assert run.errors_m().max() < 0.01
