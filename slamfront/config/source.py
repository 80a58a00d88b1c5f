"""Which frames are read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from annotated_types import Interval

from slamfront.config.settings import Count, Settings


@dataclass(frozen=True)
class SourceConfig(Settings, section="source"):
    """Which frames are taken, and how they are prepared."""

    start: Count = 0
    """First frame to take, counted from 0."""
    end: Annotated[int, Interval(ge=1, le=10**9)] | None = None
    """Frame to stop before; None takes all."""
    stride: Annotated[int, Interval(ge=1, le=10**6)] = 1
    """Take every n-th frame."""
    width: Annotated[int, Interval(ge=16, le=2560)] | None = None
    """Resample frames to this width, px; the height follows, and the calibration is scaled."""
    calibration: Path | None = None
    """Calibration file, where the source has none or another is wanted."""
    depth_unit_m: Annotated[float, Interval(ge=1e-6, le=1)] | None = None
    """What one step of a depth image stands for, m, such as 0.001; None takes what the calibration file says
    (DepthMapFactor), else what is usual for that kind of dataset."""
    mask: Path | None = None
    """Picture of the size of the recorded frames that is black where nothing may be used: a robot's arm, a bonnet, a
    time stamp. For all frames; for stereo that of the left camera."""
    right_mask: Path | None = None
    """The same for the right camera (stereo)."""
    prefetch: Annotated[int, Interval(ge=0, le=64)] = 4
    """Frames read ahead by a thread."""
