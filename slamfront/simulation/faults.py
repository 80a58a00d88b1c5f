"""What goes wrong between a camera and whoever reads it: frames, depth and right images that do not come."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

Part = Literal["frame", "depth", "right"]
_STREAMS: dict[Part, int] = {"frame": 11, "depth": 12, "right": 13}  # of random numbers, besides those of effects


@dataclass(frozen=True, slots=True)
class Faults:
    """What a recording lacks; zeros mean that it is whole. The first frame is always whole.

    seed        the same seed and frame lack the same
    frame, depth, right   share of the frames, of their depth images and of their right images that are missing
    right_late  frames by which the right image is older than the left one
    swapped     the left image comes as the right one, and the right one as the left
    """

    seed: int = 0
    frame: float = 0.0
    depth: float = 0.0
    right: float = 0.0
    right_late: int = 0
    swapped: bool = False

    def lacks(self, part: Part, index: int) -> bool:
        """Return whether a frame is missing, or lacks its depth or right image."""
        share = {"frame": self.frame, "depth": self.depth, "right": self.right}[part]
        if not share or not index:
            return False
        return bool(np.random.default_rng([self.seed, _STREAMS[part], index]).random() < share)
