"""From dense detector scores to keypoints and their descriptors (DeTone et al., SuperPoint, CVPRW 2018, section 3)."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

CELL = 8
"""Side in pixels of the square of the image that one cell of the dense maps stands for."""

_SCORE_FLOOR = 1e-8


class Keypoints(NamedTuple):
    """Keypoints of one image, strongest first.

    keypoints_xy: (N,2) px, the centre of the top-left pixel is (0,0). scores: (N,) in [0,1]. descriptors: (N,D), unit
    length, float32.
    """

    keypoints_xy: Tensor
    scores: Tensor
    descriptors: Tensor


def score_map(logits: Tensor) -> Tensor:
    """Turn detector logits (B,65,h,w) into a map of keypoint probabilities (B,8h,8w), float32.

    Softmax over a cell's 64 pixels and its dustbin (channel 64), which is dropped; channel 8r+c is row r, column c.
    """
    probabilities = logits.float().softmax(dim=1)[:, :-1]
    return F.pixel_shuffle(probabilities, CELL).squeeze(1)


def smoothed(scores: Tensor) -> Tensor:
    """Blur score maps (B,H,W) with a standard deviation of one pixel, by the binomial filter of 5x5; 0 beyond the edge.

    A point between two pixels, or two cells, has its probability spread over both: the blurred map has one peak there.
    """
    scores = F.pad(scores, (2, 2, 2, 2))
    for dim in (-1, -2):
        for _ in range(4):
            length = scores.shape[dim] - 1
            scores = scores.narrow(dim, 0, length) + scores.narrow(dim, 1, length)
    return scores / 256


def window_maximum(values: Tensor, radius: int) -> Tensor:
    """Return the maximum of non-negative maps (B,H,W) over the square window of a radius around each pixel.

    The same as a max-pool of stride 1, in 2 log2(2 radius + 1) maxima of shifted copies: about 80 times as fast on a
    CPU for radius 4.
    """
    size = 2 * radius + 1
    values = F.pad(values, (radius, radius, radius, radius))
    for dim in (-1, -2):
        covered = 1
        while covered < size:
            shift = min(covered, size - covered)
            length = values.shape[dim] - shift
            values = torch.maximum(values.narrow(dim, 0, length), values.narrow(dim, shift, length))
            covered += shift
    return values


def suppress_non_maxima(scores: Tensor, radius: int) -> Tensor:
    """Set to zero the scores (B,H,W) that are not the strongest within a square window of a radius in pixels.

    Two further rounds bring back points whose stronger neighbours were themselves suppressed.
    """
    if radius == 0:
        return scores
    kept = scores == window_maximum(scores, radius)
    for _ in range(2):
        suppressed = window_maximum(kept.to(torch.uint8), radius) > 0
        remaining = scores.masked_fill(suppressed, 0.0)
        kept = kept | ((remaining == window_maximum(remaining, radius)) & ~suppressed)
    return scores.masked_fill(~kept, 0.0)


def select_keypoints(
    suppressed: Tensor, max_keypoints: int | None, threshold: float, border_px: int
) -> tuple[Tensor, Tensor]:
    """Pick the strongest pixels of one suppressed score map (H,W), strongest first.

    Returns integer pixels (N,2) as x, y and their scores (N,): those above the threshold and at least `border_px` from
    the map's edge, at most `max_keypoints` of them (None: all).
    """
    height, width = suppressed.shape
    interior = suppressed[border_px : height - border_px, border_px : width - border_px]
    rows, columns = torch.nonzero(interior > threshold, as_tuple=True)
    scores = interior[rows, columns]
    count = len(scores) if max_keypoints is None else min(max_keypoints, len(scores))
    scores, order = torch.topk(scores, count)
    return torch.stack((columns[order], rows[order]), dim=1) + border_px, scores


def refine_subpixel(scores: Tensor, pixels: Tensor) -> Tensor:
    """Move pixels (N,2) to the peak of the unsuppressed score map (H,W) around them; returns (N,2) float32 px.

    A parabola through the logarithms of a pixel's score and its two neighbours', in x and in y: exact for a Gaussian
    peak. The step stays within half a pixel and is zero where the map is flat, and next to the map's edge.
    """
    height, width = scores.shape
    x = pixels[:, 0].clamp(1, max(width - 2, 1))
    y = pixels[:, 1].clamp(1, max(height - 2, 1))
    around = torch.stack((scores[y, x - 1], scores[y, x + 1], scores[y - 1, x], scores[y + 1, x], scores[y, x]))
    left, right, above, below, centre = around.clamp_min(_SCORE_FLOOR).log()
    steps = torch.stack((_parabola_peak(left, centre, right), _parabola_peak(above, centre, below)), dim=1)
    on_edge = torch.stack((x, y), dim=1) != pixels
    return pixels.to(scores.dtype) + steps.masked_fill(on_edge, 0.0)


def _parabola_peak(before: Tensor, centre: Tensor, after: Tensor) -> Tensor:
    curvature = before - 2 * centre + after
    step = 0.5 * (before - after) / curvature.clamp_max(-1e-6)
    return torch.where(curvature < -1e-6, step.clamp(-0.5, 0.5), 0.0)


def sample_descriptors(
    descriptors: Tensor, keypoints_xy: Tensor, corners: bool = True, interpolation: str = "bilinear"
) -> Tensor:
    """Interpolate a descriptor map (D,h,w) at keypoints (N,2) px; returns (N,D) of unit length, float32.

    `interpolation` is bilinear, as in the paper, or bicubic.

    `corners` chooses between the two conventions in use, which a set of weights has to be run with: True is the
    original SuperPoint's (the outermost cells' centres lie at the map's ends), False takes cell centres as they are.
    """
    height, width = descriptors.shape[-2:]
    size = keypoints_xy.new_tensor([width, height]) * CELL
    if corners:
        unit = (keypoints_xy - CELL / 2 + 0.5) / (size - CELL / 2 - 0.5)
    else:
        unit = (keypoints_xy + 0.5) / size
    grid = (unit * 2 - 1).to(descriptors.dtype)[None, None]
    sampled = F.grid_sample(descriptors[None], grid, mode=interpolation, align_corners=corners)[0, :, 0]
    return F.normalize(sampled.float(), dim=0).T
