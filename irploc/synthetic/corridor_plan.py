"""The floor plan of the rendered corridors: where one can stand, where the walls are, and both as pictures.

World: metres, x east, y north, z up, the floor at z = 0. Everything follows from the halls and the furniture.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

Rectangle = tuple[float, float, float, float]
"""West, south, east, north, metres."""

SIZE_M = (18.4, 11.2, 2.6)
HALLS: tuple[Rectangle, ...] = (
    (0.0, 0.0, 18.4, 2.2),  # south corridor
    (0.0, 9.0, 18.4, 11.2),  # north corridor
    (0.0, 2.2, 2.2, 9.0),  # west corridor
    (16.2, 2.2, 18.4, 9.0),  # east corridor
    (9.6, 2.2, 11.4, 9.0),  # the corridor across
    (4.6, 7.2, 7.0, 9.0),  # kitchenette
    (13.0, 2.2, 15.0, 3.6),  # copy room
)
WALL_M = 0.15
WALKABLE, BLOCKED = 255, 0
_MARGIN_M = 0.4
_WALL_INK, _FURNITURE_INK, _OUTSIDE_INK, _FREE_INK = (30, 30, 34), (176, 168, 156), (226, 226, 226), (255, 255, 255)


@dataclass(frozen=True)
class Piece:
    """Something that stands on the floor.

    Attributes:
        kind: of furniture, what it looks like.
        footprint: what it covers, metres.
        height_m: its height.
    """

    kind: str
    footprint: Rectangle
    height_m: float

    @property
    def center(self) -> tuple[float, float]:
        """x and y, metres."""
        west, south, east, north = self.footprint
        return (west + east) / 2, (south + north) / 2

    @property
    def size_m(self) -> tuple[float, float, float]:
        """Along x, y and z."""
        west, south, east, north = self.footprint
        return east - west, north - south, self.height_m


@dataclass(frozen=True)
class WallRun:
    """A straight piece of wall.

    Attributes:
        start, end: (x, y) metres; seen from the hall it runs from the left to the right.
    """

    start: tuple[float, float]
    end: tuple[float, float]

    @property
    def length_m(self) -> float:
        """Its length."""
        return float(np.hypot(self.end[0] - self.start[0], self.end[1] - self.start[1]))


@dataclass(frozen=True)
class Raster:
    """The grid of the plan's pictures; row 0 is the northernmost.

    Attributes:
        metres_per_pixel: side of a pixel.
        origin_m: lower left corner of the pictures in the world, metres.
        shape: rows, columns.
    """

    metres_per_pixel: float
    origin_m: tuple[float, float]
    shape: tuple[int, int]

    def pixels(self, points: np.ndarray) -> np.ndarray:
        """(N, 2) column and row, continuous, of points (N, 2) in metres; the centre of the first pixel is at (0.5, 0.5)."""
        columns = (points[:, 0] - self.origin_m[0]) / self.metres_per_pixel
        rows = self.shape[0] - (points[:, 1] - self.origin_m[1]) / self.metres_per_pixel
        return np.stack([columns, rows], axis=1)

    def filled(self, rectangles: list[Rectangle]) -> np.ndarray:
        """(rows, columns) bool: pixels whose centre is in one of the rectangles."""
        x = self.origin_m[0] + (np.arange(self.shape[1]) + 0.5) * self.metres_per_pixel
        y = self.origin_m[1] + (self.shape[0] - np.arange(self.shape[0]) - 0.5) * self.metres_per_pixel
        inside = np.zeros(self.shape, dtype=bool)
        for west, south, east, north in rectangles:
            inside |= ((y >= south) & (y < north))[:, None] & ((x >= west) & (x < east))[None, :]
        return inside


def raster(metres_per_pixel: float) -> Raster:
    """The grid that covers the building and its outer walls."""
    columns, rows = (int(np.ceil((side + 2 * _MARGIN_M) / metres_per_pixel)) for side in SIZE_M[:2])
    return Raster(metres_per_pixel, (-_MARGIN_M, -_MARGIN_M), (rows, columns))


def _cells() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The lines of the coarsest grid that the halls fit, x then y, and which of its cells (columns, rows) are hall."""
    edges = np.array(HALLS)
    x, y = np.unique(edges[:, [0, 2]]), np.unique(edges[:, [1, 3]])
    middle_x, middle_y = (x[1:] + x[:-1])[:, None] / 2, (y[1:] + y[:-1])[None, :] / 2
    inside = [(middle_x > w) & (middle_x < e) & (middle_y > s) & (middle_y < n) for w, s, e, n in HALLS]
    return x, y, np.any(inside, axis=0)


def solid_blocks() -> list[Rectangle]:
    """What is neither hall nor outside the building, as rectangles that run west to east."""
    x, y, free = _cells()
    blocks: list[Rectangle] = []
    for row, (south, north) in enumerate(pairwise(y)):
        for first, last in _runs(~free[:, row]):
            blocks.append((float(x[first]), float(south), float(x[last]), float(north)))
    return blocks


def wall_runs() -> list[WallRun]:
    """The walls between hall and solid, joined where they go straight on."""
    x, y, free = _cells()
    framed = np.pad(free, 1)
    runs: list[WallRun] = []
    for line, at in enumerate(y):
        below, above = framed[1:-1, line], framed[1:-1, line + 1]
        runs += [WallRun((x[a], at), (x[b], at)) for a, b in _runs(below & ~above)]
        runs += [WallRun((x[b], at), (x[a], at)) for a, b in _runs(above & ~below)]
    for line, at in enumerate(x):
        left, right = framed[line, 1:-1], framed[line + 1, 1:-1]
        runs += [WallRun((at, y[b]), (at, y[a])) for a, b in _runs(left & ~right)]
        runs += [WallRun((at, y[a]), (at, y[b])) for a, b in _runs(right & ~left)]
    return runs


def _runs(flags: np.ndarray) -> list[tuple[int, int]]:
    """First and one past the last of every stretch that is true."""
    steps = np.flatnonzero(np.diff(np.pad(flags.astype(np.int8), 1)))
    return [(int(first), int(last)) for first, last in steps.reshape(-1, 2)]


def walkable(grid: Raster, furniture: list[Piece], clearance_m: float) -> np.ndarray:
    """(rows, columns) bool: pixels at least ``clearance_m`` from walls and furniture."""
    free = grid.filled(list(HALLS)) & ~grid.filled([piece.footprint for piece in furniture])
    clear: np.ndarray = ndimage.distance_transform_edt(free) * grid.metres_per_pixel >= clearance_m
    return clear


def drawing(
    grid: Raster, furniture: list[Piece], doors: list[tuple[tuple[float, float], tuple[float, float]]]
) -> Image.Image:
    """The floor plan in colour: walls dark, floor white, furniture grey, doors as gaps in the walls.

    Args:
        grid: its size and scale.
        furniture: what stands there.
        doors: both ends of each, (x, y) metres, on a wall.
    """
    halls = grid.filled(list(HALLS))
    picture = np.full((*grid.shape, 3), _OUTSIDE_INK, dtype=np.uint8)
    thickness = WALL_M / grid.metres_per_pixel
    picture[ndimage.distance_transform_edt(~halls) <= thickness] = _WALL_INK
    picture[halls] = _FREE_INK
    picture[grid.filled([piece.footprint for piece in furniture])] = _FURNITURE_INK
    image = Image.fromarray(picture)
    pen = ImageDraw.Draw(image)
    for door in doors:
        ends = grid.pixels(np.array(door))
        pen.line([tuple(end) for end in ends], fill=_FURNITURE_INK, width=max(1, round(thickness)))
    return image
