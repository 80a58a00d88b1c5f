"""What reports on several methods share: sections of figures as text, as one HTML page, and as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from markupsafe import Markup

from slamfront.errors import EvaluationError
from slamfront.evaluation.matching.methods import InGroup
from slamfront.evaluation.page import cell, details, heading, image, page, paragraph, table
from slamfront.writing import write_atomically

ResultT = TypeVar("ResultT", covariant=True)
NamedResult = TypeVar("NamedResult", bound="OfPair")

Cells = Sequence[tuple[str, str]]
"""Headings and figures of a row."""

UNKNOWN = "–"
"""Stands for a figure that there is none of."""


class OfPair(InGroup, Protocol):
    """A result that belongs to one pair of images."""

    @property
    def name(self) -> str:
        """The pair's name."""
        ...


@dataclass(frozen=True, slots=True)
class Compared(Generic[ResultT]):
    """What was compared under one name: its configuration, and the results of all pairs in their order."""

    name: str
    config: Mapping[str, Any]
    results: Sequence[ResultT]


@dataclass(frozen=True, slots=True)
class Picture:
    """A PNG of one pair's matches by one of those compared."""

    pair: str
    group: str
    name: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a report.

    rows        name and figures of each that is compared
    pictures    those of one pair follow each other
    details     pair, name and figures of every single result
    """

    title: str
    rows: Sequence[tuple[str, Cells]]
    pictures: Sequence[Picture] = ()
    details: Sequence[tuple[str, str, Cells]] = ()


def told(value: float | None, form: str) -> str:
    """Return a figure in a format; a dash where it is None or not finite."""
    return UNKNOWN if value is None or not math.isfinite(value) else format(value, form)


def with_known_columns(rows: Sequence[tuple[str, Cells]]) -> list[tuple[str, Cells]]:
    """Return rows without the columns of which nothing is known in any of them."""
    known = [any(cell != UNKNOWN for _, cell in column) for column in zip(*(cells for _, cells in rows), strict=True)]
    return [(name, [cell for cell, kept in zip(cells, known) if kept]) for name, cells in rows]


def group_section(
    title: str,
    rows: Sequence[tuple[str, Cells]],
    compared: Sequence[Compared[NamedResult]],
    pair_cells: Callable[[NamedResult], Cells],
    pictures: Sequence[Picture],
) -> Section:
    """Return the section of the group that is called `title`, with its pictures and every single result of it."""
    of_group = [[result for result in one.results if result.group == title] for one in compared]
    return Section(
        title,
        rows,
        [picture for picture in pictures if picture.group == title],
        [
            (result.name, one.name, pair_cells(result))
            for same_pair in zip(*of_group, strict=True)
            for one, result in zip(compared, same_pair, strict=True)
        ],
    )


@dataclass(frozen=True, slots=True)
class Comparison:
    """What is reported of several that were compared: sections for people, and a document of each for programs."""

    sections: Sequence[Section]
    documents: Sequence[Mapping[str, Any]]

    def text(self) -> str:
        """Return the figures of all sections as lines of text, one for each of those compared."""
        return "\n".join(line for section in self.sections for line in _lines(section))

    def write(
        self, path: Path, *, title: str, protocol: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> None:
        """Write the report to `path` (HTML), and the figures of all that is compared beside it with the ending .json.

        protocol    sentences that tell how it was measured

        Raises EvaluationError without results, OutputError when the files cannot be written.
        """
        if not self.sections:
            raise EvaluationError("there are no results to report")
        facts, path = dict(environment or {}), Path(path)
        document = {"title": title, "protocol": list(protocol), "environment": facts, "compared": self.documents}
        write_atomically(path.with_suffix(".json"), json.dumps(_plain(document), indent=2, allow_nan=False) + "\n")
        body = [heading("Protocol"), *(paragraph(sentence) for sentence in protocol)]
        for section in self.sections:
            body += [heading(section.title), _table(section), *_shown(section.pictures)]
            if section.details:
                body.append(_details(section))
        write_atomically(path, page(title, facts, body))


def _lines(section: Section) -> list[str]:
    columns = [(head, [cells[column][1] for _, cells in section.rows]) for column, (head, _) in _columns(section)]
    widths = [max(len(text) for text in (head, *texts)) for head, texts in columns]
    name_width = max(len(section.title), *(len(name) for name, _ in section.rows))
    heads = (f"{head:>{width}}" for (head, _), width in zip(columns, widths))
    lines = ["  ".join([f"{section.title:<{name_width}}", *heads])]
    for row, (name, _) in enumerate(section.rows):
        texts = (f"{texts[row]:>{width}}" for (_, texts), width in zip(columns, widths))
        lines.append("  ".join([f"{name:<{name_width}}", *texts]))
    return lines


def _columns(section: Section) -> list[tuple[int, tuple[str, str]]]:
    return list(enumerate(section.rows[0][1]))


def _table(section: Section) -> Markup:
    headings = ["", *(head for _, (head, _) in _columns(section))]
    return table(headings, [[cell(name), *(cell(text) for _, text in cells)] for name, cells in section.rows])


def _shown(pictures: Sequence[Picture]) -> list[Markup]:
    """Return the pictures, each pair under its name."""
    parts: list[Markup] = []
    pair = ""
    for picture in pictures:
        if picture.pair != pair:
            pair = picture.pair
            parts.append(heading(pair, 3))
        alternative = f"{picture.name}: right matches green, wrong ones red"
        parts += [paragraph(picture.name, "soft"), image(picture.content, "png", alternative)]
    return parts


def _details(section: Section) -> Markup:
    """Return a table of every single result that opens when it is asked for."""
    headings = ["pair", "", *(head for head, _ in section.details[0][2])]
    rows = [[cell(text) for text in (pair, name, *(one for _, one in cells))] for pair, name, cells in section.details]
    return details("every pair", table(headings, rows))


def _plain(value: Any) -> Any:
    """Return nested values with null for numbers that JSON does not know."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
