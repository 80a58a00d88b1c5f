"""Which of two motions that an image shows is the camera's."""

from __future__ import annotations

from dataclasses import replace

import pytest

from slamfront.types import Sensor
from tests.tracking.worlds import clip, run_on


@pytest.mark.parametrize("sensor", ["rgbd", "stereo"])
def test_a_part_of_the_camera_itself_is_told_from_the_scene_in_the_first_frames(sensor: Sensor) -> None:
    """A fifth of the image is textured, near, and fixed to the camera; taken for the scene it holds the camera."""
    run = run_on(clip("room?seed=583&noise=0.69&shake=1&overlay=0.2", sensor, 20))
    assert len(run.tracked) == 20
    # Landmarks at 4 m, by a sensor whose disparities have half a pixel of noise
    assert run.errors_m().max() < 0.03


def test_a_camera_that_comes_back_finds_old_landmarks_where_they_were_first_seen() -> None:
    """They lie at their old pixels then, as if they were fixed to the camera."""
    there = clip("room?shake=0", "rgbd", 30)
    frames = [*there.frames, *reversed(there.frames[:-1])]
    frames = [replace(f, id=i, time_ns=there.frames[0].time_ns + i * 33_333_333) for i, f in enumerate(frames)]
    run = run_on(there, frames=frames)
    assert len(run.tracked) == len(frames)
    back = run.pose(len(frames) - 1)
    assert abs(back.translation_m).max() < 0.01


def test_something_large_that_walks_by_does_not_take_the_camera_along() -> None:
    """Most of the texture is on what moves: its landmarks are new, and agree on another motion than the proven ones."""
    run = run_on(clip("low-texture?seed=58&noise=1.41&movers=1&mover_m=1.73", "stereo", 90))
    assert len(run.tracked) >= 85
    # A hundredth of the depth of 2.1 m on average, where it was .2 m
    assert run.errors_m().max() < 0.06
