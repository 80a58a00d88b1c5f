"""Pictures of results: arrays in, matplotlib figures out, saved as PNG or SVG.

matplotlib is imported when the first picture is made, and draws without a display.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar

import numpy as np
from markupsafe import Markup

from slamfront.errors import OutputError
from slamfront.evaluation.page import image
from slamfront.types import FloatArray
from slamfront.writing import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

P = ParamSpec("P")
T = TypeVar("T")

TRUTH, ESTIMATE, ACCENT = "#8a8f98", "#2463eb", "#d9480f"
_STAGES = ("#4c78d8", "#5bb8a8", "#f0b95b", "#e07a5f", "#9a7fd1", "#7fb069", "#d36fa0", "#5aa9d6", "#b08968", "#8a8f98")
_STYLE: dict[str, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": "#c4c8ce",
    "axes.grid": True,
    "axes.labelcolor": "#3d434c",
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "figure.constrained_layout.use": True,
    "font.size": 9,
    "grid.color": "#eceef1",
    "legend.frameon": False,
    "lines.linewidth": 1.4,
    "svg.hashsalt": "slamfront",  # the same picture gives the same file
    "xtick.color": "#6b7280",
    "ytick.color": "#6b7280",
}
_ABOVE: dict[str, Any] = {"loc": "lower right", "bbox_to_anchor": (1.0, 1.0), "borderaxespad": 0.1}
"""A legend over the right end of the axes, where it hides no line."""

_GAP = 5.0
"""A line is broken where poses are further apart in time than this many usual steps."""
_AXES = "xyz"


def _styled(draw: Callable[P, T]) -> Callable[P, T]:
    """Make a function draw in the house's style, whatever style its caller has set for other pictures."""

    @functools.wraps(draw)
    def styled(*args: P.args, **kwargs: P.kwargs) -> T:
        import matplotlib

        with matplotlib.rc_context(_STYLE):
            return draw(*args, **kwargs)

    return styled


@_styled
def trajectory_figure(times_s: FloatArray, reference_m: FloatArray, estimate_m: FloatArray, title: str = "") -> Figure:
    """Return the estimate against the truth: seen from above, coloured by its error, and each axis over time.

    Rows (N,) and (N,3) belong together, and the estimate is aligned. Which axis points up differs between recordings,
    so the view is that of the two axes along which the truth extends most.
    """
    figure = _figure(10.0, 4.6)
    above, *along = _mosaic(figure, [["above", "x"], ["above", "y"], ["above", "z"]], [1.25, 1.0])
    across, up = np.sort(np.argsort(np.ptp(reference_m, axis=0), kind="stable")[1:])
    errors_m = np.linalg.norm(estimate_m - reference_m, axis=1)
    t, truth, found = _broken(times_s, times_s, reference_m, estimate_m)
    above.plot(truth[:, across], truth[:, up], color=TRUTH, linewidth=2.2, label="truth")
    _coloured_line(figure, above, times_s, estimate_m[:, [across, up]], errors_m)
    above.plot(*reference_m[0, [across, up]], "o", color="#22262c", markersize=5, label="start")
    above.set(xlabel=f"{_AXES[across]} [m]", ylabel=f"{_AXES[up]} [m]", title=title or "trajectory")
    above.set_aspect("equal", adjustable="datalim")
    above.legend(**_ABOVE, ncols=2)
    for axis, axes in enumerate(along):
        axes.plot(t, truth[:, axis], color=TRUTH, linewidth=2.2, label="truth")
        axes.plot(t, found[:, axis], color=ESTIMATE, label="estimate")
        axes.set_ylabel(f"{_AXES[axis]} [m]")
        axes.tick_params(labelbottom=axis == 2)
    along[0].legend(**_ABOVE, ncols=2)
    along[2].set_xlabel("time [s]")
    return figure


@_styled
def error_figure(times_s: FloatArray, errors_m: FloatArray, errors_deg: FloatArray, title: str = "") -> Figure:
    """Return absolute errors over time, (N,) each, of position and orientation, with their root mean squares."""
    figure = _figure(10.0, 3.6)
    position, orientation = figure.subplots(2, 1, sharex=True)
    t, metres, degrees = _broken(times_s, times_s, errors_m, errors_deg)
    for axes, errors, broken, unit, colour in (
        (position, errors_m, metres, "m", ESTIMATE),
        (orientation, errors_deg, degrees, "deg", "#12a594"),
    ):
        rmse = float(np.sqrt(np.mean(errors**2)))
        axes.fill_between(t, 0.0, broken, color=colour, alpha=0.12, linewidth=0)
        axes.plot(t, broken, color=colour)
        axes.axhline(rmse, color=ACCENT, linewidth=1.0, linestyle=(0, (4, 3)), label=f"rmse {rmse:.3g} {unit}")
        axes.set_ylabel(f"error [{unit}]")
        axes.set_ylim(bottom=0.0)
        axes.legend(**_ABOVE)
    position.set_title(title or "absolute error")
    orientation.set_xlabel("time [s]")
    return figure


@_styled
def stage_figure(stage_ms: Mapping[str, FloatArray], title: str = "") -> Figure:
    """Return how long each stage took: stacked over the frames, and median with 95th percentile of each.

    `stage_ms` maps a stage to its time in each frame (N,), in milliseconds; nan counts as not run.
    """
    figure = _figure(10.0, 3.8)
    stacked, summary = _mosaic(figure, [["stacked", "summary"]], [2.2, 1.0])
    if any(len(times) for times in stage_ms.values()):
        times = np.nan_to_num(np.array(list(stage_ms.values()), np.float64))
        colours = [_STAGES[row % len(_STAGES)] for row in range(len(times))]
        _draw_stack(stacked, times, colours)
        _draw_medians(summary, list(stage_ms), times, colours)
    stacked.set(xlabel="frame", ylabel="time [ms]", title=title or "stage times")
    summary.set(xlabel="time [ms]", title="median and p95")
    summary.grid(axis="y", visible=False)
    return figure


