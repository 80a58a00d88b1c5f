"""Keyframes, what they observe, and how they are connected."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.spatial import cKDTree

from slamfront.config import CovisibilityConfig
from slamfront.geometry.camera import Camera
from slamfront.geometry.pose import Pose
from slamfront.geometry.shutter import Shutter
from slamfront.map.landmarks import Landmarks
from slamfront.types import Features, Float32Array, FloatArray, Image, IntArray, KeyFrame

# Keyframes that keep their image, for aligning patches in it
_IMAGES_KEPT = 12
_TABLE_ROWS = 16384


@dataclass(slots=True, eq=False)
class KeyframeRecord:
    """A keyframe inside the map.

    sigmas_px (N,) standard deviation of each keypoint; landmark_rows (N,) a view into the map's table, -1 = none; image
    the grey image, for as long as it is kept, with the shutter that relates its pixels to the keypoints.
    """

    id: int
    time_ns: int
    world_from_camera: Pose
    features: Features
    right_x: Float32Array
    sigmas_px: Float32Array
    landmark_rows: IntArray
    tree: cKDTree
    image: Image | None
    shutter: Shutter


class KeyframeMap:
    """The map: it belongs to one thread, and everyone else gets copies.

    Observations live in one table with a row per feature of every keyframe, so that questions about many landmarks
    or keyframes are one numpy expression.
    """

    def __init__(
        self, camera: Camera, descriptors_like: NDArray[Any], covisibility: CovisibilityConfig | None = None
    ) -> None:
        self.camera, self.covisibility = camera, covisibility or CovisibilityConfig()
        self.landmarks = Landmarks(descriptors_like)
        self.keyframes: dict[int, KeyframeRecord] = {}
        self._next_id = 0
        self._table_landmark: IntArray = np.full(_TABLE_ROWS, -1, np.int64)
        self._table_keyframe: IntArray = np.full(_TABLE_ROWS, -1, np.int64)
        self._used = 0
        # A keyframe that was culled keeps its place relative to another, for the frames that refer to it
        self._retired: dict[int, tuple[int, Pose]] = {}
        self._scales: dict[int, float] = {}

    # --- keyframes

    def add_keyframe(
        self,
        time_ns: int,
        world_from_camera: Pose,
        features: Features,
        right_x: Float32Array,
        sigmas_px: Float32Array,
        landmark_rows: IntArray,
        image: Image | None,
        shutter: Shutter,
    ) -> KeyframeRecord:
        """Add a keyframe whose features observe the given landmarks (N,), -1 = none, and return its record."""
        count = len(features)
        self._reserve(count)
        rows = self._table_landmark[self._used : self._used + count]
        rows[:] = landmark_rows
        self._table_keyframe[self._used : self._used + count] = self._next_id
        self._used += count
        record = KeyframeRecord(
            self._next_id,
            time_ns,
            world_from_camera,
            features,
            right_x,
            sigmas_px,
            rows,
            cKDTree(features.keypoints_xy),
            image,
            shutter,
        )
        self.keyframes[record.id] = record
        self._next_id += 1
        observed = landmark_rows[landmark_rows >= 0]
        self.landmarks.observations[observed] += 1
        self._look_from(record, observed)
        for old in list(self.keyframes.values())[: -_IMAGES_KEPT - 1]:
            old.image = None
        return record

    def world_from_keyframe(self, keyframe_id: int) -> Pose:
        """Return the pose of a keyframe, also of one that was culled; KeyError for one that never was."""
        if keyframe_id in self.keyframes:
            return self.keyframes[keyframe_id].world_from_camera
        heir = self.keyframes[self.heir(keyframe_id)]
        return heir.world_from_camera @ self._retired[keyframe_id][1]

    def heir(self, keyframe_id: int) -> int:
        """Return the keyframe that stands for one that was culled, or a living one itself; KeyError for another.

        Where that was culled as well, the heir's heir is remembered instead: at a place that is visited for long the
        way to the living grows with every visit.
        """
        way = []
        while keyframe_id not in self.keyframes:
            way.append(keyframe_id)
            keyframe_id = self._retired[keyframe_id][0]
        for parent, gone in zip(way[:0:-1], way[-2::-1]):
            self._retired[gone] = keyframe_id, self._retired[parent][1] @ self._retired[gone][1]
        return keyframe_id

    def scale(self, keyframe_id: int) -> float:
        """Return how much longer lengths about a keyframe, living or culled, have become since it was added."""
        return self._scales.get(keyframe_id, 1.0)

    def stretch(self, scales: Mapping[int, float]) -> None:
        """Let lengths about living keyframes count for more, each by its own factor, also for those they stand for."""
        if all(scale == 1.0 for scale in scales.values()):
            return
        heirs = {keyframe_id: self.heir(keyframe_id) for keyframe_id in (*self.keyframes, *self._retired)}
        for keyframe_id, heir in heirs.items():
            factor = scales.get(heir, 1.0)
            self._scales[keyframe_id] = factor * self.scale(keyframe_id)
            if keyframe_id in self._retired:
                parent, pose = self._retired[keyframe_id]
                self._retired[keyframe_id] = parent, Pose(pose.rotation, factor * pose.translation_m)

    def knows(self, keyframe_id: int) -> bool:
        """Return whether a keyframe is in the map or was culled from it."""
        return keyframe_id in self.keyframes or keyframe_id in self._retired

    def remove_keyframe(self, keyframe_id: int, heir_id: int) -> None:
        """Cull a keyframe; frames that refer to it follow the keyframe `heir_id` from now on."""
        record = self.keyframes.pop(keyframe_id)
        heir = self.keyframes[heir_id]
        self._retired[keyframe_id] = (heir_id, heir.world_from_camera.inverse() @ record.world_from_camera)
        observed = record.landmark_rows[record.landmark_rows >= 0]
        self.landmarks.observations[observed] -= 1
        self._lay_out(len(self._table_landmark))
        self.remove_landmarks(observed[self.landmarks.observations[observed] <= 0])

    def keyframe(self, keyframe_id: int) -> KeyFrame:
        """Return a frozen copy of a keyframe."""
        record = self.keyframes[keyframe_id]
        return KeyFrame(
            record.id,
            record.time_ns,
            record.world_from_camera,
            record.features,
            self.landmarks.ids(record.landmark_rows),
            record.right_x.copy(),
            self.camera,
        )

    def clear(self) -> None:
        """Remove everything and free its memory; ids of keyframes and landmarks are not used again."""
        self.landmarks = self.landmarks.emptied()
        self.keyframes.clear()
        self._retired.clear()
        self._scales.clear()
        self._lay_out(_TABLE_ROWS)

    # --- the whole, for files

    @property
    def next_id(self) -> int:
        """Id of the next keyframe."""
        return self._next_id

    def void_ids(self, next_id: int, uses: int) -> None:
        """Use no id from now on that another map may have: keyframes from `next_id` on, landmarks beyond `uses`."""
        self._next_id = max(self._next_id, next_id)
        self.landmarks.void_ids(uses)

    def adopt(
        self,
        keyframes: Iterable[KeyframeRecord],
        retired: Mapping[int, tuple[int, Pose]],
        scales: Mapping[int, float],
    ) -> None:
        """Take over keyframes of this world whose landmarks are in the map already, and what hangs on them."""
        everyone = {**self.keyframes, **{record.id: record for record in keyframes}}
        self.keyframes = dict(sorted(everyone.items()))
        self._retired.update(retired)
        self._scales.update(scales)
        size = len(self._table_landmark)
        while size < sum(len(record.landmark_rows) for record in self.keyframes.values()):
            size *= 2
        self._lay_out(size)

    @property
    def retired(self) -> Mapping[int, tuple[int, Pose]]:
        """For each keyframe that was culled its heir, and heir_from_camera."""
        return MappingProxyType(self._retired)

    @staticmethod
    def restored(
        camera: Camera,
        landmarks: Landmarks,
        keyframes: Iterable[KeyframeRecord],
        retired: Mapping[int, tuple[int, Pose]],
        next_id: int,
    ) -> KeyframeMap:
        """Return the map made of its parts, which are taken over; keyframes come in order of their ids."""
        world = KeyframeMap(camera, landmarks.descriptors)
        world.landmarks, world._next_id = landmarks, next_id
        world.adopt(keyframes, retired, {})
        return world

    # --- landmarks and observations

    def add_landmarks(
        self,
        keyframe: KeyframeRecord,
        keypoint_rows: IntArray,
        positions_m: FloatArray,
        patches: NDArray[np.uint8],
        created_by: int | None = None,
    ) -> IntArray:
        """Add landmarks anchored in `keyframe` at the given features and observed there; return their rows."""
        marks = self.landmarks
        rows = marks.take_rows(len(keypoint_rows))
        marks.positions_m[rows] = positions_m
        marks.created_by[rows] = keyframe.id if created_by is None else created_by
        self.add_observations(keyframe, keypoint_rows, rows)
        self.anchor(keyframe, keypoint_rows, patches)
        return rows

    def anchor(self, keyframe: KeyframeRecord, keypoint_rows: IntArray, patches: NDArray[np.uint8]) -> None:
        """Let the landmarks that features of a keyframe observe look as they do there: descriptor, patch (K,21,21),
        scale.
        """
        marks, rows = self.landmarks, keyframe.landmark_rows[keypoint_rows]
        marks.descriptors[rows] = keyframe.features.descriptors[keypoint_rows]
        marks.set_patches(rows, patches)
        marks.anchor_ids[rows] = keyframe.id
        marks.anchor_xy[rows] = keyframe.features.keypoints_xy[keypoint_rows]
        marks.anchor_scales[rows] = keyframe.features.scales[keypoint_rows]
        offset = marks.positions_m[rows] - keyframe.world_from_camera.translation_m
        marks.anchor_distances_m[rows] = np.linalg.norm(offset, axis=1)

    def add_observations(self, keyframe: KeyframeRecord, keypoint_rows: IntArray, landmark_rows: IntArray) -> None:
        """Let features of a keyframe that observe nothing yet observe landmarks."""
        keyframe.landmark_rows[keypoint_rows] = landmark_rows
        self.landmarks.observations[landmark_rows] += 1
        self._look_from(keyframe, landmark_rows)

    def move_keypoints(
        self, keyframe: KeyframeRecord, keypoint_rows: IntArray, shift_px: FloatArray, sigmas_px: FloatArray
    ) -> None:
        """Move keypoints of a keyframe by `shift_px` (M,2) to where they were measured better, with the new
        deviation.
        """
        f = keyframe.features
        xy = f.keypoints_xy.copy()
        xy[keypoint_rows] += shift_px.astype(np.float32)
        keyframe.features = Features(xy, f.scores, f.descriptors, f.image_size, f.scales)
        keyframe.right_x[keypoint_rows] += shift_px[:, 0].astype(np.float32)
        keyframe.sigmas_px[keypoint_rows] = sigmas_px

    def lower_disparities(self, offset_px: float) -> None:
        """Lower what all keyframes have measured, and are going to: rectification was found to be off by this much."""
        self.camera = replace(self.camera, disparity_offset_px=self.camera.disparity_offset_px + offset_px)
        for keyframe in self.keyframes.values():
            keyframe.right_x += np.float32(offset_px)

    def turn_keyframe(self, keyframe: KeyframeRecord, shutter: Shutter) -> None:
        """Move all keypoints of a keyframe to where they lie under another shutter."""
        f, rows = keyframe.features, keyframe.landmark_rows
        xy = shutter.to_middle(keyframe.shutter.to_image(f.keypoints_xy)).astype(np.float32)
        keyframe.right_x += xy[:, 0] - f.keypoints_xy[:, 0]
        keyframe.features = Features(xy, f.scores, f.descriptors, f.image_size, f.scales)
        keyframe.tree, keyframe.shutter = cKDTree(xy), shutter
        anchored = (rows >= 0) & (self.landmarks.anchor_ids[rows] == keyframe.id)
        self.landmarks.anchor_xy[rows[anchored]] = xy[anchored]

    def remove_observations(self, keyframe: KeyframeRecord, keypoint_rows: IntArray) -> None:
        """Let features observe nothing; landmarks that nobody sees any more are removed."""
        rows = keyframe.landmark_rows[keypoint_rows]
        rows = rows[rows >= 0]
        keyframe.landmark_rows[keypoint_rows] = -1
        self.landmarks.observations[rows] -= 1
        self.remove_landmarks(np.unique(rows[self.landmarks.observations[rows] <= 0]))

    def remove_landmarks(self, rows: IntArray) -> None:
        """Remove landmarks and their observations."""
        if len(rows) == 0:
            return
        table = self._table_landmark[: self._used]
        dead = np.zeros(self.landmarks.capacity + 1, bool)
        dead[rows] = True
        table[dead[table]] = -1
        self.landmarks.release(rows)

    def merge_landmarks(self, kept: IntArray, gone: IntArray) -> None:
        """Let whoever observes `gone` (M,) observe `kept` (M,) instead, unless the keyframe sees both, and remove
        `gone`.
        """
        if len(kept) == 0:
            return
        heir = np.full(self.landmarks.capacity + 1, -1, np.int64)
        heir[gone] = kept
        table, owner = self._table_landmark[: self._used], self._table_keyframe[: self._used]
        moved = np.flatnonzero((table >= 0) & (heir[table] >= 0))
        targets = heir[table[moved]]
        # A keyframe may see a landmark once: those that see the heir already lose the second observation
        pairs = owner * self.landmarks.capacity
        new, present = pairs[moved] + targets, (pairs + table)[np.isin(table, kept)]
        inherits = np.zeros(len(new), bool)
        inherits[np.unique(new, return_index=True)[1]] = True
        inherits &= ~np.isin(new, present)
        table[moved] = np.where(inherits, targets, -1)
        np.add.at(self.landmarks.observations, targets[inherits], 1)
        self.landmarks.release(gone)

    # --- connections

    def keyframes_seeing(self, landmark_rows: IntArray) -> tuple[IntArray, IntArray]:
        """Return ids of keyframes that observe any of the landmarks, and how many of them, most first."""
        wanted = np.zeros(self.landmarks.capacity + 1, bool)
        wanted[landmark_rows] = True
        wanted[-1] = False
        owners = self._table_keyframe[: self._used][wanted[self._table_landmark[: self._used]]]
        counts = np.bincount(owners, minlength=1)
        ids = np.flatnonzero(counts)
        order = np.lexsort((-ids, -counts[ids]))
        return ids[order], counts[ids[order]]

    def sightings(self, landmark_rows: IntArray) -> tuple[IntArray, IntArray]:
        """Return the ids of keyframes and the rows of landmarks of all observations of some landmarks, (M,) each."""
        wanted = np.zeros(self.landmarks.capacity + 1, bool)
        wanted[landmark_rows] = True
        wanted[-1] = False
        table = self._table_landmark[: self._used]
        seen = np.flatnonzero(wanted[table])
        return self._table_keyframe[seen], table[seen]

    def covisible(self, keyframe: KeyframeRecord, minimum: int | None = None) -> IntArray:
        """Return ids of other keyframes that share at least `minimum` landmarks with this one, most first; None =
        as many as show that both see one place.
        """
        least = self.covisibility.min_landmarks if minimum is None else minimum
        rows = keyframe.landmark_rows
        ids, counts = self.keyframes_seeing(rows[rows >= 0])
        return ids[(ids != keyframe.id) & (counts >= least)]

    def shared_landmarks(self) -> tuple[IntArray, csr_matrix]:
        """Return the ids of all keyframes (K,), ascending, and how many landmarks each two of them share (K,K)."""
        ids = np.array(sorted(self.keyframes), np.int64)
        seen = np.flatnonzero(self._table_landmark[: self._used] >= 0)
        keyframes = np.searchsorted(ids, self._table_keyframe[seen])
        shape = len(ids), self.landmarks.capacity
        observes = csr_matrix((np.ones(len(seen), np.int32), (keyframes, self._table_landmark[seen])), shape)
        return ids, observes @ observes.T

    def observed_by(self, keyframe_ids: IntArray) -> IntArray:
        """Return the rows of all landmarks that any of the keyframes observes, ascending."""
        if len(keyframe_ids) == 0:
            return np.zeros(0, np.int64)
        rows = np.concatenate([self.keyframes[int(i)].landmark_rows for i in keyframe_ids])
        mask = np.zeros(self.landmarks.capacity + 1, bool)
        mask[rows] = True
        mask[-1] = False
        return np.flatnonzero(mask)

    # --- the table

    def _look_from(self, keyframe: KeyframeRecord, landmark_rows: IntArray) -> None:
        """Remember from where the landmarks were seen last."""
        to_camera = keyframe.world_from_camera.translation_m - self.landmarks.positions_m[landmark_rows]
        length = np.maximum(np.linalg.norm(to_camera, axis=1, keepdims=True), 1e-9)
        self.landmarks.view_directions[landmark_rows] = to_camera / length

    def _reserve(self, count: int) -> None:
        size = len(self._table_landmark)
        while self._used + count > size:
            size *= 2
        if size > len(self._table_landmark):
            self._lay_out(size)

    def _lay_out(self, size: int) -> None:
        """Write the table anew without gaps and hand every keyframe its part."""
        landmark = np.full(size, -1, np.int64)
        keyframe = np.full(size, -1, np.int64)
        start = 0
        for record in self.keyframes.values():
            stop = start + len(record.landmark_rows)
            landmark[start:stop] = record.landmark_rows
            keyframe[start:stop] = record.id
            record.landmark_rows = landmark[start:stop]
            start = stop
        self._table_landmark, self._table_keyframe, self._used = landmark, keyframe, start
