"""``Source``: what a walkable raster is made from, a mask, a colour of the plan, or polygons."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from irploc.errors import BadInput, NotFound
from irploc.floormap.grid import Grid
from irploc.images import decode_image

POLYGON_UNITS = ("metres", "pixels")
_WHITE = 128  # a mask is walkable from this grey on
_SLACK = 1.0  # pixels that a polygon may reach out of the picture
_Ring = np.ndarray  # (N, 2)


@dataclass(frozen=True)
class Source:
    """Exactly one of a mask, a colour and polygons.

    Attributes:
        mask: a picture, white where one can walk.
        colour: ``#rrggbb`` of walkable ground on the plan.
        tolerance: by which each of red, green and blue may differ from it.
        polygons: a GeoJSON file.
        polygon_units: ``metres`` on the plane of the scene, or ``pixels`` of the plan, x right and y down from its upper
            left corner.

    Raises:
        BadInput: for none or several of them, or values that cannot be.
    """

    mask: Path | None = None
    colour: str | None = None
    tolerance: int = 10
    polygons: Path | None = None
    polygon_units: str = "metres"

    def __post_init__(self) -> None:
        given = [name for name in ("mask", "colour", "polygons") if getattr(self, name) is not None]
        if len(given) != 1:
            said = " and ".join(given) or "none of them"
            raise BadInput(f"walkable ground is told by exactly one of mask, colour and polygons, not by {said}")
        if self.colour is not None:
            rgb_of(self.colour)
        if not 0 <= self.tolerance <= 255:
            raise BadInput(f"tolerance is {self.tolerance}, it must lie in 0 to 255")
        if self.polygon_units not in POLYGON_UNITS:
            raise BadInput(f"polygon_units is {self.polygon_units!r}, expected {' or '.join(POLYGON_UNITS)}")


def rgb_of(colour: str) -> tuple[int, int, int]:
    """Red, green and blue of ``#rrggbb``; raises BadInput for anything else."""
    if not re.fullmatch(r"#[0-9a-fA-F]{6}", colour):
        raise BadInput(f"colour is {colour!r}, expected #rrggbb, #ffffff for white")
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def walkable_of_mask(path: Path) -> np.ndarray:
    """(H, W) bool: white of a picture; raises NotFound or BadInput for one that cannot be read."""
    return np.asarray(decode_image(path).convert("L")) >= _WHITE


def walkable_of_colour(plan: Path, colour: str, tolerance: int) -> np.ndarray:
    """(H, W) bool: where a plan has a colour, red, green and blue each to ``tolerance``."""
    pixels = np.asarray(decode_image(plan)).astype(np.int16)
    differences: np.ndarray = np.abs(pixels - np.array(rgb_of(colour), dtype=np.int16)).max(axis=2)
    return differences <= tolerance


def read_polygons(path: Path) -> list[list[_Ring]]:
    """The polygons of a GeoJSON file, each as rings (N, 2), the outline first and then its holes.

    Raises:
        NotFound: no such file. BadInput: no GeoJSON, no polygon, or one that is none.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise NotFound(f"{path} is missing") from None
    except (ValueError, OSError) as error:
        raise BadInput(f"{path} is not GeoJSON: {error}") from None
    try:
        polygons = [[_ring(ring) for ring in rings] for rings in _coordinates(content)]
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise BadInput(f"{path} has a polygon that cannot be read: {error!r}") from None
    polygons = [rings for rings in polygons if rings]
    if not polygons:
        raise BadInput(f"{path} has no Polygon and no MultiPolygon")
    return polygons


def fill_polygons(polygons: list[list[_Ring]], grid: Grid, where: str) -> np.ndarray:
    """(H, W) bool: pixels whose centre lies in one of the polygons, which are in pixels (x right, y down).

    Raises:
        BadInput: when polygons reach outside the picture.
    """
    size = np.array([grid.width, grid.height])
    lost = [rings for rings in polygons if (rings[0] < -_SLACK).any() or (rings[0] > size + _SLACK).any()]
    if lost:
        low, high = lost[0][0].min(axis=0), lost[0][0].max(axis=0)
        raise BadInput(
            f"{where}: {len(lost)} of {len(polygons)} polygons reach outside the plan of {grid.width}x{grid.height} pixels; "
            f"the first spans columns {low[0]:.0f} to {high[0]:.0f} and rows {low[1]:.0f} to {high[1]:.0f}: are its units, "
            "the origin and metres_per_pixel right?"
        )
    walkable = np.zeros((grid.height, grid.width), dtype=bool)
    for rings in polygons:
        _fill(walkable, rings)
    return walkable


def _fill(walkable: np.ndarray, rings: list[_Ring]) -> None:
    """Sets the pixels whose centre lies inside by the even-odd rule: every edge turns all that is right of it."""
    height, width = walkable.shape
    top = int(np.clip(np.floor(rings[0][:, 1].min()), 0, height))
    bottom = int(np.clip(np.ceil(rings[0][:, 1].max()), top, height))
    turns = np.zeros((bottom - top, width + 1), dtype=np.int32)
    for ring in rings:
        for (x0, y0), (x1, y1) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
            low, high = sorted((y0, y1))
            rows = np.arange(max(int(np.ceil(low - 0.5)), top), min(int(np.ceil(high - 0.5)), bottom))
            if len(rows):
                x = x0 + (rows + 0.5 - y0) * (x1 - x0) / (y1 - y0)
                np.add.at(turns, (rows - top, np.clip(np.ceil(x - 0.5), 0, width).astype(int)), 1)
    walkable[top:bottom] |= (np.cumsum(turns, axis=1) % 2 == 1)[:, :width]


def _ring(points: Any) -> _Ring:
    ring = np.array([[float(point[0]), float(point[1])] for point in points])
    if len(ring) < 3 or not np.isfinite(ring).all():
        raise ValueError("a ring needs three or more finite points")
    return ring


def _coordinates(content: Any) -> list[Any]:
    """The rings of every polygon in a GeoJSON object."""
    kind = content.get("type")
    if kind == "FeatureCollection":
        return [rings for feature in content["features"] for rings in _coordinates(feature)]
    if kind == "Feature":
        return _coordinates(content["geometry"]) if content["geometry"] else []
    if kind == "GeometryCollection":
        return [rings for geometry in content["geometries"] for rings in _coordinates(geometry)]
    if kind == "Polygon":
        return [content["coordinates"]]
    return list(content["coordinates"]) if kind == "MultiPolygon" else []
