"""The one room that is rendered: its furniture, its two lightings. 6.2 x 4.8 x 2.6 m, x east, y north, z up."""

from __future__ import annotations

from collections.abc import Mapping

from irploc.synthetic import patterns, pictures
from irploc.synthetic.light import AreaLight, Lighting, Surroundings
from irploc.synthetic.surfaces import Box, Material, Surface, box_surfaces, on_wall

SIZE_M = (6.2, 4.8, 2.6)
_OAK, _WALNUT, _PINE = (0.6, 0.43, 0.26), (0.33, 0.2, 0.12), (0.76, 0.6, 0.4)


class Furnishing:
    """Collects surfaces, and the boxes that cast shadows."""

    def __init__(self) -> None:
        self.surfaces: list[Surface] = []
        self.boxes: list[Box] = []

    def put(
        self,
        x: float,
        y: float,
        z: float,
        size: tuple[float, float, float],
        materials: Material | Mapping[str, Material],
        yaw_deg: float = 0.0,
        glow: str = "",
    ) -> None:
        """A box whose base is centred at (x, y, z); things that glow cast no shadow."""
        box = Box((x, y, z + size[2] / 2), size, yaw_deg)
        self.surfaces += box_surfaces(box, materials if isinstance(materials, Mapping) else {"all": materials}, glow)
        if not glow:
            self.boxes.append(box)


def build_room() -> tuple[list[Surface], Surroundings]:
    """All surfaces of the room, walls first, and what casts shadows in it."""
    room = Box((SIZE_M[0] / 2, SIZE_M[1] / 2, SIZE_M[2] / 2), SIZE_M)
    shell = {
        "front": patterns.bricks((0.62, 0.33, 0.25), (0.72, 0.69, 0.64)),
        "back": patterns.plaster((0.42, 0.6, 0.6), 0.06, skirting=(0.86, 0.85, 0.82)),
        "left": patterns.plaster((0.84, 0.8, 0.7), 0.05, skirting=(0.86, 0.85, 0.82)),
        "right": patterns.wallpaper((0.8, 0.74, 0.58), (0.5, 0.33, 0.28)),
        "bottom": patterns.planks((0.62, 0.45, 0.28)),
        "top": patterns.tiles(((0.88, 0.88, 0.86), (0.85, 0.85, 0.82)), 0.6, (0.62, 0.62, 0.6)),
    }
    furnishing = Furnishing()
    furnishing.surfaces = box_surfaces(room, shell, inward=True)
    south, north, west, east = furnishing.surfaces[:4]
    _dress_walls(furnishing.surfaces, south, north, west, east)
    _put_south(furnishing)
    _put_north(furnishing)
    _put_east_and_west(furnishing)
    _put_middle(furnishing)
    return furnishing.surfaces, Surroundings(furnishing.boxes, SIZE_M)


def _dress_walls(surfaces: list[Surface], south: Surface, north: Surface, west: Surface, east: Surface) -> None:
    """Window, door and pictures. ``u`` runs from the left as seen from inside the room."""
    surfaces += [
        on_wall(west, 1.3, 0.45, (2.1, 1.35), pictures.window(), glow="window"),
        on_wall(west, 0.25, 0.7, (0.5, 0.7), pictures.poster()),
        on_wall(west, 3.95, 0.5, (0.55, 0.8), pictures.painting((0.16, 0.14, 0.13))),
        on_wall(south, 0.35, 0.52, (0.95, 2.08), pictures.door()),
        on_wall(south, 1.65, 0.55, (0.6, 0.85), pictures.poster()),
        on_wall(south, 2.45, 0.75, (0.45, 0.6), pictures.painting()),
        on_wall(south, 3.1, 0.4, (0.7, 0.5), pictures.poster()),
        on_wall(south, 5.45, 0.6, (0.6, 0.85), pictures.poster()),
        on_wall(north, 0.9, 0.45, (1.5, 0.85), pictures.painting((0.55, 0.43, 0.18))),
        on_wall(north, 2.65, 0.55, (0.5, 0.7), pictures.poster()),
        on_wall(north, 3.35, 0.4, (0.85, 0.6), pictures.poster()),
        on_wall(north, 3.4, 1.1, (0.35, 0.45), pictures.painting((0.1, 0.1, 0.1))),
        on_wall(east, 2.35, 0.5, (0.8, 0.6), pictures.painting()),
        on_wall(east, 3.4, 0.45, (0.55, 0.8), pictures.poster()),
        on_wall(east, 2.5, 1.2, (0.3, 0.4), pictures.poster()),
        on_wall(east, 4.15, 0.6, (0.5, 0.65), pictures.poster()),
    ]


