"""What SuperPoint is trained to make small: of its detector and of its descriptors (DeTone et al., CVPRW 2018)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from slamfront.models.detection import CELL, suppress_non_maxima

_REACH = 2
"""Pixels on either side of a keypoint that its target covers."""


def detector_targets(points_xy: Tensor, size: tuple[int, int], sigma_px: float = 0.6) -> Tensor:
    """Return the probabilities (B,65,h,w) that the detector is to give for keypoints (B,N,2) px; nan rows are none.

    Each keypoint is a Gaussian of `sigma_px` about its exact place, sampled at the pixels and of unit sum, so that the
    detector learns positions below the pixel, and a parabola through the logarithms of its scores finds them. What of a
    cell belongs to no keypoint is the dustbin's (channel 64); a cell with several shares itself out among them.
    `size` is (width, height), multiples of 8.
    """
    batch = len(points_xy)
    width, height = size
    steps = torch.arange(-_REACH, _REACH + 1, device=points_xy.device)
    offsets = torch.stack(torch.meshgrid(steps, steps, indexing="xy"), dim=-1).view(1, 1, -1, 2)
    # All is float32: half precision has no thousandths of a pixel at 300
    nearest = points_xy.nan_to_num(-1e4).round()
    pixels = nearest[:, :, None] + offsets
    weights = torch.exp(-(pixels - points_xy.nan_to_num(-1e4)[:, :, None]).square().sum(-1) / (2 * sigma_px**2))
    weights = weights / weights.sum(-1, keepdim=True)
    x, y = pixels.long().unbind(-1)
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    index = torch.where(inside, y * width + x, 0).view(batch, -1)
    heat = torch.zeros(batch, height * width, device=points_xy.device)
    heat.scatter_add_(1, index, torch.where(inside, weights, 0.0).view(batch, -1))
    cells = F.pixel_unshuffle(heat.view(batch, 1, height, width), CELL)
    mass = cells.sum(1, keepdim=True)
    return torch.cat((cells / mass.clamp_min(1.0), (1 - mass).clamp_min(0.0)), dim=1)


def detector_loss(logits: Tensor, targets: Tensor, seen: Tensor) -> Tensor:
    """Return the mean cross-entropy between logits (B,65,h,w) and targets alike over the cells that count (Eq. 3).

    seen: (B,H,W) bool; a cell counts when all its pixels are seen.
    """
    cells = F.pixel_unshuffle(seen[:, None].to(logits.dtype), CELL).amin(1)
    entropy = -(targets * logits.log_softmax(dim=1)).sum(1)
    return (entropy * cells).sum() / cells.sum().clamp_min(1.0)


def reprojection_consistency_loss(scores: Tensor, second_from_first: Tensor, area: Tensor, points: int = 128) -> Tensor:
    """Return how far apart, in px, two views of a plane place the same keypoints: no label is exact enough for that.

    The strongest maxima of each view, each the mean place of the scores around it, are carried into the other view, and
    compared with the mean place of the scores around there. The loss is even beyond 2 px, where it is another keypoint
    (after the reprojection loss of Zhao et al., "ALIKE", 2022, section III-D).

    scores: (B,2,H,W) probabilities. second_from_first: (B,3,3); nan where a pair shows no plane. area: (B,2,H,W) bool,
    what shows something.
    """
    total, count = scores.new_zeros(()), scores.new_zeros(())
    first_from_second = torch.linalg.inv(second_from_first.nan_to_num(0) + 1e-9 * torch.eye(3, device=scores.device))
    plane = torch.isfinite(second_from_first).flatten(1).all(1)
    for one, other, homography in ((0, 1, second_from_first), (1, 0, first_from_second)):
        with torch.no_grad():
            peaks = suppress_non_maxima(scores[:, one].detach(), 4) * area[:, one]
            rows = peaks.flatten(1).topk(points, dim=1).indices
            pixels = torch.stack((rows % scores.shape[-1], rows // scores.shape[-1]), dim=-1)
        places, inside = _mean_places(scores[:, one], pixels)
        homogeneous = F.pad(places, (0, 1), value=1.0) @ homography.nan_to_num(0).transpose(1, 2)
        carried = homogeneous[..., :2] / homogeneous[..., 2:].clamp_min(1e-3)
        target = carried.detach().clamp(-1e4, 1e4).round().long()
        found, there = _mean_places(scores[:, other], target)
        x, y = target[..., 0].clamp(0, area.shape[-1] - 1), target[..., 1].clamp(0, area.shape[-2] - 1)
        shown = area[:, other].flatten(1).gather(1, y * area.shape[-1] + x)
        valid = inside & there & shown & plane[:, None]
        gaps = torch.where(valid, (found - carried).square().sum(-1).clamp(1e-8, 4.0).sqrt(), 0.0)
        total, count = total + gaps.sum(), count + valid.sum()
    return total / count.clamp_min(1)


def _mean_places(scores: Tensor, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the means (B,N,2) of places around pixels (B,N,2), weighted by scores (B,H,W), and which lie inside."""
    height, width = scores.shape[-2:]
    inside = ((pixels >= _REACH) & (pixels < pixels.new_tensor([width - _REACH, height - _REACH]))).all(-1)
    steps = torch.arange(-_REACH, _REACH + 1, device=scores.device)
    offsets = torch.stack(torch.meshgrid(steps, steps, indexing="xy"), dim=-1).view(1, 1, -1, 2)
    around = torch.where(inside[..., None], pixels, _REACH)[:, :, None] + offsets
    index = around[..., 1] * width + around[..., 0]
    weights = scores.flatten(1).gather(1, index.flatten(1)).view(index.shape) + 1e-9
    mean = (weights[..., None] * around).sum(2) / weights.sum(2, keepdim=True)
    return mean, inside


