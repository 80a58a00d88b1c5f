"""One self-contained HTML page: its style, its tables, and pictures that lie inside it."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from slamfront.evaluation.trajectory.plots import figure_bytes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_CSS = """
:root { color-scheme: light; --ink: #22262c; --soft: #6b7280; --line: #e4e7eb; --blue: #2463eb; --red: #c92a2a; }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); max-width: 1180px; margin: 2.5rem auto;
  padding: 0 1rem; }
h1 { font-size: 1.7rem; margin: 0 0 .2rem; } h2 { font-size: 1.2rem; margin: 2.6rem 0 .4rem; }
p { margin: .3rem 0; } .soft, small { color: var(--soft); } .bad { color: var(--red); }
.wide { overflow-x: auto; } img { width: 100%; display: block; margin: .8rem 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .86rem; width: 100%; }
th { text-align: right; font-weight: 600; color: var(--soft); border-bottom: 2px solid var(--line);
  vertical-align: bottom; }
td { text-align: right; border-bottom: 1px solid var(--line); vertical-align: top; white-space: nowrap; }
th, td { padding: .35rem .55rem; } th:first-child, td:first-child { text-align: left; }
table { margin: 1rem 0; } td small { display: block; font-size: .74rem; }
.counts { color: var(--blue); font-weight: 650; }
details { margin: .8rem 0; } summary { cursor: pointer; color: var(--soft); }
"""


def page(title: str, facts: Mapping[str, str], body: Sequence[str]) -> str:
    """Return the page with its title, a line of facts, and the parts of its body, each a piece of HTML."""
    said = " · ".join(f"{html.escape(name)} {html.escape(value)}" for name, value in facts.items())
    head = [f"<h1>{html.escape(title)}</h1>", f'<p class="soft">{said}</p>' if said else ""]
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head><meta charset="utf-8"><title>{html.escape(title)}</title>\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<style>{_CSS}</style></head>\n<body>\n'
        + "\n".join(part for part in [*head, *body] if part)
        + "\n</body>\n</html>\n"
    )


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table of rows of cells, each cell with its tag; headings are plain text."""
    head = "".join(f"<th>{html.escape(heading)}</th>" for heading in headings)
    body = "\n".join(f"<tr>{''.join(row)}</tr>" for row in rows)
    return f'<div class="wide"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>'


def text_cell(text: str) -> str:
    """Return a table's cell of plain text."""
    return f"<td>{html.escape(text)}</td>"


def value_cell(value: float | None, form: str) -> str:
    """Return a table's cell of a figure in a format; a dash without one."""
    return "<td>–</td>" if value is None else f"<td>{value:{form}}</td>"


def image(content: bytes, kind: Literal["png", "svg+xml"], alternative: str) -> str:
    """Return the content of a picture file as an image of the page, with the text that stands for it."""
    data = base64.b64encode(content).decode("ascii")
    return f'<img alt="{html.escape(alternative)}" src="data:image/{kind};base64,{data}">'


def figure_image(figure: Figure, alternative: str) -> str:
    """Return a figure as an image of the page."""
    # as an image and not inline: the identifiers inside two SVGs of one page would clash
    return image(figure_bytes(figure, "svg"), "svg+xml", alternative)
