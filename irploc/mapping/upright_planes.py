"""Level surfaces in a point cloud: the direction along which points lie in layers, and the layers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

_STEPS = 9  # directions tried on each side of the best, in each of two ways, at every level
_CELL = 8.0  # thicknesses that a cell of a layer is wide, when its area is counted
_ROUNDS = 8
LEAST_CONTRAST = 2.0  # times more points in a layer than just above and below it
_BESIDE = (2.5, 6.0)  # thicknesses from a layer where points beside it are counted


@dataclass(frozen=True)
class LevelPlane:
    """A layer of points.

    Attributes:
        height: along up.
        count: points within a thickness of it.
        area: of the cells that hold two of them or more, squared units of the scene.
        contrast: points per height in it, divided by those just above and below.
    """

    height: float
    count: int
    area: float
    contrast: float


def best_direction(points: np.ndarray, guess: np.ndarray, free_deg: float, thick: float) -> np.ndarray:
    """The unit vector, at most ``free_deg`` from the guess, along which points (M, 3) pile up most in layers ``thick``.

    Coarse to fine, first with thick layers. What counts is the sum of squares of the points per layer.
    """
    best, width = guess, np.radians(free_deg)
    while True:
        side, other = _across(best)
        layer = max(thick, width / _STEPS * _reach(points))
        offsets = np.linspace(-width, width, 2 * _STEPS + 1)
        tries = [best + side * a + other * b for a in offsets for b in offsets if a * a + b * b <= width * width]
        tries = [direction / np.linalg.norm(direction) for direction in tries]
        tries = [direction for direction in tries if direction @ guess >= np.cos(np.radians(free_deg))] or [best]
        best = max(tries, key=lambda direction: _piled(points @ direction, layer))
        if layer <= thick:
            return np.asarray(best)
        width *= 2.5 / _STEPS


def refined_direction(points: np.ndarray, start: np.ndarray, thick: float) -> np.ndarray:
    """The unit vector that is the common normal of all layers across ``start``: least squares, repeated."""
    up = start
    for _ in range(_ROUNDS):
        heights = points @ up
        scatter = np.zeros((3, 3))
        for peak in _peaks(heights, thick):
            members = points[np.abs(heights - peak.height) <= 1.5 * thick]
            centred = members - members.mean(axis=0)
            scatter += centred.T @ centred
        if not scatter.any():
            return up
        normal = np.linalg.eigh(scatter)[1][:, 0]
        up = normal * (1.0 if normal @ up >= 0 else -1.0)
    return np.asarray(up)


def level_planes(points: np.ndarray, up: np.ndarray, thick: float) -> list[LevelPlane]:
    """The layers of points (M, 3) across ``up``, lowest first."""
    side, other = _across(up)
    heights, places = points @ up, np.stack([points @ side, points @ other], axis=1)
    found = []
    for peak in _peaks(heights, thick):
        members = np.abs(heights - peak.height) <= thick
        cell = _CELL * thick
        cells = np.unique(np.floor(places[members] / cell).astype(np.int64), axis=0, return_counts=True)[1]
        height = float(np.median(heights[members]))
        found.append(LevelPlane(height, int(members.sum()), int((cells > 1).sum()) * cell * cell, peak.contrast))
    return sorted(found, key=lambda plane: plane.height)


@dataclass(frozen=True)
class _Peak:
    height: float
    contrast: float


def _peaks(heights: np.ndarray, thick: float) -> list[_Peak]:
    """The heights that have clearly more points than those around, the strongest first, none beside a stronger one."""
    step = thick / 4
    low = float(heights.min()) - 2 * thick
    counts = np.bincount(((heights - low) / step).astype(np.int64), minlength=3).astype(np.float64)
    smooth = gaussian_filter1d(np.append(counts, np.zeros(8)), thick / 2 / step, mode="constant")
    tops = 1 + np.flatnonzero((smooth[1:-1] >= smooth[:-2]) & (smooth[1:-1] > smooth[2:]))
    ordered = np.sort(heights)
    peaks: list[_Peak] = []
    for top in tops[np.argsort(-smooth[tops], kind="stable")]:
        height = low + (top + 0.5) * step
        if any(abs(height - peak.height) <= 3 * thick for peak in peaks):
            continue
        peak = _Peak(height, _contrast(ordered, height, thick))
        if peak.contrast >= LEAST_CONTRAST:
            peaks.append(peak)
    return peaks


def _contrast(ordered: np.ndarray, height: float, thick: float) -> float:
    """Points per height within a thickness, divided by those on the fuller side beside it (at least one)."""
    near, far = _BESIDE
    edges = height + thick * np.array([-far, -near, -1, 1, near, far])
    counts = np.diff(np.searchsorted(ordered, edges))
    beside = max(int(counts[0]), int(counts[-1]), 1) / (far - near)
    return float(counts[2] / 2 / beside)


def _piled(heights: np.ndarray, layer: float) -> float:
    """Sum of squared counts of layers, shared between the two nearest so that their borders do not matter."""
    place = (heights - heights.min()) / layer
    whole = place.astype(np.int64)
    part = place - whole
    counts = np.bincount(whole, 1 - part, minlength=int(whole.max()) + 2) + np.bincount(
        whole + 1, part, minlength=int(whole.max()) + 2
    )
    return float(np.sum(counts**2))


def _reach(points: np.ndarray) -> float:
    """The usual distance of points from their middle."""
    return float(np.median(np.linalg.norm(points - np.median(points, axis=0), axis=1)))


def _across(up: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two unit vectors that are perpendicular to ``up`` and to each other."""
    side = np.cross(up, np.eye(3)[int(np.argmin(np.abs(up)))])
    side /= np.linalg.norm(side)
    return side, np.cross(up, side)
