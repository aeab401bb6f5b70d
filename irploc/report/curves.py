"""Curves of trainings as PNG: loss, and errors on validation photos in metres and degrees, against steps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from irploc.errors import BadInput
from irploc.files import replacing
from irploc.report.plots import COLOURS, DASHES, colour_of, dash_of
from irploc.runs import Entry, Run, final

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_RUNS = len(COLOURS) * len(DASHES)
_INK, _QUIET = "#1d2125", "#656d76"
_DOTTED = 40  # so few points on a line are dotted too
_LOG_FROM = 8.0  # times the smallest value: a straight axis would hide the end of the training
_DPI = 130


def write_curves(runs: Sequence[Run], path: Path) -> None:
    """A panel for the loss, the position error and the rotation error each, as far as the runs have them.

    Args:
        runs: one, whose losses are drawn by name; or several, each with the sum of its losses.
        path: of the PNG, written whole or not at all.

    Raises:
        BadInput: no run has an entry, there are more runs than lines can be told apart, or it cannot be written.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    if not any(run.entries for run in runs):
        raise BadInput(f"nothing to draw: {_names(runs)} reported no steps")
    if len(runs) > MOST_RUNS:
        raise BadInput(f"{len(runs)} runs are too many for one picture: choose at most {MOST_RUNS}")
    panels = [panel for panel in (_losses(runs), *_errors(runs)) if panel[1]]
    legend_in = 0.22 * len(runs) + 0.35
    figure = Figure(figsize=(7.5, 2.3 * len(panels) + legend_in), layout="constrained")
    rows = np.atleast_1d(figure.subplots(len(panels), 1, sharex=True))
    for axes, (label, lines) in zip(rows, panels, strict=True):
        _prepare(axes, label)
        for line in lines:
            _draw(axes, *line)
        _scale(axes, lines)
    rows[-1].set_xlabel("optimiser steps")
    rows[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    rows[-1].set_xlim(left=0)
    figure.align_ylabels()
    if len(runs) == 1 and len(panels[0][1]) > 1:
        rows[0].legend(fontsize=8, frameon=False, labelcolor=_INK)
    _title(figure, runs, rows[-1])
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=_DPI, facecolor="white", metadata={"Software": None})


Line = tuple[list[int], list[float], str, str, str]  # steps, values, colour, dashes, name
Panel = tuple[str, list[Line]]


def _losses(runs: Sequence[Run]) -> Panel:
    if len(runs) == 1:
        names = dict.fromkeys(name for entry in runs[0].entries for name in entry.loss or {})
        lines = [
            _line(
                [(entry.step, (entry.loss or {}).get(name)) for entry in runs[0].entries],
                0,
                name,
                dash_of(len(COLOURS) * row),
            )
            for row, name in enumerate(names)
        ]
    else:
        lines = [
            _line([(entry.step, entry.total_loss) for entry in run.entries], row, run.name) for row, run in enumerate(runs)
        ]
    return "training loss", [line for line in lines if line[0]]


def _errors(runs: Sequence[Run]) -> list[Panel]:
    units = dict.fromkeys(run.unit for run in runs)
    splits = dict.fromkeys(entry.split for run in runs for entry in run.entries if entry.split)
    of = f"of {' or '.join(splits)} photos, " if splits else ""
    panels = []
    for name, field, unit in (("position", "position_m", " or ".join(units)), ("rotation", "rotation_deg", "°")):
        lines = [
            _line([(entry.step, getattr(entry, field)) for entry in run.entries], row, run.name)
            for row, run in enumerate(runs)
        ]
        label = f"{name} error ({unit})\n{of}median"
        panels.append((label, [line for line in lines if line[0]]))
    return panels


def _line(points: Sequence[tuple[int, float | None]], row: int, name: str, dashes: str = "") -> Line:
    known = [(step, value) for step, value in points if value is not None]
    return [step for step, _ in known], [value for _, value in known], colour_of(row), dashes or dash_of(row), name


def _draw(axes: Axes, steps: list[int], values: list[float], colour: str, dashes: str, name: str) -> None:
    dots = "o" if len(steps) <= _DOTTED else None
    axes.plot(steps, values, color=colour, linestyle=dashes, linewidth=1.5, marker=dots, markersize=3, label=name)


def _prepare(axes: Axes, label: str) -> None:
    axes.set_ylabel(label, color=_INK, fontsize=9)
    axes.xaxis.label.set(color=_INK, fontsize=9)
    axes.tick_params(colors=_INK, labelsize=8, width=0.6, length=3)
    axes.grid(True, color=_INK, alpha=0.12, linewidth=0.6)
    for side, spine in axes.spines.items():
        spine.set(color=_INK, linewidth=0.6, alpha=0.5, visible=side in ("left", "bottom"))


def _scale(axes: Axes, lines: Sequence[Line]) -> None:
    """From zero, or logarithmic where the values span decades; a loss may be negative."""
    values = [value for line in lines for value in line[1]]
    low, high = min(values), max(values)
    if low > 0 and high > _LOG_FROM * low:
        from irploc.report.plots import plain_log_ticks

        axes.set_yscale("log")
        plain_log_ticks(axes.yaxis)
    elif low >= 0:
        axes.set_ylim(0, 1.08 * high or 1.0)


def _title(figure: Figure, runs: Sequence[Run], axes: Axes) -> None:
    """One run: its name above. Several: a line of the legend each, with the errors at the end."""
    if len(runs) == 1:
        words = f"{runs[0].name}, {runs[0].summary.status}{_at_the_end(runs[0])}"
        figure.suptitle(words, fontsize=10, color=_INK, parse_math=False)
        return
    handles = [
        axes.plot(
            [], [], color=colour_of(row), linestyle=dash_of(row), linewidth=1.5, label=f"{run.name}{_at_the_end(run)}"
        )[0]
        for row, run in enumerate(runs)
    ]
    legend = figure.legend(handles=handles, loc="outside upper left", fontsize=8, frameon=False, labelcolor=_INK)
    for text in legend.get_texts():
        text.set_parse_math(False)


def _at_the_end(run: Run) -> str:
    last: Entry | None = final(run.entries)
    if last is None or last.position_m is None or last.rotation_deg is None:
        return ""
    return f": {last.position_m:.3f} {run.unit}, {last.rotation_deg:.2f}° after {last.step} steps"


def _names(runs: Sequence[Run]) -> str:
    return ", ".join(run.name for run in runs) or "no run"
