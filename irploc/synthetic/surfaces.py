"""What a rendered place is made of: flat rectangles with a material, and boxes that cast shadows. World: metres, z up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

UP = np.array([0.0, 0.0, 1.0])
_NOISE_CELLS_PER_TEXEL = 2.0  # noise finer than this many cells per texel would alias, its mean is zero


@dataclass(frozen=True)
class Patch:
    """A rectangle to be painted, sampled at its texel centres; `u` runs right and `v` down, metres.

    The same seed gives the same painting at every density, only sharper.

    Attributes:
        width_m, height_m: of the rectangle.
        density: texels per metre.
        seed: of everything random about it.
    """

    width_m: float
    height_m: float
    density: float
    seed: int

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of texels."""
        return max(1, round(self.height_m * self.density)), max(1, round(self.width_m * self.density))

    @property
    def rng(self) -> np.random.Generator:
        """A fresh generator of this patch."""
        return np.random.default_rng(self.seed)

    def grid(self) -> tuple[np.ndarray, np.ndarray]:
        """u (1, columns) and v (rows, 1) of the texel centres, metres."""
        rows, columns = self.shape
        u = (np.arange(columns) + 0.5) * (self.width_m / columns)
        v = (np.arange(rows) + 0.5) * (self.height_m / rows)
        return u[None, :], v[:, None]

    def noise(self, cell_m: float | tuple[float, float], octaves: int = 1, key: int = 0) -> np.ndarray:
        """(rows, columns) smooth noise in about [-1, 1].

        Args:
            cell_m: size of the coarsest blobs, one number or (along u, along v).
            octaves: each is half as large and half as strong as the one before.
            key: other keys give independent noise.
        """
        cell_u, cell_v = (cell_m, cell_m) if isinstance(cell_m, (int, float)) else cell_m
        u, v = self.grid()
        total = np.zeros(self.shape, dtype=np.float32)
        for octave in range(octaves):
            rng = np.random.default_rng([self.seed, key, octave])
            size_u, size_v = cell_u / 2**octave, cell_v / 2**octave
            if max(size_u, size_v) * self.density * _NOISE_CELLS_PER_TEXEL < 1.0:
                break
            total += 0.5**octave * _lattice_noise(rng, u[0] / size_u, v[:, 0] / size_v)
        return total


def _lattice_noise(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Random values at whole coordinates, smoothly joined, at the columns ``x`` and rows ``y``."""
    lattice = rng.uniform(-1.0, 1.0, (int(y[-1]) + 2, int(x[-1]) + 2)).astype(np.float32)
    rows, columns = np.floor(y).astype(int), np.floor(x).astype(int)
    fy, fx = (y - rows).astype(np.float32)[:, None], (x - columns).astype(np.float32)[None, :]
    fy, fx = fy * fy * (3 - 2 * fy), fx * fx * (3 - 2 * fx)
    joined = lattice[rows] * (1 - fy) + lattice[rows + 1] * fy
    return joined[:, columns] * (1 - fx) + joined[:, columns + 1] * fx


Material = Callable[[Patch], np.ndarray]
"""Paints a patch: (rows, columns, 3) float32 sRGB in [0, 1]."""


@dataclass(frozen=True)
class Surface:
    """A rectangle visible from the side where ``right`` points right and ``down`` points down.

    Attributes:
        origin: (3,) its upper left corner in the world, metres.
        right, down: (3,) orthogonal unit vectors along its sides.
        width_m, height_m: its size.
        material: paints it.
        glow: name of the light that shines through it (``Lighting.glow``), or empty: it only reflects.
        detail: texture density relative to the place's.
    """

    origin: np.ndarray
    right: np.ndarray
    down: np.ndarray
    width_m: float
    height_m: float
    material: Material
    glow: str = ""
    detail: float = 1.0

    @property
    def normal(self) -> np.ndarray:
        """(3,) unit vector towards the side it is seen from."""
        return np.cross(self.down, self.right)

    @property
    def corners(self) -> np.ndarray:
        """(4, 3) upper left, upper right, lower right, lower left, metres."""
        right, down = self.right * self.width_m, self.down * self.height_m
        return self.origin + np.stack([np.zeros(3), right, right + down, down])


@dataclass(frozen=True)
class Box:
    """A box on a horizontal base, turned about the vertical.

    Attributes:
        center: (3,) metres.
        size: (3,) along its own x, y and z axes, metres.
        yaw_deg: turn about z, counter-clockwise from above.
    """

    center: tuple[float, float, float]
    size: tuple[float, float, float]
    yaw_deg: float = 0.0

    @property
    def axes(self) -> np.ndarray:
        """(3, 3) world_from_box rotation."""
        cosine, sine = np.cos(np.radians(self.yaw_deg)), np.sin(np.radians(self.yaw_deg))
        return np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]])


# Outward normals of a box's faces in its own frame.
FACES = {
    "front": (0.0, -1.0, 0.0),
    "back": (0.0, 1.0, 0.0),
    "left": (-1.0, 0.0, 0.0),
    "right": (1.0, 0.0, 0.0),
    "top": (0.0, 0.0, 1.0),
    "bottom": (0.0, 0.0, -1.0),
}


def box_surfaces(box: Box, materials: Mapping[str, Material], glow: str = "", inward: bool = False) -> list[Surface]:
    """The faces of a box, seen from outside (or inside, for a room).

    Args:
        box: where it is.
        materials: face name (``FACES``) -> material; ``sides`` stands for the four upright ones, ``all`` for every face
            without its own. Faces without any material are left out.
        glow: see ``Surface``.
        inward: seen from inside.
    """
    surfaces = []
    for name, direction in FACES.items():
        upright = direction[2] == 0
        material = materials.get(name) or (materials.get("sides") if upright else None) or materials.get("all")
        if material is None:
            continue
        outward = np.asarray(direction)
        normal = -outward if inward else outward
        right = np.cross(UP, normal) if upright else np.array([1.0, 0.0, 0.0])
        down = -UP if upright else np.cross(right, normal)
        width = float(np.abs(right) @ box.size)
        height = float(np.abs(down) @ box.size)
        center = np.asarray(box.center) + box.axes @ (outward * box.size) / 2
        right, down = box.axes @ right, box.axes @ down
        origin = center - right * width / 2 - down * height / 2
        surfaces.append(Surface(origin, right, down, width, height, material, glow))
    return surfaces


def on_wall(
    wall: Surface, u_m: float, v_m: float, size_m: tuple[float, float], material: Material, glow: str = ""
) -> Surface:
    """A picture hung 15 mm before a wall, its upper left corner ``u_m`` right and ``v_m`` below the wall's."""
    origin = wall.origin + wall.right * u_m + wall.down * v_m + wall.normal * 0.015
    return Surface(origin, wall.right, wall.down, *size_m, material, glow, detail=1.5)
