"""What goes into the learned matchers and what comes out of an assignment between two sets of keypoints."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class ImagePoints(NamedTuple):
    """Keypoints of one image, or of a batch of images padded to one length N.

    keypoints_xy: ([B,]N,2) px. descriptors: ([B,]N,D). image_size: ([B,]2) px, width and height. scores: ([B,]N)
    detection scores, needed by SuperGlue alone. mask: ([B,]N) bool, True where a keypoint is real, None = all are.
    """

    keypoints_xy: Tensor
    descriptors: Tensor
    image_size: Tensor
    scores: Tensor | None = None
    mask: Tensor | None = None

    def batched(self) -> ImagePoints:
        """Return the points of one image as a batch of one."""
        scores = None if self.scores is None else self.scores[None]
        mask = None if self.mask is None else self.mask[None]
        return ImagePoints(self.keypoints_xy[None], self.descriptors[None], self.image_size[None], scores, mask)


class MutualMatches(NamedTuple):
    """Matches in both directions: indices ([B,]M) and ([B,]N) into the other set, -1 = none, and their probabilities.

    The score of a keypoint that is matched mutually but below the threshold is kept; without a mutual partner it is 0.
    """

    matches0: Tensor
    matches1: Tensor
    scores0: Tensor
    scores1: Tensor


def centred(points: ImagePoints, scale: float) -> Tensor:
    """Put keypoints (B,N,2) relative to the image's centre, in units of `scale` times its longer side; float32."""
    size = points.image_size.to(points.keypoints_xy.device, torch.float32).reshape(-1, 1, 2)
    return (points.keypoints_xy.float() - size / 2) / (scale * size.amax(dim=-1, keepdim=True))


def attention_mask(keys: Tensor | None) -> Tensor | None:
    """Turn a mask of real keys (B,N) into one that broadcasts over heads and queries, (B,1,1,N).

    Where no key is real all are let through: what comes out belongs to padding or to an image without matches, and a
    softmax over nothing would be NaN.
    """
    if keys is None:
        return None
    return (keys | ~keys.any(dim=1, keepdim=True))[:, None, None, :]


def products(x0: Tensor, x1: Tensor) -> Tensor:
    """Return the scalar products (B,M,N) of vectors (B,M,D) and (B,N,D), float32 also where automatic casting is on."""
    with torch.autocast(x0.device.type, enabled=False):
        return x0.float() @ x1.float().mT


def mask_assignment(log_assignment: Tensor, mask0: Tensor | None, mask1: Tensor | None) -> Tensor:
    """Set the rows and columns of padding keypoints in log assignments (B,M+1,N+1) to -inf."""
    for mask, dim in ((mask0, 2), (mask1, 1)):
        if mask is not None:
            padding = torch.nn.functional.pad(~mask, (0, 1), value=False)
            log_assignment = log_assignment.masked_fill(padding.unsqueeze(dim), -torch.inf)
    return log_assignment


def all_unmatched(points0: ImagePoints, points1: ImagePoints) -> Tensor:
    """Return the log assignment (B,M+1,N+1) of two batches of which one has no keypoints: all in the dustbin."""
    batch, count0 = points0.keypoints_xy.shape[:2]
    count1 = points1.keypoints_xy.shape[1]
    return torch.zeros(batch, count0 + 1, count1 + 1, device=points0.keypoints_xy.device)


def mutual_matches(log_assignment: Tensor, threshold: float) -> MutualMatches:
    """Read matches off log assignments ([B,]M+1,N+1), whose last row and column are the dustbins.

    A match is the largest of its row and of its column and has a probability above the threshold.
    """
    inner = log_assignment[..., :-1, :-1]
    if 0 in inner.shape[-2:]:
        return _no_matches(inner)
    best0, nearest0 = inner.max(dim=-1)
    nearest1 = inner.argmax(dim=-2)
    own0 = torch.arange(inner.shape[-2], device=inner.device)
    own1 = torch.arange(inner.shape[-1], device=inner.device)
    mutual0 = nearest1.gather(-1, nearest0) == own0
    mutual1 = nearest0.gather(-1, nearest1) == own1
    scores0 = best0.exp() * mutual0
    scores1 = scores0.gather(-1, nearest1) * mutual1
    return MutualMatches(
        torch.where(mutual0 & (scores0 > threshold), nearest0, -1),
        torch.where(mutual1 & (scores1 > threshold), nearest1, -1),
        scores0,
        scores1,
    )


def _no_matches(inner: Tensor) -> MutualMatches:
    scores0 = inner.new_zeros(inner.shape[:-1])
    scores1 = inner.new_zeros(inner.shape[:-2] + inner.shape[-1:])
    none0, none1 = (torch.full(scores.shape, -1, device=inner.device) for scores in (scores0, scores1))
    return MutualMatches(none0, none1, scores0, scores1)
