"""The rendered corridors: walls, doors, pictures, furniture, lamps. The seed decides what hangs where, the plan stays."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from irploc.synthetic import corridor_pictures as hangings
from irploc.synthetic import patterns, pictures
from irploc.synthetic.corridor_plan import HALLS, SIZE_M, Piece, Rectangle, WallRun, solid_blocks, wall_runs
from irploc.synthetic.light import AreaLight, Lighting, Surroundings
from irploc.synthetic.room import Furnishing
from irploc.synthetic.surfaces import UP, Box, Surface, box_surfaces, on_wall

_HEIGHT_M = SIZE_M[2]
_DOOR_M = (1.0, 2.08)
_PRINTS, _BOARDS = 5, 3  # of each kind there are only so many, hung again and again
_COLOURS = ((0.5, 0.36, 0.24), (0.36, 0.45, 0.5))
_LAMP_EVERY_M = 2.8
_LAMP_M = (1.2, 0.3)
_LAMP_RGB = (2.5, 2.45, 2.3)

FURNITURE = (
    Piece("lockers", (3.0, 1.82, 5.8, 2.2), 1.85),
    Piece("bench", (11.9, 0.0, 13.5, 0.4), 0.45),
    Piece("shelf", (7.2, 10.84, 8.6, 11.2), 1.9),
    Piece("bench", (13.2, 9.0, 14.8, 9.4), 0.45),
    Piece("lockers", (0.0, 4.2, 0.36, 6.2), 1.85),
    Piece("shelf", (18.06, 3.4, 18.4, 4.8), 1.9),
    Piece("plant", (17.95, 7.4, 18.35, 7.8), 1.1),
    Piece("plant", (0.08, 0.08, 0.48, 0.48), 1.1),
    Piece("counter", (4.6, 7.2, 7.0, 7.8), 0.92),
    Piece("printer", (13.15, 3.0, 13.85, 3.6), 1.05),
    Piece("cartons", (14.4, 3.1, 14.9, 3.6), 0.7),
)


@dataclass(frozen=True)
class Building:
    """The corridors, dressed.

    Attributes:
        surfaces: all there is to see.
        surroundings: what casts shadows.
        furniture: what stands on the floor.
        doors: both ends of each on its wall, (x, y) metres.
    """

    surfaces: list[Surface]
    surroundings: Surroundings
    furniture: list[Piece]
    doors: list[tuple[tuple[float, float], tuple[float, float]]]


def build_corridors(seed: int) -> Building:
    """The corridors with what ``seed`` hangs on the walls."""
    rng = np.random.default_rng([seed, 77])
    furnishing = Furnishing()
    furnishing.boxes = [_solid(block) for block in solid_blocks()]
    for hall in HALLS:
        furnishing.surfaces += _floor_and_ceiling(hall)
    doors = []
    for run in wall_runs():
        wall = _wall(run)
        furnishing.surfaces.append(wall)
        doors += _dress(furnishing.surfaces, wall, run, rng, seed)
    for piece in FURNITURE:
        _put(furnishing, piece)
    for number, (x, y, along_x) in enumerate(lamp_places()):
        size = (*(_LAMP_M if along_x else _LAMP_M[::-1]), 0.04)
        white = patterns.plaster((0.97, 0.97, 0.95), 0.01)
        furnishing.put(x, y, _HEIGHT_M - 0.05, size, {"bottom": white, "sides": white}, glow=_lamp_name(number))
    return Building(furnishing.surfaces, Surroundings(furnishing.boxes, SIZE_M), list(FURNITURE), doors)


def _solid(block: Rectangle) -> Box:
    west, south, east, north = block
    return Box(((west + east) / 2, (south + north) / 2, _HEIGHT_M / 2), (east - west, north - south, _HEIGHT_M))


def _wall(run: WallRun) -> Surface:
    right = np.array([run.end[0] - run.start[0], run.end[1] - run.start[1], 0.0]) / run.length_m
    paint = patterns.plaster((0.84, 0.83, 0.78), 0.05, skirting=(0.3, 0.31, 0.33))
    return Surface(np.array([*run.start, _HEIGHT_M]), right, -UP, run.length_m, _HEIGHT_M, paint)


def _floor_and_ceiling(hall: Rectangle) -> list[Surface]:
    west, south, east, north = hall
    middle = Box(((west + east) / 2, (south + north) / 2, _HEIGHT_M / 2), (east - west, north - south, _HEIGHT_M))
    carpet = ((0.34, 0.36, 0.4), (0.36, 0.38, 0.42), (0.31, 0.34, 0.38))
    materials = {
        "bottom": patterns.tiles(carpet, 0.5, (0.28, 0.3, 0.33)),
        "top": patterns.tiles(((0.88, 0.88, 0.86), (0.86, 0.86, 0.83)), 0.6, (0.66, 0.66, 0.64)),
    }
    faces = box_surfaces(middle, materials, inward=True)
    return [replace(face, detail=0.6) for face in faces]


def _dress(
    surfaces: list[Surface], wall: Surface, run: WallRun, rng: np.random.Generator, seed: int
) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    """Hangs doors and pictures on a wall from left to right; gives the ends of the doors."""
    doors = []
    outer = run.start[0] == run.end[0] and run.start[0] in (0.0, SIZE_M[0])
    at = rng.uniform(0.3, 0.8)
    while at < run.length_m - 0.5:
        kind = str(rng.choice(["door", "door", "door", "poster", "poster", "board", "extinguisher", "window"]))
        number = int(rng.integers(_PRINTS if kind == "poster" else _BOARDS))
        width = {"door": _DOOR_M[0], "poster": 0.6, "board": 1.25, "extinguisher": 0.3, "window": 1.3}[kind]
        if (kind == "window" and not outer) or at + width > run.length_m - 0.1:
            at += 0.7
            continue
        if (behind := _furniture_along(wall, at, width)) is not None:
            at = behind
            continue
        key = seed * 1000 + 900 + number
        if kind == "door":
            doors.append(_ends(wall, at, width))
            surfaces += _door(wall, at, number, 100 + len(surfaces) % 300)
        elif kind == "window":
            surfaces.append(on_wall(wall, at, 0.5, (1.3, 1.2), pictures.window(), glow="window"))
        elif kind == "extinguisher":
            surfaces.append(on_wall(wall, at, 1.25, (0.3, 0.85), hangings.extinguisher()))
        else:
            size = (0.6, 0.85) if kind == "poster" else (1.25, 0.85)
            surfaces.append(on_wall(wall, at, 0.75, size, hangings.picture_of(kind, key)))
        at += width + (0.35 if kind == "door" else 0.0) + rng.uniform(0.4, 1.5)
    return doors


def _furniture_along(wall: Surface, at: float, width: float) -> float | None:
    """Where the furniture ends that stands before a stretch of wall; None where nothing does."""
    ends = []
    for west, south, east, north in (piece.footprint for piece in FURNITURE):
        corners = np.array([(west, south, 0.0), (east, south, 0.0), (east, north, 0.0), (west, north, 0.0)]) - wall.origin
        along, before = corners @ wall.right, corners @ wall.normal
        if -0.05 < before.min() < 0.3 and along.min() < at + width and along.max() > at:
            ends.append(float(along.max()) + 0.1)
    return max(ends, default=None)


def _ends(wall: Surface, at: float, width: float) -> tuple[tuple[float, float], tuple[float, float]]:
    first, last = wall.origin + wall.right * at, wall.origin + wall.right * (at + width)
    return (float(first[0]), float(first[1])), (float(last[0]), float(last[1]))


def _door(wall: Surface, at: float, number: int, room: int) -> list[Surface]:
    """A door with the room's number beside it."""
    leaf = hangings.flush_door(_COLOURS[number % 2], glazed=number == 2)
    return [
        on_wall(wall, at, _HEIGHT_M - _DOOR_M[1], _DOOR_M, leaf),
        on_wall(wall, at + _DOOR_M[0] + 0.08, 1.05, (0.18, 0.12), hangings.plate(str(room))),
    ]


