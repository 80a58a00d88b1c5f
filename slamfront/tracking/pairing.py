"""Whether a stereo camera's images belong together: which is the left one, and whether both were taken at one time.

Both are told by what is seen in both images, wherever it lies: nothing is taken for granted about rows or disparities.
"""

from __future__ import annotations

import logging

import cv2
import numpy as np
from scipy.stats import binom, t

from slamfront.solve.statistics import MAD_TO_SIGMA
from slamfront.types import BoolArray, FloatArray, Image, IntArray

log = logging.getLogger(__name__)

# Keypoints of an image that are matched, by how much the best descriptor must beat the second, and how far a match may
# move where it is refined, px
_KEYPOINTS, _RATIO, _REFINED_PX = 500, 0.8, 3.0
_WINDOW = (15, 15)
# There and back again a point ends where it began, px
_RETURN_PX = 0.5
# Smaller disparities have no sign: rectification may be off by as much
_LEAST_DISPARITY_PX = 1.0
# Matches in a cell of the image, so many a side, give one vote: those on one object are right or wrong together
_CELLS = 6
# Of a pair in the right order, wrong matches decide at most this share of votes
_WRONG_VOTES = 0.2
# How unlikely what is seen must be of pairs in order before it is told that they are not
_RISK = 1e-4
# Frames that are looked at before anything is said, all of the first ones and then every tenth, and at most so many
_LEAST, _EACH, _STRIDE, _MOST = 5, 25, 10, 60
# Rows that change less between frames, px, on the average, tell no time: they are not measured any better. Points that
# tell whether they do
_LEAST_MOTION_PX, _SCOUTS = 0.3, 100
# Least deviation of a row difference, px, the rounds in which it is found, and from how many on a match counts less
_ROW_SIGMA_PX, _ROUNDS, _OFF = 0.2, 12, 3.0
# Pairs that are taken within half of the time between frames belong together
_IN_STEP = 0.5


class _Tally:
    """Counts matches by the sign of their disparities: `negative` of `signed`; and votes of cells, a frame's in each
    row of `votes`: negative ones, and all.
    """

    def __init__(self) -> None:
        self.negative = self.signed = 0
        self.votes: list[tuple[int, int]] = []

    def add(self, disparity: FloatArray, signed: BoolArray, cells: IntArray) -> None:
        """Count matches (N,) that have a sign, of cells with these numbers."""
        self.negative += int((disparity[signed] < 0).sum())
        self.signed += int(signed.sum())
        balance = np.bincount(cells[signed], np.sign(disparity[signed]), _CELLS**2)
        self.votes.append((int((balance < 0).sum()), int((balance != 0).sum())))

    def unlikely(self) -> tuple[bool, bool]:
        """Return whether so many negative votes are more than wrong matches make, and whether so many positive ones
        are.

        What is seen in one frame is seen in the next as well: frames are averaged and not added up.
        """
        negative, all_ = (round(float(np.mean(column))) for column in zip(*self.votes))
        wrong, right = (binom.sf(count - 1, all_, _WRONG_VOTES) < _RISK for count in (negative, all_ - negative))
        return bool(wrong), bool(right)


