"""Maps that were begun apart, because tracking was lost between them, found to show a common place."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from slamfront.config import RunConfig
from slamfront.geometry.pose import Pose, Sim3
from slamfront.loop_closing.map_alignment import MapAlignment, fuse_across, refined
from slamfront.loop_closing.verification import GeometricVerifier, relative_scale
from slamfront.map import KeyframeMap, KeyframeRecord
from slamfront.map.atlas import Atlas
from slamfront.map.places import PlaceIndex
from slamfront.tracking.local_map import VerifiedPose
from slamfront.types import Sensor

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class _Clue:
    """What one keyframe says: the kept map's number, and how the active map lies in it."""

    number: int
    kept_from_world: Sim3


class MapMerger:
    """Looks for places of the kept maps in each new keyframe of the active one; two in a row have to agree.

    A kept map tells nothing about where the camera may be by now, so that drift bounds nothing, as it does for loops:
    what one keyframe shows may be another room that looks alike.
    """

    def __init__(self, places: PlaceIndex, verifier: GeometricVerifier, sensor: Sensor, config: RunConfig) -> None:
        self._config = config
        self._places, self._verifier, self._scaled = places, verifier, sensor == "mono"
        self._clue: _Clue | None = None

    def unite(self, atlas: Atlas, keyframe: KeyframeRecord) -> Sim3 | None:
        """Make one map of the active one and a kept one whose place its new keyframe shows, in the world of the older;
        return how the active world lies in that, new_from_old, or None where no common place is known.
        """
        world, active, kept = atlas.world, atlas.active_id, atlas.kept
        found = self.look(kept, world, keyframe)
        if found is None:
            return None
        number, joint = found
        count = self._config.maps.merging.fused_keyframes
        near = [keyframe, *(world.keyframes[i] for i in world.covisible(keyframe)[:count].tolist())]
        others = list(kept[number].keyframes.values())
        if number < active:
            atlas.join(number, active, joint.world_from_other)
        else:
            atlas.join(active, number, joint.world_from_other.inverse())
        fuse_across(kept[number] if number < active else world, near, others, config=self._config)
        self.restart()
        log.info("map %d was joined to map %d by %d landmarks", *sorted((number, active))[::-1], joint.pairs)
        return joint.world_from_other if number < active else Sim3.from_pose(Pose.identity())

    def look(
        self, kept: Mapping[int, KeyframeMap], world: KeyframeMap, keyframe: KeyframeRecord
    ) -> tuple[int, MapAlignment] | None:
        """Return the number of a kept map that shows the place of a new keyframe of `world`, and how `world` lies in
        it; None while nothing does, or only this keyframe.
        """
        clue, self._clue = self._clue, None
        merging, verification = self._config.maps.merging, self._config.loops.verification
        homes = {keyframe_id: number for number, other in kept.items() for keyframe_id in other.keyframes}
        for keyframe_id in self._places.query(keyframe.features, merging.candidates, *kept.values()):
            number = homes[keyframe_id]
            other = kept[number]
            verified = self._verifier.verify(other, other.keyframes[keyframe_id], keyframe)
            if verified is None:
                continue
            scale = relative_scale(other, verified, world, keyframe, config=verification) if self._scaled else 1.0
            if scale is None:
                continue
            here = Sim3.from_pose(verified.camera_from_world.inverse(), scale)
            self._clue = _Clue(number, here @ Sim3.from_pose(keyframe.world_from_camera.inverse()))
            most_px = merging.max_disagreement_px
            if clue is not None and clue.number == number and _agrees(clue, other, keyframe, verified, most_px):
                near = [keyframe.id, *world.covisible(keyframe)[: merging.joint_keyframes - 1].tolist()]
                records = [world.keyframes[i] for i in near]
                start = self._clue.kept_from_world
                joint = refined(other, world, records, start, self._scaled, config=self._config)
                if joint is not None:
                    return number, joint
            log.debug("keyframe %d may show the place of keyframe %d, of map %d", keyframe.id, keyframe_id, number)
            return None
        return None

    def restart(self) -> None:
        """Forget what the last keyframe said."""
        self._clue = None


def _agrees(clue: _Clue, kept: KeyframeMap, keyframe: KeyframeRecord, verified: VerifiedPose, most_px: float) -> bool:
    """Return whether landmarks of a kept map lie in a keyframe about where an earlier keyframe's answer puts them."""
    camera_from_kept = clue.kept_from_world.apply_to_pose(keyframe.world_from_camera).inverse()
    places = kept.landmarks.positions_m[verified.landmark_rows]
    found = keyframe.features.keypoints_xy[verified.keypoint_rows]
    with np.errstate(invalid="ignore"):
        error_px = np.linalg.norm(kept.camera.project(camera_from_kept.apply(places)) - found, axis=1)
    return bool(np.median(np.nan_to_num(error_px, nan=np.inf)) < most_px)
