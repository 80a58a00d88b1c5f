"""SuperGlue: matching by a graph network and optimal transport (Sarlin et al., CVPR 2020)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from slamfront.models.assignment import (
    ImagePoints,
    all_unmatched,
    attention_mask,
    centred,
    mask_assignment,
    mutual_matches,
    products,
)
from slamfront.models.sinkhorn import log_optimal_transport

POSITION_SCALE = 0.7
"""Keypoints are given to the network in units of this times the longer side of the image."""


class SuperGlueMatches(NamedTuple):
    """Matches of one pair; see `MutualMatches` for matches and scores.

    log_assignment: (M+1,N+1) float32, the last row and column are the dustbins.
    """

    log_assignment: Tensor
    matches0: Tensor
    matches1: Tensor
    scores0: Tensor
    scores1: Tensor


class PointwiseLinear(nn.Conv1d):
    """A linear map of each point's channels (B,N,C), stored as a convolution of width 1 as the checkpoints have it."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__(before, after, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B,N,C) to (B,N,C')."""
        return F.linear(x, self.weight.squeeze(-1), self.bias)


class PointwiseNorm(nn.BatchNorm1d):
    """Batch norm of the channels of points (...,C)."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise each channel."""
        return super().forward(x.reshape(-1, x.shape[-1])).view_as(x)


class PointwiseMLP(nn.Sequential):
    """Linear maps with batch norm and rectifier between them, applied to each point alone (B,N,C)."""

    def __init__(self, channels: Sequence[int]) -> None:
        layers: list[nn.Module] = []
        for before, after in pairwise(channels[:-1]):
            layers += [PointwiseLinear(before, after), PointwiseNorm(after), nn.ReLU(inplace=True)]
        super().__init__(*layers, PointwiseLinear(channels[-2], channels[-1]))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Map the points that the mask (B,N) names; padding comes back as zero and stays out of the statistics."""
        if mask is None:
            return super().forward(x)
        mapped = super().forward(x[mask])
        return mapped.new_zeros(*mask.shape, mapped.shape[-1]).index_put((mask,), mapped)


class KeypointEncoder(nn.Module):
    """Position and detection score of each keypoint as a vector (equation 2)."""

    def __init__(self, dim: int, hidden: Sequence[int]) -> None:
        super().__init__()
        self.encoder = PointwiseMLP([3, *hidden, dim])

    def forward(self, positions: Tensor, scores: Tensor, mask: Tensor | None) -> Tensor:
        """Encode normalised positions (B,N,2) and scores (B,N) as (B,N,D)."""
        inputs = torch.cat((positions, scores[:, :, None].to(positions)), dim=2)
        return self.encoder(inputs.to(next(self.parameters()).dtype), mask)


class MultiHeadAttention(nn.Module):
    """Attention of points (B,M,D) to points (B,N,D) (equations 4 and 5); channel c belongs to head c mod heads."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.merge = PointwiseLinear(dim, dim)
        self.proj = nn.ModuleList(PointwiseLinear(dim, dim) for _ in range(3))

    def forward(self, x: Tensor, source: Tensor, source_mask: Tensor | None) -> Tensor:
        """Return the message (B,M,D) to x (B,M,D) from the source (B,N,D), of which the mask (B,N) names the real."""
        query, key, value = (
            project(points).unflatten(2, (-1, self.heads)).permute(0, 3, 1, 2).contiguous()
            for project, points in zip(self.proj, (x, source, source))
        )
        message = F.scaled_dot_product_attention(query, key, value, attention_mask(source_mask))
        return self.merge(message.permute(0, 2, 3, 1).flatten(2))


