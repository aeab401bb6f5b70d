"""A walkable area grown from where the mapping photos were taken, for places without a plan."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from irploc.errors import BadInput
from irploc.floormap.fit import check_metric
from irploc.floormap.grid import Grid, check_metres_per_pixel
from irploc.floormap.map import FloorMap
from irploc.floormap.plane import plane_axes, up_of_photos
from irploc.scene import Frames, Scene

_JUMP = 8.0  # a step longer than so many usual ones is a gap in a walk


@dataclass(frozen=True)
class GrowOptions:
    """How a walkable area is grown.

    Attributes:
        radius_m: all ground that near a walk is walkable.
        metres_per_pixel: of the raster.
        up: the scene's vertical; None takes the one of the photos.
        max_distance_m: as in ``FloorMap``.
    """

    radius_m: float = 0.5
    metres_per_pixel: float = 0.05
    up: str | None = None
    max_distance_m: float = 1.0

    def __post_init__(self) -> None:
        check_metres_per_pixel(self.metres_per_pixel)
        if not self.metres_per_pixel <= self.radius_m < np.inf:
            raise BadInput(f"the radius is {self.radius_m:g} m, it must be at least a pixel ({self.metres_per_pixel:g} m)")


def grow_floor_map(scene: Scene, options: GrowOptions) -> FloorMap:
    """All ground within a radius of the mapping walks; consecutive photos are joined unless the walk jumps between them.

    Raises:
        BadInput: without mapping photos, in a scene that is not metric, or where no axis is up.
    """
    check_metric(scene.units, f"scene {scene.name}")
    mapping = scene.frames.of_split("train")
    if not len(mapping):
        raise BadInput(f"scene {scene.name} has no mapping photos (split 'train') to grow a walkable area from")
    up = options.up or up_of_photos(mapping.poses)
    if up is None:
        raise BadInput(
            f"scene {scene.name} has no axis that its photos hold upright: align it, or say which is up with --up"
        )
    places = mapping.poses.centers_m[:, list(plane_axes(up))]
    grid = Grid.around(places, options.metres_per_pixel, options.radius_m)  # first: it refuses what would be endless walks
    walks = walk_points(mapping, up, 2 * options.radius_m, options.metres_per_pixel / 2)
    columns, rows = np.floor(grid.pixels_of(walks)).astype(int).T
    walked = np.zeros((grid.height, grid.width), dtype=bool)
    walked[rows, columns] = True
    distance_m = ndimage.distance_transform_edt(~walked) * options.metres_per_pixel
    walkable = distance_m <= options.radius_m
    return FloorMap(walkable, options.metres_per_pixel, grid.origin_m, up=up, max_distance_m=options.max_distance_m)


def walk_points(frames: Frames, up: str, reach_m: float, spacing_m: float) -> np.ndarray:
    """(P, 2) points on the plane along the walks, no two neighbours farther apart than ``spacing_m``.

    Args:
        reach_m: steps of at most this length are always joined.
    """
    places = frames.poses.centers_m[:, list(plane_axes(up))]
    parts = [places]
    for sequence in dict.fromkeys(frames.sequences):
        rows = np.flatnonzero(frames.sequences == sequence)
        walk = places[rows[np.argsort(frames.indices[rows], kind="stable")]]
        steps = np.linalg.norm(np.diff(walk, axis=0), axis=1)
        longest = max(_JUMP * float(np.median(steps)), reach_m) if len(steps) else 0.0
        for row in np.flatnonzero(steps <= longest):
            shares = np.linspace(0, 1, int(np.ceil(steps[row] / spacing_m)) + 1)[1:-1, None]
            parts.append(walk[row] * (1 - shares) + walk[row + 1] * shares)
    return np.concatenate(parts)
