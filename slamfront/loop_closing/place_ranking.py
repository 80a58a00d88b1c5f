"""Which keyframes a lost frame is compared with: those of the places that look like it."""

from __future__ import annotations

from collections.abc import Sequence

from slamfront.loop_closing.relocalizer import NewestFirst
from slamfront.map import KeyframeMap
from slamfront.map.places import PlaceIndex
from slamfront.tracking.view import View


class PlaceRanking:
    """The keyframes of the places that look most like the view; all others get their turn too, one a frame."""

    def __init__(self, places: PlaceIndex) -> None:
        self._places, self._others = places, NewestFirst()

    def ranked(self, view: View, worlds: Sequence[KeyframeMap], count: int) -> Sequence[int]:
        """Return the likeliest keyframes, and at last the next one in turn, or only these while no place is known."""
        for world in worlds:
            self._places.update(world)
        likely = self._places.query(view.features, max(count - 1, 1), *worlds)
        rest = self._others.ranked(view, worlds, count - len(likely))
        return [*likely, *(i for i in rest if i not in likely)]

    def restart(self) -> None:
        """Let the newest keyframe have the first turn next time."""
        self._others.restart()
