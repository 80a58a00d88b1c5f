"""How well places are known again: one lap of a simulated house is remembered, views beside a second lap are asked for.

    python tools/place_recall.py --extractor orb --photos FOLDER

The views stand 20 cm (standard deviation, each axis) beside the path and look 10 degrees (yaw) past it, under another
exposure, with noise. A keyframe is right within 1 m and 30 degrees. Prints recall, precision at several recalls when
the best score decides, and the processor time of a query among 1000 keyframes.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import tyro

from slamfront.build import build_extractor, resolve
from slamfront.config import ExtractorConfig, RunConfig
from slamfront.geometry.pose import Pose
from slamfront.map.places import PlaceIndex, packaged_vocabulary
from slamfront.simulation import Scene, scene
from slamfront.types import Features

_LAP, _EVERY = 1000, 10
_NEAR_M, _ALIKE_RAD = 1.0, np.deg2rad(30.0)
_RECALLS = (0.5, 0.8, 0.9, 0.95, 1.0)


def main(extractor: Literal["orb", "sift"] = "orb", photos: Path | None = None, online: bool = False) -> None:
    """Print the figures; `online` makes a vocabulary from the first keyframes instead of taking the one that ships."""
    finder = build_extractor(resolve(RunConfig(extractor=ExtractorConfig(kind=extractor, max_keypoints=500))))
    pictures = "" if photos is None else f"&photos={photos}"
    house = scene(f"house?frames={2 * _LAP}&speed=0.72&width=320&grey=1&draft=1&noise=1&exposure=0.3{pictures}")
    rng = np.random.default_rng(1)
    poses = {row: house.pose(row) for row in range(0, 2 * _LAP, _EVERY)}
    for row in range(_LAP, 2 * _LAP, _EVERY):
        turn = rng.normal(0, np.deg2rad([4, 10, 3]))
        poses[row] = poses[row] @ Pose.exp(np.r_[turn, rng.normal(0, 0.2, 3)])
    views = {row: finder.extract(_seen_from(house, row, pose)) for row, pose in poses.items()}
    index = PlaceIndex(None if online else packaged_vocabulary(extractor))
    for row in range(0, _LAP, _EVERY):
        index.add(row, views[row])
    found = [_ask(index, views[row], poses, row) for row in range(_LAP, 2 * _LAP, _EVERY)]
    print(
        f"recall at 1: {np.mean([ranks[0] for ranks, _ in found]):.2f}, at 5: {np.mean([any(r) for r, _ in found]):.2f}"
    )
    order = sorted(found, key=lambda one: -one[1])
    right = np.cumsum([ranks[0] for ranks, _ in order]) / np.arange(1, len(order) + 1)
    for share in _RECALLS:
        print(f"precision of the best {100 * share:.0f} %: {right[round(share * len(order)) - 1]:.3f}")
    print(f"a query among 1000 keyframes: {_query_ms(index, list(views.values())):.2f} ms")


def _seen_from(house: Scene, row: int, pose: Pose) -> np.ndarray:
    """Return the frame of a row as it is seen from another pose."""
    return replace(house, path=lambda _time_s: pose).frame(row, "mono").image


def _ask(index: PlaceIndex, view: Features, poses: dict[int, Pose], row: int) -> tuple[list[bool], float]:
    """Return which of the five best keyframes are right, and the score of the best."""
    ids, scores = index.scores(view)
    best = np.argsort(-scores)[:5]
    return [_same(poses[int(ids[i])], poses[row]) for i in best], float(scores[best[0]])


def _same(first: Pose, second: Pose) -> bool:
    near = float(np.linalg.norm(first.translation_m - second.translation_m)) < _NEAR_M
    return near and float(first.rotation[:, 2] @ second.rotation[:, 2]) > np.cos(_ALIKE_RAD)


def _query_ms(index: PlaceIndex, views: list[Features]) -> float:
    while len(index) < 1000:
        index.add(100_000 + len(index), views[len(index) % len(views)])
    start = time.process_time()
    for view in views:
        index.query(view)
    return 1e3 * (time.process_time() - start) / len(views)


if __name__ == "__main__":
    tyro.cli(main)
