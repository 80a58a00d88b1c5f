"""Net2Net expansion: a large LightGlue that begins as a small one that has learned, and a deep one as a shallow one."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from slamfront.errors import TrainingError
from slamfront.models.lightglue import CrossBlock, LightGlue, MatchAssignment, SelfBlock, TokenConfidence
from slamfront.models.superpoint import DenseExtractor
from slamfront.training.tasks.initialisation import begin_with_similarity

_FAINT = 0.01
"""Standard deviation of weights that must be next to nothing, but cannot be nothing: they would never learn."""
_RIDGE = 1e-5
"""What is added to the mean square of each number of a descriptor where descriptors are translated."""


@torch.no_grad()
def descriptor_translation(
    learned: DenseExtractor, wanted: DenseExtractor, images: Iterable[Tensor], most: int = 256
) -> Tensor:
    """Return the matrix (D,E) that makes the descriptors (E,) of one extractor as like those (D,) of another as can be.

    Least squares over the strongest keypoints, at most so many, that `wanted` finds in grey images (1,1,H,W) in [0,1];
    `learned` describes the same places.
    """
    given, told = [], []
    for image in images:
        keypoints = wanted.extract(image, most, subpixel=True)[0]
        given.append(keypoints.descriptors.float())
        told.append(learned.describe(learned(image).descriptors[0], keypoints.keypoints_xy).float())
    if not given:
        raise TrainingError("descriptors are translated by images, and there are none")
    known, answer = torch.cat(given), torch.cat(told)
    spread = known.mT @ known / len(known) + _RIDGE * torch.eye(known.shape[1])
    return torch.linalg.solve(spread, known.mT @ answer / len(known)).mT


@torch.no_grad()
def expanded(small: LightGlue, translation: Tensor, large: LightGlue) -> LightGlue:
    """Return `large` as it computes what `small` does (Chen et al., "Net2Net", ICLR 2016), and can learn more.

    translation: (D,E) that turns descriptors of `large` into those of `small`. The states of `small` are read off those
    of `large` by one matrix, and what a layer adds is put back by its inverse. Hidden units are there several times,
    and differ in what becomes of them; heads beyond those of `small` have no say yet; layers beyond those of `small`
    follow these and add nothing at first. Equal to `small` but for about a hundredth in log probabilities.

    Raises TrainingError where `large` is no whole number of times as wide, or has fewer heads or layers, or narrower
    heads.
    """
    begin_with_similarity(large)
    plan = _plan(small, translation.float(), large)
    large.posenc.Wr.weight[: len(small.posenc.Wr.weight)] = small.posenc.Wr.weight
    for source, target in zip(small.transformers, large.transformers):
        _expand_self(plan, cast(SelfBlock, source.self_attn), cast(SelfBlock, target.self_attn))
        _expand_cross(plan, cast(CrossBlock, source.cross_attn), cast(CrossBlock, target.cross_attn))
    last = len(small.transformers) - 1
    for layer, assignment in enumerate(large.log_assignment):
        source = small.log_assignment[min(layer, last)]
        _expand_assignment(plan, cast(MatchAssignment, source), cast(MatchAssignment, assignment))
    for source, target in zip(small.token_confidence, large.token_confidence):
        told, tells = (cast(nn.Linear, cast(TokenConfidence, module).token[0]) for module in (source, target))
        plan.read(told, tells, slice(None))
    return large


@torch.no_grad()
def with_layers(network: LightGlue, layers: int) -> LightGlue:
    """Return a copy of a network with its first layers alone, or with more behind them.

    Those are like its last one, but add nothing yet, so that the deeper network does at first what the given one does.
    """
    result = copy.deepcopy(network)
    modules = cast("list[nn.ModuleList]", [result.transformers, result.log_assignment, result.token_confidence])
    if not len(result.token_confidence):  # a single layer has nothing to tell that it may stop
        dim = cast(MatchAssignment, result.log_assignment[0]).final_proj.in_features
        result.token_confidence.append(TokenConfidence(dim))
    for known, wanted in zip(modules, (layers, layers, layers - 1)):
        del known[wanted:]
        known.extend(copy.deepcopy(known[-1]) for _ in range(wanted - len(known)))
    for layer in list(result.transformers)[len(network.transformers) :]:
        for block in (cast(SelfBlock, layer.self_attn), cast(CrossBlock, layer.cross_attn)):
            adds = cast(nn.Linear, block.ffn[-1])
            nn.init.zeros_(adds.weight)
            nn.init.zeros_(adds.bias)
    return result


class _Plan(NamedTuple):
    """Where the small network lies in the large one.

    reads: (d,D) and offset: (d,) turn states of `large` into those of `small`; writes: (D,d) is the inverse of reads.
    used: (d,) rows of the large heads that are those of the small ones, in the small network's order; unused: what else
    these heads have. times: how often each hidden unit is there; sharper: what keeps attention as sharp in wider heads.
    """

    reads: Tensor
    offset: Tensor
    writes: Tensor
    used: Tensor
    unused: Tensor
    times: int
    sharper: float

    def read(self, source: nn.Linear, target: nn.Linear, rows: Tensor | slice, scale: Tensor | float = 1.0) -> None:
        """Let rows of the target tell of the large states, times `scale`, what the source tells of the small ones."""
        weight, bias = self.of_large_states(source.weight, source.bias)
        scale = torch.as_tensor(scale)
        target.weight[rows], target.bias[rows] = scale[..., None] * weight, scale * bias

    def of_large_states(self, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """Return weight and bias for large states of a map of small states."""
        return weight @ self.reads, bias + weight @ self.offset


def _plan(small: LightGlue, translation: Tensor, large: LightGlue) -> _Plan:
    d, dim = (len(cast(MatchAssignment, network.log_assignment[0]).final_proj.weight) for network in (small, large))
    first, fresh = (cast(SelfBlock, network.transformers[0].self_attn) for network in (small, large))
    narrow, wide = d // first.heads, dim // fresh.heads
    fits = fresh.heads >= first.heads and wide >= narrow and len(large.transformers) >= len(small.transformers)
    if dim % d or not fits or not isinstance(large.input_proj, nn.Identity):
        raise TrainingError("a matcher expands to a whole number of times its width, and to no fewer heads or layers")
    reads, offset = translation, torch.zeros(d)
    if isinstance(small.input_proj, nn.Linear):
        reads, offset = small.input_proj.weight @ translation, small.input_proj.bias
    heads = torch.arange(dim).view(fresh.heads, wide)
    used, unused = heads[: first.heads, :narrow].flatten(), heads[: first.heads, narrow:].flatten()
    return _Plan(reads, offset, torch.linalg.pinv(reads), used, unused, dim // d, (wide / narrow) ** 0.25)


def _expand_self(plan: _Plan, source: SelfBlock, target: SelfBlock) -> None:
    # Rows are numbered by head, channel, and which of query, key and value
    rows = (3 * plan.used[:, None] + torch.arange(3)).flatten()
    scale = torch.tensor([plan.sharper, plan.sharper, 1.0]).repeat(len(plan.used))
    plan.read(source.Wqkv, target.Wqkv, rows, scale)
    target.Wqkv.weight[3 * plan.unused], target.Wqkv.bias[3 * plan.unused] = 0.0, 0.0
    _expand_message(plan, source.out_proj, target.out_proj)
    _expand_update(plan, source.ffn, target.ffn)


def _expand_cross(plan: _Plan, source: CrossBlock, target: CrossBlock) -> None:
    plan.read(source.to_qk, target.to_qk, plan.used, plan.sharper)
    # Queries are keys here, so that a map of nothing would have no gradient
    target.to_qk.weight[plan.unused] = _FAINT * torch.randn(len(plan.unused), plan.reads.shape[1])
    plan.read(source.to_v, target.to_v, plan.used)
    _expand_message(plan, source.to_out, target.to_out)
    _expand_update(plan, source.ffn, target.ffn)


def _expand_message(plan: _Plan, source: nn.Linear, target: nn.Linear) -> None:
    """Let the first numbers of a message be those of the small one; the others are new."""
    d = len(source.weight)
    target.weight[:d], target.bias[:d] = 0.0, source.bias
    target.weight[:d, plan.used] = source.weight


def _expand_update(plan: _Plan, source: nn.Sequential, target: nn.Sequential) -> None:
    d, dim = plan.reads.shape
    (first, norm, last), (wide, wide_norm, wide_last) = (
        [cast(nn.Linear, layers[index]) for index in (0, 1, 3)] for layers in (source, target)
    )
    weight, bias = plan.of_large_states(first.weight[:, :d], first.bias)
    wide.weight.zero_()
    wide.weight[:, :dim] = weight.repeat(plan.times, 1)
    wide.weight[:, dim : dim + d] = first.weight[:, d:].repeat(plan.times, 1)
    wide.bias.copy_(bias.repeat(plan.times))
    wide_norm.weight.copy_(norm.weight.repeat(plan.times))
    wide_norm.bias.copy_(norm.bias.repeat(plan.times))
    # Equal units stay equal unless what becomes of them differs
    shares = last.weight.square().mean().sqrt() * torch.randn(plan.times, *last.weight.shape)
    shares += (last.weight - shares.sum(0)) / plan.times
    wide_last.weight.copy_(plan.writes @ torch.cat(list(shares), dim=1))
    wide_last.bias.copy_(plan.writes @ last.bias)


def _expand_assignment(plan: _Plan, source: MatchAssignment, target: MatchAssignment) -> None:
    d, dim = plan.reads.shape
    nn.init.normal_(target.final_proj.weight, std=_FAINT)
    plan.read(source.final_proj, target.final_proj, slice(d), (dim / d) ** 0.25)
    plan.read(source.matchability, target.matchability, slice(None))
