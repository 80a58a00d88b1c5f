"""The maps of a run: one for each stretch that could not be connected with those before (Campos et al., "ORB-SLAM3",
TRO 2021, section VII).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from slamfront.geometry.pose import Sim3
from slamfront.map.joining import absorb
from slamfront.map.keyframe_map import KeyframeMap
from slamfront.types import IntArray


class Atlas:
    """The map that frames are placed in, and those that are kept for the day when their place is seen again.

    Maps are numbered in the order in which they began, from 0 on. Each has a world of its own, in which its first
    keyframe stands at the origin, until it is joined to an older one. Ids of keyframes and of landmarks count on from
    map to map, so that one names the same thing wherever it ends up.
    """

    def __init__(self, world: KeyframeMap | None = None) -> None:
        self._maps: dict[int, KeyframeMap] = {} if world is None else {0: world}
        self._before: list[int] = []
        self._begun = len(self._maps)
        self._next_id = self._uses = 0
        self.active_id = 0

    @property
    def active(self) -> KeyframeMap | None:
        """The map that frames are placed in; None before the first one."""
        return self._maps.get(self.active_id)

    @property
    def world(self) -> KeyframeMap:
        """The map that frames are placed in; there has to be one."""
        return self._maps[self.active_id]

    @property
    def maps(self) -> Mapping[int, KeyframeMap]:
        """All maps by their numbers."""
        return MappingProxyType(self._maps)

    @property
    def kept(self) -> Mapping[int, KeyframeMap]:
        """The maps but the active one."""
        return {number: world for number, world in self._maps.items() if number != self.active_id}

    def begin(self, world: KeyframeMap) -> None:
        """Go on in a new, empty map."""
        if self._maps:
            self._before.append(self.active_id)
        self._maps[self._begun] = world
        self.active_id, self._begun = self._begun, self._begun + 1
        self._count_on()

    def enter(self, number: int) -> None:
        """Go on in a map that was kept."""
        self._before.append(self.active_id)
        self.active_id = number
        self._count_on()

    def drop(self) -> None:
        """Forget the active map, whose number is free again, and go back to the one before it; KeyError where it is the
        only one.
        """
        if len(self._maps) < 2:
            raise KeyError("there is no other map to go back to")
        self._count()
        del self._maps[self.active_id]
        if self.active_id == self._begun - 1:
            self._begun -= 1
        self._before = [number for number in self._before if number in self._maps]
        self.active_id = self._before.pop() if self._before else max(self._maps)
        self._count_on()

    def join(self, first: int, second: int, first_from_second: Sim3) -> IntArray:
        """Make the second map part of the first, which becomes the active one; return new rows of its landmarks (L,).

        first_from_second  similarity of their worlds
        """
        rows = absorb(self._maps[first], self._maps.pop(second), first_from_second)
        self._before = [number for number in self._before if number not in (first, second)]
        self.active_id = first
        self._count_on()
        return rows

    def clear(self) -> None:
        """Empty the active map, and forget all others."""
        self._count()
        self._maps = {number: world for number, world in self._maps.items() if number == self.active_id}
        self._before = []
        for world in self._maps.values():
            world.clear()
            world.void_ids(self._next_id, self._uses)

    def _count(self) -> None:
        for world in self._maps.values():
            self._next_id = max(self._next_id, world.next_id)
            self._uses = max(self._uses, world.landmarks.most_uses)

    def _count_on(self) -> None:
        """Let the active map use no id that any map has used."""
        self._count()
        self._maps[self.active_id].void_ids(self._next_id, self._uses)
