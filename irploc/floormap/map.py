"""``FloorMap``: where one can walk, and the nearest such place to any point."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from irploc import provenance
from irploc.errors import BadInput
from irploc.floormap.grid import FARTHEST_M, MOST_PIXELS, Grid, check_metres_per_pixel
from irploc.floormap.plane import plane_axes
from irploc.floormap.source import Source

_INSET = 1e-3  # pixels a moved point lies inside the walkable pixel, so that rounding does not put it outside again
_KNOWN_NEAREST = 4  # pixels compared for a point off the picture
_FARTHEST_PX = 1e12  # points farther off are taken as lying there, so that squares of distances stay finite
_AROUND = np.array([(row, column) for row in (-1, 0, 1) for column in (-1, 0, 1)])


@dataclass(frozen=True)
class Moved:
    """N positions brought onto walkable ground.

    Attributes:
        centers_m: (N, 3), heights unchanged; NaN where there was no position.
        moved_m: (N,) how far, 0 where it was walkable; NaN where there was no position.
        too_far: (N,) whether that is farther than the map allows; ``centers_m`` is the nearest walkable place all the same.
    """

    centers_m: np.ndarray
    moved_m: np.ndarray
    too_far: np.ndarray

    @property
    def outside(self) -> np.ndarray:
        """(N,) which positions were not walkable."""
        return self.moved_m > 0


@dataclass(frozen=True, eq=False)
class FloorMap:
    """A walkable raster that lies on the ground plane of a scene.

    Attributes:
        walkable: (H, W) bool, row 0 at the top of the plan.
        metres_per_pixel: side of a pixel.
        origin_m: x and y of the lower left corner of the plan on the plane of the scene.
        yaw_deg: of the plan's x axis, counter-clockwise.
        up: the scene's vertical, ``z`` or ``x -x y -y -z``.
        max_distance_m: positions farther from walkable ground are not believed; may be infinite.
        accept_outside: whether the map is that of scenes too whose mapping photos are not on its ground (``check_fit``).
        plan: a picture of the same size for people, or None.
        source: what the raster was made from; None for a raster of its own, which ``save`` writes beside the file.

    Raises:
        BadInput: for numbers that cannot be, or a raster that is nowhere walkable. ValueError: for another shape.
    """

    walkable: np.ndarray
    metres_per_pixel: float
    origin_m: tuple[float, float] = (0.0, 0.0)
    yaw_deg: float = 0.0
    up: str = "z"
    max_distance_m: float = 1.0
    plan: Path | None = None
    source: Source | None = None
    accept_outside: bool = False

    def __post_init__(self) -> None:
        walkable = np.asarray(self.walkable, dtype=bool)
        if walkable.ndim != 2:
            raise ValueError(f"a walkable raster is (H, W), not {walkable.shape}")
        check_metres_per_pixel(self.metres_per_pixel)
        if not (np.shape(self.origin_m) == (2,) and np.isfinite(self.origin_m).all() and math.isfinite(self.yaw_deg)):
            raise BadInput(f"origin_m is {self.origin_m} and yaw_deg {self.yaw_deg}, expected two finite numbers and one")
        if np.abs(self.origin_m).max() > FARTHEST_M:
            raise BadInput(f"origin_m is {self.origin_m}, it must lie within {FARTHEST_M:g} m of the scene's origin")
        if not self.max_distance_m > 0:
            raise BadInput(f"max_distance_m is {self.max_distance_m:g}, it must be positive (inf moves every position)")
        plane_axes(self.up)
        if walkable.size > MOST_PIXELS:
            raise BadInput(f"the plan has {walkable.size:,} pixels, at most {MOST_PIXELS:,} are possible: make it smaller")
        if not walkable.any():
            raise BadInput("the plan has no walkable pixel")
        object.__setattr__(self, "walkable", walkable)
        object.__setattr__(self, "origin_m", (float(self.origin_m[0]), float(self.origin_m[1])))

    @classmethod
    def load(cls, path: Path) -> FloorMap:
        """Reads a floor map and its pictures, see ``floormap.file.load_floor_map``."""
        from irploc.floormap.file import load_floor_map

        return load_floor_map(path)

    def save(self, path: Path, replace: bool = True) -> None:
        """Writes the file and, where the map has no ``source``, its raster beside it as ``<stem>.walkable.png``.

        Args:
            path: ends in ``.toml``.
            replace: whether a floor map that is there may be replaced; nothing else ever is.

        Raises:
            BadInput: as ``floormap.file.save_floor_map``.
        """
        from irploc.floormap.file import save_floor_map

        save_floor_map(self, path, replace)

    @property
    def files(self) -> list[Path]:
        """The files that the map is made from: its plan, and its mask or polygons."""
        source = [] if self.source is None else [self.source.mask, self.source.polygons]
        return [path for path in (self.plan, *source) if path is not None]

    @property
    def grid(self) -> Grid:
        """How the raster lies on the plane."""
        height, width = self.walkable.shape
        return Grid(width, height, self.metres_per_pixel, self.origin_m, self.yaw_deg)

    @property
    def sha256(self) -> str:
        """Identifies the walkable ground: raster and placement, whatever they were made from."""
        numbers = (self.walkable.shape, self.metres_per_pixel, self.origin_m, self.yaw_deg, self.up)
        return provenance.sha256_of_parts([repr(numbers).encode(), np.packbits(self.walkable).tobytes()])

    def on_plane(self, centers_m: np.ndarray) -> np.ndarray:
        """(N, 2) metres on the plane of (N, 3) positions in the scene."""
        return np.asarray(centers_m, dtype=np.float64)[:, list(plane_axes(self.up))]

    def contains(self, points_m: np.ndarray) -> np.ndarray:
        """(N,) bool: which of (N, 2) points on the plane are walkable; NaN is not."""
        height, width = self.walkable.shape
        known = np.isfinite(points_m).all(axis=1)
        columns, rows = _floor(self._pixels_of(np.where(known[:, None], points_m, 0.0)))
        inside = known & (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
        inside[inside] = self.walkable[rows[inside], columns[inside]]
        return inside

    def distances_m(self, points_m: np.ndarray) -> np.ndarray:
        """(N,) metres from (N, 2) points on the plane to walkable ground, 0 on it, at most one pixel too many."""
        distances = np.zeros(len(points_m))
        rows = np.flatnonzero(~self.contains(points_m))
        if len(rows):
            distances[rows] = self._nearest(self._pixels_of(points_m[rows]))[1] * self.metres_per_pixel
        return distances

    def move(self, centers_m: np.ndarray) -> Moved:
        """(N, 3) positions moved to the nearest walkable place, at most one pixel farther than need be.

        A few lookups each: the nearest walkable pixel of every pixel is known.
        """
        centers = np.array(centers_m, dtype=np.float64)
        points = self.on_plane(centers)
        moved = np.full(len(centers), np.nan)
        known = np.isfinite(centers).all(axis=1)
        moved[known] = 0.0
        rows = np.flatnonzero(known & ~self.contains(points))
        if len(rows):
            target, pixels = self._nearest(self._pixels_of(points[rows]))
            right, upward = plane_axes(self.up)
            centers[rows, right], centers[rows, upward] = self.grid.points_of(target).T
            moved[rows] = pixels * self.metres_per_pixel
        return Moved(centers, moved, moved > self.max_distance_m)

    def outside_m(self) -> np.ndarray:
        """(H, W) float32: metres from the centre of each pixel to walkable ground, 0 on it."""
        pixels = ndimage.distance_transform_edt(~self.walkable)
        return (np.maximum(pixels - 0.5, 0.0) * self.metres_per_pixel).astype(np.float32)

    def _pixels_of(self, points_m: np.ndarray) -> np.ndarray:
        """(N, 2) pixels of (N, 2) points, those too far away for their squares brought nearer on their ray."""
        farthest_m = _FARTHEST_PX * self.metres_per_pixel + FARTHEST_M
        shrink = np.minimum(1.0, farthest_m / np.maximum(np.abs(points_m).max(axis=1), farthest_m))
        return self.grid.pixels_of(points_m * shrink[:, None])

    def _nearest(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The nearest point on walkable pixels and its distance, (N, 2) and (N,) in pixels."""
        height, width = self.walkable.shape
        columns, rows = _floor(pixels)
        on = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
        target, distance = np.empty_like(pixels), np.empty(len(pixels))
        around_rows = np.clip(rows[on, None] + _AROUND[:, 0], 0, height - 1)
        around_columns = np.clip(columns[on, None] + _AROUND[:, 1], 0, width - 1)
        found = self._nearest_pixels[:, around_rows, around_columns]
        target[on], distance[on] = _closest(pixels[on], found[1], found[0])
        if not on.all():
            tree, border = self._border
            _, near = tree.query(pixels[~on], k=min(_KNOWN_NEAREST, len(border)))
            candidates = border[near.reshape(int((~on).sum()), -1)]
            target[~on], distance[~on] = _closest(pixels[~on], candidates[..., 1], candidates[..., 0])
        return target, distance

    @cached_property
    def _nearest_pixels(self) -> np.ndarray:
        """(2, H, W) row and column of the walkable pixel nearest to each pixel."""
        found: np.ndarray = ndimage.distance_transform_edt(~self.walkable, return_distances=False, return_indices=True)
        return found

    @cached_property
    def _border(self) -> tuple[cKDTree, np.ndarray]:
        """The centres of the walkable pixels at the edge of the walkable area, as a tree, and their (B, 2) rows and columns;
        for points off the picture."""
        border = np.argwhere(self.walkable & ~ndimage.binary_erosion(self.walkable))
        return cKDTree(border[:, ::-1] + 0.5), border


def _floor(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Columns and rows as integers, far ones brought to where they still are off any picture."""
    whole = np.floor(np.clip(pixels, -2.0, 2.0**31)).astype(np.int64)
    return whole[:, 0], whole[:, 1]


def _closest(pixels: np.ndarray, columns: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of (N, K) pixels the one whose square is nearest to each of (N, 2) points: the point in it, and the distance."""
    corners = np.stack([columns, rows], axis=2).astype(np.float64)
    targets = np.clip(pixels[:, None], corners + _INSET, corners + 1.0 - _INSET)
    distances = np.linalg.norm(targets - pixels[:, None], axis=2)
    best = np.argmin(distances, axis=1)
    every = np.arange(len(pixels))
    return targets[every, best], distances[every, best]
