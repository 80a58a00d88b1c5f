from __future__ import annotations

import numpy as np
import pytest

from slamfront.config import RunConfig, TriangulationConfig
from slamfront.map import KeyframeMap
from slamfront.map.depths import measure_depths
from slamfront.mapping.landmarks import place_by_parallax
from tests.map.test_depths import DISPARITY_SIGMA_PX, relative, seen_from


def guessed(second_x_m: float) -> KeyframeMap:
    """Return a map whose landmark, 2 m ahead, was guessed at 5 m before a second keyframe saw it from aside."""
    world = seen_from((0, 0, 0), (second_x_m, 0, 0))
    landmark = world.keyframes[0].landmark_rows
    world.landmarks.positions_m[landmark] = [0.0, 0.0, 5.0]
    world.landmarks.spreads_m[landmark] = [0.0, 0.0, 5.0]
    place_by_parallax(world, world.keyframes[1], config=RunConfig())
    return world


def test_a_new_keyframe_places_what_was_guessed() -> None:
    world = guessed(0.3)
    np.testing.assert_allclose(world.landmarks.positions_m[world.keyframes[0].landmark_rows], [[0, 0, 2]], atol=1e-3)
    assert relative(world) < 0.02


def test_a_keyframe_beside_the_first_tells_nothing_about_a_guess() -> None:
    """A millimetre shows the landmark half a pixel aside, which is noise: it stays, and as unknown as it was."""
    world = guessed(0.001)
    rows = world.keyframes[0].landmark_rows
    np.testing.assert_array_equal(world.landmarks.positions_m[rows], [[0, 0, 5]])
    np.testing.assert_array_equal(world.landmarks.spreads_m[rows], [[0, 0, 5]])


def test_a_landmark_anchored_anew_is_as_unknown_as_before() -> None:
    """Its position was not worked out from the new keyframe, which so tells nothing about it."""
    world = seen_from((0, 0, 0), (0.3, 0, 0))
    newest = world.keyframes[1]
    rows = newest.landmark_rows
    world.landmarks.positions_m[rows] = [0.0, 0.0, 5.0]
    world.landmarks.spreads_m[rows] = [0.0, 0.0, 5.0]
    world.anchor(newest, np.arange(len(rows)), np.zeros((len(rows), 21, 21), np.uint8))
    place_by_parallax(world, newest, config=RunConfig())
    np.testing.assert_array_equal(world.landmarks.spreads_m[rows], [[0, 0, 5]])


def test_depths_of_some_landmarks_are_told_without_the_others() -> None:
    world = seen_from((0, 0, 0), (0.3, 0, 0))
    world.landmarks.spreads_m[:] = 7.0
    measure_depths(world, DISPARITY_SIGMA_PX, world.keyframes[0].landmark_rows, config=TriangulationConfig())
    assert relative(world) == pytest.approx(0.0132, rel=0.05)
    assert (np.delete(world.landmarks.spreads_m, world.keyframes[0].landmark_rows, axis=0) == 7.0).all()
