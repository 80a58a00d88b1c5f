"""Where the pairs of images of `slamfront eval-matching` come from, and how that is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from slamfront.errors import SourceError
from slamfront.evaluation.matching.folders import open_pairs
from slamfront.evaluation.matching.frame_pairs import Overlap, frame_pairs, overlapping_pairs
from slamfront.evaluation.matching.homographies import PhotographProtocol
from slamfront.evaluation.matching.pairs import PairReference, PosedPair, Warp, evenly_spread
from slamfront.evaluation.matching.quality import KnownPair
from slamfront.protocols import Source
from slamfront.training.data.rendered import RenderedPair
from slamfront.training.data.rendered_file import RenderedPairs
from slamfront.types import FloatArray


@dataclass(frozen=True, slots=True)
class KnownPairs:
    """Pairs of images of known geometry, and a sentence or two that tell where they are from."""

    references: Sequence[PairReference[KnownPair]]
    told: str


def sequence_pairs(
    source: Source, chosen: Sequence[int] | Overlap, count: int, start: int, time_offset_ms: float
) -> KnownPairs:
    """Return pairs of frames of a posed sequence, so many frames apart or by overlap: `frame_pairs` and
    `overlapping_pairs`.
    """
    offset_ns = round(1e6 * time_offset_ms)
    if isinstance(chosen, Overlap):
        found = overlapping_pairs(source, chosen, count, start, offset_ns)
        which = (
            f"of which {chosen.least:g} to {chosen.greatest:g} of either is seen in the other, evenly spread by that"
        )
    else:
        found = frame_pairs(source, chosen, count, start, offset_ns)
        which = f"{' and '.join(map(str, chosen))} apart, evenly spread"
    left_out = f" {found.left_out} more lack a frame or its true pose." if found.left_out else ""
    return KnownPairs(
        found.references,
        f"{len(found.references)} pairs of frames of {source.name}, {which}.{left_out} Poses are the sequence's truth, "
        f"interpolated to the frames' times {time_offset_ms:+g} ms; where rows are exposed one after the other, "
        "keypoints are first moved to where they were when the middle row was, by the true turning of the camera.",
    )


def rendered_pairs(path: Path, count: int) -> KnownPairs:
    """Return at most `count` pairs of what tools/render_pairs.py made, evenly spread; TrainingError for another one."""
    pairs = RenderedPairs(path)
    rows = evenly_spread(len(pairs), count)
    return KnownPairs(
        [PairReference(f"pair {row}", "rendered", partial(_rendered, pairs, row)) for row in rows],
        f"{len(rows)} pairs of rendered views, {pairs.size[0]}x{pairs.size[1]} px, with exact depth and pose "
        f"({pairs.origin}).",
    )


def plane_pairs(folder: Path, photographs: PhotographProtocol, short_side_px: int | None) -> KnownPairs:
    """Return the pairs of a folder of images with homographies, or of photographs; SourceError for another one."""
    try:
        found = open_pairs(folder, photographs, short_side_px)
    except SourceError as error:
        raise SourceError(f"{error}; pairs of a sequence's frames need --gaps") from error
    return KnownPairs(
        found.references,
        f"{len(found.references)} pairs of images of {folder.resolve().name}. "
        + found.describe(photographs, short_side_px),
    )


def _rendered(pairs: RenderedPairs, row: int) -> PosedPair:
    pair = pairs[row]
    depth_m = pair.depths_m[0]
    return PosedPair(
        pair.images[0],
        pair.images[1],
        pair.cameras,
        pair.second_from_first,
        surface=partial(_warp, pair),
        overlap=min(pair.overlap(), pair.reversed().overlap()),
        depth_m=float(np.median(depth_m[depth_m > 0])) if depth_m.any() else None,
    )


def _warp(pair: RenderedPair, points_xy: FloatArray) -> Warp:
    warped, seen = pair.warp(points_xy)
    return Warp(np.where(seen[:, None], warped, np.nan), np.ones(len(points_xy), np.bool_))
