"""Procedural building materials: plaster, brick, wood, fabric. Each factory returns a ``Material``."""

from __future__ import annotations

import numpy as np

from irploc.synthetic.surfaces import Material, Patch

Colour = tuple[float, float, float]


def _tinted(colour: Colour, shade: np.ndarray) -> np.ndarray:
    """``colour`` brightened or darkened by ``shade`` (rows, columns)."""
    return np.clip(np.asarray(colour, np.float32) * (1.0 + shade[..., None]), 0.0, 1.0).astype(np.float32)


def _mix(a: np.ndarray, b: np.ndarray | Colour, share: np.ndarray) -> np.ndarray:
    """``a`` where ``share`` is 0, ``b`` where it is 1."""
    share = np.clip(share, 0.0, 1.0)[..., None].astype(np.float32)
    return a * (1 - share) + np.asarray(b, np.float32) * share


def _hash(*cells: np.ndarray, seed: int) -> np.ndarray:
    """A random number in [0, 1) for every combination of whole numbers."""
    code = np.full(np.broadcast_shapes(*(cell.shape for cell in cells)), seed % 2**31, dtype=np.int64)
    for cell in cells:
        code = ((code ^ (cell.astype(np.int64) * 668265263)) * 374761393) & 0x7FFFFFFF
        code ^= code >> 13
    return ((code * 1274126177) & 0x7FFFFFFF) / 2.0**31


def _line(distance_m: np.ndarray, half_width_m: float, density: float) -> np.ndarray:
    """1 within ``half_width_m`` of a line and 0 outside, softened over a texel."""
    return np.clip((half_width_m - distance_m) * density + 0.5, 0.0, 1.0)


def _to_edge(position: np.ndarray, period: float) -> np.ndarray:
    """Distance to the nearest multiple of ``period``."""
    phase = np.mod(position, period)
    return np.minimum(phase, period - phase)


def plaster(colour: Colour, roughness: float = 0.05, skirting: Colour | None = None) -> Material:
    """Painted plaster with faint stains, and a skirting board along the floor where its colour is given."""

    def paint(patch: Patch) -> np.ndarray:
        shade = roughness * (patch.noise(0.9, 4) + 0.5 * patch.noise(0.05, 3, key=1))
        image = _tinted(colour, shade)
        return image if skirting is None else _with_skirting(patch, image, skirting)

    return paint


def _with_skirting(patch: Patch, image: np.ndarray, colour: Colour, height_m: float = 0.11) -> np.ndarray:
    _, v = patch.grid()
    above = patch.height_m - v
    board = np.broadcast_to((above < height_m).astype(np.float32), patch.shape)
    image = _mix(image, _tinted(colour, 0.05 * patch.noise((0.4, 0.01), 2, key=2)), board)
    return _mix(
        image, (0.08, 0.07, 0.06), np.broadcast_to(_line(np.abs(above - height_m), 0.006, patch.density), patch.shape)
    )


def bricks(colour: Colour, mortar: Colour, size_m: tuple[float, float] = (0.21, 0.07), spread: float = 0.28) -> Material:
    """A running bond; every brick has its own tone, some are burnt dark."""

    def paint(patch: Patch) -> np.ndarray:
        u, v = patch.grid()
        v = v + 0 * u
        row = np.floor(v / size_m[1])
        shifted = u + 0.5 * size_m[0] * np.mod(row, 2) + 0.012 * patch.noise(0.3, 2, key=3)
        column = np.floor(shifted / size_m[0])
        tone = _hash(row, column, seed=patch.seed)
        burnt = _hash(row, column, seed=patch.seed + 7) > 0.9
        shade = spread * (tone * 2 - 1) - 0.35 * burnt + 0.16 * patch.noise(0.06, 4)
        image = _tinted(colour, shade)
        image[..., 2] *= (0.85 + 0.3 * _hash(row, column, seed=patch.seed + 13)).astype(np.float32)
        joint = np.minimum(_to_edge(shifted, size_m[0]), _to_edge(v, size_m[1])) + 0.002 * patch.noise(0.03, 2, key=4)
        return _mix(image, _tinted(mortar, 0.12 * patch.noise(0.05, 3, key=5)), _line(joint, 0.005, patch.density))

    return paint


def planks(colour: Colour, board_m: tuple[float, float] = (1.1, 0.13), upright: bool = False) -> Material:
    """Boards with grain, each of its own tone, their ends staggered; along u, or along v when ``upright``."""

    def paint(patch: Patch) -> np.ndarray:
        u, v = patch.grid()
        along, across = (v + 0 * u, u + 0 * v) if upright else (u + 0 * v, v + 0 * u)
        row = np.floor(across / board_m[1])
        staggered = along + board_m[0] * _hash(row, seed=patch.seed)
        board = np.floor(staggered / board_m[0])
        grain_cell = (0.012, 0.5) if upright else (0.5, 0.012)
        grain = patch.noise(grain_cell, 3) + 0.6 * np.sin(160 * across + 5 * patch.noise(0.35, 2, key=1))
        tone = _hash(row, board, seed=patch.seed + 3)
        image = _tinted(colour, 0.3 * (tone - 0.5) + 0.07 * grain + 0.06 * patch.noise(0.7, 3, key=2))
        joint = np.minimum(_to_edge(across, board_m[1]), _to_edge(staggered, board_m[0]))
        return _mix(image, (0.07, 0.05, 0.04), 0.8 * _line(joint, 0.0025, patch.density))

    return paint


