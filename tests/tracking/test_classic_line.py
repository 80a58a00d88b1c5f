"""SuperPoint on every frame, matched by SuperGlue or LightGlue: the configurations by those names."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from slamfront.config import load
from slamfront.types import State
from tests.tracking.worlds import clip, run_on

CONFIGS = Path(__file__).parents[2] / "configs" / "run"


@pytest.mark.parametrize("name", ["superglue", "lightglue"])
def test_superpoint_and_its_matchers_track_every_frame_by_appearance(name: str) -> None:
    config = load(CONFIGS / f"{name}.yaml")
    assert (config.extractor.kind, config.matcher.kind) == ("superpoint", name)
    assert config.tracker.association == "matcher"
    # So many keypoints fit a picture of 320x240, and a CPU
    extractor = replace(config.extractor, max_keypoints=256)
    seen = clip("room", "rgbd")
    run = run_on(seen, replace(config, threads=False, extractor=extractor), frames=seen.frames[:6])
    assert run.states == [State.TRACKING] * 6
    assert np.linalg.norm(seen.true_pose(5).translation_m) > 0.1
    # A pixel is about 1 cm at 3 m
    assert run.errors_m().max() < 0.01