class AttentionalPropagation(nn.Module):
    """One layer's update of points by a message from a source (equation 3)."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.attn = MultiHeadAttention(dim, heads)
        self.mlp = PointwiseMLP([2 * dim, 2 * dim, dim])

    def forward(self, x: Tensor, source: Tensor, mask: Tensor | None, source_mask: Tensor | None) -> Tensor:
        """Return what is to be added to x (B,M,D)."""
        message = self.attn(x, source, source_mask)
        return self.mlp(torch.cat((x, message), dim=2), mask)


class AttentionalGraph(nn.Module):
    """Layers that look at the same image and at the other in turn, beginning with the same (section 3.1)."""

    def __init__(self, dim: int, heads: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(AttentionalPropagation(dim, heads) for _ in range(layers))

    def forward(self, x0: Tensor, x1: Tensor, mask0: Tensor | None, mask1: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the states (B,M,D), (B,N,D) after all layers."""
        for index, layer in enumerate(self.layers):
            if index % 2 == 0:
                x0, x1 = x0 + layer(x0, x0, mask0, mask0), x1 + layer(x1, x1, mask1, mask1)
            else:
                x0, x1 = x0 + layer(x0, x1, mask0, mask1), x1 + layer(x1, x0, mask1, mask0)
        return x0, x1


class SuperGlue(nn.Module):
    """SuperGlue with the layout of its authors' checkpoints: 339 tensors at the official size."""

    signature = "gnn.layers.0.attn.merge.weight"
    threshold = 0.2
    """Smallest score of a match, as its authors have it."""

    def __init__(
        self,
        dim: int = 256,
        layers: int = 18,
        heads: int = 4,
        encoder_channels: Sequence[int] = (32, 64, 128, 256),
        sinkhorn_iterations: int = 100,
    ) -> None:
        super().__init__()
        self.dim = dim
        self.sinkhorn_iterations = sinkhorn_iterations
        self.bin_score = nn.Parameter(torch.tensor(1.0))
        self.kenc = KeypointEncoder(dim, encoder_channels)
        self.gnn = AttentionalGraph(dim, heads, layers)
        self.final_proj = PointwiseLinear(dim, dim)

    @staticmethod
    def config_of(state: dict[str, Tensor]) -> dict[str, object]:
        """Read the constructor's arguments off a state dict, save the number of heads, which leaves no trace there."""
        encoder = sorted(
            (int(name.split(".")[2]), len(tensor))
            for name, tensor in state.items()
            if name.startswith("kenc.encoder.") and tensor.dim() == 3
        )
        return {
            "dim": len(state["final_proj.weight"]),
            "layers": sum(name.endswith("attn.merge.weight") for name in state),
            "encoder_channels": tuple(channels for _, channels in encoder[:-1]),
        }

    def similarity(self, points0: ImagePoints, points1: ImagePoints) -> Tensor:
        """Return the similarities (B,M,N) of two batches of non-empty keypoint sets, float32 (equations 6 and 7)."""
        x0, x1 = self.gnn(self._encode(points0), self._encode(points1), points0.mask, points1.mask)
        return products(self.final_proj(x0), self.final_proj(x1)) / self.dim**0.5

    def forward(self, points0: ImagePoints, points1: ImagePoints) -> Tensor:
        """Return log assignments (B,M+1,N+1), float32, of batches whose points carry scores.

        The last row and column are the dustbins; rows and columns of padding are -inf.
        """
        if 0 in (points0.keypoints_xy.shape[1], points1.keypoints_xy.shape[1]):
            return all_unmatched(points0, points1)
        similarity = self.similarity(points0, points1)
        log_assignment = log_optimal_transport(
            similarity, self.bin_score.float(), self.sinkhorn_iterations, points0.mask, points1.mask
        )
        return mask_assignment(log_assignment, points0.mask, points1.mask)

    @torch.no_grad()
    def match(self, points0: ImagePoints, points1: ImagePoints, threshold: float | None = None) -> SuperGlueMatches:
        """Match the keypoints of two images (no batch dimension); any number of keypoints, also none, will do.

        threshold: smallest score of a match; None takes the network's own.
        """
        log_assignment = self(points0.batched(), points1.batched())[0]
        found = mutual_matches(log_assignment, self.threshold if threshold is None else threshold)
        return SuperGlueMatches(log_assignment, *found)

    def _encode(self, points: ImagePoints) -> Tensor:
        if points.scores is None:
            raise ValueError("SuperGlue needs the detection scores of the keypoints")
        encoded = self.kenc(centred(points, POSITION_SCALE), points.scores, points.mask)
        return points.descriptors.to(self.final_proj.weight.dtype) + encoded