def wood(colour: Colour, upright: bool = False) -> Material:
    """One piece of wood with growth rings."""

    def paint(patch: Patch) -> np.ndarray:
        u, v = patch.grid()
        across = (u + 0 * v) if upright else (v + 0 * u)
        cell = (0.01, 0.4) if upright else (0.4, 0.01)
        rings = np.sin(70 * across + 4 * patch.noise((0.1, 0.8) if upright else (0.8, 0.1), 2))
        return _tinted(colour, 0.1 * rings + 0.1 * patch.noise(cell, 3, key=1))

    return paint


def wallpaper(
    ground: Colour, print_colour: Colour, period_m: float = 0.26, skirting: Colour = (0.9, 0.88, 0.84)
) -> Material:
    """Stripes with rows of ringed medallions, slightly faded by place."""

    def paint(patch: Patch) -> np.ndarray:
        u, v = patch.grid()
        image = _tinted(ground, 0.06 * patch.noise(0.8, 3) + 0.03 * patch.noise(0.02, 2, key=1))
        stripe = _line(np.abs(_to_edge(u + 0 * v, period_m)), 0.012, patch.density)
        odd = np.mod(np.floor(u / period_m), 2)
        du = np.mod(u, period_m) - period_m / 2
        dv = np.mod(v + odd * period_m / 2, period_m) - period_m / 2
        radius, angle = np.hypot(du, dv), np.arctan2(dv, du)
        petals = _line(radius - 0.065 * (0.62 + 0.38 * np.abs(np.cos(3 * angle))), 0.0, patch.density)
        ring = _line(np.abs(radius - 0.095), 0.004, patch.density)
        strength = np.maximum.reduce([stripe * 0.7, petals, ring]) * (0.75 + 0.2 * patch.noise(0.5, 2, key=2))
        return _with_skirting(patch, _mix(image, print_colour, strength), skirting)

    return paint


def fabric(colour: Colour, accent: Colour | None = None) -> Material:
    """Woven cloth; a broad check where an accent colour is given."""

    def paint(patch: Patch) -> np.ndarray:
        u, v = patch.grid()
        weave = 0.05 * np.sin(2 * np.pi * u / 0.008) * np.sin(2 * np.pi * v / 0.008) if patch.density > 250 else 0 * u * v
        image = _tinted(colour, weave + 0.1 * patch.noise(0.12, 4) + 0.05 * patch.noise(0.012, 2, key=1))
        if accent is None:
            return image
        across = _line(_to_edge(u + 0 * v, 0.16), 0.018, patch.density)
        down = _line(_to_edge(v + 0 * u, 0.16), 0.018, patch.density)
        return _mix(image, accent, 0.45 * (across + down))

    return paint


def ribbed(colour: Colour, period_m: float, depth: float = 0.3) -> Material:
    """Upright folds or ribs, shaded as if lit from one side: curtains, radiators."""

    def paint(patch: Patch) -> np.ndarray:
        u, v = patch.grid()
        phase = 2 * np.pi * (u + 0 * v + 0.25 * period_m * patch.noise((0.2, 2.5), 2)) / period_m
        folds = depth * (np.sin(phase) + 0.3 * np.sin(2 * phase + 1)) if patch.density * period_m > 2 else 0 * phase
        return _tinted(colour, folds + 0.06 * patch.noise(0.1, 4, key=1))

    return paint


def tiles(colours: tuple[Colour, ...], size_m: float, grout: Colour = (0.75, 0.73, 0.7)) -> Material:
    """Square tiles whose colours are drawn at random from a few."""

    def paint(patch: Patch) -> np.ndarray:
        u, v = patch.grid()
        row, column = np.floor((v + 0 * u) / size_m), np.floor((u + 0 * v) / size_m)
        choice = (_hash(row, column, seed=patch.seed) * len(colours)).astype(int)
        tone = 0.12 * (_hash(row, column, seed=patch.seed + 5) - 0.5)
        image = np.asarray(colours, np.float32)[choice] * (1 + tone + 0.06 * patch.noise(0.1, 4))[..., None]
        joint = np.minimum(_to_edge(u + 0 * v, size_m), _to_edge(v + 0 * u, size_m))
        return _mix(np.clip(image, 0, 1).astype(np.float32), grout, _line(joint, 0.003, patch.density))

    return paint


def metal(colour: Colour) -> Material:
    """Brushed and slightly worn metal."""

    def paint(patch: Patch) -> np.ndarray:
        return _tinted(colour, 0.05 * patch.noise((0.3, 0.004), 2) + 0.06 * patch.noise(0.2, 4, key=1))

    return paint
