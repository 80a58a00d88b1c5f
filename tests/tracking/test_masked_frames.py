"""Frames of which a part may not be used."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from slamfront.config import Association, TrackerConfig
from slamfront.imaging import well_inside
from slamfront.patches import PATCH_SIZE
from slamfront.types import Frame, Sensor
from tests.tracking.worlds import CONFIG, Clip, Run, clip, run_on, view_of

STRIP = slice(180, 240)


def usable() -> np.ndarray:
    mask = np.ones((240, 320), bool)
    mask[STRIP] = False
    return mask


def with_part(frame: Frame, mask: np.ndarray | None) -> Frame:
    """Return a frame whose lowest quarter shows a part of the camera's own body at 0.7 m."""
    texture = np.random.default_rng(0).integers(0, 256, (15, 80), np.uint8).repeat(4, 0).repeat(4, 1)
    image = frame.image.copy()
    image[STRIP] = texture
    right, depth_m = frame.right, frame.depth_m
    if right is not None:
        right = right.copy()
        right[STRIP] = np.roll(texture, -round(frame.camera.disparity_times_depth / 0.7), axis=1)
    if depth_m is not None:
        depth_m = depth_m.copy()
        depth_m[STRIP] = 0.7
    return replace(frame, image=image, right=right, depth_m=depth_m, mask=mask, right_mask=mask)


def run_with(sensor: Sensor, part: bool, mask: np.ndarray | None, association: Association = "flow") -> Run:
    whole: Clip = clip("room", sensor)
    frames = [
        with_part(frame, mask)
        if part
        else replace(frame, mask=mask, right_mask=mask if frame.right is not None else None)
        for frame in whole.frames
    ]
    config = replace(CONFIG, tracker=TrackerConfig(association=association))
    return run_on(whole, config, frames=frames)


@pytest.mark.parametrize("sensor", ["rgbd", "stereo"])
@pytest.mark.parametrize("association", ["flow", "projection"])
def test_a_masked_part_of_the_body_does_no_harm(sensor: Sensor, association: Association) -> None:
    masked = run_with(sensor, part=True, mask=usable(), association=association)
    without = run_with(sensor, part=False, mask=usable(), association=association)
    bare = run_with(sensor, part=True, mask=None, association=association)
    assert len(masked.tracked) == 30
    assert np.array_equal(masked.errors_m(), without.errors_m())
    assert masked.errors_m().max() < 0.015  # what a camera has that is cropped there
    assert bare.errors_m().max() < 0.05, "without the mask it is told from the scene within the first frames"


def test_nothing_is_found_where_a_patch_would_reach_what_is_masked() -> None:
    run = run_with("rgbd", part=True, mask=usable())
    inside = well_inside(usable(), PATCH_SIZE)
    for record in run.front.world.keyframes.values():
        x, y = np.rint(record.features.keypoints_xy).astype(int).T
        assert inside[y, x].all()
    assert run.front.view is not None and len(run.front.view.xy) > 50
    x, y = np.rint(run.front.view.xy).astype(int).T
    assert inside[y, x].all()


def test_a_mask_that_hides_nothing_changes_nothing() -> None:
    plain, masked = run_with("rgbd", False, None), run_with("rgbd", False, np.ones((240, 320), bool))
    assert np.array_equal(plain.errors_m(), masked.errors_m())


def test_a_mask_may_come_and_go() -> None:
    whole = clip("room", "rgbd")
    frames = [with_part(f, usable()) if f.id % 3 == 2 else f for f in whole.frames]
    run = run_on(whole, frames=frames)
    assert len(run.tracked) == 30 and run.errors_m().max() < 0.015  # as with it in all frames


def test_right_pixels_that_are_masked_tell_no_distance() -> None:
    frame = clip("room", "stereo").frames[0]
    half = np.ones((240, 320), bool)
    half[:, :160] = False
    plain, masked = (view_of(f, "stereo") for f in (frame, replace(frame, right_mask=half)))
    xy = plain.features.keypoints_xy.astype(np.float64)
    right, seen = plain.find_right_x(xy, None), masked.find_right_x(xy, None)
    # Near the rim the search starts at coarse levels from an image that is painted over
    assert not np.isfinite(seen[right < 160]).any()
    far = right > 200
    assert np.isfinite(right[far]).sum() > 50
    np.testing.assert_allclose(seen[far], right[far], atol=0.3)


def test_depth_that_is_masked_is_unknown() -> None:
    frame = clip("room", "rgbd").frames[0]
    xy = np.array([[160.0, 200.0], [160.0, 100.0]])
    found = view_of(replace(frame, mask=usable()), "rgbd").find_right_x(xy, None)
    np.testing.assert_array_equal(np.isfinite(found), [False, True])
