"""Two maps as one: everything of the second, carried into the world of the first."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from slamfront.geometry.pose import Sim3
from slamfront.map.arrays import Arrays, from_arrays, to_arrays
from slamfront.map.keyframe_map import KeyframeMap


def joined(world: KeyframeMap, other: KeyframeMap, world_from_other: Sim3) -> KeyframeMap:
    """Return a map that holds copies of both; landmarks that are in both maps are there twice, to be fused.

    What comes from `world` keeps its ids and rows. Ids of `other`'s keyframes grow by `world.next_id`, and rows of its
    landmarks come after those of `world`. Both have the same camera and kind of descriptors; ValueError otherwise.
    """
    mine_sizes, mine = to_arrays(world)
    sizes, theirs = to_arrays(other)
    if (sizes.descriptor_width, sizes.binary) != (mine_sizes.descriptor_width, mine_sizes.binary):
        raise ValueError("maps of different descriptors cannot be joined")
    first_row = int(mine["landmarks/rows"].max(initial=-1)) + 1
    _carry(theirs, world_from_other, world.next_id, first_row, mine_sizes.most_uses + 1)
    both = replace(
        mine_sizes,
        keyframes=mine_sizes.keyframes + sizes.keyframes,
        features=mine_sizes.features + sizes.features,
        landmarks=mine_sizes.landmarks + sizes.landmarks,
        retired=mine_sizes.retired + sizes.retired,
        next_keyframe_id=mine_sizes.next_keyframe_id + sizes.next_keyframe_id,
        most_uses=mine_sizes.most_uses + 1,
    )
    return from_arrays(world.camera, both, {name: np.concatenate([mine[name], theirs[name]]) for name in mine})


def _carry(arrays: Arrays, similarity: Sim3, first_id: int, first_row: int, uses: int) -> None:
    """Change the arrays of a map to another world, its keyframes to ids and its landmarks to rows from the first on."""
    rotation, scale = similarity.rotation, similarity.scale
    rows = arrays["landmarks/rows"]
    seen = arrays["features/landmark_rows"]
    changed: dict[str, NDArray[np.generic]] = {
        "keyframes/ids": arrays["keyframes/ids"] + first_id,
        "keyframes/rotations": rotation @ arrays["keyframes/rotations"],
        "keyframes/positions_m": similarity.apply(arrays["keyframes/positions_m"]),
        "features/landmark_rows": np.where(seen >= 0, np.searchsorted(rows, seen) + first_row, -1),
        "landmarks/rows": np.arange(len(rows)) + first_row,
        # New in this map, whoever lived in the row before
        "landmarks/uses": np.full(len(rows), uses),
        "landmarks/positions_m": similarity.apply(arrays["landmarks/positions_m"]),
        "landmarks/anchor_ids": arrays["landmarks/anchor_ids"] + first_id,
        "landmarks/anchor_distances_m": np.float32(scale) * arrays["landmarks/anchor_distances_m"],
        "landmarks/view_directions": arrays["landmarks/view_directions"] @ rotation.T,
        "landmarks/created_by": arrays["landmarks/created_by"] + first_id,
        "retired/ids": arrays["retired/ids"] + first_id,
        "retired/heirs": arrays["retired/heirs"] + first_id,
        "retired/positions_m": scale * arrays["retired/positions_m"],
    }
    arrays.update(changed)
