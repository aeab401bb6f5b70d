"""Top view of a scene: where its photos were taken and where they look, by split."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from irploc.errors import BadInput
from irploc.geometry import rotations
from irploc.geometry.poses import Poses
from irploc.scene import Frames, Scene

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLORS = {"train": "#4477aa", "validation": "#228833", "test": "#ee6677"}
_ARROW = 0.06  # length of a viewing direction as a share of the extent
_ARROW_SPACING = 0.035  # so that directions stay readable where photos are dense
_UPRIGHT = 0.7  # share of a world axis in the photos' mean downward direction that makes it the vertical
_JUMP = 8.0  # a step longer than so many usual ones is a gap in a walk
_DRAWN_POINTS = 60_000
_LONG_SIDE_IN, _SHORT_SIDE_IN = 8.0, 3.5


def ground_axes(poses: Poses) -> tuple[int, int]:
    """The world axes drawn to the right and upwards, so that the place is seen from above and not mirrored.

    The vertical is the axis that the photos, held upright on the whole, have as their own; where they have none in common
    it is the one along which they spread least.
    """
    down = rotations.rotate(poses.world_from_cam_wxyz, [0.0, 1.0, 0.0]).mean(axis=0)
    vertical = int(np.argmax(np.abs(down)))
    if abs(down[vertical]) < _UPRIGHT:
        spread = np.ptp(poses.centers_m, axis=0)
        first, second = sorted(np.argsort(-spread, kind="stable")[:2].tolist())
        return first, second
    one, other = (vertical + 1) % 3, (vertical + 2) % 3
    return (one, other) if down[vertical] < 0 else (other, one)


def write_top_view(scene: Scene, path: Path, cloud: np.ndarray | None = None) -> None:
    """Draws camera centres, walks and some viewing directions of every split, to scale, into a PNG.

    Args:
        cloud: (M, 3) points of the place in the scene's frame, drawn behind.

    Raises:
        BadInput: for a scene without posed photos.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    frames = scene.frames
    if not len(frames):
        raise BadInput(f"scene {scene.name} has no posed photos to draw")
    plane = list(ground_axes(frames.poses))
    points = frames.poses.centers_m[:, plane]
    extent = max(float(np.ptp(points, axis=0).max()), 1e-3)
    figure = Figure(figsize=_figure_size(points, extent), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    if cloud is not None and len(cloud):
        _draw_cloud(axes, cloud[:, plane])
    for sequence in sorted(set(frames.sequences)):
        axes.plot(
            *_walk(frames, points, frames.sequences == sequence).T, color="#999999", linewidth=0.7, alpha=0.6, zorder=1
        )
    looking = rotations.rotate(frames.poses.world_from_cam_wxyz, [0.0, 0.0, 1.0])[:, plane] * _ARROW * extent
    arrows: dict[str, Any] = {"angles": "xy", "scale_units": "xy", "scale": 1, "width": 0.0022, "alpha": 0.5, "zorder": 2}
    for split, color in _COLORS.items():
        rows = np.flatnonzero(frames.splits == split)
        if len(rows):
            axes.scatter(
                points[rows, 0], points[rows, 1], s=8, color=color, label=f"{split} ({len(rows)})", zorder=3, linewidths=0
            )
            some = rows[_spaced(points[rows], _ARROW_SPACING * extent)]
            axes.quiver(*points[some].T, *looking[some].T, color=color, **arrows)
            axes.update_datalim(points[some] + looking[some])
    middle = (points.min(axis=0) + points.max(axis=0)) / 2
    axes.update_datalim([middle - 0.2 * extent, middle + 0.2 * extent])  # a single photo or a straight walk has a width too
    _dress(axes, scene, extent, ["xyz"[axis] for axis in plane])
    path.parent.mkdir(parents=True, exist_ok=True)
    FigureCanvasAgg(figure).print_png(str(path))


def _draw_cloud(axes: Axes, cloud: np.ndarray) -> None:
    """The bulk of it: single points far away, of which every reconstruction has some, would make the place small."""
    low, high = np.percentile(cloud, [1, 99], axis=0)
    near = cloud[((cloud >= low) & (cloud <= high)).all(axis=1)]
    drawn = near[np.random.default_rng(0).permutation(len(near))[:_DRAWN_POINTS]]
    axes.scatter(drawn[:, 0], drawn[:, 1], s=0.6, color="#777777", alpha=0.5, linewidths=0, zorder=0, rasterized=True)


def _figure_size(points: np.ndarray, extent: float) -> tuple[float, float]:
    """Inches, so that a long narrow place does not leave the picture empty."""
    width, height = np.ptp(points, axis=0) + 2 * _ARROW * extent
    longest = max(width, height)
    sides = (max(_LONG_SIDE_IN * side / longest, _SHORT_SIDE_IN) for side in (width, height))
    across, up = sides
    return max(across, 5.5) + 0.6, up + 1.0


def gaps_after(walk: np.ndarray) -> np.ndarray:
    """Row numbers after which a walk of (M, D) points jumps: a step is far longer than its usual ones."""
    steps = np.linalg.norm(np.diff(walk, axis=0), axis=1)
    return np.flatnonzero(steps > _JUMP * max(float(np.median(steps)), 1e-9)) if len(steps) else np.empty(0, dtype=np.int64)


def _walk(frames: Frames, points: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """(M, 2) the photos of one sequence in order, with a row of NaN wherever the walk jumps."""
    walk = points[rows][np.argsort(frames.indices[rows], kind="stable")]
    return np.insert(walk, gaps_after(walk) + 1, np.nan, axis=0)


def _spaced(points: np.ndarray, distance: float) -> list[int]:
    """Row numbers of points of which no two are closer than ``distance``, greedily from the first."""
    chosen: list[int] = []
    for row, point in enumerate(points):
        if not chosen or np.linalg.norm(points[chosen] - point, axis=1).min() >= distance:
            chosen.append(row)
    return chosen


def _dress(axes: Axes, scene: Scene, extent: float, names: list[str]) -> None:
    from mpl_toolkits.axes_grid1.anchored_artists import AnchoredSizeBar  # type: ignore[import-untyped]

    metric = scene.units == "metres"
    axes.set_aspect("equal", adjustable="datalim")
    axes.margins(0.05)
    axes.autoscale_view()
    axes.set_xlabel(f"{names[0]} (m)" if metric else f"{names[0]} (no metric scale)")
    axes.set_ylabel(f"{names[1]} (m)" if metric else f"{names[1]} (no metric scale)")
    axes.set_title(f"{scene.name}: {len(scene.frames)} photos and where they look", loc="left", fontsize=11, pad=24)
    axes.grid(alpha=0.2)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower left", bbox_to_anchor=(-0.01, 0.995), ncols=3, borderpad=0, handletextpad=0.2)
    length = _round_length(extent / 5)
    bar = AnchoredSizeBar(
        axes.transData, length, f"{length:g} m" if metric else f"{length:g}", "lower right", frameon=False, pad=0.6, sep=4
    )
    axes.add_artist(bar)


def _round_length(about: float) -> float:
    """The largest of 1, 2, 5 times a power of ten that is not longer."""
    power = 10.0 ** math.floor(math.log10(about))
    return next(step * power for step in (5.0, 2.0, 1.0) if step * power <= about * (1 + 1e-9))
