"""Choosing keypoints so that they cover the image."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

COLUMNS, CROWDING = 8, 0.05
"""How keypoints are spread whose scores are probabilities of being found again, as those of SuperPoint."""
COLUMNS_OF_TURNS, TURNS = 16, 100.0
"""And those whose scores are of contrast, which says little of that, as ORB's and SIFT's: so much crowding that cells
take turns."""

_LEAST_SCORE = 1e-12


def spread(
    keypoints_xy: NDArray[Any],
    scores: NDArray[Any],
    image_width: int,
    count: int,
    columns: int = COLUMNS,
    crowding: float = CROWDING,
) -> NDArray[np.int64]:
    """Return the rows of at most `count` keypoints (N,2), by score (N,), above 0, less what crowds them, best first.

    The image has `columns` columns of square cells, and each stronger keypoint in its cell makes a keypoint count for
    exp(-crowding) as much. So cells that are full of corners leave room for others, as a suppression radius would
    (Bailo et al., "Efficient adaptive non-maximal suppression algorithms for homogeneous spatial keypoint
    distribution", 2018), and strong keypoints, which are found again more often, stay even where they are many. With
    `columns` or `crowding` 0 the strongest of the whole image are taken; from a `crowding` of `TURNS` cells take turns.
    """
    if crowding >= TURNS:
        return balanced(keypoints_xy, scores, image_width, count, columns)
    if columns <= 0 or crowding <= 0 or len(scores) <= count:
        return np.argsort(-scores, kind="stable")[:count]
    order, turns = _turns(keypoints_xy, scores, image_width, columns)
    stronger = np.empty(len(order), np.int64)
    stronger[order] = turns
    return np.argsort(crowding * stronger - np.log(np.maximum(scores, _LEAST_SCORE)), kind="stable")[:count]


def balanced(
    keypoints_xy: NDArray[Any], scores: NDArray[Any], image_width: int, count: int, columns: int
) -> NDArray[np.int64]:
    """Return the rows of at most `count` keypoints (N,2), balanced over a grid with `columns` columns of square cells.

    Cells take turns, each giving its strongest keypoint that is left; `columns` = 0 takes the strongest of the whole
    image. Rows come in the order in which they were taken.
    """
    if columns <= 0 or len(scores) <= count:
        return np.argsort(-scores, kind="stable")[:count]
    order, turns = _turns(keypoints_xy, scores, image_width, columns)
    return order[np.lexsort((-scores[order], turns))[:count]]


def cells_covered(pixels_xy: NDArray[Any], image_width: int, columns: int) -> int:
    """Return how many square cells of a grid with `columns` columns hold any of some pixels (N,2)."""
    return len(np.unique(_cells(pixels_xy, image_width, columns)))


def _turns(
    keypoints_xy: NDArray[Any], scores: NDArray[Any], image_width: int, columns: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows of keypoints cell by cell, each from its strongest on, and how many come before in the cell."""
    cells = _cells(keypoints_xy, image_width, columns)
    order = np.lexsort((-scores, cells))
    sorted_cells = cells[order]
    starts = np.flatnonzero(np.r_[True, sorted_cells[1:] != sorted_cells[:-1]])
    return order, np.arange(len(order)) - np.repeat(starts, np.diff(np.r_[starts, len(order)]))


def _cells(pixels_xy: NDArray[Any], image_width: int, columns: int) -> NDArray[np.int64]:
    """Return the number of the square cell (N,) that each of some pixels (N,2) lies in, row by row."""
    cells = (pixels_xy // (image_width / columns)).astype(np.int64)
    return np.asarray(cells[:, 1] * columns + cells[:, 0])
