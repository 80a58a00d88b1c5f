"""One self-contained HTML page: its tables, and pictures that lie inside it. What it looks like is in templates/.

Every text is escaped where it is put into a template; a `Markup` is a piece of HTML that has been.
"""

from __future__ import annotations

import base64
import functools
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

Style = Literal["", "soft", "bad", "counts"]


def page(title: str, facts: Mapping[str, str], body: Sequence[Markup]) -> str:
    """Return the page with its title, a line of facts, and the parts of its body."""
    return _templates().get_template("page.html").render(title=title, facts=facts, body=body)


def heading(text: str, level: int = 2) -> Markup:
    """Return a heading of a level from 1 to 6."""
    return _part("heading", text, level)


def paragraph(text: str, style: Style = "") -> Markup:
    """Return a paragraph."""
    return _part("paragraph", text, style)


def table(headings: Sequence[str], rows: Sequence[Sequence[Markup]]) -> Markup:
    """Return a table of rows of cells."""
    return _part("table", headings, rows)


def cell(text: str, note: str = "", style: Style = "", note_style: Style = "", columns: int = 1) -> Markup:
    """Return a table's cell of text, with a small note below it, over as many columns."""
    return _part("cell", text, note, style, note_style, columns)


def value_cell(value: float | None, form: str) -> Markup:
    """Return a table's cell of a figure in a format; a dash without one."""
    return cell("–" if value is None else format(value, form))


def details(summary: str, content: Markup) -> Markup:
    """Return content that opens when its summary is clicked."""
    return _part("details", summary, content)


def image(content: bytes, kind: Literal["png", "svg+xml"], alternative: str) -> Markup:
    """Return the content of a picture file as an image of the page, with the text that stands for it."""
    return _part("image", base64.b64encode(content).decode("ascii"), kind, alternative)


@functools.cache
def _templates() -> Environment:
    return Environment(
        loader=PackageLoader("slamfront.evaluation"), autoescape=True, undefined=StrictUndefined,
        keep_trailing_newline=True,
    )  # fmt: skip


@functools.cache
def _macros() -> Any:
    return _templates().get_template("parts.html").module


def _part(name: str, *values: object) -> Markup:
    return Markup(getattr(_macros(), name)(*values))
