"""Choosing keypoints so that they cover the image."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def balanced(
    keypoints_xy: NDArray[Any], scores: NDArray[Any], image_width: int, count: int, columns: int
) -> NDArray[np.int64]:
    """Return the rows of at most `count` keypoints (N,2), balanced over a grid with `columns` columns of square cells.

    Cells take turns, each giving its strongest keypoint that is left; `columns` = 0 takes the strongest of the whole
    image. Rows come in the order in which they were taken.
    """
    if columns <= 0 or len(scores) <= count:
        return np.argsort(-scores, kind="stable")[:count]
    side = image_width / columns
    cells = (keypoints_xy[:, 1] // side).astype(np.int64) * columns + (keypoints_xy[:, 0] // side).astype(np.int64)
    order = np.lexsort((-scores, cells))
    sorted_cells = cells[order]
    starts = np.flatnonzero(np.r_[True, sorted_cells[1:] != sorted_cells[:-1]])
    turn = np.arange(len(order)) - np.repeat(starts, np.diff(np.r_[starts, len(order)]))
    return order[np.lexsort((-scores[order], turn))[:count]]


def cells_covered(pixels_xy: NDArray[Any], image_width: int, columns: int) -> int:
    """Return how many square cells of a grid with `columns` columns hold any of some pixels (N,2)."""
    cells = (pixels_xy // (image_width / columns)).astype(np.int64)
    return len(np.unique(cells[:, 1] * columns + cells[:, 0]))
