"""Optimal transport with dustbins (Sarlin et al., SuperGlue, CVPR 2020, section 3.2; Cuturi, NeurIPS 2013)."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

_MASKED = -1e5
"""Stands for -inf inside the iterations: its exponential is 0 and it makes no NaN, also in gradients."""

_NO_MASS = 1e-6
"""Stands for a dustbin's share where the other set is empty, whose logarithm would be -inf."""

_TINY = 1e-37
_MOST = 69.0
"""The range in which factors on plain numbers are trusted: the least, and the largest logarithm, that of 1e30."""


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

    Sinkhorn iterations, at least one, in the scores' precision, differentiable by the scores. The first runs in log
    space, the others on plain numbers around its potentials, which is many times as fast; should these leave the range
    of floating point, all run in log space after all.
    """
    rows, columns = _log_iterations(scores, log_rows, log_columns, torch.zeros_like(log_columns), 1)
    if iterations > 1:
        plan = _plan(scores, rows, columns)
        with torch.autocast(scores.device.type, enabled=False):
            further_rows, further_columns = _LinearIterations.apply(plan, log_rows, log_columns, iterations - 1)
        if bool((further_rows.amax() < _MOST) & (further_columns.amax() < _MOST)):
            return _plan(plan, further_rows, further_columns)
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


class _LinearIterations(torch.autograd.Function):
    """Iterations on plain numbers from a log plan (B,R,C) whose columns are right, towards log marginals (B,R), (B,C).

    Returns the logarithms (B,R) and (B,C) of the factors that the plan's rows and columns are to have.
    """

    @staticmethod
    def forward(
        ctx: Any, plan: Tensor, log_rows: Tensor, log_columns: Tensor, iterations: int
    ) -> tuple[Tensor, Tensor]:
        kernel = plan.exp()
        transposed = kernel.mT.contiguous()
        row_mass, column_mass = log_rows.exp()[:, :, None], log_columns.exp()[:, :, None]
        columns, row_sums, column_sums = torch.ones_like(column_mass), [], []
        for _ in range(iterations):
            row_sums.append((kernel @ columns).clamp_min(_TINY))
            rows = row_mass / row_sums[-1]
            column_sums.append((transposed @ rows).clamp_min(_TINY))
            columns = column_mass / column_sums[-1]
        if ctx.needs_input_grad[0]:
            sums = torch.cat(row_sums, dim=2), torch.cat(column_sums, dim=2)
            ctx.save_for_backward(kernel, transposed, row_mass, column_mass, *sums)
        return rows.squeeze(2).clamp_min(_TINY).log(), columns.squeeze(2).clamp_min(_TINY).log()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        kernel, transposed, row_mass, column_mass, row_sums, column_sums = ctx.saved_tensors
        rows, columns = row_mass / row_sums, column_mass / column_sums
        before = torch.cat((torch.ones_like(columns[:, :, :1]), columns[:, :, :-1]), dim=2)
        # First by the logarithms of the last factors: those of padding are nought whatever happens
        by_rows, by_columns = (
            gradient[:, :, None] * (factors[:, :, -1:] >= _TINY)
            for gradient, factors in zip(gradients, (rows, columns))
        )
        by_row_sums, by_column_sums = torch.zeros_like(rows), torch.empty_like(columns)
        by_row_sums[:, :, -1:] = by_rows
        for step in reversed(range(rows.shape[2])):
            now = slice(step, step + 1)
            by_column_sums[:, :, now] = -by_columns / column_sums[:, :, now]
            by_rows = by_row_sums[:, :, now] + rows[:, :, now] * (kernel @ by_column_sums[:, :, now])
            by_row_sums[:, :, now] = -by_rows / row_sums[:, :, now]
            by_columns = before[:, :, now] * (transposed @ by_row_sums[:, :, now])
        return kernel * (rows @ by_column_sums.mT + by_row_sums @ before.mT), None, None, None
