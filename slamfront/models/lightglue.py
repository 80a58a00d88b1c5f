"""LightGlue: matching that stops as soon as it is sure (Lindenberger et al., ICCV 2023)."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

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

RunLayer = Callable[..., tuple[Tensor, Tensor]]

_RELEASED_NAME = re.compile(r"^(self_attn|cross_attn)\.(\d+)\.")


class LightGlueMatches(NamedTuple):
    """Matches of one pair; see `MutualMatches` for matches and scores, which number the keypoints as given.

    log_assignment: (m+1,n+1) float32 after the last layer run, of the m and n keypoints that were not pruned (in their
    order), the last row and column are the dustbins. stop_layer: number of layers run. prune0, prune1: (M,), (N,)
    number of layers that each keypoint took part in; the number of all layers where pruning is off.
    """

    log_assignment: Tensor
    matches0: Tensor
    matches1: Tensor
    scores0: Tensor
    scores1: Tensor
    stop_layer: int
    prune0: Tensor
    prune1: Tensor


class _Side(NamedTuple):
    """One image's keypoints on their way through the layers.

    x: (1,m,D) states and rotation: (2,1,1,m,head_dim) of the keypoints that are left; kept: (m,) which these are;
    layers: (M,) the number of layers that each keypoint takes part in.
    """

    x: Tensor
    rotation: Tensor
    kept: Tensor
    layers: Tensor


def canonical_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename `self_attn.i` of the released files to `transformers.i.self_attn`, cross_attn alike.

    `confidence_thresholds`, which only some files have, is left out: it follows from the number of layers.
    """
    return {
        _RELEASED_NAME.sub(r"transformers.\2.\1.", name): tensor
        for name, tensor in state.items()
        if name != "confidence_thresholds"
    }


def pruning_minimum(device: torch.device | str) -> int:
    """Return the number of keypoints from which on pruning pays: always on a CPU, above 1024 on accelerators."""
    return 0 if torch.device(device).type == "cpu" else 1024