class PairCheck:
    """Looks at the pairs of a stereo camera until it is sure of them, and warns once where something is wrong.

    The right image is swapped with the left one where disparities are negative in most parts of the image, by a
    binomial test. It is out of step where the rows of matches differ by as much as points move between frames: the time
    between both images is estimated by robust regression, together with what rectification may have left, which stays
    the same from frame to frame; how uncertain it is, by how it differs from frame to frame (Liang and Zeger,
    "Longitudinal data analysis using generalized linear models", Biometrika 1986).

    finding  what is wrong with the pairs, with the evidence in numbers; empty while nothing is
    """

    def __init__(self) -> None:
        self.finding = ""
        self._orb = cv2.ORB_create(_KEYPOINTS, fastThreshold=10)
        self._recent: list[tuple[Image, Image]] = []
        self._seen = self._looked = 0
        self._order_known = self._time_known = False
        self._tallies = _Tally(), _Tally()
        self._terms: list[FloatArray] = []
        self._rows_px: list[FloatArray] = []

    @property
    def done(self) -> bool:
        """Whether nothing more is to be learned."""
        return bool(self.finding) or (self._order_known and self._time_known) or self._looked >= _MOST

    def look(self, left: Image, right: Image) -> None:
        """Take in the next frame's grey images (H,W)."""
        if not self.done:
            self._take(left, right)

    def _take(self, left: Image, right: Image) -> None:
        self._recent = [*self._recent[-2:], (left, right)]
        self._seen += 1
        if len(self._recent) == 3 and (self._seen <= _EACH or self._seen % _STRIDE == 0):
            self._judge()
            if self.finding:
                log.warning("%s", self.finding)
            if self.done:
                self._recent = []

    def _judge(self) -> None:
        """Learn from the middle one of three frames, whose matches also move to the one before and the one after."""
        (before, _), (left, right), (after, _) = self._recent
        if self._order_known and _rows_moved_px(left, after) < _LEAST_MOTION_PX:
            return
        self._looked += 1
        left_xy, right_xy = self._matched(left, right)
        past_xy, kept = _followed(left, before, left_xy, left_xy)
        future_xy, kept_too = _followed(left, after, left_xy, left_xy)
        kept &= kept_too
        left_xy, right_xy, past_xy, future_xy = (xy[kept] for xy in (left_xy, right_xy, past_xy, future_xy))
        if not self._order_known:
            moves_px = np.maximum(np.abs(past_xy - left_xy), np.abs(future_xy - left_xy))[:, 0]
            self._judge_order(left_xy, right_xy, moves_px, left.shape)
        moves_px = (future_xy - past_xy)[:, 1] / 2
        if (
            not (self.finding or self._time_known)
            and len(moves_px)
            and float(np.mean(np.abs(moves_px))) > _LEAST_MOTION_PX
        ):
            self._judge_time(left_xy, right_xy, moves_px, left.shape)

    def _matched(self, left: Image, right: Image) -> tuple[FloatArray, FloatArray]:
        """Return pixels (N,2) of both images that look alike, refined."""
        nothing = np.zeros((0, 2))
        # ORB fails on an image that its pyramid shrinks to nothing
        if min(left.shape) <= 2 * self._orb.getEdgeThreshold():
            return nothing, nothing
        (first, one), (second, two) = (self._orb.detectAndCompute(image, None) for image in (left, right))
        if one is None or two is None or len(two) < 2:
            return nothing, nothing
        pairs = cv2.BFMatcher(cv2.NORM_HAMMING).knnMatch(one, two, k=2)
        good = [best for best, other in pairs if best.distance < _RATIO * other.distance]
        left_xy = np.array([first[m.queryIdx].pt for m in good]).reshape(-1, 2)
        right_xy = np.array([second[m.trainIdx].pt for m in good]).reshape(-1, 2)
        refined_xy, kept = _followed(left, right, left_xy, right_xy)
        kept &= np.linalg.norm(refined_xy - right_xy, axis=1) < _REFINED_PX
        return left_xy[kept], refined_xy[kept]

    def _judge_order(
        self, left_xy: FloatArray, right_xy: FloatArray, moves_px: FloatArray, shape: tuple[int, ...]
    ) -> None:
        disparity = left_xy[:, 0] - right_xy[:, 0]
        cells = (left_xy / (shape[1], shape[0]) * _CELLS).astype(np.int64) @ (1, _CELLS)
        # Points of a pair that is out of step move to the other side by no more than they move between frames
        for tally, least_px in zip(self._tallies, (_LEAST_DISPARITY_PX + moves_px, _LEAST_DISPARITY_PX)):
            tally.add(disparity, np.abs(disparity) > least_px, cells)
        tally = self._tallies[1 if self._time_known else 0]
        if len(tally.votes) < _LEAST:
            return
        wrong, right = tally.unlikely()
        self._order_known = right
        if wrong:
            self.finding = (
                f"the left and right images seem to be swapped: {tally.negative} of {tally.signed} matches "
                f"have negative disparity"
            )

    def _judge_time(
        self, left_xy: FloatArray, right_xy: FloatArray, moves_px: FloatArray, shape: tuple[int, ...]
    ) -> None:
        x, y = (left_xy - (shape[1] / 2, shape[0] / 2)).T / shape[1]
        disparity = (left_xy[:, 0] - right_xy[:, 0]) / shape[1]
        # What is left by a rectification whose cameras are turned or shifted a little against each other
        self._terms.append(np.stack([moves_px, np.ones(len(x)), x, y, disparity, x * y, y * y], axis=1))
        self._rows_px.append(right_xy[:, 1] - left_xy[:, 1])
        if len(self._terms) < _LEAST:
            return
        later, sigma = _delay(self._terms, self._rows_px)
        sure = float(t.isf(_RISK, len(self._terms) - 1)) * sigma
        self._time_known = abs(later) + sure < _IN_STEP
        if abs(later) - sure > _IN_STEP:
            rows_px = float(np.median(np.abs(np.concatenate(self._rows_px))))
            self.finding = (
                f"the images of a pair are out of step: the right ones seem to be taken {abs(later):.1f} frames "
                f"{'later' if later > 0 else 'earlier'} than the left ones (+-{sigma:.2f}, by {len(self._terms)} "
                f"frames): the rows of matches differ by {rows_px:.1f} px, as they move between frames"
            )


