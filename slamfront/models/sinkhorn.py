"""Optimal transport with dustbins (Sarlin et al., SuperGlue, CVPR 2020, section 3.2; Cuturi, NeurIPS 2013)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

_MASKED = -1e5
"""Stands for -inf inside the iterations: its exponential is 0 and it makes no NaN, also in gradients."""

_NO_MASS = 1e-6
"""Stands for a dustbin's share where the other set is empty, whose logarithm would be -inf."""

_TINY, _HUGE = 1e-37, 1e30
"""The range in which factors on plain numbers are trusted."""


def with_dustbins(similarity: Tensor, bin_score: Tensor) -> Tensor:
    """Append a row and a column of `bin_score` (scalar) to similarities (B,M,N); returns (B,M+1,N+1)."""
    batch, count0, count1 = similarity.shape
    right = bin_score.expand(batch, count0, 1)
    bottom = bin_score.expand(batch, 1, count1 + 1)
    return torch.cat((torch.cat((similarity, right), dim=2), bottom), dim=1)


def dustbin_marginals(
    similarity: Tensor, mask0: Tensor | None = None, mask1: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the log marginals (B,M+1), (B,N+1) of SuperGlue's transport and log(M+N) as (B,1).

    A keypoint has mass 1 / (M+N); a dustbin can take the whole other set: N / (M+N) and M / (M+N). Padding counts not.
    """
    batch, count0, count1 = similarity.shape
    real0 = similarity.new_full((batch, 1), count0) if mask0 is None else mask0.sum(1, True).to(similarity)
    real1 = similarity.new_full((batch, 1), count1) if mask1 is None else mask1.sum(1, True).to(similarity)
    log_total = (real0 + real1).clamp_min(1).log()
    log_rows = torch.cat((-log_total.expand(-1, count0), real1.clamp_min(_NO_MASS).log() - log_total), dim=1)
    log_columns = torch.cat((-log_total.expand(-1, count1), real0.clamp_min(_NO_MASS).log() - log_total), dim=1)
    return log_rows, log_columns, log_total


def log_sinkhorn(scores: Tensor, log_rows: Tensor, log_columns: Tensor, iterations: int) -> Tensor:
    """Return the log transport plan (B,R,C) of scores (B,R,C) towards log marginals (B,R) and (B,C).

    Sinkhorn iterations in log space, at least one, in the scores' precision, differentiable. Where no gradient is asked
    for, all but the first run on plain numbers around the first one's potentials, which is several times as fast;
    should these leave the range of floating point, the logarithms are used after all.
    """
    rows, columns = _log_iterations(scores, log_rows, log_columns, torch.zeros_like(log_columns), 1)
    if iterations > 1:
        if not scores.requires_grad:
            plan = _linear_iterations(_plan(scores, rows, columns), log_rows, log_columns, iterations - 1)
            if plan is not None:
                return plan
        rows, columns = _log_iterations(scores, log_rows, log_columns, columns, iterations - 1)
    return _plan(scores, rows, columns)


def log_optimal_transport(
    similarity: Tensor, bin_score: Tensor, iterations: int, mask0: Tensor | None = None, mask1: Tensor | None = None
) -> Tensor:
    """Return SuperGlue's log assignment (B,M+1,N+1) of similarities (B,M,N): after the iterations each column of a
    keypoint sums to 1, and at convergence each row too.

    Rows and columns of padding (masks (B,M) and (B,N), False) come back as large negative numbers.
    """
    log_rows, log_columns, log_total = dustbin_marginals(similarity, mask0, mask1)
    scores = with_dustbins(similarity, bin_score)
    if mask0 is not None:
        padding = F.pad(~mask0, (0, 1))
        scores, log_rows = scores.masked_fill(padding[:, :, None], _MASKED), log_rows.masked_fill(padding, _MASKED)
    if mask1 is not None:
        padding = F.pad(~mask1, (0, 1))
        scores, log_columns = scores.masked_fill(padding[:, None], _MASKED), log_columns.masked_fill(padding, _MASKED)
    return log_sinkhorn(scores, log_rows, log_columns, iterations) + log_total[:, :, None]


def _plan(scores: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    return scores + rows[:, :, None] + columns[:, None, :]


def _log_iterations(
    scores: Tensor, log_rows: Tensor, log_columns: Tensor, columns: Tensor, iterations: int
) -> tuple[Tensor, Tensor]:
    for _ in range(iterations):
        rows = log_rows - torch.logsumexp(scores + columns[:, None, :], dim=2)
        columns = log_columns - torch.logsumexp(scores + rows[:, :, None], dim=1)
    return rows, columns


def _linear_iterations(plan: Tensor, log_rows: Tensor, log_columns: Tensor, iterations: int) -> Tensor | None:
    """Continue from a log plan whose columns are right; None where the factors leave a safe range."""
    kernel = plan.exp()
    transposed = kernel.mT.contiguous()
    rows_mass, columns_mass = log_rows.exp()[:, :, None], log_columns.exp()[:, :, None]
    column_factors = torch.ones_like(columns_mass)
    for _ in range(iterations):
        row_factors = rows_mass / (kernel @ column_factors).clamp_min(_TINY)
        column_factors = columns_mass / (transposed @ row_factors).clamp_min(_TINY)
    if not bool((row_factors.amax() < _HUGE) & (column_factors.amax() < _HUGE)):
        return None
    return _plan(plan, row_factors.clamp_min(_TINY).log().squeeze(2), column_factors.clamp_min(_TINY).log().squeeze(2))