def _put_south(furnishing: Furnishing) -> None:
    """A desk with a monitor before the brick wall, a chair, a wall board with boxes on it."""
    put = furnishing.put
    put(1.75, 0.4, 0.72, (1.7, 0.7, 0.04), patterns.wood(_OAK))
    for x, y in ((0.98, 0.1), (2.52, 0.1), (0.98, 0.68), (2.52, 0.68)):
        put(x, y, 0.0, (0.06, 0.06, 0.72), patterns.metal((0.3, 0.3, 0.32)))
    put(2.2, 0.38, 0.2, (0.42, 0.56, 0.5), patterns.wood(_WALNUT))
    case = patterns.metal((0.1, 0.1, 0.11))
    put(1.6, 0.25, 0.76, (0.22, 0.16, 0.02), case)
    put(1.6, 0.22, 0.78, (0.05, 0.04, 0.14), case)
    put(1.6, 0.24, 0.86, (0.62, 0.035, 0.38), case)
    screen = box_surfaces(Box((1.6, 0.262, 1.05), (0.6, 0.005, 0.36)), {"back": pictures.screen()}, "screen")
    furnishing.surfaces += screen
    put(
        1.55,
        0.55,
        0.76,
        (0.44, 0.14, 0.025),
        patterns.tiles(((0.16, 0.16, 0.17), (0.22, 0.22, 0.23)), 0.022, (0.05, 0.05, 0.05)),
    )
    put(2.25, 0.3, 0.76, (0.24, 0.3, 0.1), {"all": pictures.carton((0.7, 0.3, 0.25)), "top": pictures.poster()}, 12)
    put(1.02, 0.35, 0.76, (0.16, 0.2, 0.24), pictures.bookshelf((0.2, 0.2, 0.22), 0.2), -8)
    put(1.6, 1.15, 0.44, (0.44, 0.44, 0.05), patterns.fabric((0.25, 0.32, 0.55)), 15)
    put(1.56, 1.36, 0.55, (0.42, 0.05, 0.42), patterns.fabric((0.25, 0.32, 0.55)), 15)
    put(1.6, 1.15, 0.0, (0.06, 0.06, 0.44), patterns.metal((0.35, 0.35, 0.36)), 15)
    put(4.42, 0.13, 0.95, (0.74, 0.24, 0.03), patterns.wood(_PINE))
    put(4.22, 0.13, 0.98, (0.3, 0.2, 0.28), pictures.bookshelf((0.5, 0.4, 0.25), 0.3))
    put(4.5, 0.13, 0.98, (0.2, 0.16, 0.16), pictures.carton((0.3, 0.45, 0.4)), 20)
    put(4.7, 0.13, 0.98, (0.12, 0.12, 0.3), patterns.tiles(((0.2, 0.3, 0.5), (0.8, 0.78, 0.7)), 0.04))
    put(3.6, 0.3, 0.0, (0.9, 0.45, 0.85), {"all": patterns.wood(_PINE, upright=True), "top": patterns.wood(_PINE)})
    put(3.4, 0.28, 0.85, (0.3, 0.25, 0.3), pictures.carton(), 10)
    put(3.85, 0.3, 0.85, (0.2, 0.2, 0.22), patterns.tiles(((0.75, 0.4, 0.2), (0.5, 0.22, 0.15)), 0.05), 35)


def _put_north(furnishing: Furnishing) -> None:
    """A sofa under the large painting, a low table, a cabinet."""
    put = furnishing.put
    cloth = patterns.fabric((0.55, 0.28, 0.2), (0.78, 0.66, 0.45))
    put(4.55, 4.32, 0.12, (1.9, 0.8, 0.3), cloth)
    put(4.55, 4.64, 0.42, (1.9, 0.2, 0.42), cloth)
    put(3.68, 4.32, 0.12, (0.2, 0.8, 0.5), cloth)
    put(5.42, 4.32, 0.12, (0.2, 0.8, 0.5), cloth)
    put(4.1, 4.42, 0.42, (0.42, 0.14, 0.36), patterns.fabric((0.3, 0.45, 0.35), (0.85, 0.82, 0.7)), 8)
    put(5.05, 4.44, 0.42, (0.42, 0.14, 0.36), patterns.fabric((0.2, 0.25, 0.45)), -10)
    put(
        2.15,
        4.52,
        0.0,
        (1.3, 0.5, 0.95),
        {"all": patterns.wood(_WALNUT), "front": patterns.planks((0.4, 0.25, 0.16), (0.5, 0.31))},
    )
    put(1.75, 4.5, 0.95, (0.26, 0.2, 0.34), {"all": pictures.poster()}, 14)
    put(2.2, 4.52, 0.95, (0.34, 0.24, 0.18), pictures.carton((0.55, 0.58, 0.62)), -6)
    put(2.6, 4.5, 0.95, (0.14, 0.14, 0.26), patterns.tiles(((0.75, 0.7, 0.3), (0.35, 0.45, 0.3)), 0.035), 30)
    put(0.75, 4.35, 0.0, (0.3, 0.3, 0.03), patterns.metal((0.2, 0.2, 0.2)))
    put(0.75, 4.35, 0.03, (0.03, 0.03, 1.42), patterns.metal((0.25, 0.24, 0.22)))
    shade = patterns.fabric((0.95, 0.88, 0.72))
    put(0.75, 4.35, 1.42, (0.34, 0.34, 0.3), shade, 20, glow="shade")


