"""The pose of a frame: how the camera moves, and how landmarks determine where it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Interval

from slamfront.config.settings import Settings


@dataclass(frozen=True)
class MotionConfig(Settings, section="tracker.motion"):
    """The motion prior: white noise on acceleration, whose strength is learned from the run."""

    max_gap_s: Annotated[float, Interval(ge=0.01, le=60)] = 0.5
    """Frames further apart than this do not belong to one motion: a hand turns back within half a second."""
    unknown_turning_rad_s: Annotated[float, Interval(ge=0.01, le=100)] = 1.0
    """Standard deviation of the angular velocity where nothing is known about it: a hand's."""
    first_turning_rad_s: Annotated[float, Interval(ge=0.01, le=100)] = 3.0
    """Standard deviation of the angular velocity after a first pose: a fast hand's, so that the prior excludes none."""
    first_moving_depths_s: Annotated[float, Interval(ge=0.01, le=1000)] = 10.0
    """Standard deviation of the velocity after a first pose, median depths a second: a car's among near buildings."""
    memory_frames: Annotated[float, Interval(ge=2, le=1e6)] = 100.0
    """Frames over which the noise is averaged: a hand or a car moves alike for some seconds."""
    prior_frames: Annotated[float, Interval(ge=0.01, le=1e6)] = 5.0
    """As how many frames the two spectral densities below count."""
    prior_turning_psd: Annotated[float, Interval(ge=1e-6, le=1e6)] = 1.0
    """Power spectral density of the angular acceleration before any is measured, rad^2/s^3: a hand's or a car's."""
    prior_moving_psd: Annotated[float, Interval(ge=1e-6, le=1e6)] = 0.05
    """Power spectral density of the acceleration before any is measured, squared median depths / s^3: likewise."""
    min_psd_share: Annotated[float, Interval(ge=1e-9, le=1)] = 1e-4
    """Least spectral densities, as a share of the prior's: on a tripod they are nought, which leaves the filter stiff.
    """
    min_pose_scale: Annotated[float, Interval(ge=1e-6, le=1)] = 0.1
    """Least factor of the poses' covariances: motion that is smooth for a while does not prove poses to be exact."""
    max_change_sigmas: Annotated[float, Interval(ge=0.1, le=100)] = 3.0
    """Changes of velocity beyond this many standard deviations count as this many: a push is no roughness."""
    stride: Annotated[int, Interval(ge=2, le=100)] = 4
    """Frames between the poses whose second differences show the roughness; neighbours' show the poses' errors."""


@dataclass(frozen=True)
class PoseConfig(Settings, section="tracker.pose"):
    """A pose from the landmarks that a frame shows."""

    correlation: Annotated[float, Interval(ge=1, le=100)] = 2.0
    """Observations that count as one in a pose's covariance: residuals of neighbouring patches are correlated."""
    min_variance_factor: Annotated[float, Interval(ge=1e-6, le=1)] = 0.01
    """Least factor of the stated variances that residuals may show: images without noise have interpolation's errors.
    """
    proven_frames: Annotated[float, Interval(ge=0.01, le=1e6)] = 10.0
    """Frames in which a landmark must be found to count for a quarter of one that has always been in its place; what
    moves brings new landmarks along, which have not been found in so many."""
    fixed_keyframes: Annotated[int, Interval(ge=1, le=1000)] = 5
    """Newest keyframes whose landmarks may be fixed to the camera: within these the scene has moved away from it."""


@dataclass(frozen=True)
class OverlayConfig(Settings, section="tracker.overlay"):
    """Pixels that stay while the scene moves: a bonnet, a robot's arm, a time stamp."""

    change_sigma: Annotated[float, Interval(ge=0.01, le=255)] = 2.0
    """Standard deviation of an averaged pixel's change where nothing moves, grey levels: noise, compression, light."""
    correlated_pixels: Annotated[float, Interval(ge=1, le=25)] = 4.0
    """Averaged pixels that count as one: neighbours change together."""
    max_evidence: Annotated[float, Interval(ge=0.01, le=100)] = 2.0
    """Most that one frame says, a log likelihood ratio: frames that follow each other show much the same."""
    decided: Annotated[float, Interval(ge=0.1, le=1000)] = 7.0
    """Log likelihood ratio from which a cell is left out: 1000 to 1."""
    shift_sigma_px: Annotated[float, Interval(ge=0.01, le=100)] = 0.5
    """Standard deviation of where the camera's motion puts points, px: that of the landmarks that show it."""
    max_age: Annotated[int, Interval(ge=1, le=1000)] = 15
    """Most frames between the images that are compared: later the light and the scene are others."""
    min_beside: Annotated[int, Interval(ge=1, le=9)] = 3
    """A cell of an overlay has more than this many of its kind among the nine about it, itself included."""


@dataclass(frozen=True)
class SmoothingConfig(Settings, section="smoothing"):
    """The trajectory at the end of a run: frames solved again by the final map, and smoothed."""

    observations: Annotated[int, Interval(ge=4, le=10_000)] = 128
    """Observations of a frame that are kept: more add little to its pose, and 128 take 3 KB."""
    frames: Annotated[int, Interval(ge=1, le=10_000_000)] = 20_000
    """Newest frames whose observations are kept: 60 MB."""
    judged_frames: Annotated[int, Interval(ge=1, le=1_000_000)] = 500
    """Frames that judge whether the last adjustment is an improvement, spread evenly over the run: they tell a mean
    cost to a few percent."""
    min_keyframes: Annotated[int, Interval(ge=2, le=1_000_000)] = 3
    """Fewest keyframes of a map that is adjusted as a whole: the first is fixed, and two have been one window."""
