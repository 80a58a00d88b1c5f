"""Places that the camera comes back to: after it was lost, around a loop, or in a map that was begun before."""

from __future__ import annotations

from slamfront.config import RunConfig
from slamfront.geometry.pose import Sim3
from slamfront.loop_closing.loop_closing import LoopClosing, OpenLoops
from slamfront.loop_closing.loop_detection import Loop, LoopDetector
from slamfront.loop_closing.map_merging import MapMerger
from slamfront.loop_closing.place_ranking import PlaceRanking
from slamfront.loop_closing.relocalizer import Relocalizer
from slamfront.loop_closing.verification import GeometricVerifier
from slamfront.map import KeyframeMap, KeyframeRecord
from slamfront.map.atlas import Atlas
from slamfront.map.places import PlaceIndex, packaged_vocabulary
from slamfront.protocols import Matcher, SolverWorker
from slamfront.tracking.view import View
from slamfront.types import LoopClosingProblem, LoopClosingSolution, Sensor


class PlaceRecognition:
    """Knows the places of all maps, and what to do when one is seen again.

    `matcher` compares lost frames with keyframes, `place_matcher` keyframes with each other. Without
    `loop_worker` loops stay open.
    """

    def __init__(
        self,
        config: RunConfig,
        sensor: Sensor,
        atlas: Atlas,
        matcher: Matcher,
        place_matcher: Matcher,
        loop_worker: SolverWorker[LoopClosingProblem, LoopClosingSolution] | None,
    ) -> None:
        self._atlas = atlas
        extractor = config.extractor.weights if config.extractor.kind == "superpoint" else config.extractor.kind
        self._places = PlaceIndex(packaged_vocabulary(extractor))
        self._relocalizer = Relocalizer(matcher, config.tracker, config.seed, PlaceRanking(self._places))
        verifier = GeometricVerifier(place_matcher, config.loops, config.tracker, sensor, config.seed)
        self._reunion = MapMerger(self._places, verifier, sensor, config)
        self._loops: LoopClosing | OpenLoops = OpenLoops()
        if loop_worker is not None and config.loops.enabled:
            detector = LoopDetector(self._places, verifier, config.loops, sensor)
            self._loops = LoopClosing(detector, loop_worker, sensor, config)
        if atlas.active is not None:
            self._places.update(atlas.active)  # now, so that the first lost frame need not wait for it

    @property
    def loops(self) -> tuple[Loop, ...]:
        """The loops that were closed so far, oldest first."""
        return tuple(self._loops.loops)

    def find(self, view: View, everywhere: bool) -> int | str:
        """Place a lost view in the active map, or `everywhere` in any, which becomes the active one; return the
        keyframe that it resembles, or in one line why it stays without a pose.
        """
        view.forget()
        kept = self._atlas.kept.values() if everywhere else ()
        found = self._relocalizer.locate(view, self._atlas.world, *kept)
        if not isinstance(found, str) and found not in self._atlas.world.keyframes:
            self._atlas.enter(next(number for number, world in self._atlas.kept.items() if found in world.keyframes))
            self.restart()
        return found

    def look(self, keyframe: KeyframeRecord) -> None:
        """Look for a loop of the active map that a new keyframe closes."""
        self._loops.look(self._atlas.world, keyframe)

    def take(self) -> bool:
        """Take what was worked out about a loop into the active map, and return whether it has moved."""
        return self._loops.take(self._atlas.world)

    def unite(self, keyframe: KeyframeRecord) -> Sim3 | None:
        """Make the active map one with a kept one whose place a new keyframe shows; return how the world has moved,
        new_from_old, or None where no common place is known.
        """
        if not self._loops.idle:
            return None  # an answer about the map as it is now would be misunderstood
        new_from_old = self._reunion.unite(self._atlas, keyframe)
        if new_from_old is not None:
            self._loops.joined(self._atlas.world)
        return new_from_old

    def lose(self) -> None:
        """Begin to look for the camera anew, for it was lost in another place."""
        self._relocalizer.restart()

    def restart(self) -> None:
        """Forget what was seen of places in the active map so far, and what is being worked out about it."""
        self._reunion.restart()
        self._loops.restart()

    def forget(self, *worlds: KeyframeMap) -> None:
        """Forget the places of some maps, and all that was seen of places so far."""
        for world in worlds:
            self._places.forget(world)
        self.restart()
