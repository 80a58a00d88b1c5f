"""Curves of a training's figures."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

from slamfront.errors import OutputError

Curve = list[tuple[int, float]]


def read_figures(path: Path) -> dict[tuple[str, str], Curve]:
    """Return the figures that a training wrote, as (step, value) by kind and name; half a last line is left out."""
    curves: dict[tuple[str, str], Curve] = defaultdict(list)
    for line in path.read_text().splitlines():
        try:
            told = json.loads(line)
        except ValueError:
            continue
        kind, step = told.pop("kind"), told.pop("step")
        told.pop("seconds")
        for name, value in told.items():
            curves[kind, name].append((step, value))
    return dict(curves)


def draw_curves(figures: Path, out: Path) -> None:
    """Draw each figure over the steps into a .png file; OutputError where it cannot be written."""
    from matplotlib.figure import Figure

    curves = read_figures(figures)
    columns = min(3, max(len(curves), 1))
    rows = -(-len(curves) // columns) or 1
    figure = Figure(figsize=(4.2 * columns, 3 * rows), layout="constrained")
    for place, ((kind, name), curve) in enumerate(curves.items()):
        axes = figure.add_subplot(rows, columns, place + 1)
        axes.plot(*zip(*curve), marker="." if len(curve) < 40 else None)
        axes.set(title=f"{kind}: {name}", xlabel="step")
        axes.grid(alpha=0.3)
    try:
        figure.savefig(out, dpi=90)
    except OSError as error:
        raise OutputError(f"{out}: cannot be written ({error.strerror})") from error
