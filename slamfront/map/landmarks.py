"""Landmarks as arrays that grow, their rows used again after removal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slamfront.imaging import gradients, structure_tensors, textured
from slamfront.patches import PATCH_SIZE
from slamfront.types import BoolArray, FloatArray, IntArray

# The middle of a patch, in which it shows whether it can be aligned
_MIDDLE = slice(5, 16)
_CAPACITY = 4096
_ROW_BITS = 32
_ROW_MASK = (1 << _ROW_BITS) - 1


class Landmarks:
    """All landmarks of a map; a landmark is a row of each array.

    positions_m       float64 (L,3) in the world
    descriptors       (L,D) as in Features
    patches           uint8 (L,21,21): the image around the landmark in its anchor keyframe, for alignment
    textured          bool (L,): whether its patch can be aligned at all
    anchor_ids        int64 (L,): keyframe whose image its patch is of; anchor_xy float64 (L,2) where in it, px
    anchor_scales     float32 (L,): scale of the feature there; anchor_distances_m float32 (L,) from that camera
    view_directions   float64 (L,3): unit vector from the landmark to the camera that saw it last as a keyframe
    spreads_m         float64 (L,3): one standard deviation of the position, along its rays
    observations      int32 (L,): keyframes that see it
    seen, expected    int32 (L,): frames that matched it, and frames in whose view it should have been
    created_by        int64 (L,): id of the keyframe whose insertion made it
    alive             bool (L,)

    Rows are reused, so other threads and files name a landmark by an id that also counts the row's uses.
    """

    def __init__(self, descriptors_like: NDArray[Any], capacity: int = _CAPACITY, first_use: int = 0) -> None:
        """Begin without landmarks; each row counts as taken `first_use` times, so that ids from before stay void."""
        width = descriptors_like.shape[1]
        self.positions_m: FloatArray = np.zeros((capacity, 3))
        self.descriptors = np.zeros((capacity, width), descriptors_like.dtype)
        self.patches = np.zeros((capacity, PATCH_SIZE, PATCH_SIZE), np.uint8)
        self.textured: BoolArray = np.zeros(capacity, bool)
        self.anchor_ids: IntArray = np.zeros(capacity, np.int64)
        self.anchor_xy: FloatArray = np.zeros((capacity, 2))
        self.anchor_scales = np.ones(capacity, np.float32)
        self.anchor_distances_m = np.ones(capacity, np.float32)
        self.view_directions: FloatArray = np.zeros((capacity, 3))
        self.spreads_m: FloatArray = np.zeros((capacity, 3))
        self.observations = np.zeros(capacity, np.int32)
        self.seen = np.zeros(capacity, np.int32)
        self.expected = np.zeros(capacity, np.int32)
        self.created_by: IntArray = np.zeros(capacity, np.int64)
        self.alive: BoolArray = np.zeros(capacity, bool)
        self._first_use = first_use
        self._uses: IntArray = np.full(capacity, first_use, np.int64)
        self._free: list[int] = list(range(capacity - 1, -1, -1))

    @property
    def capacity(self) -> int:
        """Number of rows, alive or free."""
        return len(self.alive)

    def __len__(self) -> int:
        return self.capacity - len(self._free)

    @property
    def typical_distance_m(self) -> float:
        """The median distance of landmarks from the cameras that first saw them; nought without any."""
        return float(np.median(self.anchor_distances_m[self.alive])) if self.alive.any() else 0.0

    def take_rows(self, count: int) -> IntArray:
        """Return `count` rows that were free, now alive with counters at zero."""
        while len(self._free) < count:
            self._grow()
        rows = np.array([self._free.pop() for _ in range(count)], np.int64)
        self.alive[rows] = True
        self._uses[rows] = np.maximum(self._uses[rows], self._first_use) + 1
        self.observations[rows] = 0
        self.seen[rows] = self.expected[rows] = 1
        return rows

    def set_patches(self, rows: IntArray, patches: NDArray[np.uint8]) -> None:
        """Give landmarks other patches (N,21,21)."""
        self.patches[rows] = patches
        middles = patches[:, _MIDDLE, _MIDDLE].astype(np.float32)
        self.textured[rows] = textured(structure_tensors(gradients(middles)))

    def release(self, rows: IntArray) -> None:
        """Free rows; their ids are void from now on."""
        self.alive[rows] = False
        self._free.extend(rows.tolist())

    def ids(self, rows: IntArray) -> IntArray:
        """Return the lasting ids of rows; -1 stays -1."""
        return np.where(rows < 0, -1, (self._uses[rows] << _ROW_BITS) | rows)

    def rows(self, ids: IntArray) -> IntArray:
        """Return the rows of ids, -1 where the landmark no longer exists."""
        rows = ids & _ROW_MASK
        known = (ids >= 0) & (rows < self.capacity)
        safe = np.where(known, rows, 0)
        return np.where(known & self.alive[safe] & (self._uses[safe] == ids >> _ROW_BITS), rows, -1)

    @property
    def most_uses(self) -> int:
        """The largest number of uses in any id, or any that is void."""
        return max(int(self._uses.max()), self._first_use)

    def void_ids(self, uses: int) -> None:
        """Let every landmark to come have an id of more than `uses` uses, as none has that another map counted."""
        self._first_use = max(self._first_use, uses)

    def emptied(self) -> Landmarks:
        """Return landmarks of this kind without any, and none of whose ids will have been used before."""
        return Landmarks(self.descriptors[:0], first_use=self.most_uses)

    def values(self) -> dict[str, NDArray[Any]]:
        """Return the arrays that tell something of a landmark, by name, each with a line for every row."""
        told = {n: v for n, v in vars(self).items() if isinstance(v, np.ndarray) and not n.startswith("_")}
        return {name: value for name, value in told.items() if name not in ("alive", "spreads_m", "textured")}

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return copies of the values of the living, with their `rows` and how often each row was taken, `uses`."""
        rows = np.flatnonzero(self.alive)
        return {"rows": rows, "uses": self._uses[rows], **{name: value[rows] for name, value in self.values().items()}}

    @staticmethod
    def from_arrays(arrays: Mapping[str, NDArray[Any]], most_uses: int) -> Landmarks:
        """Return the landmarks that `to_arrays` was asked about, with the same ids; later ids are new."""
        rows, capacity = arrays["rows"], _CAPACITY
        while capacity <= rows.max(initial=0):
            capacity *= 2
        marks = Landmarks(arrays["descriptors"], capacity, most_uses)
        for name, value in marks.values().items():
            value[rows] = arrays[name]
        marks.set_patches(rows, marks.patches[rows])
        marks._uses[rows] = arrays["uses"]
        marks.alive[rows] = True
        marks._free = np.flatnonzero(~marks.alive)[::-1].tolist()
        return marks

    def _grow(self) -> None:
        old = self.capacity
        for name, value in vars(self).items():
            if isinstance(value, np.ndarray):
                setattr(self, name, np.concatenate([value, np.zeros_like(value)]))
        self._uses[old:] = self._first_use
        self._free = list(range(2 * old - 1, old - 1, -1)) + self._free
