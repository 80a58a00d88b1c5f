"""Answers of a made-up front end, and a disk without room."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest

from slamfront.geometry.pose import Pose
from slamfront.types import State, Tracked


def tracked(frame_id: int, has_pose: bool = True, stages: dict[str, float] | None = None, reason: str = "") -> Tracked:
    """Return the answer to one frame; the pose moves by a metre and a tenth of a radian each frame."""
    pose = Pose.exp(np.array([0.0, 0.1, 0.0, 1.0, 0.0, 0.0]) * frame_id)
    return Tracked(
        frame_id,
        1_305_031_102_175_304_001 + frame_id * 33_333_333,
        State.TRACKING if has_pose else State.LOST,
        0 if has_pose else None,
        pose if has_pose else None,
        pose if has_pose else None,
        inliers=100 + frame_id if has_pose else 0,
        is_keyframe=frame_id % 5 == 0,
        stage_ms=MappingProxyType(stages if stages is not None else {"extract": 4.25, "match": 1.5}),
        reason=reason,
    )


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of 16 KiB; skipped where none can be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if not sys.platform.startswith("linux") or shutil.which("mount") is None:
        pytest.skip("no small disk can be mounted: the full disk is tested with /dev/full only")
    mount = ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("mounting a small disk needs root: the full disk is tested with /dev/full only")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
