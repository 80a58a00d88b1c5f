"""Draw the recordings of the stress suite from a seed, and print the suite.

    python tools/draw_stress.py --seed 0 > configs/bench/stress.yaml
    python tools/draw_stress.py --seed 7 > other.yaml && slamfront bench other.yaml

A kind is a camera in a place with something that makes tracking hard; its numbers are drawn within its ranges. Another
seed gives other recordings of the same kinds, to which nothing can have been tuned. Marks belong to kinds, and are what
a user may expect of one: see `slamfront/evaluation/trajectory/marks.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tyro
import yaml

Range = tuple[float, float]
Mark = dict[str, Any]

_HAND = {"frames": 90, "width": 320, "grey": 1, "draft": 1}
_SWIFT = {**_HAND, "shake": 1}
_ROAD = {"frames": 50, "grey": 1, "draft": 1}
_STREET = {"frames": 50, "width": 480, "height": 180, "grey": 1, "draft": 1}
_WALK = {"frames": 90, "rate": 20, "width": 320, "grey": 1, "draft": 1}
_WILD: Mark = {"placed": 0, "error": None}
"""Nothing has to be placed, but what is has to be right."""


def depth(error: float, placed: float = 100) -> Mark:
    """Return a mark whose error is a share of the median depth, %."""
    return {"placed": placed, "error": error, "of": "depth"}


def path(error: float, placed: float = 100) -> Mark:
    """Return a mark whose error is a share of the path, %."""
    return {"placed": placed, "error": error, "of": "path"}


@dataclass(frozen=True)
class Kind:
    """Recordings of one kind: a scene, fixed options, and ranges that others are drawn from; whole ones end in `!`."""

    name: str
    sensor: str
    scene: str
    mark: Mark
    fixed: dict[str, Any]
    drawn: dict[str, Range] = field(default_factory=dict)
    count: int = 1


# One camera finds its first map within half a second: it is told from the frame on in which it does
KINDS = (
    Kind("motorway", "stereo", "motorway", path(1), _ROAD, {"speed": (0.9, 1.17), "movers!": (3, 8)}, 3),
    Kind("motorway", "mono", "motorway", path(2, 90), _ROAD, {"speed": (0.9, 1.17), "movers!": (2, 6)}, 2),
    Kind("motorway-jumps-blur", "stereo", "motorway", path(1), _ROAD, {"jumps": (0.2, 0.5), "blur": (4, 10)}),
    Kind("motorway-bonnet", "stereo", "motorway", path(1), _ROAD, {"overlay": (0.12, 0.25)}),
    Kind("motorway-drops", "stereo", "motorway", path(1), {**_ROAD, "drop_right": 0.15}, {"drop_frames": (0.05, 0.15)}),
    Kind("motorway-plain", "stereo", "motorway", path(2), {**_ROAD, "style": "low"}, {"speed": (0.8, 1.0)}),
    Kind("motorway-narrow", "stereo", "motorway", path(1), _ROAD, {"fov": (40, 55)}),
    Kind("street-car-ahead", "stereo", "street", path(1), {**_STREET, "movers": 1}, {"speed": (0.8, 1.3)}),
    Kind("street-car-ahead", "mono", "street", path(2, 90), {**_STREET, "movers": 1}, {"speed": (0.8, 1.3)}),
    Kind("street-rolling", "stereo", "street", path(1), _STREET, {"readout": (15, 30), "shake": (0.5, 1.0)}),
    Kind("street-stop-and-go", "stereo", "street", path(1), _STREET, {"hold": (1.0, 2.0), "jumps": (0.1, 0.3)}),
    Kind("street-repeated", "stereo", "street", path(1), {**_STREET, "style": "repeated"}, {"speed": (0.7, 1.3)}),
    Kind("street-wide", "stereo", "street", path(1), _STREET, {"fov": (105, 120), "speed": (1.0, 2.0)}),
    Kind("street-bonnet", "mono", "street", path(2, 90), _STREET, {"overlay": (0.12, 0.22)}),
    Kind("forest", "stereo", "forest", path(1), {**_WALK, "shake": 1}, {"speed": (0.8, 3.0)}, 2),
    Kind("forest", "mono", "forest", path(2, 85), {**_WALK, "shake": 1}, {"speed": (0.8, 3.0)}),
    Kind("forest-walker", "rgbd", "forest", path(1), {**_WALK, "movers": 1, "depth_noise": 1}, {"mover_m": (1.5, 3.0)}),
    Kind("walker-near", "rgbd", "room", depth(2), {**_HAND, "shake": 1, "movers": 1}, {"mover_m": (0.9, 1.3)}),
    Kind("walker-plain", "rgbd", "low-texture", depth(2), {**_HAND, "movers": 1}, {"mover_m": (1.0, 1.8)}),
    Kind("walker-plain", "stereo", "low-texture", depth(2), {**_HAND, "movers": 1}, {"mover_m": (1.0, 1.8)}),
    Kind("walkers", "rgbd", "room", depth(2), {**_HAND, "shake": 1}, {"mover_m": (1.3, 2.2), "movers!": (2, 3)}),
    Kind("walker", "stereo", "corridor", depth(2), {**_HAND, "movers": 1}, {"mover_m": (1.2, 2.0)}),
    Kind("walker", "mono", "room", depth(2, 80), {**_HAND, "movers": 1}, {"mover_m": (1.0, 1.8)}),
    Kind("body-part", "rgbd", "room", depth(2), {**_HAND, "shake": 1}, {"overlay": (0.2, 0.3)}),
    Kind("body-part", "stereo", "room", depth(2), {**_HAND, "shake": 1}, {"overlay": (0.2, 0.3)}),
    Kind("body-part", "mono", "room", depth(2, 80), _HAND, {"overlay": (0.15, 0.25)}),
    Kind("body-part-plain", "rgbd", "low-texture", depth(2), _HAND, {"overlay": (0.2, 0.3)}),
    Kind("depth-drops", "rgbd", "room", depth(1), _SWIFT, {"drop_depth": (0.1, 0.4), "speed": (1.0, 2.5)}, 2),
    Kind("depth-specks", "rgbd", "room", depth(1), _HAND, {"depth_specks": (0.25, 0.4), "depth_noise": (0.5, 1)}),
    Kind("depth-specks-plain", "rgbd", "low-texture", depth(1), _HAND, {"depth_specks": (0.25, 0.4)}),
    Kind("depth-holes", "rgbd", "room", depth(1), _HAND, {"depth_holes": (0.3, 0.5), "depth_noise": (1, 2)}),
    Kind("frame-drops", "rgbd", "room", depth(1), _SWIFT, {"drop_frames": (0.15, 0.3), "speed": (1.0, 2.5)}),
    Kind("frame-drops", "mono", "room", depth(2, 80), {**_HAND, "shake": 1}, {"drop_frames": (0.15, 0.3)}),
    Kind("right-drops", "stereo", "room", depth(1), _SWIFT, {"drop_right": (0.15, 0.4), "speed": (1.0, 2.5)}),
    Kind("rolling", "rgbd", "room", depth(1), _HAND, {"readout": (18, 30), "shake": (1, 2)}),
    Kind("rolling", "mono", "room", depth(2, 80), _HAND, {"readout": (18, 30), "shake": (1, 2)}),
    Kind("fast-blur", "rgbd", "fast", depth(2, 95), _HAND, {"blur": (6, 14), "shake": (0.5, 1.5)}),
    Kind("fast-blur", "stereo", "fast", depth(2, 95), _HAND, {"blur": (6, 14), "speed": (0.8, 1.2)}),
    Kind("jumps", "rgbd", "room", depth(1), _SWIFT, {"jumps": (0.3, 0.6), "gamma": (0.1, 0.3), "speed": (1.0, 2.5)}),
    Kind("jumps", "stereo", "room", depth(1), {**_HAND, "shake": 1}, {"jumps": (0.3, 0.6)}),
    Kind("jumps", "mono", "room", depth(2, 80), _HAND, {"jumps": (0.3, 0.6)}),
    Kind("low-texture", "rgbd", "low-texture", depth(1), _HAND, {"shake": (0.3, 1)}),
    Kind("low-texture", "stereo", "low-texture", depth(2), _HAND, {"shake": (0.3, 1)}),
    Kind("repeated", "rgbd", "repeated", depth(2), _HAND, {"shake": (0.3, 1)}),
    Kind("repeated", "stereo", "repeated", depth(2), _HAND, {"shake": (0.3, 1)}),
    Kind("planar", "mono", "planar", depth(2, 80), _HAND, {"shake": (0, 1)}),
    Kind("planar", "stereo", "planar", depth(1), _SWIFT, {"speed": (1.0, 2.5)}),
    Kind("still", "rgbd", "still", depth(0.5), {**_HAND, "frames": 60}, {"depth_noise": (1, 2)}),
    Kind("still", "mono", "still", _WILD, {**_HAND, "frames": 60}),
    Kind("still-walker", "stereo", "still", depth(1), {**_HAND, "frames": 60, "movers": 1}, {"mover_m": (1.0, 1.6)}),
    Kind("turning", "rgbd", "rotation", depth(1), _HAND, {"speed": (0.8, 2.0)}),
    Kind("turning", "stereo", "rotation", depth(1), _HAND, {"speed": (0.8, 2.0)}),
    Kind("turning", "mono", "rotation", _WILD, _HAND, {"speed": (0.8, 1.5)}),
    Kind("fisheye", "rgbd", "room", depth(1), {**_HAND, "lens": "kb4", "shake": 1}, {"fov": (120, 150)}),
    Kind("fisheye", "mono", "room", depth(2, 80), {**_HAND, "lens": "kb4", "shake": 1}, {"fov": (120, 150)}),
    Kind("fisheye", "stereo", "room", depth(1), {**_HAND, "lens": "kb4"}, {"fov": (110, 140), "speed": (1.0, 2.0)}),
    Kind("narrow", "rgbd", "room", depth(1), _HAND, {"fov": (25, 35), "shake": (0.3, 0.6)}),
    Kind("out-of-step", "stereo", "room", {**_WILD, "says": "step"}, {**_SWIFT, "right_late": 1}),
    Kind("swapped", "stereo", "room", {**_WILD, "says": "swapped"}, {**_HAND, "swapped": 1}),
    Kind("all-at-once", "rgbd", "room", depth(3, 95), {**_HAND, "movers": 1, "shake": 1.5, "blur": 5},
         {"mover_m": (1.2, 2), "jumps": (0.2, 0.4), "readout": (10, 20), "drop_depth": (0.1, 0.3)}),
    Kind("all-at-once", "stereo", "room", depth(3, 95), {**_HAND, "movers": 1, "shake": 1.5, "blur": 5},
         {"mover_m": (1.2, 2), "jumps": (0.2, 0.4), "drop_frames": (0.05, 0.15), "drop_right": (0.1, 0.2)}),
)  # fmt: skip
"""Every kind, with its mark."""

SHORT = (
    "motorway-mono-1", "walkers-rgbd", "walker-mono", "depth-drops-rgbd-1", "jumps-stereo", "planar-mono",
    "turning-rgbd", "fisheye-mono",
)  # fmt: skip
"""Names of the recordings of seed 0 that the tests run: of each kind of sensor some, quick, and right by now."""


@dataclass(frozen=True)
class Arguments:
    """Print a stress suite."""

    seed: int = 0
    """Of everything that is drawn."""


def draw(seed: int) -> list[dict[str, Any]]:
    """Return the sequences of the suite of a seed."""
    sequences = []
    for kind in KINDS:
        for number in range(kind.count):
            name = f"{kind.name}-{kind.sensor}" + (f"-{number + 1}" if kind.count > 1 else "")
            # Each name has a stream of its own, so that a kind that is added changes no other recording
            rng = np.random.default_rng([seed, *name.encode()])
            entry = {
                "label": name,
                "source": _source(kind, rng),
                "options": ["--sensor", kind.sensor],
                "mark": kind.mark,
            }
            sequences.append({**entry, "short": True} if seed == 0 and name in SHORT else entry)
    return sequences


def _source(kind: Kind, rng: np.random.Generator) -> str:
    values = {"seed": int(rng.integers(1000)), "noise": round(float(rng.uniform(0.5, 1.5)), 2), **kind.fixed}
    for key, (low, high) in kind.drawn.items():
        whole = key.endswith("!")
        value = float(rng.uniform(low, high + 1 if whole else high))
        values[key.rstrip("!")] = int(value) if whole else round(value, 2)
    return f"synthetic:{kind.scene}?" + "&".join(f"{key}={value}" for key, value in values.items())


def main() -> None:
    """Print the suite as YAML."""
    seed = tyro.cli(Arguments).seed
    suite = {
        "title": f"slamfront under stress, recordings of seed {seed}",
        "options": ["--extractor.kind", "orb", "--no-threads"],
        "sequences": draw(seed),
    }
    print(f"# Written by tools/draw_stress.py --seed {seed}; run by `slamfront bench`")
    print(yaml.dump(suite, Dumper=_Plain, sort_keys=False, width=120), end="")


class _Plain(yaml.SafeDumper):
    """Writes marks that several sequences share out in full."""

    def ignore_aliases(self, data: object) -> bool:
        """Return True: nothing is named."""
        return True


if __name__ == "__main__":
    main()