class RotaryEncoding(nn.Module):
    """Learned frequencies that turn positions (B,N,2) into rotations of pairs of channels (equation 4)."""

    def __init__(self, head_dim: int) -> None:
        super().__init__()
        self.Wr = nn.Linear(2, head_dim // 2, bias=False)

    def forward(self, positions: Tensor) -> Tensor:
        """Return cosines and sines, stacked (2,B,1,N,head_dim), float32, each repeated for its pair of channels."""
        angles = F.linear(positions, self.Wr.weight.float())
        return torch.stack((angles.cos(), angles.sin())).repeat_interleave(2, dim=-1)[:, :, None]


def rotate(x: Tensor, rotation: Tensor) -> Tensor:
    """Rotate the channel pairs of x (...,B,H,N,head_dim) by the encoding of their positions (equation 4)."""
    cosine, sine = rotation
    even, odd = x.unflatten(-1, (-1, 2)).unbind(-1)
    quarter_turned = torch.stack((-odd, even), dim=-1).flatten(-2)
    return (x * cosine + quarter_turned * sine).to(x.dtype)


def _feed_forward(dim: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(2 * dim, 2 * dim), nn.LayerNorm(2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))


class SelfBlock(nn.Module):
    """Attention within an image, with relative positions (equations 1 to 3)."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.Wqkv = nn.Linear(dim, 3 * dim)
        self.out_proj = nn.Linear(dim, dim)
        self.ffn = _feed_forward(dim)

    def forward(self, x: Tensor, rotation: Tensor, mask: Tensor | None) -> Tensor:
        """Return the updated states of x (B,N,D) with the rotations of its positions and the mask (B,N) of the real."""
        unpacked = self.Wqkv(x).unflatten(-1, (self.heads, -1, 3)).permute(4, 0, 2, 1, 3).contiguous()
        query, key = rotate(unpacked[:2], rotation)
        context = F.scaled_dot_product_attention(query, key, unpacked[2], attention_mask(mask))
        message = self.out_proj(context.transpose(1, 2).flatten(2))
        return x + self.ffn(torch.cat((x, message), dim=-1))


class CrossBlock(nn.Module):
    """Attention between two images, both ways from one similarity (equations 1, 2 and 5)."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_qk = nn.Linear(dim, dim)
        self.to_v = nn.Linear(dim, dim)
        self.to_out = nn.Linear(dim, dim)
        self.ffn = _feed_forward(dim)

    def forward(self, x0: Tensor, x1: Tensor, mask0: Tensor | None, mask1: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the updated states of x0 (B,M,D) and x1 (B,N,D); masks (B,M), (B,N) name the real points."""
        (key0, value0), (key1, value1) = self._project(x0), self._project(x1)
        context0 = F.scaled_dot_product_attention(key0, key1, value1, attention_mask(mask1))
        context1 = F.scaled_dot_product_attention(key1, key0, value0, attention_mask(mask0))
        return self._update(x0, context0), self._update(x1, context1)

    def _project(self, x: Tensor) -> tuple[Tensor, Tensor]:
        key, value = (layer(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for layer in (self.to_qk, self.to_v))
        return key, value

    def _update(self, x: Tensor, context: Tensor) -> Tensor:
        message = self.to_out(context.transpose(1, 2).flatten(2))
        return x + self.ffn(torch.cat((x, message), dim=-1))


class TransformerLayer(nn.Module):
    """Self-attention in both images, then cross-attention between them."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.self_attn = SelfBlock(dim, heads)
        self.cross_attn = CrossBlock(dim, heads)

    def forward(
        self,
        x0: Tensor,
        x1: Tensor,
        rotation0: Tensor,
        rotation1: Tensor,
        mask0: Tensor | None = None,
        mask1: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return the updated states of x0 (B,M,D) and x1 (B,N,D)."""
        x0, x1 = self.self_attn(x0, rotation0, mask0), self.self_attn(x1, rotation1, mask1)
        return self.cross_attn(x0, x1, mask0, mask1)


class MatchAssignment(nn.Module):
    """Log assignment from similarity and matchability (equations 6 to 8)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.matchability = nn.Linear(dim, 1)
        self.final_proj = nn.Linear(dim, dim)

    def forward(self, x0: Tensor, x1: Tensor, mask0: Tensor | None = None, mask1: Tensor | None = None) -> Tensor:
        """Return (B,M+1,N+1), float32: the dustbins hold the log probabilities that a point has no match."""
        similarity = products(self.final_proj(x0), self.final_proj(x1)) / x0.shape[-1] ** 0.5
        logit0, logit1 = self.matchability(x0).float(), self.matchability(x1).float()
        rows = _masked(similarity, mask1, 1).log_softmax(dim=2)
        columns = _masked(similarity, mask0, 2).log_softmax(dim=1)
        inner = rows + columns + F.logsigmoid(logit0) + F.logsigmoid(logit1).mT
        bottom = F.pad(F.logsigmoid(-logit1).mT, (0, 1))
        log_assignment = torch.cat((torch.cat((inner, F.logsigmoid(-logit0)), dim=2), bottom), dim=1)
        return mask_assignment(log_assignment, mask0, mask1)

    def matchable(self, x: Tensor) -> Tensor:
        """Return the probability (B,N) that each point has a match."""
        return self.matchability(x).float().sigmoid().squeeze(-1)


def _masked(similarity: Tensor, mask: Tensor | None, dim: int) -> Tensor:
    return similarity if mask is None else similarity.masked_fill(~mask.unsqueeze(dim), -1e5)


class TokenConfidence(nn.Module):
    """Probability (B,N) that a point's state would no longer change the outcome (equation 9)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.token = nn.Sequential(nn.Linear(dim, 1), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        """Return the confidence in each state of x (B,N,D), which gets no gradient from it."""
        return self.token(x.detach()).squeeze(-1).float()


class LightGlue(nn.Module):
    """LightGlue with the layout of its authors' checkpoints; the lite size is
    `LightGlue(dim=64, layers=4, heads=2, input_dim=128)`.

    State dicts in the naming of the released files are accepted as well (see `canonical_names`).
    """

    signature = "posenc.Wr.weight"
    threshold = 0.1
    """Smallest score of a match, as its authors have it."""

    def __init__(self, dim: int = 256, layers: int = 9, heads: int = 4, input_dim: int | None = None) -> None:
        super().__init__()
        input_dim = dim if input_dim is None else input_dim
        self.input_proj = nn.Identity() if input_dim == dim else nn.Linear(input_dim, dim)
        self.posenc = RotaryEncoding(dim // heads)
        self.transformers = nn.ModuleList(TransformerLayer(dim, heads) for _ in range(layers))
        self.log_assignment = nn.ModuleList(MatchAssignment(dim) for _ in range(layers))
        self.token_confidence = nn.ModuleList(TokenConfidence(dim) for _ in range(layers - 1))

    @staticmethod
    def config_of(state: dict[str, Tensor]) -> dict[str, object]:
        """Read the constructor's arguments off a state dict."""
        dim = len(state["log_assignment.0.final_proj.weight"])
        return {
            "dim": dim,
            "layers": sum(name.startswith("log_assignment.") and name.endswith("final_proj.weight") for name in state),
            "heads": dim // (2 * len(state["posenc.Wr.weight"])),
            "input_dim": state["input_proj.weight"].shape[1] if "input_proj.weight" in state else dim,
        }

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Load a state dict in this module's naming or in that of the released files."""
        return super().load_state_dict(canonical_names(state_dict), strict, assign)

    def confidence_threshold(self, layer: int) -> float:
        """Return the confidence above which a point counts as settled after a layer (section 3.3)."""
        return min(max(0.8 + 0.1 * math.exp(-4.0 * layer / len(self.transformers)), 0.0), 1.0)

    def states(
        self, points0: ImagePoints, points1: ImagePoints, run: RunLayer | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the states (B,M,D), (B,N,D) of two batches of non-empty keypoint sets after each layer.

        With `log_assignment[i]` and `token_confidence[i]` this is what training with deep supervision needs. `run`
        calls a layer with its inputs, where something else is wanted than that they are called.
        """
        x0, x1 = self._embed(points0), self._embed(points1)
        rotation0, rotation1 = self._rotation(points0), self._rotation(points1)
        for layer in self.transformers:
            inputs = (x0, x1, rotation0, rotation1, points0.mask, points1.mask)
            x0, x1 = layer(*inputs) if run is None else run(layer, *inputs)
            yield x0, x1

    def forward(self, points0: ImagePoints, points1: ImagePoints) -> Tensor:
        """Return log assignments (B,M+1,N+1), float32, after all layers; rows and columns of padding are -inf."""
        if 0 in (points0.keypoints_xy.shape[1], points1.keypoints_xy.shape[1]):
            return all_unmatched(points0, points1)
        *_, (x0, x1) = self.states(points0, points1)
        return self.log_assignment[-1](x0, x1, points0.mask, points1.mask)

    @torch.no_grad()
    def match(
        self,
        points0: ImagePoints,
        points1: ImagePoints,
        threshold: float | None = None,
        depth_confidence: float | None = 0.95,
        width_confidence: float | None = 0.99,
        pruning_above: int | None = None,
    ) -> LightGlueMatches:
        """Match the keypoints of two images (no batch dimension, no mask); any number of them, also none, will do.

        threshold: smallest score of a match; None takes the network's own.
        depth_confidence: share of settled keypoints at which the remaining layers are left out (None: never).
        width_confidence: keypoints that are settled and unmatchable with this probability are dropped from the
        remaining layers (None: none), in images with more than `pruning_above` of them (None: the device's default).
        """
        first_layers = len(self.transformers) if width_confidence is None else 1
        side0, side1 = self._side(points0.batched(), first_layers), self._side(points1.batched(), first_layers)
        total = side0.x.shape[1] + side1.x.shape[1]
        if pruning_above is None:
            pruning_above = pruning_minimum(side0.x.device)
        layer = 0
        for layer, transformer in enumerate(self.transformers):
            if 0 in (side0.x.shape[1], side1.x.shape[1]):
                break
            x0, x1 = transformer(side0.x, side1.x, side0.rotation, side1.rotation)
            side0, side1 = side0._replace(x=x0), side1._replace(x=x1)
            if layer == len(self.transformers) - 1:
                break
            confidence0, confidence1 = None, None
            if depth_confidence is not None:
                confidence0, confidence1 = (self.token_confidence[layer](side.x) for side in (side0, side1))
                if self._settled(layer, confidence0, confidence1, total) > depth_confidence:
                    break
            if width_confidence is not None:
                side0 = self._prune(layer, side0, confidence0, width_confidence, pruning_above)
                side1 = self._prune(layer, side1, confidence1, width_confidence, pruning_above)
        return self._result(side0, side1, layer, self.threshold if threshold is None else threshold)

    def _settled(self, layer: int, confidence0: Tensor, confidence1: Tensor, total: int) -> float:
        """Return the share of all keypoints that are settled after a layer, pruned ones included (equation 10)."""
        confidence = torch.cat((confidence0, confidence1), dim=1)
        return 1 - float((confidence < self.confidence_threshold(layer)).sum()) / total

    def _prune(
        self, layer: int, side: _Side, confidence: Tensor | None, width_confidence: float, pruning_above: int
    ) -> _Side:
        if side.x.shape[1] > pruning_above:
            keep = self.log_assignment[layer].matchable(side.x)[0] > 1 - width_confidence  # type: ignore[operator]
            if confidence is not None:
                keep |= confidence[0] <= self.confidence_threshold(layer)
            index = keep.nonzero().squeeze(1)
            side = side._replace(x=side.x[:, index], rotation=side.rotation[..., index, :], kept=side.kept[index])
        return side._replace(layers=side.layers.index_fill(0, side.kept, layer + 2))

    def _result(self, side0: _Side, side1: _Side, layer: int, threshold: float) -> LightGlueMatches:
        empty = 0 in (side0.x.shape[1], side1.x.shape[1])
        if empty:
            log_assignment = torch.zeros(side0.x.shape[1] + 1, side1.x.shape[1] + 1, device=side0.x.device)
        else:
            log_assignment = self.log_assignment[layer](side0.x, side1.x)[0]
        found = mutual_matches(log_assignment, threshold)
        return LightGlueMatches(
            log_assignment,
            _scattered(_renumbered(found.matches0, side1.kept), side0, -1),
            _scattered(_renumbered(found.matches1, side0.kept), side1, -1),
            _scattered(found.scores0, side0, 0),
            _scattered(found.scores1, side1, 0),
            layer if empty else layer + 1,
            side0.layers,
            side1.layers,
        )

    def _embed(self, points: ImagePoints) -> Tensor:
        return self.input_proj(points.descriptors.to(self.posenc.Wr.weight.dtype))

    def _rotation(self, points: ImagePoints) -> Tensor:
        return self.posenc(centred(points, 0.5))

    def _side(self, points: ImagePoints, layers: int) -> _Side:
        kept = torch.arange(points.keypoints_xy.shape[1], device=points.keypoints_xy.device)
        return _Side(self._embed(points), self._rotation(points), kept, torch.full_like(kept, layers))


def _renumbered(matches: Tensor, kept: Tensor) -> Tensor:
    """Turn indices into the kept keypoints of the other image into indices into all of them."""
    return matches if len(kept) == 0 else torch.where(matches >= 0, kept[matches.clamp_min(0)], -1)


def _scattered(values: Tensor, side: _Side, missing: int) -> Tensor:
    """Put the kept keypoints' values where these stand among all keypoints."""
    return values.new_full(side.layers.shape, missing).index_copy(0, side.kept, values)
