"""Pictures of matches: both images side by side, right matches green, wrong ones red."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from slamfront.evaluation.matching.methods import InGroup, MatchedPair, grouped
from slamfront.evaluation.matching.pairs import ImagePair, evenly_spread
from slamfront.types import FloatArray, IntArray

RIGHT_RGB, WRONG_RGB, KEYPOINT_RGB = (46, 184, 92), (226, 54, 54), (120, 160, 240)
"""Colours of right matches, of wrong ones, and of keypoints without a match."""

_MAX_WIDTH_PX = 1200
_SHIFT = 4  # fractional bits of OpenCV's drawing


class Graded(InGroup, Protocol):
    """A result with a precision."""

    @property
    def precision(self) -> float:
        """Share of the matches that are right; nan where that is not known."""
        ...


def match_picture(matched: MatchedPair[ImagePair]) -> bytes:
    """Return a PNG of the pair side by side, with its keypoints and a line for each match.

    Where nothing tells whether a match is right, its line has the colour of a keypoint.
    """
    images = (matched.pair.first, matched.pair.second)
    height, width = max(image.shape[0] for image in images), images[0].shape[1]
    factor = min(1.0, _MAX_WIDTH_PX / (width + images[1].shape[1]))
    sheet = np.zeros((height, width + images[1].shape[1], 3), np.uint8)
    for image, left in zip(images, (0, width)):
        sheet[: image.shape[0], left : left + image.shape[1]] = image[..., None]
    if factor < 1:
        sheet = np.asarray(cv2.resize(sheet, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA), np.uint8)
    # Darker, so that the lines stand out, and in 32 levels, for a PNG of half the size
    sheet = (sheet >> 3) * np.uint8(6)
    for features, left in ((matched.first, 0), (matched.second, width)):
        for centre in _fixed(features.keypoints_xy + np.array([left, 0.0]), factor):
            cv2.circle(sheet, centre, 1 << _SHIFT, KEYPOINT_RGB, 1, cv2.LINE_AA, _SHIFT)
    from_xy, to_xy = matched.matches.pixels(matched.first, matched.second)
    starts, ends = _fixed(from_xy, factor), _fixed(to_xy + [width, 0], factor)
    # Wrong ones last: they are what one looks for
    grades: IntArray = np.where(matched.right, 1, 2) * matched.judged
    for row in np.argsort(grades, kind="stable"):
        colour = (KEYPOINT_RGB, RIGHT_RGB, WRONG_RGB)[grades[row]]
        cv2.line(sheet, starts[row], ends[row], colour, 1, cv2.LINE_AA, _SHIFT)
    _, content = cv2.imencode(".png", sheet[..., ::-1])
    return content.tobytes()


def informative_pairs(results: Sequence[Sequence[Graded]], count: int) -> list[int]:
    """Return the rows of `count` pairs of each group, from the one whose matches are worst on average to the best.

    `results` holds the results of all pairs for each method. A precision that is not known counts as none.
    """
    precision = np.mean(np.nan_to_num([[result.precision for result in one] for one in results]), axis=0)
    rows = []
    for group in grouped(results[0]):
        of_group = np.array([row for row, result in enumerate(results[0]) if result.group == group])
        ordered = of_group[np.argsort(precision[of_group], kind="stable")]
        rows += [int(ordered[place]) for place in evenly_spread(len(ordered), count)]
    return rows


def _fixed(points_xy: FloatArray, factor: float) -> list[tuple[int, int]]:
    """Return points (N,2) of the resampled sheet in OpenCV's fixed-point numbers."""
    scaled: NDArray[Any] = ((points_xy + 0.5) * factor - 0.5) * (1 << _SHIFT)
    return [(int(x), int(y)) for x, y in np.rint(scaled)]
