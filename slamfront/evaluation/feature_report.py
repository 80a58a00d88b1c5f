"""One self-contained HTML page that compares features and matchers, and the same figures as JSON."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from slamfront.errors import EvaluationError
from slamfront.evaluation.features import AUC_THRESHOLDS_PX, FeatureFigures, PairResult, figures, grouped
from slamfront.evaluation.page import image, page, table, text_cell, value_cell
from slamfront.trajectories import write_atomically

_Cells = list[tuple[str, float | None, str]]
"""Heading, figure and format."""


@dataclass(frozen=True, slots=True)
class Compared:
    """What was compared under one name: its configuration, and the results of all pairs in their order."""

    name: str
    config: Mapping[str, Any]
    results: Sequence[PairResult]


@dataclass(frozen=True, slots=True)
class Picture:
    """A PNG of one pair's matches by one of those compared."""

    pair: str
    group: str
    name: str
    content: bytes


def write_feature_report(
    compared: Sequence[Compared],
    path: Path,
    *,
    protocol: Sequence[str],
    pictures: Sequence[Picture] = (),
    title: str = "features",
    environment: Mapping[str, str] | None = None,
) -> None:
    """Write the report to `path` (HTML), and its figures beside it with the ending .json.

    protocol    sentences that tell how it was measured
    pictures    those of one pair follow each other

    Raises EvaluationError without results, OutputError when the files cannot be written.
    """
    if not compared or not compared[0].results:
        raise EvaluationError("there are no results to report")
    facts, path = dict(environment or {}), Path(path)
    document = {
        "title": title,
        "protocol": list(protocol),
        "environment": facts,
        "compared": [_document(one) for one in compared],
    }
    write_atomically(path.with_suffix(".json"), json.dumps(_plain(document), indent=2, allow_nan=False) + "\n")
    body = ["<h2>Protocol</h2>", *(f"<p>{html.escape(sentence)}</p>" for sentence in protocol)]
    for group in grouped(compared[0].results):
        body += [f"<h2>{html.escape(group)}</h2>", _group_table(compared, group)]
        body += _shown([picture for picture in pictures if picture.group == group])
        body.append(_every_pair(compared, group))
    write_atomically(path, page(title, facts, body))


def figures_text(compared: Sequence[Compared]) -> str:
    """Return the figures of all groups as lines of text, one for each of those compared."""
    lines = []
    for group in grouped(compared[0].results):
        rows = [(one.name, _cells(figures(grouped(one.results)[group]))) for one in compared]
        width = max(len(group), *(len(name) for name, _ in rows))
        lines.append(f"{group:<{width}}  " + "  ".join(heading for heading, _, _ in rows[0][1]))
        for name, cells in rows:
            told = ("–" if value is None else format(value, form) for _, value, form in cells)
            lines.append(
                f"{name:<{width}}  " + "  ".join(f"{text:>{len(head)}}" for text, (head, _, _) in zip(told, cells))
            )
    return "\n".join(lines)


def _cells(found: FeatureFigures) -> _Cells:
    """Return the figures as a report shows them."""
    cells: _Cells = [
        ("pairs", found.pairs, "d"),
        ("keypoints", found.keypoints, ".0f"),
        ("repeatability", found.repeatability, ".3f"),
        ("loc. error px", found.localization_error_px, ".2f"),
        ("matches", found.matches, ".0f"),
        ("precision", found.precision, ".3f"),
        ("recall", found.recall, ".3f"),
    ]
    for what, values in (("AUC", found.homography_auc), ("solved", found.solved)):
        cells += [
            (f"{what}@{threshold:g}", value, ".3f") for threshold, value in zip(AUC_THRESHOLDS_PX, values, strict=True)
        ]
    return [(heading, value if math.isfinite(value or 0.0) else None, form) for heading, value, form in cells]


def _group_table(compared: Sequence[Compared], group: str) -> str:
    rows, headings = [], ["features"]
    for one in compared:
        cells = _cells(figures([result for result in one.results if result.group == group]))
        headings = ["features", *(heading for heading, _, _ in cells)]
        rows.append([text_cell(one.name), *(value_cell(value, form) for _, value, form in cells)])
    return table(headings, rows)


def _shown(pictures: Sequence[Picture]) -> list[str]:
    """Return the pictures, each pair under its name."""
    parts: list[str] = []
    pair = ""
    for picture in pictures:
        if picture.pair != pair:
            pair = picture.pair
            parts.append(f"<h3>{html.escape(pair)}</h3>")
        told = f"{picture.name}: right matches green, wrong ones red"
        parts += [f'<p class="soft">{html.escape(picture.name)}</p>', image(picture.content, "png", told)]
    return parts


def _every_pair(compared: Sequence[Compared], group: str) -> str:
    """Return a table of all pairs of a group that opens when it is asked for."""
    headings = ["pair", "features", "repeatability", "matches", "precision", "recall", "corner error px"]
    rows = [
        [
            text_cell(result.name),
            text_cell(one.name),
            value_cell(result.repeatability, ".3f"),
            value_cell(result.matches, "d"),
            value_cell(result.precision, ".3f"),
            value_cell(result.recall, ".3f"),
            value_cell(result.corner_error_px if math.isfinite(result.corner_error_px) else None, ".2f"),
        ]
        for same_pair in zip(*(one.results for one in compared), strict=True)
        for one, result in zip(compared, same_pair, strict=True)
        if result.group == group
    ]
    return f"<details><summary>every pair</summary>{table(headings, rows)}</details>"


def _document(one: Compared) -> dict[str, Any]:
    groups = {group: asdict(figures(results)) for group, results in grouped(one.results).items()}
    return {
        "name": one.name,
        "config": dict(one.config),
        "thresholds_px": list(AUC_THRESHOLDS_PX),
        "groups": groups,
        "pairs": [asdict(result) for result in one.results],
    }


def _plain(value: Any) -> Any:
    """Return nested values with null for numbers that JSON does not know."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
