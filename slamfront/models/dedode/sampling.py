"""From DeDoDe's logits to keypoints, and from its description grid to descriptors.

Pixels are counted as everywhere in slamfront, the centre of the first at (0, 0). The authors' is at (0.5, 0.5), and
their normalised coordinates are -1 and 1 at the image's edges.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from slamfront.models.detection import window_maximum

_TAPS = 51
_DENSITY_FLOOR, _DENSITY_SCALE, _DIVISION_FLOOR = 1e-6, 1e4, 1e-8


def density(logits: Tensor) -> Tensor:
    """Return the distribution of keypoints (B,H,W), whose sum over an image is 1, of logits (B,H,W)."""
    return logits.float().flatten(1).softmax(dim=1).view(logits.shape)


def spread_out(scores: Tensor) -> Tensor:
    """Return distributions (B,H,W) divided by the root of their own sum within 25 px, weighted by a Gaussian.

    So many weak keypoints are preferred to a crowd of strong ones: what the authors' `detect` samples from.
    """
    taps = torch.exp(-(torch.linspace(-2, 2, _TAPS, device=scores.device) ** 2))
    dense = (scores + _DENSITY_FLOOR)[:, None] * _DENSITY_SCALE
    dense = F.conv2d(dense, taps[None, None, None], padding=(0, _TAPS // 2))
    dense = F.conv2d(dense, taps[None, None, :, None], padding=(_TAPS // 2, 0))[:, 0]
    return scores * (dense + _DIVISION_FLOOR) ** -0.5


def without_border(scores: Tensor, border_px: int) -> Tensor:
    """Return scores (B,H,W) with zeros in the outermost `border_px` rows and columns."""
    height, width = scores.shape[-2:]
    kept = torch.zeros_like(scores, dtype=torch.bool)
    kept[..., border_px : max(height - border_px, border_px), border_px : max(width - border_px, border_px)] = True
    return scores.masked_fill(~kept, 0.0)


def only_maxima(scores: Tensor) -> Tensor:
    """Return scores (B,H,W) with zeros where they are not the largest of the 3x3 pixels about them."""
    return scores.masked_fill(scores != window_maximum(scores, 1), 0.0)


def strongest(scores: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the pixels (N,2), as x, y, of the largest scores (H,W) above 0, at most `count`, and the scores (N,)."""
    found, places = torch.topk(scores.flatten(), min(count, scores.numel()))
    places, found = places[found > 0], found[found > 0]
    width = scores.shape[-1]
    return torch.stack((places % width, torch.div(places, width, rounding_mode="floor")), dim=1), found


def softly_refined(logits: Tensor, pixels: Tensor, temperature: float = 0.5) -> Tensor:
    """Return pixels (N,2) moved to the mean of the 3x3 pixels about them, weighted by exp(logit / temperature): DaD's
    step below the pixel. Logits (H,W) count as 0 beyond the edge. Returns float32 (N,2).
    """
    around = F.pad(logits.float(), (1, 1, 1, 1))
    steps = torch.stack(torch.meshgrid(*(torch.arange(3, device=pixels.device),) * 2, indexing="xy"), -1).view(9, 2)
    places = pixels[:, None] + steps
    weights = (around[places[..., 1], places[..., 0]] / temperature).softmax(dim=1)
    return pixels.float() + weights @ (steps - 1).float()


def described(grid: Tensor, keypoints_xy: Tensor) -> Tensor:
    """Return descriptors (N,D), float32, not normalised: bilinear samples of a grid (D,H,W) at keypoints (N,2) px.

    Beyond the outermost pixels' centres the grid counts as 0.
    """
    size = keypoints_xy.new_tensor([grid.shape[-1], grid.shape[-2]])
    places = ((2 * keypoints_xy + 1) / size - 1).to(grid.dtype)[None, None]
    return F.grid_sample(grid[None], places, mode="bilinear", align_corners=False)[0, :, 0].T.float()