def _put(furnishing: Furnishing, piece: Piece) -> None:
    (x, y), (width, depth, height) = piece.center, piece.size_m
    grey, oak = patterns.metal((0.35, 0.36, 0.38)), patterns.wood((0.6, 0.43, 0.26))
    if piece.kind == "plant":
        furnishing.put(x, y, 0.0, (width, depth, 0.4), patterns.plaster((0.5, 0.3, 0.22)))
        for turn in (0.0, 45.0):
            furnishing.put(x, y, 0.4, (0.8 * width, 0.8 * depth, height - 0.4), patterns.fabric((0.16, 0.36, 0.14)), turn)
    elif piece.kind == "bench":
        furnishing.put(x, y, height - 0.06, (width, depth, 0.06), oak)
        for share in (-0.4, 0.4):
            furnishing.put(x + share * width, y, 0.0, (0.08, 0.8 * depth, height - 0.06), grey)
    elif piece.kind == "counter":
        fronts = patterns.planks((0.86, 0.84, 0.78), (0.6, 0.9))
        furnishing.put(x, y, 0.0, piece.size_m, {"sides": fronts, "top": patterns.wood((0.33, 0.2, 0.12))})
        furnishing.put(x - 0.6, y - 0.1, height, (0.5, 0.35, 0.3), patterns.metal((0.12, 0.12, 0.13)))
        furnishing.put(x + 0.5, y - 0.1, height, (0.25, 0.3, 0.38), patterns.metal((0.55, 0.2, 0.16)))
    else:
        looks = {
            "lockers": hangings.lockers(),
            "shelf": pictures.bookshelf(),
            "printer": patterns.tiles(((0.82, 0.82, 0.8), (0.75, 0.75, 0.74)), 0.35, (0.3, 0.3, 0.3)),
            "cartons": pictures.carton(),
        }
        furnishing.put(x, y, 0.0, piece.size_m, {"sides": looks[piece.kind], "top": grey})


