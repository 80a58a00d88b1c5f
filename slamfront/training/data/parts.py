"""Rendered pairs in parts of a few megabytes, each a function of the seed and its number; making them can go on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from slamfront.errors import OutputError, TrainingError
from slamfront.jobs import run_jobs
from slamfront.simulation.textures import list_photos
from slamfront.training.data.rendered_file import RenderedPairs, RenderedView, save_views
from slamfront.training.data.views import ViewConfig, draw_views


@dataclass(frozen=True)
class PartConfig:
    """What a part holds."""

    worlds: int = 4
    """Worlds of a part."""
    streets: float = 0.15
    """Share of worlds that are streets; the others are rooms."""
    view: ViewConfig = field(default_factory=ViewConfig)


@dataclass(frozen=True)
class Part:
    """One part to be made: its file, and what decides its content."""

    path: Path
    number: int
    seed: int
    photographs: Path | None
    config: PartConfig

    @property
    def origin(self) -> str:
        """How the part is made."""
        name = self.photographs.name if self.photographs else "none"
        return f"render_pairs seed {self.seed} part {self.number} photographs {name} {self.config}"


def make_parts(
    folder: Path,
    photographs: Path | None,
    count: int,
    seed: int,
    config: PartConfig,
    workers: int = 1,
    cluster: str = "",
) -> Iterator[tuple[Part, int]]:
    """Make the parts of a folder that are not there yet, and yield each with its number of pairs as it is done.

    On a cluster every worker must see both folders by the same name. Raises SourceError for a folder without
    photographs, or without Mitsuba; OutputError where files cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made ({error.strerror})") from error
    if photographs is not None:
        list_photos(photographs)
    parts = [Part(folder / f"part-{number:04d}.npz", number, seed, photographs, config) for number in range(count)]
    yield from run_jobs(make_part, [part for part in parts if not is_made(part)], workers, cluster)


def is_made(part: Part) -> bool:
    """Say whether a part lies there whole, made in the same way."""
    if not part.path.is_file():
        return False
    try:
        return RenderedPairs(part.path).origin == part.origin
    except TrainingError:
        return False


def make_part(part: Part) -> tuple[Part, int]:
    """Make a part, and return it with its number of pairs."""
    from slamfront.simulation.traced.rooms import room
    from slamfront.simulation.traced.streets import street
    from slamfront.simulation.traced.tracer import Tracer

    photos = list_photos(part.photographs) if part.photographs else ()
    views: list[RenderedView] = []
    pairs: list[tuple[int, int]] = []
    for number in range(part.config.worlds):
        seed = (part.seed, part.number, number)
        rng = np.random.default_rng((*seed, 1))
        world = (street if rng.random() < part.config.streets else room)(seed, photos)
        try:
            seen, rows = draw_views(world, Tracer(world), rng, part.config.view)
        except TrainingError:  # a room too full or too dark: the part has fewer pairs
            continue
        pairs += [(first + len(views), second + len(views)) for first, second in rows]
        views += seen
    save_views(part.path, views, pairs, part.origin)
    return part, len(pairs)
