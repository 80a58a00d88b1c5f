"""Local mapping: keyframes and landmarks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from annotated_types import Interval

from slamfront.config.settings import Count, Degrees, Expert, Pixels, Settings, Several, Share


@dataclass(frozen=True)
class CovisibilityConfig(Settings, section="keyframes.covisibility"):
    """Landmarks that two keyframes share: by these they know of each other (Mur-Artal et al., "ORB-SLAM", 2015)."""

    min_landmarks: Annotated[int, Interval(ge=1, le=10_000)] = 15
    """Keyframes that share so many show the same place: fewer are shared by chance, or across an edge."""
    local_landmarks: Annotated[int, Interval(ge=1, le=10_000)] = 5
    """Keyframes that share so many with the reference lend their landmarks to the local map, where one too many only
    costs time."""
    strong_landmarks: Annotated[int, Interval(ge=1, le=10_000)] = 30
    """Keyframes that share so many hold each other where a loop is spread over the map."""


@dataclass(frozen=True)
class SelectionConfig(Settings, section="keyframes.selection"):
    """What makes a frame see from elsewhere, so that it becomes a keyframe."""

    max_turn_deg: Degrees = 12.0
    """A frame turned by more since the reference keyframe sees things from elsewhere: a fifth of a usual field."""
    max_move_depths: Annotated[float, Interval(ge=1e-3, le=10)] = 0.1
    """A frame moved by more since then, in median depths, sees things from elsewhere: by 6 degrees of parallax."""
    nearly_lost: Share = 0.25
    """A frame with less than this share of what could be tracked of the reference keyframe is about to be lost."""
    blurred: Share = 0.5
    """... unless it turned and moved less than this share of the two above: what it lacks is blurred then, and would be
    in a keyframe."""
    columns: Annotated[int, Interval(ge=1, le=256)] = 12
    """Columns of the grid that shows how much of the image the map covers."""


@dataclass(frozen=True)
class TriangulationConfig(Settings, section="keyframes.triangulation"):
    """New landmarks of a keyframe, and old ones found in it again."""

    keyframes: Annotated[int, Interval(ge=1, le=1000)] = 3
    """Covisible keyframes that features are triangulated with."""
    fused_keyframes: Annotated[int, Interval(ge=0, le=1000)] = 4
    """Covisible keyframes that look for the new landmarks."""
    max_depth_sigma: Annotated[float, Interval(ge=1e-3, le=1)] = 0.15
    """Largest standard deviation of a triangulated depth, as a share of it: farther ones are directions so far."""
    known_depth_sigma: Annotated[float, Interval(ge=1e-3, le=1)] = 0.3
    """Landmarks known to this share of their depth show how deep a scene is."""
    min_known: Annotated[int, Interval(ge=1, le=10_000)] = 20
    """Fewest of these; where there are fewer all landmarks show it."""
    max_epipolar_px: Pixels = 2.5
    """Largest distance from an epipolar line in pixels of the feature's scale: 2.5 standard deviations."""
    max_reprojection_sigmas: Annotated[float, Interval(ge=0.1, le=100)] = 2.5
    """Largest reprojection error of a triangulated point, in standard deviations of its pixel."""
    max_ratio: Share = 0.8
    """Best descriptor distance over the second best along an epipolar line, at most (Lowe 2004)."""
    fuse_radius_px: Pixels = 4.0
    """Radius in which a keyframe looks for landmarks of its neighbours: poses of both are known to a pixel or two."""
    apart_px: Pixels = 3.0
    """A feature nearer to a landmark that the frame shows is the same corner, and makes no landmark of its own."""
    same_px: Pixels = 1.5
    """A feature this near to a landmark describes it."""
    anchor_ratio: Annotated[float, Interval(ge=1, le=100)] = 1.3
    """A landmark that was anchored from so many times as far is anchored anew: nearer patches are sharper."""
    direction_sigma_px: Pixels = 0.7
    """Standard deviation of a keyframe's ray to a landmark, px: half a pixel, and as much again of its own pose."""
    unknown_depth_sigma: Annotated[float, Interval(ge=0.01, le=100)] = 1.0
    """Standard deviation of a depth that no parallax shows, as a share of it."""


@dataclass(frozen=True)
class CullingConfig(Settings, section="keyframes.culling"):
    """Landmarks and keyframes that are not worth their place."""

    probation: Annotated[int, Interval(ge=1, le=1000)] = 3
    """Keyframes after which a landmark must have been seen by `min_observers`; the newest so many keyframes stay."""
    min_observers: Annotated[int, Interval(ge=1, le=1000)] = 3
    """Fewest keyframes that see a landmark after its probation; others that make a keyframe redundant."""
    min_found: Share = 0.25
    """Least share of the frames that looked for a landmark which found it (Mur-Artal et al. 2015)."""
    min_expected: Annotated[int, Interval(ge=1, le=100_000)] = 30
    """A landmark past its probation is judged by that once so many frames have looked for it: a second."""
    min_nearness: Share = 0.05
    """A landmark of a single camera nearer than this share of the scene's depth is noise taken for parallax."""


@dataclass(frozen=True)
class KeyframeConfig(Settings, section="keyframes"):
    """When a frame becomes a keyframe, and when a keyframe is no longer worth its place."""

    tracked_ratio: Share = 0.75
    """A keyframe is due when fewer landmarks are tracked than this share of the reference keyframe's."""
    max_interval: Annotated[int, Interval(ge=1, le=10**9)] = 30
    """Frames after which a keyframe is due if the backend is idle."""
    min_interval: Count = 2
    """Fewest frames between keyframes, unless tracking is weak."""
    cull_redundancy: Share = 0.9
    """A keyframe goes when this share of its landmarks is seen by three others."""
    max_neighbours: Several = 20
    """Most keyframes that share landmarks with a new one; where there are more, the most redundant go."""
    covisibility: Annotated[CovisibilityConfig, Expert] = field(default_factory=CovisibilityConfig)
    selection: Annotated[SelectionConfig, Expert] = field(default_factory=SelectionConfig)
    triangulation: Annotated[TriangulationConfig, Expert] = field(default_factory=TriangulationConfig)
    culling: Annotated[CullingConfig, Expert] = field(default_factory=CullingConfig)
