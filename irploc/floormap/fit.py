"""Whether a floor map and a scene belong together."""

from __future__ import annotations

import numpy as np

from irploc.errors import BadInput, Mismatch
from irploc.floormap.map import FloorMap
from irploc.floormap.plane import up_of_photos
from irploc.geometry.poses import Poses

MOST_OUTSIDE = 0.5  # share of the mapping photos
_LEAST_SPAN = 0.05  # of the walkable area's longer side: a walk that covers less is in other units


def check_metric(units: str, where: str) -> None:
    """Raises BadInput unless a scene is in metres."""
    if units != "metres":
        raise BadInput(f"{where} has no metric scale (its units: {units}), a floor map needs metres: 'irploc scene align'")


def share_outside(floor_map: FloorMap, poses: Poses) -> float:
    """The share of photos that were not taken on walkable ground; 0 of none."""
    centers = poses.centers_m[poses.valid]
    return float(np.mean(~floor_map.contains(floor_map.on_plane(centers)))) if len(centers) else 0.0


def check_fit(floor_map: FloorMap, poses: Poses, where: str, what: str = "mapping photos", strict: bool = False) -> None:
    """Raises Mismatch when most photos of known pose are not on walkable ground.

    Args:
        poses: of photos that were taken by someone who walked.
        where: of what, for the message.
        strict: refuse walks that are tiny beside the walkable area too.
    """
    outside = share_outside(floor_map, poses)
    if not len(poses):
        return
    walk = np.ptp(floor_map.on_plane(poses.centers_m[poses.valid]), axis=0)
    ground = extent_m(floor_map)
    tiny = float(walk.max()) < _LEAST_SPAN * float(ground.max())
    if outside <= MOST_OUTSIDE and not (strict and tiny):
        return
    raise Mismatch(
        f"the floor map does not fit {where}: {100 * outside:.0f} % of {len(poses)} {what} are not on walkable ground; they "
        f"span {_size(walk)} m, the walkable area {_size(ground)} m: {_advice(floor_map, poses, walk, ground)}"
    )


def extent_m(floor_map: FloorMap) -> np.ndarray:
    """(2,) metres from the first to the last walkable pixel, along the sides of the plan."""
    columns, rows = (np.flatnonzero(floor_map.walkable.any(axis=axis)) for axis in (0, 1))
    return np.array([np.ptp(columns) + 1, np.ptp(rows) + 1]) * floor_map.metres_per_pixel


def _advice(floor_map: FloorMap, poses: Poses, walk: np.ndarray, ground: np.ndarray) -> str:
    up = up_of_photos(poses)
    if up is not None and up != floor_map.up:
        return f"the photos hold {up} up, the map says up is {floor_map.up}"
    ratio = float(walk.max() / ground.max())
    if ratio > 1.2:
        least = floor_map.metres_per_pixel * ratio
        return f"metres_per_pixel {floor_map.metres_per_pixel:g} is too small, it would have to be at least {least:.2g}"
    if ratio < _LEAST_SPAN:
        return f"look whether metres_per_pixel {floor_map.metres_per_pixel:g} is too large"
    return "look at metres_per_pixel, origin and yaw with 'irploc floormap show'"


def _size(extent: np.ndarray) -> str:
    return f"{extent[0]:.3g} x {extent[1]:.3g}"
