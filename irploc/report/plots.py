"""The figures of a report, as SVG that takes its ink from the page around it."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from irploc.evaluation import Corrected, KeptCurve
from irploc.floormap import FloorMap
from irploc.floormap.picture import draw_floor, plane_names
from irploc.geometry.poses import Poses
from irploc.report.order import even_sample, timeline
from irploc.scene import Frames

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

# Distinct for colour-blind readers and legible on white and on black; after the last one the dashes change.
COLOURS = ("#2f7fd0", "#e0761b", "#1f9e74", "#c85a9e", "#a08a1c", "#7d6fd6", "#8f5b3a", "#3aa6b9")
DASHES = ("-", "--", ":", "-.")
BAD = "#d03a3a"
_INK = "#0a0b0c"  # stands for the page's text colour
_CURVE_POINTS, _MAP_POINTS, _MAPPING_POINTS, _TIME_POINTS = 300, 600, 2000, 2000
_PLAN_PX = 400  # longer side of the walkable ground as it is put into a page
_DOTTED = 200  # so few points on a line are dotted too
_ROOM = 0.35  # of the place's extent is shown around it; estimates further out are counted, not shown


def colour_of(method: int) -> str:
    """The colour of the method in this row of the table."""
    return COLOURS[method % len(COLOURS)]


def dash_of(method: int) -> str:
    """The dashes of the method in this row, matplotlib's name for them."""
    return DASHES[method // len(COLOURS) % len(DASHES)]


def cumulative_curves(errors: Sequence[np.ndarray], unit: str, marks: Sequence[float], name: str) -> str:
    """Share of the queries against the error they stay below, a curve per method, as SVG.

    Args:
        errors: per method (N,); infinite where nothing was estimated.
        unit: ``m`` or ``°``.
        marks: errors to mark with a vertical line.
        name: of the figure, unique on the page; curve i has the id ``{name}-curve-{i}``.
    """
    figure, axes = _figure(5.0, 3.3)
    finite = np.concatenate([values[np.isfinite(values)] for values in errors])
    low = max(float(np.quantile(finite, 0.005)), 1e-4) if len(finite) else 0.01
    high = max(float(finite.max()), 2 * low) if len(finite) else 10.0
    for mark in marks:
        if low < mark < high:
            axes.axvline(mark, color=_INK, alpha=0.25, linewidth=0.7, linestyle=(0, (2, 2)))
    for row, values in enumerate(errors):
        ordered = np.sort(values)
        ordered = ordered[np.isfinite(ordered)]
        shown = even_sample(len(ordered), _CURVE_POINTS)
        percent = 100 * (shown + 1) / len(values)
        x = np.concatenate([[low / 10], ordered[shown], [high * 10]])
        y = np.concatenate([[0.0], percent, [100 * len(ordered) / len(values)]])
        axes.step(x, y, where="post", color=colour_of(row), linestyle=dash_of(row), linewidth=1.5, gid=f"curve-{row}")
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    axes.set_ylim(0, 100.5)
    plain_log_ticks(axes.xaxis)
    axes.set_xlabel(f"{'position' if unit == 'm' else 'rotation'} error ({unit}, log scale)")
    axes.set_ylabel("queries (%)")
    if not len(finite):
        _centred(axes, "no query was localized")
    return _svg(figure, name, f"Cumulative {'position' if unit == 'm' else 'rotation'} error of all methods")


def kept_curves(curves: Sequence[KeptCurve | None], unit: str, name: str) -> str:
    """Median error of the most confident answers against how many of all photos they are, a curve per method, as SVG.

    Args:
        curves: per method; None draws nothing, so does an infinite median.
        unit: ``m`` or ``°``.
        name: as in ``cumulative_curves``.
    """
    figure, axes = _figure(5.0, 3.3)
    for row, curve in enumerate(curves):
        if curve is not None:
            errors = curve.position_m if unit == "m" else curve.rotation_deg
            known = np.isfinite(errors)
            _line(axes, 100 * curve.shares[known], errors[known], row)
    axes.set_xlim(0, 101)
    axes.set_ylim(bottom=0)
    what = "position" if unit == "m" else "rotation"
    axes.set_xlabel("photos kept (%), the most confident first")
    axes.set_ylabel(f"median {what} error of those kept ({unit})")
    return _svg(figure, name, f"Median {what} error against the share of photos kept, most confident first")


def reliability_curves(curves: Sequence[tuple[np.ndarray, np.ndarray] | None], name: str) -> str:
    """Share of good answers against the confidence announced, a curve per method, as SVG.

    Args:
        curves: per method (G,) confidences and (G,) shares; None draws nothing.
        name: as in ``cumulative_curves``.
    """
    figure, axes = _figure(5.0, 4.2)
    axes.plot([0, 100], [0, 100], color=_INK, alpha=0.5, linewidth=0.7, linestyle=(0, (4, 3)))
    for row, curve in enumerate(curves):
        if curve is not None:
            _line(axes, 100 * curve[0], 100 * curve[1], row, marker="o")
    axes.set_xlim(-1, 101)
    axes.set_ylim(-1, 101)
    axes.set_xlabel("confidence announced (%)")
    axes.set_ylabel("answers within 0.25 m and 5° (%)")
    return _svg(figure, name, "Share of good answers against announced confidence")


def top_view(estimated: Poses, queries: Frames, mapping: Frames | None, method: int, name: str) -> tuple[str, str]:
    """True and estimated positions joined by error lines, in the plane of largest extent, as (SVG, caption)."""
    everything = [queries.poses.centers_m] + ([mapping.poses.centers_m] if mapping is not None and len(mapping) else [])
    spread = np.concatenate(everything)
    across, up = sorted(np.argsort(-np.ptp(spread, axis=0), kind="stable")[:2].tolist())
    plane = [across, up]
    low, high = _window(spread[:, plane], estimated.centers_m[estimated.valid][:, plane])
    width, height = high - low
    figure, axes = _figure(5.0, float(np.clip(5.0 * height / width, 2.4, 5.5)))
    if mapping is not None and len(mapping):
        _draw_walk(axes, mapping, plane)
    time = timeline(queries)
    shown = time.rows[even_sample(len(time.rows), _MAP_POINTS)]
    true, found = queries.poses.centers_m[shown][:, plane], estimated.centers_m[shown][:, plane]
    valid = estimated.valid[shown]
    colour = colour_of(method)
    segments = np.stack([true[valid], found[valid], np.full_like(true[valid], np.nan)], axis=1).reshape(-1, 2)
    axes.plot(segments[:, 0], segments[:, 1], color=colour, linewidth=0.6, alpha=0.6)
    axes.plot(true[valid][:, 0], true[valid][:, 1], ".", color=_INK, markersize=2)
    axes.plot(found[valid][:, 0], found[valid][:, 1], ".", color=colour, markersize=3.5)
    axes.plot(true[~valid][:, 0], true[~valid][:, 1], "x", color=BAD, markersize=4, markeredgewidth=0.9)
    axes.set_xlim(low[0], high[0])
    axes.set_ylim(low[1], high[1])
    axes.set_aspect("equal", adjustable="box")
    axes.set_xlabel(f"{'xyz'[across]} (m)")
    axes.set_ylabel(f"{'xyz'[up]} (m)")
    outside = int(((found[valid] < low) | (found[valid] > high)).any(axis=1).sum())
    caption = _map_caption(len(shown), len(queries), int((~valid).sum()), outside, mapping is not None)
    return _svg(figure, name, "Top view of true and estimated positions"), caption


def floor_view(raw: Poses, corrected: Corrected, floor_map: FloorMap, method: int, name: str) -> tuple[str, str]:
    """The walkable ground, the estimates, and where those outside were moved to, as (SVG, caption)."""
    grid = floor_map.grid
    low, high = grid.corners_m.min(axis=0), grid.corners_m.max(axis=0)
    figure, axes = _figure(5.0, float(np.clip(5.0 * (high - low)[1] / (high - low)[0], 2.0, 6.0)))
    draw_floor(axes, floor_map, _PLAN_PX, with_plan=False)
    points, targets = floor_map.on_plane(raw.centers_m), floor_map.on_plane(corrected.estimates.poses.centers_m)
    outside = corrected.moved_m > 0
    near, far = outside & corrected.estimates.poses.valid, outside & ~corrected.estimates.poses.valid
    shown = even_sample(len(points), _MAP_POINTS)
    kept = np.zeros(len(points), dtype=bool)
    kept[shown] = True
    segments = np.stack([points[near], targets[near], np.full_like(points[near], np.nan)], axis=1).reshape(-1, 2)
    colour = colour_of(method)
    axes.plot(*segments.T, color=_INK, linewidth=0.6, alpha=0.7)
    axes.plot(*points[kept & ~outside].T, ".", color=colour, markersize=3, alpha=0.6)
    axes.plot(*points[near].T, ".", color=BAD, markersize=3)
    axes.plot(*targets[near].T, ".", color=_INK, markersize=3)
    axes.plot(*points[far].T, "x", color=BAD, markersize=4, markeredgewidth=0.9)
    axes.set_xlim(low[0], high[0])
    axes.set_ylim(low[1], high[1])
    axes.set_aspect("equal", adjustable="box")
    right, upward = plane_names(floor_map.up)
    axes.set_xlabel(f"{right} (m)")
    axes.set_ylabel(f"{upward} (m)")
    parts = ["Blue ground: walkable. Coloured dots: estimates on it.", "Red dots: outside, joined to where they are moved."]
    if far.any():
        parts.append(f"Red crosses: {int(far.sum())} too far away.")
    return _svg(figure, name, "Estimates on the floor map"), " ".join(parts)


def errors_over_time(position_m: np.ndarray, rotation_deg: np.ndarray, queries: Frames, method: int, name: str) -> str:
    """Both errors along the walks, as SVG; what was not localized is a cross at the top."""
    time = timeline(queries)
    figure, first = _figure(5.0, 3.8, rows=2)
    kept = np.sort(even_sample(len(time.rows), _TIME_POINTS))
    colour = colour_of(method)
    lost = ~np.isfinite(position_m[time.rows])
    for axes, errors, label in zip(figure.axes, (position_m, rotation_deg), ("position (m)", "rotation (°)"), strict=True):
        values = np.where(lost, np.nan, np.maximum(errors[time.rows], 1e-4))
        x, y = time.places, values
        if len(kept) < len(time.rows):
            x, y = x[kept], y[kept]
        else:
            x, y = time.broken(x), time.broken(y)
        few = len(kept) <= _DOTTED
        axes.plot(x, y, color=colour, linewidth=0.9, marker="." if few else None, markersize=2.5)
        axes.plot(
            time.places[lost], np.full(lost.sum(), 0.96), "x", color=BAD, markersize=4, transform=axes.get_xaxis_transform()
        )
        if np.isfinite(values).any():
            axes.axhline(float(np.nanmedian(values)), color=_INK, alpha=0.5, linewidth=0.7, linestyle=(0, (4, 3)))
            axes.set_ylim(0.5 * float(np.nanquantile(values, 0.01)), 1.25 * float(np.nanmax(values)))
            axes.set_yscale("log")
            plain_log_ticks(axes.yaxis)
        axes.set_ylabel(label)
        if len(time.starts) > 1:
            for _, start in time.starts:
                axes.axvline(start, color=_INK, alpha=0.25, linewidth=0.7)
    _label_walks(first, figure.axes[-1], time.starts)
    return _svg(figure, name, "Errors along the query sequence")


def _label_walks(top: Axes, bottom: Axes, starts: tuple[tuple[str, float], ...]) -> None:
    if len(starts) == 1:
        bottom.set_xlabel("frame")
        return
    bottom.set_xlabel("walks one after another")
    bottom.set_xticks([])
    if len(starts) <= 8:
        for walk, start in starts:
            label = walk if len(walk) <= 12 else f"…{walk[-11:]}"
            top.text(start, 1.02, label, transform=top.get_xaxis_transform(), fontsize=7, color=_INK, parse_math=False)


def _draw_walk(axes: Axes, mapping: Frames, plane: list[int]) -> None:
    time = timeline(mapping)
    kept = even_sample(len(time.rows), _MAPPING_POINTS)
    centers = mapping.poses.centers_m[time.rows][:, plane]
    line = time.broken(centers) if len(kept) == len(time.rows) else centers[kept]
    dots = "o" if len(kept) <= _DOTTED else None  # a photo alone between two breaks has no line
    axes.plot(line[:, 0], line[:, 1], marker=dots, markersize=2.2, markeredgewidth=0, color=_INK, alpha=0.22, linewidth=3)


def _window(known: np.ndarray, estimated: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(2,) lowest and highest corner: the place, and the estimates as far as they stay near it."""
    low, high = known.min(axis=0), known.max(axis=0)
    extent = max(float((high - low).max()), 1e-3)
    if len(estimated):
        low = np.maximum(np.minimum(low, estimated.min(axis=0)), low - _ROOM * extent)
        high = np.minimum(np.maximum(high, estimated.max(axis=0)), high + _ROOM * extent)
    margin = 0.05 * extent
    return low - margin, high + margin


def _map_caption(shown: int, total: int, lost: int, outside: int, mapped: bool) -> str:
    parts = ["Black or white: true position; coloured: estimate, joined to its true position."]
    if mapped:
        parts.append("Grey: mapping photos.")
    if lost:
        parts.append("Red cross: not localized.")
    if shown < total:
        parts.append(f"{shown} of {total} queries shown, evenly spread.")
    if outside:
        parts.append(f"{outside} estimates lie outside the picture.")
    return " ".join(parts)


def _figure(width: float, height: float, rows: int = 1) -> tuple[Figure, Axes]:
    """A figure of its own, untouched by and unknown to pyplot."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    for axes in np.atleast_1d(figure.subplots(rows, 1, sharex=rows > 1)):
        axes.tick_params(colors=_INK, labelsize=8, width=0.6, length=3)
        axes.xaxis.label.set(color=_INK, fontsize=9)
        axes.yaxis.label.set(color=_INK, fontsize=9)
        axes.grid(True, color=_INK, alpha=0.12, linewidth=0.6)
        for side, spine in axes.spines.items():
            spine.set(color=_INK, linewidth=0.6, alpha=0.5, visible=side in ("left", "bottom"))
    return figure, figure.axes[0]


def _line(axes: Axes, x: np.ndarray, y: np.ndarray, method: int, marker: str = "") -> None:
    """The line of the method in this row of the table; a single point becomes a dot."""
    axes.plot(
        x,
        y,
        color=colour_of(method),
        linestyle=dash_of(method),
        linewidth=1.5,
        marker=marker or ("o" if len(x) == 1 else None),
        markersize=3.5,
        gid=f"curve-{method}",
    )


def plain_log_ticks(axis: Axis) -> None:
    """1, 2, 5 of every decade, or whole decades where there are many; written 0.1, not as powers."""
    from matplotlib.ticker import LogLocator, NullLocator

    low, high = sorted(axis.get_view_interval())
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high < 3000 * low else (1.0,)))
    axis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.set_minor_locator(NullLocator())


def _centred(axes: Axes, text: str) -> None:
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=_INK, fontsize=10)


def _svg(figure: Figure, name: str, description: str) -> str:
    """Inline SVG: text as text, ink in the page's colour, ids that are unique on the page, coordinates to 0.01 pt."""
    import matplotlib

    stream = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = stream.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(
        r'(<svg[^>]*?) width="[^"]*"', r"\1", re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1), count=1
    )
    text = text.replace(_INK, "currentColor")
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r"url\(#", f"url(#{name}-", text)
    text = re.sub(r'href="#', f'href="#{name}-', text)
    text = re.sub(r'\b(d|x|y)="[^"]*"', lambda found: re.sub(r"(\.\d\d)\d+", r"\1", found[0]), text)
    return text.replace("<svg", f'<svg role="img" aria-label="{description}"', 1)
