"""`slamfront map`: what is in map files, maps joined, and maps for other programs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from tyro.conf import Positional

from slamfront.commands.parsing import parse
from slamfront.errors import ConfigError, one_line

if TYPE_CHECKING:
    from slamfront.map import KeyframeMap
    from slamfront.map.files import MapHeader


@dataclass(frozen=True)
class Map:
    """Tell what is in map files, merge two, or write one for other programs.

    info tells what maps were made with, and how large they are; merge joins two maps that show a common place, in the
    world of the first; export writes landmarks.ply, a COLMAP text model and keyframes.tum.
    """

    action: Positional[Literal["info", "merge", "export"]]
    """What to do."""
    files: Positional[tuple[Path, ...]] = ()
    """Map files, as `slamfront run --save-map` writes them."""
    output: Path | None = None
    """File for the merged map, or folder for what is exported."""


def main(arguments: Sequence[str]) -> None:
    """Do what is asked for."""
    given = parse(Map, arguments, "map")
    actions: dict[str, Callable[[Map], None]] = {"info": _info, "merge": _merge, "export": _export}
    wanted = {"merge": 2, "export": 1}.get(given.action)
    if not given.files or wanted not in (None, len(given.files)):
        raise ConfigError(
            f"slamfront map {given.action} needs {wanted or 'at least one'} map file{'s' * (wanted == 2)}"
        )
    if given.action != "info" and given.output is None:
        raise ConfigError(f"slamfront map {given.action} needs --output")
    actions[given.action](given)


def _info(given: Map) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table
    from rich.text import Text

    from slamfront.map.files import load_map

    table = Table("", *(escape(one_line(path.name)) for path in given.files), show_header=True, show_edge=False)
    columns = [_facts(path, *load_map(path)) for path in given.files]
    for name in columns[0]:
        table.add_row(name, *(Text(one_line(column[name])) for column in columns))
    Console(soft_wrap=True).print(table)


def _facts(path: Path, world: KeyframeMap, header: MapHeader) -> dict[str, str]:
    """Return what there is to tell about a map, by name."""
    camera, records, marks = world.camera, list(world.keyframes.values()), world.landmarks
    seen_by = marks.observations[marks.alive]
    places_m = np.array([record.world_from_camera.translation_m for record in records]).reshape(-1, 3)
    length_m = float(np.linalg.norm(np.diff(places_m, axis=0), axis=1).sum())
    baseline = "" if camera.baseline_m is None else f", baseline {camera.baseline_m:g} m"
    if camera.disparity_offset_px:
        baseline += f", disparities {camera.disparity_offset_px:+.2f} px too large"
    return {
        "written": f"{header.created} by slamfront {header.slamfront}",
        "sensor": header.sensor,
        "camera": f"{camera.width}x{camera.height}, f {camera.fx:.1f} {camera.fy:.1f} px{baseline}",
        "features": header.features,
        "matcher": header.matcher,
        "keyframes": f"{len(records)} on a path of {length_m:.1f} m",
        "landmarks": f"{len(marks)}, each seen by {seen_by.mean() if len(seen_by) else 0.0:.1f} keyframes",
        "observations": str(int(seen_by.sum())),
        "size": f"{path.stat().st_size / 1e6:.1f} MB",
    }


def _export(given: Map) -> None:
    from slamfront.map.files import load_map
    from slamfront.pipeline.folder import Claim

    world, _ = load_map(given.files[0])
    assert given.output is not None
    claim = Claim(given.output)
    try:
        claim.clear()
        _write_export(given.output, world)
    finally:
        claim.close()


def _write_export(folder: Path, world: KeyframeMap) -> None:
    from slamfront.pipeline.results import KEYFRAMES_FILE, write_model
    from slamfront.sinks.trajectory import write_poses

    write_model(folder, world)
    # Runs whose clocks begin anew may share times, of which a trajectory has each once
    pose_at = {record.time_ns: record.world_from_camera for record in world.keyframes.values()}
    times_ns = sorted(pose_at)
    write_poses(folder / KEYFRAMES_FILE, times_ns, [pose_at[time_ns] for time_ns in times_ns])
    print(f"written    {folder}: landmarks.ply, colmap, {KEYFRAMES_FILE}")


def _merge(given: Map) -> None:
    from slamfront.build import vocabulary_for
    from slamfront.config import RunConfig
    from slamfront.errors import MapError
    from slamfront.loop_closing.map_alignment import find_joint, join
    from slamfront.map.files import MapHeader, check_fits, check_writable, load_map, save_map
    from slamfront.map.places import PlaceIndex
    from slamfront.matching.nearest import Nearest

    assert given.output is not None
    check_writable(given.output)
    path, other_path = given.files
    (world, header), (other, other_header) = load_map(path), load_map(other_path)
    check_fits(other_path, other, other_header, header, world.camera)
    places = PlaceIndex(vocabulary_for(header.features))
    config = RunConfig()
    matcher, scaled = Nearest(config.matcher.ratio), header.sensor == "mono"
    joint = find_joint(world, other, matcher, places, scaled, config=config)
    if joint is None:
        raise MapError(f"{path} and {other_path} show no common place by which they could be merged")
    fused = join(world, other, joint, config=config)
    save_map(world, given.output, MapHeader.now(header.sensor, header.features, header.matcher))
    print(f"common     {joint.pairs} landmarks in {joint.keyframes} keyframes; {fused} were fused")
    print(f"merged     {len(world.keyframes)} keyframes, {len(world.landmarks)} landmarks")
    print(f"map        {given.output}")
