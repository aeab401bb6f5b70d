"""``Source``: what a walkable raster is made from, a mask, a colour of the plan, or polygons."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from irploc.errors import BadInput, NotFound
from irploc.floormap.grid import FARTHEST_M, Grid
from irploc.images import decode_image

POLYGON_UNITS = ("metres", "pixels")
_WHITE = 128  # a mask is walkable from this grey on
_SLACK = 1.0  # pixels that a polygon may reach out of the picture
_WITH_ALPHA = ("RGBA", "LA", "PA", "RGBa", "La")
_DEGREES = (180.0, 90.0)  # GeoJSON's own units: longitude and latitude are within these
_LEAST_SPAN_M = 0.05  # of all polygons together; 0.05 degrees are 5 km, and nobody walks on 5 cm
_Ring = np.ndarray  # (N, 2)


@dataclass(frozen=True)
class Source:
    """Exactly one of a mask, a colour and polygons.

    Attributes:
        mask: a picture, white where one can walk.
        colour: ``#rrggbb`` or ``#rgb`` of walkable ground on the plan.
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

    @property
    def is_placed(self) -> bool:
        """Whether it says itself where it lies on the plane of the scene, whatever scale, origin and yaw a plan has."""
        return self.polygons is not None and self.polygon_units == "metres"


def rgb_of(colour: str) -> tuple[int, int, int]:
    """Red, green and blue of ``#rrggbb`` or ``#rgb``; raises BadInput for anything else."""
    if not re.fullmatch(r"#([0-9a-fA-F]{3}){1,2}", colour):
        raise BadInput(f"colour is {colour!r}, expected #rrggbb, #ffffff for white")
    if len(colour) == 4:
        colour = "#" + "".join(2 * digit for digit in colour[1:])
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def walkable_of_mask(path: Path) -> np.ndarray:
    """(H, W) bool: white of a picture; raises NotFound or BadInput for one that cannot be read, has transparent pixels, or
    has no white."""
    walkable: np.ndarray = np.asarray(decode_image(path).convert("L")) >= _WHITE
    check_opaque(path)
    if not walkable.any():
        raise BadInput(f"no walkable pixel: {path} has no white, which means walkable: {_brightest(path)}")
    return walkable


def check_opaque(path: Path) -> None:
    """Raises BadInput for a readable picture with transparent pixels: nobody knows whether they are walkable."""
    with Image.open(path) as image:
        if image.mode not in _WITH_ALPHA and "transparency" not in image.info:
            return
        alpha = np.asarray(image.convert("LA" if image.mode == "La" else "RGBA"))[..., -1]
    clear = int((alpha < 255).sum())
    if clear:
        raise BadInput(
            f"{path} is transparent at {clear:,} of {alpha.size:,} pixels: save it without an alpha channel, "
            "walkable ground white and the rest black"
        )


def _brightest(path: Path) -> str:
    """What the brightest pixel of a mask without white is, and what it would have to be."""
    with Image.open(path) as image:
        deep = image.mode.startswith(("I", "F"))
        largest = float(np.nan_to_num(np.asarray(image if deep else image.convert("L"))).max())
        white = 1.0 if image.mode == "F" and largest <= 1 else 65535.0 if deep and largest > 255 else 255.0
    return f"its largest value is {largest:g}, white would be {white:g} and all from {white * _WHITE / 255:g} on is walkable"


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
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise NotFound(f"{path} is missing") from None
    except (ValueError, OSError) as error:
        name = repr(str(path)) if "\0" in str(path) else path
        raise BadInput(f"{name} is not GeoJSON: {error}") from None
    except RecursionError:
        raise BadInput(f"{path} is not GeoJSON: it is nested too deeply") from None
    try:
        polygons = [[_ring(ring) for ring in _listed(rings, "a polygon")] for rings in _coordinates(content)]
    except ValueError as error:
        raise BadInput(f"{path} has a polygon that cannot be read: {error}") from None
    except RecursionError:
        raise BadInput(f"{path} has a polygon that cannot be read: its geometries are nested too deeply") from None
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


def check_metres(polygons: list[list[_Ring]], path: Path) -> None:
    """Raises BadInput for polygons that are said to be in metres and look like longitude and latitude."""
    points = np.concatenate([rings[0] for rings in polygons])
    (x, y), span = points[0], float(np.ptp(points, axis=0).max())
    if (np.abs(points) <= _DEGREES).all() and span < _LEAST_SPAN_M:
        raise BadInput(
            f"{path} spans {span:.2g} near ({x:.6g}, {y:.6g}): that is too little for metres and looks like degrees of "
            "longitude and latitude; give metres on the plane of the scene, or pixels of the plan"
        )


def _ring(points: Any) -> _Ring:
    ring = [_point(point) for point in _listed(points, "a ring")]
    if len(ring) < 3:
        raise ValueError(f"a ring has {len(ring)} points, it needs three or more")
    return np.array(ring)


def _point(point: Any) -> tuple[float, float]:
    numbers = _listed(point, "a point")[:2]
    if len(numbers) < 2 or any(isinstance(number, bool) or not isinstance(number, int | float) for number in numbers):
        raise ValueError("a point is not two numbers [x, y]")
    if not all(abs(number) <= FARTHEST_M for number in numbers):
        raise ValueError(f"a point is not finite or farther away than {FARTHEST_M:g}")
    return float(numbers[0]), float(numbers[1])


def _coordinates(content: Any) -> list[Any]:
    """The rings of every polygon in a GeoJSON object; raises ValueError with what is wrong with it."""
    if not isinstance(content, dict):
        raise ValueError(f"expected a GeoJSON object with a type, found {_kind_of(content)}")
    kind = content.get("type")
    if kind == "FeatureCollection":
        return [rings for feature in _member(content, "features") for rings in _coordinates(feature)]
    if kind == "Feature":
        if "geometry" not in content:
            raise ValueError("a Feature has no geometry")
        return [] if content["geometry"] is None else _coordinates(content["geometry"])
    if kind == "GeometryCollection":
        return [rings for geometry in _member(content, "geometries") for rings in _coordinates(geometry)]
    if kind == "Polygon":
        return [_member(content, "coordinates")]
    return _member(content, "coordinates") if kind == "MultiPolygon" else []


def _member(content: dict[str, Any], name: str) -> list[Any]:
    if name not in content:
        raise ValueError(f"a {content['type']} has no {name}")
    return _listed(content[name], f"{name} of a {content['type']}")


def _listed(value: Any, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"{what} should be a list, found {_kind_of(value)}")
    return value


def _kind_of(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    names: dict[type, str] = {dict: "an object", list: "a list", str: "text"}
    return names.get(type(value), "a number")
