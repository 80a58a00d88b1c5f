"""`slamfront demo`: the whole line on a sequence that comes along, offline, on any machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from slamfront.commands.parsing import Flag, parse, with_viewer
from slamfront.commands.run import follow
from slamfront.config import RunConfig

SAMPLE = Path(__file__).resolve().parents[2] / "datasets" / "sample"
"""The sequence of a checkout; an installed package renders the same one."""


@dataclass(frozen=True)
class Demo:
    """Follow a camera once round a room, and draw the map, the trajectory and its errors."""

    output: Path = Path("runs") / "demo"
    """Folder for the results."""
    view: Flag = False
    """Watch the run in a window."""
    record: Path | None = None
    """Render the run to this video (.mp4) or folder of pictures."""


def main(arguments: Sequence[str]) -> int:
    """Run the demo, and say which pictures to look at; returns the exit code."""
    given = parse(Demo, arguments, "demo")
    config = with_viewer(RunConfig(sensor="rgbd"), given.view, False, given.record)
    followed = follow(str(SAMPLE) if SAMPLE.is_dir() else "synthetic:sample", config, given.output)
    print(f"pictures   {followed.folder / 'map.png'}, {followed.folder / 'trajectory.png'}")
    return followed.code
