"""How a matching network begins: as what it is to improve, the similarity of descriptors."""

from __future__ import annotations

from typing import TypeVar, cast

import torch
from torch import Tensor, nn

from slamfront.models.lightglue import CrossBlock, LightGlue, MatchAssignment, RotaryEncoding, SelfBlock
from slamfront.models.superglue import AttentionalPropagation, PointwiseLinear, SuperGlue

Matcher = TypeVar("Matcher", SuperGlue, LightGlue)

_SHARPNESS = 14.0
"""Similarity of equal descriptors at the start, as a softmax sees it: about what descriptors are trained with."""
_SLOWEST, _FASTEST = 1.0, 24.0
"""Rates at which the encoding turns at the start, radians over half of an image's longer side."""
_FARTHER = 2.5
"""How much wider each head's neighbourhood is than the one before."""
_NEIGHBOURHOOD = 8.0
"""How much a keypoint's own place counts for at the start, as the softmax of attention sees it."""
_GOLDEN_ANGLE = 2.39996
_BIN_SCORE = 4.0
"""SuperGlue's score of the dustbins at the start, beside the similarities."""


@torch.no_grad()
def begin_with_similarity(network: Matcher) -> Matcher:
    """Let a fresh matcher begin with the similarity of descriptors: of two softmaxes, or of optimal transport.

    Blocks add nothing at first, since the last map of each is zero, and what it is given is as small as the states,
    which are of unit length, so that what they add grows slowly; the projections keep angles; every keypoint has even
    odds of a match. Attention begins where help is likely: across images at keypoints that are described alike,
    and in LightGlue, whose attention knows where keypoints lie, within an image at a keypoint's neighbours, near and
    far by head. Attention that begins even over all keypoints takes many times as long to learn.
    """
    for module in network.modules():
        if isinstance(module, nn.Linear | PointwiseLinear) and module.bias is not None:
            nn.init.zeros_(module.bias)
    if isinstance(network, LightGlue):
        _begin_lightglue(network)
    else:
        _begin_superglue(network)
    return network


def _begin_lightglue(network: LightGlue) -> None:
    rates = _spread_out(network.posenc)
    for module in network.modules():
        if isinstance(module, SelfBlock | CrossBlock):
            _add_nothing_yet(module.ffn)
        if isinstance(module, SelfBlock):
            _look_around(module, rates)
        elif isinstance(module, CrossBlock):
            module.to_qk.weight.copy_(_sharp(module.to_qk.in_features, module.heads))
        elif isinstance(module, MatchAssignment):
            module.final_proj.weight.copy_(_sharp(module.final_proj.in_features))
            nn.init.zeros_(module.matchability.weight)
    if isinstance(network.input_proj, nn.Linear):
        nn.init.orthogonal_(network.input_proj.weight)


def _begin_superglue(network: SuperGlue) -> None:
    _add_nothing_yet(network.kenc.encoder)
    for index, layer in enumerate(network.gnn.layers):
        assert isinstance(layer, AttentionalPropagation)
        _add_nothing_yet(layer.mlp)
        if index % 2:  # across images
            for projection in layer.attn.proj[:2]:
                cast(PointwiseLinear, projection).weight.copy_(_sharp(network.dim, layer.attn.heads)[:, :, None])
    network.final_proj.weight.copy_(_sharp(network.dim)[:, :, None])
    network.bin_score.fill_(_BIN_SCORE)


def _add_nothing_yet(layers: nn.Sequential) -> None:
    """Let layers that end with norm, activation and a linear map give zero, and leave it slowly."""
    norm, last = (cast(nn.Linear, layers[index]).weight for index in (-3, -1))
    nn.init.zeros_(last)
    nn.init.constant_(norm, len(last) ** -0.5)


def _sharp(dim: int, heads: int = 1) -> Tensor:
    """Return the projection that gives equal unit vectors a similarity of `_SHARPNESS`, also where heads share it."""
    # What is compared is the product of two projections over the root of the dimension; a head has its part of both
    return torch.eye(dim) * (_SHARPNESS * heads * (dim / heads) ** 0.5) ** 0.5


def _spread_out(encoding: RotaryEncoding) -> Tensor:
    """Let the encoding turn at rates from slow to fast, in all directions, and return the rates (F,)."""
    count = len(encoding.Wr.weight)
    rates = _SLOWEST * (_FASTEST / _SLOWEST) ** (torch.arange(count) / max(count - 1, 1))
    angles = torch.arange(count) * _GOLDEN_ANGLE
    encoding.Wr.weight.copy_(rates[:, None] * torch.stack((angles.cos(), angles.sin()), dim=1))
    return rates


def _look_around(block: SelfBlock, rates: Tensor) -> None:
    """Let each head look at the neighbourhood of a keypoint: the first at the nearest, each next one farther.

    Equal offsets of query and key, turned by the positions of both, are most alike where these are the same.
    """
    offsets = block.Wqkv.bias.view(block.heads, len(rates), 2, 3)
    offsets.zero_()
    for head in range(block.heads):
        chosen = rates <= _FASTEST / _FARTHER**head + _SLOWEST * 1e-3
        peak = _NEIGHBOURHOOD * (2 * len(rates)) ** 0.5
        offsets[head, chosen, :, :2] = (peak / (2 * int(chosen.sum()))) ** 0.5
