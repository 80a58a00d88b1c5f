"""Landmarks found in an image: by optical flow, by their patches, by projection; and their distances."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Interval

from slamfront.config.settings import Pixels, Ratio, Settings, Share


@dataclass(frozen=True)
class FlowConfig(Settings, section="tracker.flow"):
    """Landmarks followed from frame to frame by pyramidal Lucas-Kanade."""

    landmarks: Annotated[int, Interval(ge=4, le=10_000)] = 150
    """Most landmarks that are followed: they only place the frame within reach of alignment."""
    window_px: Annotated[int, Interval(ge=5, le=101)] = 17
    """Side of the window: half of it is how far flow reaches on the smallest image of the pyramid."""
    levels: Annotated[int, Interval(ge=0, le=8)] = 3
    """Pyramid levels above the image, each half the size: with a window of 17 px flow reaches 68 px."""
    iterations: Annotated[int, Interval(ge=1, le=1000)] = 15
    """Most iterations on each level; few points need more."""
    sigma_px: Pixels = 1.5
    """Standard deviation of a pixel that was only followed, px: flow drifts from frame to frame."""


@dataclass(frozen=True)
class AlignmentConfig(Settings, section="tracker.alignment"):
    """Landmarks' patches aligned below the pixel by inverse compositional alignment."""

    sigma_px: Pixels = 0.5
    """Standard deviation of an aligned pixel beside what its residuals show, px: the patch's own place, and a surface
    that is not the plane it is taken for."""
    side_px: Annotated[int, Interval(ge=5, le=19)] = 9
    """Side of the square that is aligned: smaller ones have less texture, larger ones more than one surface."""
    steps: Annotated[int, Interval(ge=1, le=100)] = 6
    """Most steps: a shift within `max_shift_px` comes to rest in fewer."""
    max_shift_px: Pixels = 3.0
    """Largest shift, px: a third of the side, beyond which the square has left the texture that it began in."""
    min_correlation: Share = 0.75
    """Least normalised cross-correlation of a patch that is trusted."""
    correlated_pixels: Annotated[float, Interval(ge=1, le=70)] = 8.0
    """Pixels whose residuals count as one: as many as a lens's blur spreads one over."""
    max_magnification: Annotated[float, Interval(ge=1, le=16)] = 2.0
    """Patches that are magnified or shrunk by more leave too little to align."""


@dataclass(frozen=True)
class ProjectionConfig(Settings, section="tracker.projection"):
    """Landmarks looked for among a frame's features where a pose projects them."""

    min_view_cosine: Annotated[float, Interval(ge=-1, le=1)] = 0.5
    """Least cosine between the directions from which a landmark is and was last seen: descriptors bear 60 degrees."""
    max_scale_ratio: Annotated[float, Interval(ge=1, le=100)] = 1.6
    """Largest ratio of a feature's scale to the predicted one: two and a half levels of a pyramid of 1.2."""
    candidates: Annotated[int, Interval(ge=2, le=1000)] = 8
    """Most features nearby that are compared with a landmark."""
    max_ratio: Share = 0.9
    """Best descriptor distance over the second best, at most: looser than without a prediction."""
    wider: Annotated[float, Interval(ge=1, le=100)] = 2.5
    """After motion has been misjudged, landmarks are looked for in a radius so many times as large."""


@dataclass(frozen=True)
class DepthConfig(Settings, section="tracker.depth"):
    """Distances measured by a second camera or a depth image; both as disparities."""

    stereo_sigma_px: Pixels = 0.4
    """Standard deviation of a stereo disparity, px: that of optical flow between both images."""
    rgbd_sigma_px: Pixels = 0.5
    """Standard deviation of a depth image's disparity, px. With a baseline of 8 cm this is 2 cm at 1.3 m: more than the
    sensor's own noise, since depths around a pixel differ, and a moving camera captures them before or after its image
    (measured by tools/depth_delay.py)."""
    offset_sigma_px: Pixels = 0.2
    """Standard deviation of what all disparities of a stereo camera are off by, px: rectification leaves a hundredth or
    two of a degree."""
    window_px: Annotated[int, Interval(ge=5, le=101)] = 13
    """Side of the window in which a pixel is searched for in the right image, px."""
    inner_window_px: Annotated[int, Interval(ge=3, le=101)] = 7
    """Side of the window of the last step, px: where both do not end at one place the wider shows two depths."""
    max_disagreement_px: Pixels = 0.5
    """Largest distance between the answers of both windows, px: one deviation of a disparity and a little."""
    max_return_error_px: Pixels = 0.7
    """Left to right and back must end this near to where it began, px: two searches, each with its own error."""
    max_row_error_px: Pixels = 1.0
    """Largest difference of rows, px: what rectification leaves, and the search's own error."""
    rgbd_noise_px: Annotated[float, Interval(ge=1e-4, le=100)] = 0.06
    """Standard deviation of one pixel of a depth image as disparity, px: up to 4 cm at 5 m (Khoshelham and Elberink
    2012), where a baseline of 8 cm and a focal length of 520 px make it 8.3 px; about smooth surfaces of fr1 and
    7-Scenes it is .04 px."""
    surface_sigma_px: Pixels = 1.0
    """Depths around a pixel count by a Gaussian of this standard deviation, px."""
    min_pixels: Annotated[int, Interval(ge=1, le=25)] = 3
    """Fewest depths around a pixel: fewer determine no plane, nor that one of them is wrong."""
    slant: Ratio = 2.0
    """Standard deviation of how surfaces slant, the tangent: 63 degrees. It counts only where few pixels are left."""
    outlier_sigmas: Annotated[float, Interval(ge=0.5, le=100)] = 3.0
    """Depths further from the plane are of another surface: 99.7 % of the plane's own lie nearer."""
    max_elsewhere: Share = 0.2
    """Largest share of the depths around a pixel that lie on another surface: a single wrong value has less, the far
    side of an edge more."""
    max_off_centre_px: Pixels = 0.3
    """Missing depths move the centre of the others by at most so much, px, which scattered ones rarely do: the straight
    rim of a hole does where it is within 1.5 px, and holes of depth cameras begin at the edges of things."""