def lamp_places() -> list[tuple[float, float, bool]]:
    """x, y in metres, and whether the lamp lies along x, of all ceiling lamps."""
    places: list[tuple[float, float, bool]] = []
    for west, south, east, north in HALLS:
        along_x = east - west > north - south
        start, end = (west, east) if along_x else (south, north)
        count = max(1, round((end - start) / _LAMP_EVERY_M))
        middle = (south + north) / 2 if along_x else (west + east) / 2
        along = (start + (np.arange(count) + 0.5) * (end - start) / count).tolist()
        places += [(at, middle, True) if along_x else (middle, at, False) for at in along]
    return places


def _lamp_name(number: int) -> str:
    """Every third lamp is switched off late in the day."""
    return "lamp off late" if number % 3 == 1 else "lamp"


def office_hours() -> Lighting:
    """All lamps on, daylight in the windows."""
    glow = {"window": (1.3, 1.4, 1.5), "lamp": (3.0, 2.9, 2.8), "lamp off late": (3.0, 2.9, 2.8)}
    return Lighting(_lamps(late=False), (0.3, 0.3, 0.29), (0.2, 0.19, 0.18), glow, 1.1)


def late() -> Lighting:
    """A third of the lamps is off, dusk in the windows; the camera exposes longer and its white is cooler."""
    glow = {"window": (0.25, 0.32, 0.5), "lamp": (3.0, 2.8, 2.4), "lamp off late": (0.15, 0.15, 0.15)}
    return Lighting(_lamps(late=True), (0.22, 0.21, 0.19), (0.15, 0.14, 0.12), glow, 1.45, (0.95, 1.0, 1.1))


def _lamps(late: bool) -> tuple[AreaLight, ...]:
    lights = []
    for number, (x, y, along_x) in enumerate(lamp_places()):
        if not (late and _lamp_name(number) == "lamp off late"):
            half_x, half_y = (side / 2 for side in (_LAMP_M if along_x else _LAMP_M[::-1]))
            sides = ((half_x, 0.0, 0.0), (0.0, half_y, 0.0))
            lights.append(AreaLight((x, y, _HEIGHT_M - 0.1), sides, _LAMP_RGB, (0.0, 0.0, -1.0)))
    return tuple(lights)
