"""Light: what reaches every point of the surfaces of a place, with soft shadows. Lengths in metres, light in linear RGB."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from irploc.synthetic.surfaces import Box, Surface

OCCLUSION_RADIUS_M = 0.9
_GOLDEN = np.pi * (3 - np.sqrt(5))


@dataclass(frozen=True)
class AreaLight:
    """A rectangle that shines; seen from far away its light falls with the square of the distance.

    Attributes:
        center: (3,) metres.
        half_sides: two (3,) vectors from the centre to the middles of adjacent sides.
        colour: (3,) linear RGB irradiance at one metre before it.
        normal: (3,) the side it shines to, or None: to all sides alike.
    """

    center: tuple[float, float, float]
    half_sides: tuple[tuple[float, float, float], tuple[float, float, float]]
    colour: tuple[float, float, float]
    normal: tuple[float, float, float] | None = None

    def samples(self, count_per_side: int) -> np.ndarray:
        """(count_per_side ** 2, 3) points spread over it."""
        steps = (np.arange(count_per_side) + 0.5) / count_per_side * 2 - 1
        a, b = np.meshgrid(steps, steps)
        sides = np.asarray(self.half_sides)
        return np.asarray(self.center) + a.reshape(-1, 1) * sides[0] + b.reshape(-1, 1) * sides[1]


@dataclass(frozen=True)
class Lighting:
    """How a place is lit.

    Attributes:
        lights: the sources.
        sky: linear RGB of the light that comes from everywhere, on surfaces that look up.
        ground: the same on surfaces that look down; in between it is mixed.
        glow: linear RGB by name (``Surface.glow``) of the surfaces that shine themselves.
        exposure: the camera's, a factor.
        white_balance: (3,) factors of the camera.
    """

    lights: tuple[AreaLight, ...]
    sky: tuple[float, float, float]
    ground: tuple[float, float, float]
    glow: Mapping[str, tuple[float, float, float]] = field(default_factory=dict)
    exposure: float = 1.0
    white_balance: tuple[float, float, float] = (1.0, 1.0, 1.0)


@dataclass(frozen=True)
class Surroundings:
    """What can stand in the light's way: boxes, and the walls of the room."""

    boxes: Sequence[Box]
    room_size_m: tuple[float, float, float]

    def blocked(self, points: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """(N, S) bool: whether a box lies between points (N, 3) and targets (N or 1, S, 3)."""
        hidden = np.zeros((len(points), targets.shape[1]), dtype=bool)
        middle = targets.mean(axis=1)
        spread = np.linalg.norm(targets - middle[:, None], axis=-1).max(axis=1)
        for box in self.boxes:
            near = _distance_to_segment(np.asarray(box.center), points, middle) < np.linalg.norm(box.size) / 2 + spread
            ends = targets[near] if len(targets) > 1 else targets
            hidden[near] |= _crosses(box, points[near], ends)
        return hidden

    def openness(self, points: np.ndarray, normals: np.ndarray, count: int) -> np.ndarray:
        """(N,) in [0, 1]: the share of the half space before each point that is free for ``OCCLUSION_RADIUS_M``."""
        index = np.arange(count) + 0.5
        radius, turn = np.sqrt(index / count), index * _GOLDEN
        local = np.stack([radius * np.cos(turn), radius * np.sin(turn), np.sqrt(1 - radius**2)], axis=1)
        side = np.where(np.abs(normals[:, 2:]) > 0.9, [[1.0, 0.0, 0.0]], [[0.0, 0.0, 1.0]])
        across = np.cross(normals, side)
        across /= np.linalg.norm(across, axis=1, keepdims=True)
        frames = np.stack([across, np.cross(normals, across), normals], axis=1)
        ends = points[:, None, :] + OCCLUSION_RADIUS_M * np.einsum("sk,nkj->nsj", local, frames)
        outside = ((ends < 0) | (ends > np.asarray(self.room_size_m))).any(axis=-1)
        return 1.0 - (outside | self.blocked(points, ends)).mean(axis=1)


def _distance_to_segment(point: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """(N,) distance of one point (3,) from segments between (N, 3) and (N or 1, 3)."""
    along = ends - starts
    share = np.einsum("nk,nk->n", point - starts, along) / np.maximum(np.einsum("nk,nk->n", along, along), 1e-12)
    return np.linalg.norm(starts + np.clip(share, 0, 1)[:, None] * along - point, axis=1)


def _crosses(box: Box, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """(N, S) bool: whether segments from (N, 3) to (N or 1, S, 3) pass through the inside of a box."""
    half = np.asarray(box.size) / 2
    starts = (((starts - np.asarray(box.center)) @ box.axes) / half).astype(np.float32)
    ends = (((ends - np.asarray(box.center)) @ box.axes) / half).astype(np.float32)
    enter = np.full((len(starts), ends.shape[1]), 1e-3, np.float32)
    leave = 1 - enter
    for axis in range(3):
        start = starts[:, None, axis]
        step = ends[:, :, axis] - start
        step[np.abs(step) < 1e-6] = 1e-6
        inverse = 1 / step
        middle, reach = -start * inverse, np.abs(inverse)
        enter, leave = np.maximum(enter, middle - reach), np.minimum(leave, middle + reach)
    return enter < leave


@dataclass(frozen=True)
class LightmapGrid:
    """The points of all surfaces where light is computed, independent of how the place is lit.

    Attributes:
        points, normals: (N, 3).
        openness: (N,), see ``Surroundings.openness``.
        shapes: rows and columns of each surface's part.
    """

    points: np.ndarray
    normals: np.ndarray
    openness: np.ndarray
    shapes: list[tuple[int, int]]


def lightmap_grid(surfaces: Sequence[Surface], surroundings: Surroundings, cell_m: float, directions: int) -> LightmapGrid:
    """Points about ``cell_m`` apart on every surface, at least two by two; ``directions`` as in ``openness``."""
    points, normals, shapes = [], [], []
    for surface in surfaces:
        rows, columns = max(2, round(surface.height_m / cell_m)), max(2, round(surface.width_m / cell_m))
        u = (np.arange(columns) + 0.5) / columns * surface.width_m
        v = (np.arange(rows) + 0.5) / rows * surface.height_m
        grid = surface.origin + v[:, None, None] * surface.down + u[None, :, None] * surface.right
        points.append((grid + surface.normal * 0.01).reshape(-1, 3))
        normals.append(np.tile(surface.normal, (rows * columns, 1)))
        shapes.append((rows, columns))
    all_points, all_normals = np.concatenate(points), np.concatenate(normals)
    return LightmapGrid(all_points, all_normals, surroundings.openness(all_points, all_normals, directions), shapes)


def bake_lightmaps(grid: LightmapGrid, lighting: Lighting, surroundings: Surroundings, samples: int) -> list[np.ndarray]:
    """For each surface the light that arrives at its points, (rows, columns, 3) linear RGB.

    Args:
        samples: points per side of each light; more give smoother shadows.
    """
    upward = (grid.normals[:, 2:] + 1) / 2
    total = (upward * np.asarray(lighting.sky) + (1 - upward) * np.asarray(lighting.ground)) * grid.openness[:, None]
    for light in lighting.lights:
        sources = light.samples(samples)
        towards = sources[None] - grid.points[:, None]
        distance = np.maximum(np.linalg.norm(towards, axis=-1), 1e-6)
        received = (
            np.maximum(np.einsum("nsk,nk->ns", towards, grid.normals), 0.0) / distance / np.maximum(distance, 0.25) ** 2
        )
        if light.normal is not None:
            received *= np.maximum(-(towards @ np.asarray(light.normal)), 0.0) / distance
        lit = received.any(axis=1)
        received[lit] *= ~surroundings.blocked(grid.points[lit], sources[None])
        total += received.mean(axis=1)[:, None] * np.asarray(light.colour)
    ends = np.cumsum([rows * columns for rows, columns in grid.shapes])
    return [part.reshape(*shape, 3) for part, shape in zip(np.split(total, ends[:-1]), grid.shapes, strict=True)]


def enlarge(lightmap: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """A lightmap bilinearly brought to (rows, columns, 3), float32."""
    for axis, count in enumerate(shape):
        cells = lightmap.shape[axis]
        position = np.clip((np.arange(count) + 0.5) * cells / count - 0.5, 0, cells - 1)
        lower = np.minimum(position.astype(int), cells - 2)
        share = (position - lower).astype(np.float32).reshape([-1 if k == axis else 1 for k in range(3)])
        lightmap = lightmap.take(lower, axis) * (1 - share) + lightmap.take(lower + 1, axis) * share
    return lightmap.astype(np.float32)
