"""Bundle adjustment and pose graphs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Interval

from slamfront.config.settings import Degrees, Expert, Settings, Several, Share


@dataclass(frozen=True)
class BundleConfig(Settings, section="backend.bundle"):
    """Bundle adjustment of a window."""

    max_fixed: Annotated[int, Interval(ge=1, le=1000)] = 10
    """Most keyframes outside the window that hold it in place, those that see most of its landmarks first."""
    min_fixed_extent: Annotated[float, Interval(ge=0, le=1)] = 0.15
    """A single camera's window is held by fixed keyframes as far apart as this share of its extent at least, else by
    its own extent: what a short distance is wrong by is multiplied, by seven here."""
    tolerance: Annotated[float, Interval(ge=1e-12, le=1)] = 1e-4
    """Relative decrease of the error at which the optimisation ends."""
    first_tolerance: Annotated[float, Interval(ge=1e-12, le=1)] = 1e-2
    """The same before outliers are dropped: near enough to tell them."""
    min_sigma_share: Share = 0.05
    """Errors are taken to have at least this share of their stated deviations: without any, no two would agree."""
    known_depth: Annotated[float, Interval(ge=1e-3, le=1)] = 0.15
    """Inverse depth of a single camera known to this share of the typical one needs no prior, which would bend the map
    a little."""
    offset_keyframes: tuple[Annotated[int, Interval(ge=2, le=1_000_000)], ...] = (3, 5, 8, 12, 20, 40)
    """Keyframes of a stereo map at which the offset of disparities is estimated, from all of them at once: any that is
    held would hold the offset."""
    offset_probe_px: Annotated[float, Interval(ge=1e-4, le=1)] = 0.05
    """The offset of disparities at which the optimum is looked at for a second time, px: the secant method's step."""


@dataclass(frozen=True)
class IncrementalConfig(Settings, section="backend.incremental"):
    """Incremental smoothing (ISAM2)."""

    relinearize: Annotated[float, Interval(ge=1e-9, le=1)] = 0.003
    """Change of a variable, rad or m, from which its factors are linearised anew."""
    min_parallax_deg: Degrees = 1.0
    """Least angle between two rays of a landmark that enters."""
    updates: Annotated[int, Interval(ge=1, le=100)] = 2
    """Updates for each window."""


@dataclass(frozen=True)
class BackendConfig(Settings, section="backend"):
    """Bundle adjustment."""

    kind: Literal["gtsam", "isam2", "none"] = "gtsam"
    """Windowed bundle adjustment, incremental smoothing, or none."""
    window: Annotated[int, Interval(ge=2, le=1000)] = 10
    """Keyframes that are optimised together."""
    max_iterations: Several = 8
    """Levenberg-Marquardt iterations of a local window."""
    huber_px: Annotated[float, Interval(ge=0.01, le=1e9)] = 2.0
    """Huber threshold in standard deviations of a measurement."""
    final: bool = True
    """Adjust the whole map when the run ends."""
    final_iterations: Several = 30
    """Levenberg-Marquardt iterations of the final adjustment."""
    patience_s: Annotated[float, Interval(ge=1, le=3600)] = 15.0
    """A backend process that makes no progress for so long is given up, and the run goes on without its answer. One
    that only has much to do is waited for: this is many times what it may be kept from the processor."""
    bundle: Annotated[BundleConfig, Expert] = field(default_factory=BundleConfig)
    incremental: Annotated[IncrementalConfig, Expert] = field(default_factory=IncrementalConfig)
