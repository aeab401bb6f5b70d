"""Other ways a plan may lie on the plane, at another scale, mirrored or turned: what would suit a walk off its ground."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from irploc.floormap.map import FloorMap

_SCALES = np.exp(np.arange(np.log(0.15), np.log(6.5), 0.02))  # finer than the width of a corridor tells
_LEAST_CHANGE = 1.03  # of scale that is worth telling
_LEAST_SPAN = 0.5  # of the walkable area: any walk fits into one room of a plan that is large enough
_MOST_PHOTOS = 400  # that are tried
_FAR_M = 1.0  # farther is no worse, so that photos of another floor do not decide
_TIE_M = 0.002  # of the mean distance


@dataclass(frozen=True, eq=False)
class _Placement:
    """A plan placed otherwise: where the points would lie on the plan as it is placed now, in metres of it.

    Attributes:
        words: what would be changed.
        points_m: (N, 2).
        scale: what a metre of those is in the scene.
        room: how many neighbouring scales do as well; of two that hold all points, the one with more of it is likelier.
    """

    words: str
    points_m: np.ndarray
    scale: float = 1.0
    room: int = 0

    def distances_m(self, floor_map: FloorMap) -> np.ndarray:
        """(N,) to walkable ground, in the scene's metres."""
        return self.scale * floor_map.distances_m(self.points_m)

    def cost_m(self, floor_map: FloorMap) -> float:
        """The mean of those distances, far ones taken as ``_FAR_M``."""
        return float(np.minimum(self.distances_m(floor_map), _FAR_M).mean())


def is_placed(floor_map: FloorMap) -> bool:
    """Whether the walkable ground is polygons in metres, which metres_per_pixel, origin and yaw do not move."""
    return floor_map.source is not None and floor_map.source.is_placed


def extent_m(floor_map: FloorMap) -> np.ndarray:
    """(2,) metres from the first to the last walkable pixel, along the sides of the plan."""
    columns, rows = (np.flatnonzero(floor_map.walkable.any(axis=axis)) for axis in (0, 1))
    return np.array([np.ptp(columns) + 1, np.ptp(rows) + 1]) * floor_map.metres_per_pixel


def walk_span_m(floor_map: FloorMap, points_m: np.ndarray) -> np.ndarray:
    """(2,) metres that (N, 2) points span along the sides of the plan."""
    return np.ptp(floor_map.grid.pixels_of(points_m), axis=0) * floor_map.metres_per_pixel


def better_placement(floor_map: FloorMap, points_m: np.ndarray, slack_m: float) -> str | None:
    """The one change of scale, or of side or direction, that leaves the fewest points outside, in words; both where either
    would do, None where none halves them.

    Args:
        points_m: (N, 2), N > 0, on the plane, some of them not on walkable ground.
        slack_m: points up to here from walkable ground are not outside.
    """
    points = points_m[np.unique(np.linspace(0, len(points_m) - 1, _MOST_PHOTOS).astype(int))]
    scaled = _best_scales(floor_map, points, np.array(floor_map.origin_m)) + _best_scales(floor_map, points, np.zeros(2))
    kinds = [kind for kind in (scaled, _turned(floor_map, points)) if kind]
    best = [min(kind, key=lambda placement: (round(placement.cost_m(floor_map), 3), -placement.room)) for kind in kinds]
    now = floor_map.distances_m(points)
    helping = [placement for placement in best if _halves(now, placement.distances_m(floor_map), slack_m)]
    if not helping:
        return None
    least = min(placement.cost_m(floor_map) for placement in helping)
    named = [placement for placement in helping if placement.cost_m(floor_map) <= least + _TIE_M]
    left = max(float((placement.distances_m(floor_map) > slack_m).mean()) for placement in named)
    words = " or with ".join(placement.words for placement in named)
    return f"with {words} {f'{100 * left:.2g} %' if left else 'none'} would lie outside"


def _halves(now_m: np.ndarray, then_m: np.ndarray, slack_m: float) -> bool:
    return all((then_m > limit).mean() <= 0.5 * (now_m > limit).mean() for limit in (0.0, slack_m))


def _turned(floor_map: FloorMap, points_m: np.ndarray) -> list[_Placement]:
    """The picture mirrored or turned on its place, and its axes turned about its corner; none for a walk in a part of it."""
    if _span(floor_map, points_m) < _LEAST_SPAN:
        return []
    grid = floor_map.grid
    pixels = grid.pixels_of(points_m)
    right, upward = pixels[:, 0], grid.height - pixels[:, 1]
    wide, high = grid.width, grid.height
    yaw, what = floor_map.yaw_deg, "the polygons" if is_placed(floor_map) else "the plan"
    placed = {
        f"{what} mirrored left to right": (wide - right, upward),
        f"{what} mirrored top to bottom": (right, high - upward),
        f"{what} turned by 180 degrees": (wide - right, high - upward),
        f"{what} turned by 90 degrees counter-clockwise": (upward, high - right),
        f"{what} turned by 90 degrees clockwise": (wide - upward, right),
    }
    if not is_placed(floor_map):
        for turn, across_along in ((90, (upward, -right)), (180, (-right, -upward)), (270, (-upward, right))):
            placed[f"yaw_deg {(yaw + turn) % 360:g} instead of {yaw:g}"] = across_along
    return [
        _Placement(words, grid.points_of(np.column_stack([across, high - along])))
        for words, (across, along) in placed.items()
    ]


def _best_scales(floor_map: FloorMap, points_m: np.ndarray, fixed_m: np.ndarray) -> list[_Placement]:
    """The scale about (2,) ``fixed_m`` that fits best, one or none; the middle of the tightest where several do."""
    largest = _span(floor_map, points_m) / _LEAST_SPAN
    scales = np.array([scale for scale in _SCALES if scale <= largest and max(scale, 1 / scale) > _LEAST_CHANGE])
    if not len(scales):
        return []
    placed = [_scaled(floor_map, points_m, float(scale), fixed_m) for scale in scales]
    costs = np.array([placement.cost_m(floor_map) for placement in placed])
    now = float(np.minimum(floor_map.distances_m(points_m), _FAR_M).mean())
    good = np.flatnonzero(costs <= costs.min() + np.clip(0.1 * (now - costs.min()), 0.0, _TIE_M))
    run = good[: np.flatnonzero(np.diff(good, append=len(costs) + 1) > 1)[0] + 1]
    return [replace(placed[run[len(run) // 2]], room=len(run))]


def _scaled(floor_map: FloorMap, points_m: np.ndarray, scale: float, fixed_m: np.ndarray) -> _Placement:
    metres = floor_map.metres_per_pixel
    (x, y), (x_then, y_then) = floor_map.origin_m, fixed_m + (np.array(floor_map.origin_m) - fixed_m) * scale
    if is_placed(floor_map):
        words = f"the polygons scaled by about {scale:.3g} about {fixed_m[0]:.3g},{fixed_m[1]:.3g}"
    else:
        words = f"metres_per_pixel about {metres * scale:.3g} instead of {metres:g}"
        if not np.allclose((x, y), (x_then, y_then)):
            words += f" and origin {x_then:.3g},{y_then:.3g} instead of {x:.3g},{y:.3g}"
    return _Placement(words, fixed_m + (points_m - fixed_m) / scale, scale)


def _span(floor_map: FloorMap, points_m: np.ndarray) -> float:
    return float(walk_span_m(floor_map, points_m).max() / extent_m(floor_map).max())