def _put_east_and_west(furnishing: Furnishing) -> None:
    """Bookcase and cartons in the east; curtains, radiator and a chest in the west."""
    put = furnishing.put
    put(6.02, 3.55, 0.0, (0.34, 1.5, 2.05), {"all": patterns.wood((0.42, 0.27, 0.15)), "left": pictures.bookshelf()})
    put(5.75, 0.95, 0.0, (0.6, 0.55, 0.5), pictures.carton(), 18)
    put(5.8, 0.98, 0.5, (0.45, 0.42, 0.36), pictures.carton((0.6, 0.44, 0.28)), -14)
    put(5.35, 1.5, 0.0, (0.4, 0.36, 0.34), pictures.carton((0.74, 0.6, 0.42)), 40)
    put(5.98, 1.95, 0.0, (0.4, 0.7, 0.75), {"all": patterns.planks(_PINE, (0.8, 0.19)), "top": patterns.wood(_PINE)})
    put(5.98, 1.95, 0.75, (0.22, 0.34, 0.25), pictures.bookshelf((0.3, 0.3, 0.3), 0.25), 90)
    curtain = patterns.ribbed((0.6, 0.28, 0.28), 0.07)
    put(0.08, 1.28, 0.3, (0.1, 0.34, 2.1), curtain)
    put(0.08, 3.62, 0.3, (0.1, 0.34, 2.1), curtain)
    put(0.1, 2.45, 0.12, (0.12, 1.4, 0.55), patterns.ribbed((0.86, 0.86, 0.84), 0.08, 0.12))
    put(0.3, 0.55, 0.0, (0.5, 0.5, 0.55), pictures.carton((0.5, 0.42, 0.5)), -9)


def _put_middle(furnishing: Furnishing) -> None:
    """Rug, low table, pillar, and the lamps at the ceiling."""
    put = furnishing.put
    put(3.3, 2.3, 0.0, (2.2, 1.5, 0.012), {"top": pictures.rug()}, 4)
    put(3.25, 2.3, 0.3, (0.8, 0.5, 0.04), patterns.wood(_WALNUT), -6)
    put(3.25, 2.3, 0.012, (0.3, 0.25, 0.29), patterns.wood(_WALNUT, upright=True), -6)
    put(3.4, 2.35, 0.34, (0.22, 0.3, 0.04), {"all": patterns.plaster((0.9, 0.88, 0.8)), "top": pictures.poster()}, 25)
    put(3.05, 2.25, 0.34, (0.1, 0.1, 0.14), patterns.tiles(((0.25, 0.45, 0.6), (0.85, 0.85, 0.8)), 0.03), 12)
    put(
        0.85,
        3.35,
        0.0,
        (0.34, 0.34, 2.6),
        patterns.tiles(((0.35, 0.42, 0.5), (0.62, 0.6, 0.5), (0.5, 0.25, 0.2)), 0.085),
        30,
    )
    white = patterns.plaster((0.97, 0.97, 0.95), 0.01)
    for x in (1.9, 4.3):
        put(x, 2.4, 2.55, (1.2, 0.3, 0.045), {"bottom": white, "sides": white}, glow="panel")


def daylight() -> Lighting:
    """A bright day: cool light through the west window, the ceiling panels off."""
    window = AreaLight((0.05, 2.45, 1.5), ((0.0, 1.0, 0.0), (0.0, 0.0, 0.6)), (5.2, 5.6, 6.2), (1.0, 0.0, 0.0))
    bounce = AreaLight((3.1, 2.4, 2.3), ((2.0, 0.0, 0.0), (0.0, 1.6, 0.0)), (0.9, 0.88, 0.82))
    glow = {"window": (1.5, 1.6, 1.7), "screen": (0.5, 0.5, 0.55), "shade": (0.1, 0.1, 0.1), "panel": (0.12, 0.12, 0.12)}
    return Lighting((window, bounce), (0.3, 0.31, 0.33), (0.2, 0.18, 0.16), glow, 1.25)


def evening() -> Lighting:
    """Dusk: warm ceiling panels and the standing lamp are on, the window is dim and blue, the camera's white is cooler."""
    panels = tuple(
        AreaLight((x, 2.4, 2.5), ((0.6, 0.0, 0.0), (0.0, 0.15, 0.0)), (2.3, 1.85, 1.25), (0.0, 0.0, -1.0))
        for x in (1.9, 4.3)
    )
    lamp = AreaLight((0.75, 4.35, 1.57), ((0.1, 0.0, 0.0), (0.0, 0.1, 0.0)), (1.2, 0.85, 0.45))
    window = AreaLight((0.05, 2.45, 1.5), ((0.0, 1.0, 0.0), (0.0, 0.0, 0.6)), (0.4, 0.5, 0.8), (1.0, 0.0, 0.0))
    glow = {"window": (0.22, 0.3, 0.5), "screen": (0.6, 0.6, 0.65), "shade": (2.2, 1.7, 1.0), "panel": (3.0, 2.7, 2.1)}
    return Lighting((*panels, lamp, window), (0.2, 0.18, 0.15), (0.22, 0.18, 0.13), glow, 1.15, (0.93, 1.0, 1.15))