def _rows_moved_px(image: Image, other: Image) -> float:
    """Return by how much points change their row from one image to another, on the average."""
    corners = cv2.goodFeaturesToTrack(image, _SCOUTS, 0.01, 8.0)
    if corners is None:
        return 0.0
    xy = corners.reshape(-1, 2).astype(np.float64)
    found_xy, kept = _followed(image, other, xy, xy)
    return float(np.mean(np.abs(found_xy - xy)[kept, 1])) if kept.any() else 0.0


def _followed(image: Image, other: Image, xy: FloatArray, start_xy: FloatArray) -> tuple[FloatArray, BoolArray]:
    """Return where another image shows pixels (N,2), near (N,2), by pyramidal Lucas-Kanade, and which were found."""
    if len(xy) == 0:
        return np.zeros((0, 2)), np.zeros(0, bool)
    options = {"winSize": _WINDOW, "maxLevel": 3, "flags": cv2.OPTFLOW_USE_INITIAL_FLOW}
    pixels, start = (np.array(one, np.float32).reshape(-1, 1, 2) for one in (xy, start_xy))
    found, good, _ = cv2.calcOpticalFlowPyrLK(image, other, pixels, start, **options)
    back, good_back, _ = cv2.calcOpticalFlowPyrLK(other, image, found, pixels.copy(), **options)
    returned = np.linalg.norm(back - pixels, axis=2)[:, 0] < _RETURN_PX
    return found[:, 0].astype(np.float64), returned & (good.ravel() > 0) & (good_back.ravel() > 0)


def _delay(terms: list[FloatArray], rows_px: list[FloatArray]) -> tuple[float, float]:
    """Return how much of points' motion from frame to frame, the first of the terms (N,7) of each frame, their row
    differences (N,) show, and its deviation.
    """
    frames = np.repeat(np.arange(len(terms)), [len(one) for one in terms])
    all_terms, all_rows_px = np.concatenate(terms), np.concatenate(rows_px)
    fits = [_fitted(all_terms, all_rows_px, start) for start in (0.0, 1.0, -1.0)]
    solution, weights, sigma_px = min(fits, key=lambda fit: fit[2])
    inverse = np.linalg.pinv((all_terms * weights[:, None]).T @ all_terms)
    scores = all_terms * (weights * (all_rows_px - all_terms @ solution))[:, None]
    by_frame = np.stack([np.bincount(frames, column, len(terms)) for column in scores.T], axis=1)
    # As of so many frames as many more are free as there are terms
    share = len(terms) / max(len(terms) - 1, 1)
    covariance = inverse @ (share * by_frame.T @ by_frame + sigma_px**2 * np.linalg.pinv(inverse)) @ inverse
    return float(solution[0]), float(np.sqrt(covariance[0, 0]))


def _fitted(terms: FloatArray, rows_px: FloatArray, start: float) -> tuple[FloatArray, FloatArray, float]:
    """Return the solution (7,), weights (N,) and deviation of a robust regression that begins with a delay."""
    errors = rows_px - start * terms[:, 0]
    solution: np.ndarray = np.zeros(terms.shape[1])
    weights, sigma_px = np.ones(len(terms)), _ROW_SIGMA_PX
    for _ in range(_ROUNDS):
        sigma_px = max(_ROW_SIGMA_PX, MAD_TO_SIGMA * float(np.median(np.abs(errors))))
        weights = (1 + (errors / (_OFF * sigma_px)) ** 2) ** -2
        weighted = terms * weights[:, None]
        solution = np.asarray(np.linalg.lstsq(weighted.T @ terms, weighted.T @ rows_px, rcond=1e-10)[0])
        errors = rows_px - terms @ solution
    return solution, weights, sigma_px