@_styled
def runs_figure(values: Mapping[str, FloatArray], label: str) -> Figure:
    """Return one row for each name with a dot for each of its runs and a bar at their median.

    Values are positive, and drawn on a logarithmic axis where they span more than a decade; nan are left out.
    """
    figure = _figure(10.0, 0.9 + 0.34 * max(len(values), 1))
    axes = figure.subplots()
    for row, runs in enumerate(values.values()):
        known = runs[np.isfinite(runs)]
        if len(known):
            axes.plot([np.median(known)] * 2, [row - 0.28, row + 0.28], color=ACCENT, linewidth=2.4)
        axes.plot(known, np.full(len(known), row), "o", color=ESTIMATE, markersize=6, alpha=0.55, markeredgewidth=0)
    everything = np.concatenate([np.zeros(0), *values.values()])
    positive = everything[np.isfinite(everything) & (everything > 0)]
    if len(positive) and positive.max() > 10 * positive.min():
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
    else:
        axes.set_xlim(left=0.0)
    axes.set_yticks(range(len(values)), list(values))
    axes.set_ylim(max(len(values), 1) - 0.5, -0.5)
    axes.set_xlabel(label)
    return figure


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG or SVG, by the ending of `path`; OutputError for another, or when it cannot be written."""
    kind = Path(path).suffix.lower().lstrip(".")
    if kind not in ("png", "svg"):
        raise OutputError(f"a picture is written as .png or .svg, not as {path}")
    write_atomically(path, figure_bytes(figure, "png" if kind == "png" else "svg"))


@_styled
def figure_bytes(figure: Figure, kind: Literal["png", "svg"]) -> bytes:
    """Return a figure as the content of a PNG (160 dots an inch) or SVG file."""
    content = io.BytesIO()
    figure.savefig(content, format=kind, dpi=160, metadata={"Date": None} if kind == "svg" else None)
    return content.getvalue()


def figure_image(figure: Figure, alternative: str) -> Markup:
    """Return a figure as an image of a page, with the text that stands for it."""
    # as an image and not inline: the identifiers inside two SVGs of one page would clash
    return image(figure_bytes(figure, "svg"), "svg+xml", alternative)


def _figure(width_in: float, height_in: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width_in, height_in))


def _mosaic(figure: Figure, layout: list[list[str]], widths: list[float]) -> list[Axes]:
    axes = figure.subplot_mosaic(layout, gridspec_kw={"width_ratios": widths})
    return list(axes.values())


def _draw_stack(axes: Axes, times_ms: FloatArray, colours: list[str]) -> None:
    """Stack the stages (S,N) of each frame, as steps since a frame's time belongs to that frame alone."""
    edges = np.arange(times_ms.shape[1] + 1) - 0.5
    tops = np.cumsum(times_ms, axis=0)
    for top, height, colour in zip(tops, times_ms, colours):
        axes.stairs(top, edges, baseline=top - height, fill=True, color=colour, linewidth=0)
    for share, style in ((50, "-"), (95, (0, (4, 3)))):
        value = float(np.percentile(tops[-1], share))
        axes.axhline(value, color="#22262c", linewidth=1.0, linestyle=style, label=f"p{share} {value:.1f} ms")
    axes.legend(**_ABOVE, ncols=2)
    axes.margins(x=0.0)


def _draw_medians(axes: Axes, names: list[str], times_ms: FloatArray, colours: list[str]) -> None:
    rows = np.arange(len(names))
    median, p95 = np.percentile(times_ms, [50, 95], axis=1)
    axes.barh(rows, median, color=colours, height=0.62)
    axes.hlines(rows, median, p95, color="#22262c", linewidth=1.0)
    axes.plot(p95, rows, "|", color="#22262c", markersize=8)
    axes.set_yticks(rows, names)
    axes.invert_yaxis()


def _coloured_line(figure: Figure, axes: Axes, times_s: FloatArray, points: FloatArray, errors_m: FloatArray) -> None:
    """Draw the line through points (N,2), coloured by the error at each."""
    from matplotlib.collections import LineCollection

    joined = ~_gaps(times_s)
    segments = np.stack([points[:-1], points[1:]], axis=1)[joined]
    # thousands of coloured pieces would make a vector file huge
    line = LineCollection(segments, array=errors_m[1:][joined], cmap="plasma", linewidths=1.8, rasterized=True)
    line.set_clim(0.0, max(float(errors_m.max()), 1e-9))
    axes.add_collection(line)
    bar = figure.colorbar(line, ax=axes, location="left", shrink=0.7, aspect=30, pad=0.02)
    bar.set_label("error [m]")
    bar.outline.set_visible(False)


def _gaps(times_s: FloatArray) -> Any:
    """Whether each step (N-1,) is much longer than the usual one."""
    steps = np.diff(times_s)
    return steps > _GAP * np.median(steps) if len(steps) else np.zeros(0, np.bool_)


def _broken(times_s: FloatArray, *columns: FloatArray) -> list[FloatArray]:
    """Return the columns (N,...) with a row of nan wherever poses are missing, which breaks a plotted line."""
    rows = np.flatnonzero(_gaps(times_s)) + 1
    return [np.insert(np.asarray(column, np.float64), rows, np.nan, axis=0) for column in columns]
