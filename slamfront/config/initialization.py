"""Maps that begin, and cameras that are found again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Interval

from slamfront.config.settings import Count, Degrees, Pixels, Ratio, Settings, Share


@dataclass(frozen=True)
class InitializerConfig(Settings, section="tracker.initializer"):
    """The first map: of one frame with distances, or of two frames of a single camera."""

    min_landmarks: Annotated[int, Interval(ge=4, le=100_000)] = 50
    """Fewest landmarks of a first frame with distances: with fewer the next frames are not tracked for long."""
    false_start_keyframes: Count = 3
    """A single camera's map of at most this many keyframes that is lost was a false start, and is begun anew."""
    min_matches: Annotated[int, Interval(ge=8, le=100_000)] = 80
    """Fewest matches of two first frames: more than the points needed, since some are wrong."""
    min_points: Annotated[int, Interval(ge=8, le=100_000)] = 50
    """Fewest points that two frames see with parallax."""
    max_age: Annotated[int, Interval(ge=1, le=10_000)] = 60
    """Frames after which a first frame is given up: two seconds."""
    max_error_px: Pixels = 1.5
    """Largest Sampson or reprojection error of two frames' matches, px: three deviations of an aligned pixel."""
    min_parallax_deg: Degrees = 1.0
    """Least parallax, degrees: with half a pixel and a focal length of 500 px depths are then known to 6 %."""
    min_motion_ratio: Ratio = 4.0
    """What turning leaves of the matches' motion, in deviations of their noise, at least: below, noise that looks like
    motion, as that of a rolling shutter does, turns it by many degrees."""
    plane_share: Share = 0.9
    """A homography that explains this share of what the essential matrix explains shows a plane."""
    ambiguous_share: Share = 0.8
    """Two motions of which the second explains this share of what the first does explain the matches equally well."""
    ambiguous_deg: Degrees = 20.0
    """Directions of motion less far apart, degrees, are one answer, found twice."""
    max_turn_rad: Annotated[float, Interval(ge=0.01, le=3.2)] = 0.5
    """A camera that turns by more between two frames, half of a wide field, was matched wrongly."""
    turning_sigma_rad_s: Annotated[float, Interval(ge=1e-3, le=100)] = 0.17
    """Standard deviation of a rolling shutter's angular velocity, rad/s: a hand turns a camera faster by some 10
    rad/s^2, and neighbouring frames show it half an interval, 1/60 s, earlier or later."""
    min_noise_px: Pixels = 0.1
    """Least noise of matches, px: patches of real images are not aligned better."""
    min_rolling_noise_px: Pixels = 0.5
    """The same with a rolling shutter, px: what is not known of the turning moves rows by half a pixel (26 ms, f = 500
    px: .17 rad/s * .026 s / sqrt(12) * f), which motion can be made to explain, so that epipolar lines hide it."""


@dataclass(frozen=True)
class RelocalizationConfig(Settings, section="tracker.relocalization"):
    """A camera that was lost, found among the keyframes of a map."""

    keyframes: Annotated[int, Interval(ge=1, le=1000)] = 3
    """Keyframes tried in one frame, so that a lost frame costs no more than a tracked one."""
    inlier_factor: Annotated[int, Interval(ge=1, le=100)] = 2
    """So many times `tracker.min_inliers` must agree with a pose that no motion foretells."""
