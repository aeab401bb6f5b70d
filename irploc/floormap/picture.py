"""A floor map drawn: plan, walkable ground, walks, and estimates before and after they are moved."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from irploc.errors import BadInput
from irploc.files import replacing
from irploc.floormap.file import same_as_one_of
from irploc.floormap.map import FloorMap, Moved
from irploc.floormap.plane import plane_axes
from irploc.geometry.poses import Poses
from irploc.images import decode_image

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WALKABLE, _WALK, _RAW, _MOVED = "#7fb7e8", "#8a8f95", "#d9533c", "#1f7a4d"
_LONGEST_PX = 1000  # of the raster that is drawn
_SIDE_IN, _LEAST_IN = 8.0, 3.2


def draw_floor(axes: Axes, floor_map: FloorMap, longest_px: int = _LONGEST_PX, with_plan: bool = True) -> None:
    """The plan, faint, and the walkable ground in blue, where they lie on the plane.

    Args:
        axes: with equal scales; its limits become the plan's.
        longest_px: the drawn picture is reduced to this size.
        with_plan: False draws the ground alone, for pages with a background of their own.
    """
    from matplotlib.transforms import Affine2D

    grid = floor_map.grid
    shrink = min(1.0, longest_px / max(grid.width, grid.height))
    size = max(1, round(grid.width * shrink)), max(1, round(grid.height * shrink))
    corner, right = grid.corners_m[0], np.radians(grid.yaw_deg)
    place = Affine2D().rotate(right).translate(*corner) + axes.transData
    sides = (0.0, grid.width * grid.metres_per_pixel, 0.0, grid.height * grid.metres_per_pixel)
    drawn: dict[str, Any] = {"extent": sides, "interpolation": "nearest", "transform": place, "aspect": "equal"}
    if with_plan and floor_map.plan is not None:
        plan = decode_image(floor_map.plan).resize(size, Image.Resampling.BILINEAR)
        axes.imshow(np.asarray(plan), alpha=0.55, zorder=0, **drawn)
    layer = Image.fromarray(floor_map.walkable.astype(np.uint8) * 255).resize(size, Image.Resampling.BOX)
    colours = np.zeros((size[1], size[0], 4))
    colours[..., :3] = np.array([int(_WALKABLE[start : start + 2], 16) for start in (1, 3, 5)]) / 255
    colours[..., 3] = np.asarray(layer) / 255 * 0.4
    axes.imshow(colours, zorder=1, **drawn)
    low, high = grid.corners_m.min(axis=0), grid.corners_m.max(axis=0)
    axes.set_xlim(low[0], high[0])
    axes.set_ylim(low[1], high[1])


def draw_moved(axes: Axes, floor_map: FloorMap, raw: Poses, moved: Moved, size: float = 3.0) -> None:
    """Estimates as red dots; those outside joined by lines to where they are moved, in green, or crossed where too far."""
    points, targets = floor_map.on_plane(raw.centers_m), floor_map.on_plane(moved.centers_m)
    near, far = moved.outside & ~moved.too_far, moved.too_far
    lines = np.stack([points[near], targets[near], np.full_like(points[near], np.nan)], axis=1).reshape(-1, 2)
    axes.plot(*lines.T, color=_MOVED, linewidth=0.8, zorder=4)
    axes.plot(*points[~far].T, ".", color=_RAW, markersize=size, zorder=5, label=f"estimates ({int(raw.valid.sum())})")
    axes.plot(*targets[near].T, ".", color=_MOVED, markersize=size, zorder=6, label=f"moved ({int(near.sum())})")
    if far.any():
        axes.plot(*points[far].T, "x", color=_RAW, markersize=2 * size, zorder=5, label=f"too far ({int(far.sum())})")


def write_floor_picture(
    floor_map: FloorMap, path: Path, title: str, walked: Poses | None = None, estimated: Poses | None = None
) -> None:
    """Draws a floor map to scale into a PNG.

    Args:
        walked: of mapping photos.
        estimated: what is moved onto the map.

    Raises:
        BadInput: for a path that does not end in ``.png`` or is one of the map's own files, or that cannot be written.
    """
    check_picture_path(floor_map, path)
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    low, high = _window(floor_map, walked, estimated)
    width, height = (_SIDE_IN * (high - low) / (high - low).max()).tolist()
    figure = Figure(figsize=(max(width, _LEAST_IN) + 0.8, max(height, _LEAST_IN / 2) + 1.1), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    draw_floor(axes, floor_map)
    axes.fill([], [], color=_WALKABLE, alpha=0.4, linewidth=0, label="walkable")
    if walked is not None and len(walked):
        points = floor_map.on_plane(walked.centers_m)
        axes.plot(*points.T, ".", color=_WALK, markersize=3, zorder=3, label=f"mapping photos ({len(walked)})")
    if estimated is not None:
        draw_moved(axes, floor_map, estimated, floor_map.move(estimated.centers_m), 4.5)
    axes.set_xlim(low[0], high[0])
    axes.set_ylim(low[1], high[1])
    axes.set_aspect("equal")
    right, up = plane_names(floor_map.up)
    axes.set_xlabel(f"{right} (m)")
    axes.set_ylabel(f"{up} (m)")
    axes.set_title(title, loc="left", fontsize=11, pad=22)
    axes.legend(frameon=False, loc="lower left", bbox_to_anchor=(-0.01, 0.995), ncols=5, fontsize=8, borderpad=0)
    axes.grid(alpha=0.2)
    axes.spines[["top", "right"]].set_visible(False)
    stream = io.BytesIO()
    FigureCanvasAgg(figure).print_png(stream)
    with replacing(path) as temporary:
        temporary.write_bytes(stream.getvalue())


def check_picture_path(floor_map: FloorMap, path: Path, kept: Sequence[Path] = ()) -> None:
    """Raises BadInput unless a picture may be written: to a PNG that is no file of the map, and none of ``kept``."""
    if path.suffix.lower() != ".png":
        raise BadInput(f"the picture {path} must end in .png")
    if same_as_one_of(path, [*floor_map.files, *kept]):
        raise BadInput(f"{path} is read, not written, for this picture: choose another name")


def plane_names(up: str) -> tuple[str, str]:
    """The scene axes to the right and upwards on a plan, as letters."""
    right, upward = plane_axes(up)
    return "xyz"[right], "xyz"[upward]


def _window(floor_map: FloorMap, walked: Poses | None, estimated: Poses | None) -> tuple[np.ndarray, np.ndarray]:
    """(2,) lowest and highest corner of what is drawn: the plan, walks, and estimates as far as they stay near it."""
    corners = floor_map.grid.corners_m
    low, high = corners.min(axis=0), corners.max(axis=0)
    if walked is not None and len(walked):
        points = floor_map.on_plane(walked.centers_m)
        low, high = np.minimum(low, points.min(axis=0)), np.maximum(high, points.max(axis=0))
    room = 0.25 * (high - low).max()
    if estimated is not None and estimated.valid.any():
        points = floor_map.on_plane(estimated.centers_m[estimated.valid])
        low, high = (
            np.maximum(np.minimum(low, points.min(axis=0)), low - room),
            np.minimum(np.maximum(high, points.max(axis=0)), high + room),
        )
    margin = 0.02 * (high - low).max()
    return low - margin, high + margin