def sample_at(descriptors: Tensor, points_xy: Tensor, corners: bool) -> Tensor:
    """Interpolate descriptor maps (B,D,h,w) at points (B,N,2) px; returns (B,N,D) of unit length.

    `corners` is the network's convention, as in `slamfront.models.detection.sample_descriptors`.
    """
    height, width = descriptors.shape[-2:]
    size = points_xy.new_tensor([width, height]) * CELL
    unit = (points_xy - CELL / 2 + 0.5) / (size - CELL / 2 - 0.5) if corners else (points_xy + 0.5) / size
    sampled = F.grid_sample(descriptors, unit[:, :, None] * 2 - 1, mode="bilinear", align_corners=corners)
    return F.normalize(sampled[..., 0].transpose(1, 2), dim=2)


def dual_softmax_loss(
    first: Tensor, second: Tensor, second_xy: Tensor, valid: Tensor, temperature: Tensor, radius_px: float = 8.0
) -> Tensor:
    """Return the contrastive loss of corresponding descriptors (B,N,D): each is to find its own among all of its image.

    The negative log of the product of two softmaxes over similarities, along rows and along columns (Rocco et al.,
    "Neighbourhood Consensus Networks", 2018; Tyszkiewicz et al., "DISK", 2020): those most alike weigh most. Pairs of
    points within `radius_px` of each other in the second image are no negatives. valid: (B,N) bool. temperature: ().
    """
    similarity = first @ second.transpose(1, 2) / temperature
    near = torch.cdist(second_xy, second_xy) < radius_px
    return _dual_softmax(similarity, near, valid)


def batch_softmax_loss(
    first: Tensor, second: Tensor, second_xy: Tensor, valid: Tensor, temperature: Tensor, radius_px: float = 8.0
) -> Tensor:
    """Return the same loss with the points of all pairs (B,N,D) of a step as negatives: those of other images too."""
    pairs, count = valid.shape
    near = torch.cdist(second_xy, second_xy) < radius_px
    all_near = torch.block_diag(*near.to(torch.uint8)).bool()
    similarity = first.flatten(0, 1) @ second.flatten(0, 1).T / temperature
    return _dual_softmax(similarity[None], all_near[None], valid.view(1, pairs * count))


def _dual_softmax(similarity: Tensor, near: Tensor, valid: Tensor) -> Tensor:
    own = torch.eye(near.shape[1], dtype=torch.bool, device=near.device)
    excluded = (near & ~own) | ~(valid[:, :, None] & valid[:, None, :])
    similarity = similarity.masked_fill(excluded & ~own, -1e4)
    rows = similarity.log_softmax(dim=2).diagonal(dim1=1, dim2=2)
    columns = similarity.log_softmax(dim=1).diagonal(dim1=1, dim2=2)
    return -((rows + columns) * valid).sum() / (2 * valid.sum().clamp_min(1))


def hinge_loss(
    first: Tensor,
    second: Tensor,
    first_xy_in_second: Tensor,
    seen: Tensor,
    positive_weight: float = 250.0,
    positive_margin: float = 1.0,
    negative_margin: float = 0.2,
) -> Tensor:
    """Return the paper's hinge loss over all pairs of cells of descriptor maps (B,D,h,w) (Eqs. 4 to 6).

    first_xy_in_second: (B,h,w,2), the first image's cell centres in pixels of the second. seen: (B,h,w) bool, cells of
    the second image that count. Cells whose centres come within 8 px are positives.
    """
    height, width = second.shape[-2:]
    rows, columns = torch.meshgrid(
        torch.arange(height, device=second.device), torch.arange(width, device=second.device), indexing="ij"
    )
    centres = torch.stack((columns, rows), dim=-1).view(-1, 2) * float(CELL) + (CELL - 1) / 2
    distances = torch.cdist(first_xy_in_second.flatten(1, 2), centres.to(first_xy_in_second.dtype)[None])
    positive = distances <= CELL
    similarity = first.flatten(2).transpose(1, 2) @ second.flatten(2)
    loss = torch.where(
        positive,
        positive_weight * (positive_margin - similarity).clamp_min(0),
        (similarity - negative_margin).clamp_min(0),
    )
    counts = seen.flatten(1)[:, None, :].to(loss.dtype)
    return (loss * counts).sum() / (counts.sum().clamp_min(1.0) * loss.shape[1])
