"""Two images matched to a fraction of a pixel, without a map.

matcher = ImageMatcher()
found = matcher.match(first, second)
print(len(found), found.first_xy, found.second_xy)
"""

from __future__ import annotations

from dataclasses import dataclass

from slamfront.build import build_extractor, build_matcher, resolve
from slamfront.config import RunConfig
from slamfront.imaging import grey
from slamfront.patches import align_matches
from slamfront.types import BoolArray, Float32Array, FloatArray, Image, check_image


@dataclass(frozen=True, slots=True, eq=False)
class MatchedPixels:
    """Pixels of two images that show the same, float64 (K,2), (0, 0) in the middle of the first pixel.

    scores   float32 (K,), higher is better
    aligned  bool (K,): which are exact to a fraction of a pixel; the others lie at keypoints, a pixel or so off, or are
             wrong
    """

    first_xy: FloatArray
    second_xy: FloatArray
    scores: Float32Array
    aligned: BoolArray

    def __len__(self) -> int:
        return len(self.first_xy)

    def take(self, rows: BoolArray) -> MatchedPixels:
        """Return those of the given rows (indices or mask); `found.take(found.aligned)` keeps the exact ones."""
        return MatchedPixels(self.first_xy[rows], self.second_xy[rows], self.scores[rows], self.aligned[rows])


class ImageMatcher:
    """Finds keypoints in two images, matches them, and moves the second ones to where it shows what the first shows.

    config   its `extractor`, `matcher` and `device` are used. Raises ConfigError for what cannot be, WeightsError when
             weights are missing.
    """

    def __init__(self, config: RunConfig | None = None) -> None:
        config = resolve(config or RunConfig())
        self._extractor, self._matcher = build_extractor(config), build_matcher(config)

    def match(self, first: Image, second: Image) -> MatchedPixels:
        """Return the matches of two images, uint8 (H,W) grey or (H,W,3) RGB, of any sizes; none are a valid answer.

        Raises FrameError for anything else.
        """
        check_image(first, "the first image")
        check_image(second, "the second image")
        first, second = grey(first), grey(second)
        features = self._extractor.extract(first), self._extractor.extract(second)
        matches = self._matcher.match(*features)
        first_xy, second_xy = matches.pixels(*features)
        second_xy, aligned = align_matches(first, second, first_xy, second_xy)
        return MatchedPixels(first_xy, second_xy, matches.scores, aligned)
