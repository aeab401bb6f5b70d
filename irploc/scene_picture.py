"""Top view of a scene: where its photos were taken, by split."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from irploc.geometry import rotations
from irploc.scene import Scene

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLORS = {"train": "#4477aa", "validation": "#228833", "test": "#ee6677"}
_ARROWS = 60  # viewing directions drawn, so that they stay readable


def ground_axes(centers_m: np.ndarray) -> tuple[int, int]:
    """The two world axes along which the cameras spread most, in order: the plane of a top view."""
    spread = np.ptp(centers_m, axis=0)
    first, second = sorted(np.argsort(-spread, kind="stable")[:2].tolist())
    return first, second


def write_top_view(scene: Scene, path: Path) -> None:
    """Draws the camera centres and some viewing directions of every split into a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    poses = scene.frames.poses
    first, second = ground_axes(poses.centers_m)
    figure = Figure(figsize=(8, 7), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    points = poses.centers_m[:, [first, second]]
    extent = max(float(np.ptp(points, axis=0).max()), 1e-3)
    forward = rotations.rotate(poses.world_from_cam_wxyz, [0.0, 0.0, 1.0])[:, [first, second]]
    for split, color in _COLORS.items():
        rows = np.flatnonzero(scene.frames.splits == split)
        if len(rows):
            axes.scatter(points[rows, 0], points[rows, 1], s=9, color=color, label=f"{split} ({len(rows)})", zorder=3, linewidths=0)
            some = rows[:: max(1, len(rows) * len(_COLORS) // (2 * _ARROWS))]
            directions = forward[some] * 0.06 * extent
            axes.quiver(
                *points[some].T, *directions.T, color=color, alpha=0.45, angles="xy", scale_units="xy", scale=1, width=0.0022
            )
    _dress(axes, scene, "xyz"[first], "xyz"[second])
    path.parent.mkdir(parents=True, exist_ok=True)
    FigureCanvasAgg(figure).print_png(str(path))


def _dress(axes: Axes, scene: Scene, first: str, second: str) -> None:
    unit = "m" if scene.units == "metres" else scene.units
    axes.set_aspect("equal", adjustable="datalim")
    axes.margins(0.08)
    axes.set_xlabel(f"{first} ({unit})")
    axes.set_ylabel(f"{second} ({unit})")
    axes.set_title(f"{scene.name}: {len(scene.frames)} photos and where they look", loc="left", fontsize=11)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="best")
