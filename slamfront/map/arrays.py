"""A map as named arrays and back, checked on the way back: what lies between the map and its files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from slamfront.geometry.camera import Camera
from slamfront.geometry.pose import Pose
from slamfront.geometry.shutter import Shutter
from slamfront.map.keyframe_map import KeyframeMap, KeyframeRecord
from slamfront.map.landmarks import Landmarks
from slamfront.types import Features, IntArray

Arrays = dict[str, NDArray[Any]]

# Rows of landmarks that may be reserved for each that lives, beyond a million: a wrong row must not fill the memory
_ROWS_PER_LANDMARK, _ROWS_AT_LEAST = 64, 1 << 20
_WIDEST_DESCRIPTOR = 4096


@dataclass(frozen=True, slots=True)
class Sizes:
    """How large the arrays of a map are, and the counters that go with them.

    features            of all keyframes together
    retired             keyframes that were culled and that others stand for
    descriptor_width    columns of a descriptor; `binary` descriptors are packed bits, others are float32
    next_keyframe_id, most_uses     what new ids are counted from
    """

    keyframes: int
    features: int
    landmarks: int
    retired: int
    descriptor_width: int
    binary: bool
    next_keyframe_id: int
    most_uses: int


def layout(sizes: Sizes) -> dict[str, tuple[np.dtype[Any], tuple[int, ...]]]:
    """Return type and shape of every array of a map of these sizes, by name; ValueError for sizes that no map has."""
    _require(0 < sizes.descriptor_width <= _WIDEST_DESCRIPTOR, "a descriptor has no such width")
    k, n, m, r = sizes.keyframes, sizes.features, sizes.landmarks, sizes.retired
    i8, f8, f4 = np.dtype("<i8"), np.dtype("<f8"), np.dtype("<f4")
    nothing = np.zeros((0, sizes.descriptor_width), np.uint8 if sizes.binary else np.float32)
    values = Landmarks(nothing, capacity=1).values()
    return {
        "keyframes/ids": (i8, (k,)),
        "keyframes/times_ns": (i8, (k,)),
        "keyframes/rotations": (f8, (k, 3, 3)),
        "keyframes/positions_m": (f8, (k, 3)),
        "keyframes/angular_velocities": (f8, (k, 3)),
        "keyframes/image_sizes": (i8, (k, 2)),
        "keyframes/feature_counts": (i8, (k,)),
        "features/keypoints_xy": (f4, (n, 2)),
        "features/scores": (f4, (n,)),
        "features/scales": (f4, (n,)),
        "features/descriptors": (nothing.dtype.newbyteorder("<"), (n, sizes.descriptor_width)),
        "features/right_x": (f4, (n,)),
        "features/sigmas_px": (f4, (n,)),
        "features/landmark_rows": (i8, (n,)),
        "landmarks/rows": (i8, (m,)),
        "landmarks/uses": (i8, (m,)),
        **{f"landmarks/{name}": (v.dtype.newbyteorder("<"), (m, *v.shape[1:])) for name, v in values.items()},
        "retired/ids": (i8, (r,)),
        "retired/heirs": (i8, (r,)),
        "retired/rotations": (f8, (r, 3, 3)),
        "retired/positions_m": (f8, (r, 3)),
    }


def to_arrays(world: KeyframeMap) -> tuple[Sizes, Arrays]:
    """Return the whole map, but for the images that its newest keyframes hold, as arrays that `layout` describes."""
    records, marks = list(world.keyframes.values()), world.landmarks
    descriptors = marks.descriptors
    sizes = Sizes(
        len(records),
        sum(len(record.features) for record in records),
        len(marks),
        len(world.retired),
        descriptors.shape[1],
        descriptors.dtype == np.uint8,
        world.next_id,
        marks.most_uses,
    )
    poses, retired = [record.world_from_camera for record in records], list(world.retired.values())
    values: dict[str, Any] = {
        "keyframes/ids": [record.id for record in records],
        "keyframes/times_ns": [record.time_ns for record in records],
        "keyframes/rotations": [pose.rotation for pose in poses],
        "keyframes/positions_m": [pose.translation_m for pose in poses],
        "keyframes/angular_velocities": [record.shutter.angular_velocity for record in records],
        "keyframes/image_sizes": [record.features.image_size for record in records],
        "keyframes/feature_counts": [len(record.features) for record in records],
        "retired/ids": list(world.retired),
        "retired/heirs": [heir for heir, _ in retired],
        "retired/rotations": [pose.rotation for _, pose in retired],
        "retired/positions_m": [pose.translation_m for _, pose in retired],
        **{f"landmarks/{name}": value for name, value in marks.to_arrays().items()},
    }
    for name in ("keypoints_xy", "scores", "scales", "descriptors"):
        values[f"features/{name}"] = _joined([getattr(record.features, name) for record in records])
    for name in ("right_x", "sigmas_px", "landmark_rows"):
        values[f"features/{name}"] = _joined([getattr(record, name) for record in records])
    arrays = {name: np.asarray(values[name], d).reshape(shape) for name, (d, shape) in layout(sizes).items()}
    return sizes, arrays


def from_arrays(camera: Camera, sizes: Sizes, arrays: Mapping[str, NDArray[Any]]) -> KeyframeMap:
    """Return the map that `to_arrays` was asked about, equal to the last digit.

    The arrays are as `layout` describes; ValueError tells what contradicts itself in them.
    """
    _check(sizes, arrays)
    marks = Landmarks.from_arrays(_part(arrays, "landmarks"), sizes.most_uses)
    retired = _part(arrays, "retired")
    places = zip(retired["rotations"], retired["positions_m"], strict=True)
    heirs = zip(retired["ids"].tolist(), retired["heirs"].tolist(), places, strict=True)
    return KeyframeMap.restored(
        camera,
        marks,
        _records(camera, arrays),
        {gone: (heir, Pose(rotation, position)) for gone, heir, (rotation, position) in heirs},
        sizes.next_keyframe_id,
    )


def _records(camera: Camera, arrays: Mapping[str, NDArray[Any]]) -> list[KeyframeRecord]:
    k, f = _part(arrays, "keyframes"), _part(arrays, "features")
    ends = np.cumsum(k["feature_counts"]).tolist()
    records = []
    for row, (start, end) in enumerate(zip([0, *ends], ends)):
        own = {name: value[start:end].copy() for name, value in f.items()}
        width, height = k["image_sizes"][row].tolist()
        records.append(
            KeyframeRecord(
                int(k["ids"][row]),
                int(k["times_ns"][row]),
                Pose(k["rotations"][row], k["positions_m"][row]),
                Features(own["keypoints_xy"], own["scores"], own["descriptors"], (width, height), own["scales"]),
                own["right_x"],
                own["sigmas_px"],
                own["landmark_rows"],
                cKDTree(own["keypoints_xy"]),
                None,
                Shutter(camera, k["angular_velocities"][row].copy()),
            )
        )
    return records


def _check(sizes: Sizes, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Raise ValueError for arrays that no map has."""
    ids, counts = arrays["keyframes/ids"], arrays["keyframes/feature_counts"]
    retired, heirs = arrays["retired/ids"], arrays["retired/heirs"]
    rows, seen = arrays["landmarks/rows"], arrays["features/landmark_rows"]
    known = np.concatenate([ids, retired])
    _require(len(np.unique(known)) == len(known), "a keyframe is there twice")
    _require(bool(np.all((known >= 0) & (known < sizes.next_keyframe_id))), "ids of keyframes are out of order")
    _require(bool(np.all(counts >= 0)) and int(counts.sum()) == sizes.features, "features belong to no keyframe")
    _require(_end_in_keyframes(ids, retired, heirs), "a culled keyframe has no heir")
    _require(bool(np.all(np.diff(rows) > 0) and np.all(rows >= 0)), "landmarks are out of order")
    most_rows = max(_ROWS_AT_LEAST, _ROWS_PER_LANDMARK * len(rows))
    _require(int(rows.max(initial=0)) < most_rows, "a landmark lies beyond all others")
    uses = arrays["landmarks/uses"]
    _require(
        bool(np.all((uses > 0) & (uses <= sizes.most_uses))) and sizes.most_uses < 1 << 31,
        "ids of landmarks are out of order",
    )
    _require(bool(np.all(np.isin(arrays["landmarks/anchor_ids"], known))), "a landmark hangs on no keyframe")
    owners = np.repeat(np.arange(len(ids)), counts)[seen >= 0]
    observed = np.minimum(np.searchsorted(rows, seen[seen >= 0]), max(len(rows) - 1, 0))
    _require(np.array_equal(rows[observed], seen[seen >= 0]), "what is observed is no landmark")
    times_seen = np.bincount(observed, minlength=len(rows))
    _require(np.array_equal(times_seen, arrays["landmarks/observations"]), "observations were miscounted")
    _require(len(np.unique(owners * len(rows) + observed)) == len(owners), "a keyframe sees a landmark twice")
    for name in ("keyframes/rotations", "retired/rotations"):
        turned = arrays[name] @ arrays[name].transpose(0, 2, 1) - np.eye(3)
        _require(not len(turned) or float(np.abs(turned).max()) < 1e-3, "a pose has no rotation")
    for name in ("keyframes/positions_m", "retired/positions_m", "landmarks/positions_m", "features/keypoints_xy"):
        _require(bool(np.isfinite(arrays[name]).all()), f"{name} are not finite")


def _end_in_keyframes(ids: IntArray, retired: IntArray, heirs: IntArray) -> bool:
    """Return whether every culled keyframe leads, from heir to heir, to one that is there."""
    placed = set(ids.tolist())
    waiting = dict(zip(retired.tolist(), heirs.tolist(), strict=True))
    while waiting:
        reached = [gone for gone, heir in waiting.items() if heir in placed]
        if not reached:
            return False
        placed.update(reached)
        for gone in reached:
            del waiting[gone]
    return True


def _require(holds: bool, fault: str) -> None:
    if not holds:
        raise ValueError(fault)


def _part(arrays: Mapping[str, NDArray[Any]], group: str) -> Arrays:
    """Return the arrays of a group by the second half of their names."""
    return {name.partition("/")[2]: value for name, value in arrays.items() if name.startswith(f"{group}/")}


def _joined(parts: list[NDArray[Any]]) -> NDArray[Any]:
    return np.concatenate(parts) if parts else np.zeros(0)
