"""What errors to expect of each neighbourhood, learned on the mapping photos themselves by cutting holes around them.

A mapping photo is asked for as if it were a query, after itself and the g photos nearest to it in pose were taken out of the
map, for g from none to a third of them. That shows how interpolation behaves where the map is dense and where it has gaps,
without a single test photo, and what the signs of ``neighbourhoods`` look like when it fails.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from irploc.estimators.neighbourhoods import SIGNS, SIZES, Map, look
from irploc.geometry.poses import pose_errors
from irploc.splits import pose_distances

HOLES = (0, 1, 2, 4, 8, 16, 32, 64, 128)
ASKED = 200  # mapping photos, drawn at random, that are asked for
LEAST_PHOTOS = 12  # with fewer there is nothing to learn from
_PENALTY = 3.0
_CLIP = 3.0  # standard deviations: no extrapolation beyond


@dataclass(frozen=True)
class Samples:
    """Simulated queries: (n, C, S) signs, and the true errors (n, C) in metres and degrees."""

    signs: np.ndarray
    position_m: np.ndarray
    rotation_deg: np.ndarray


def simulate(mapped: Map, seed: int = 0) -> Samples:
    """Asks for mapping photos with holes cut around them; there must be at least ``LEAST_PHOTOS``."""
    vectors, poses, count = mapped.vectors, mapped.poses, len(mapped.vectors)
    asked = np.sort(np.random.default_rng(seed).permutation(count)[:ASKED])
    close = _first(pose_distances(poses, asked), HOLES[-1] + 1)
    similarities = vectors[asked] @ vectors.T
    similarities[np.arange(len(asked)), asked] = -np.inf
    similar = _first(-similarities, SIZES[-1] + HOLES[-1] + 2)
    parts = []
    for hole in HOLES:
        if hole > count // 3:
            break
        taken = (similar[:, :, None] == close[:, None, : hole + 1]).any(axis=2) | (similar == asked[:, None])
        order = np.argsort(taken, axis=1, kind="stable")[:, : min(SIZES[-1], count - hole - 2)]
        rows = np.take_along_axis(similar, order, axis=1)
        seen = look(mapped, vectors[asked], rows)
        errors = [pose_errors(found, poses[asked]) for found in seen.poses]
        parts.append((seen.signs, np.array([m for m, _ in errors]).T, np.array([deg for _, deg in errors]).T))
    signs, position_m, rotation_deg = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    return Samples(signs, position_m, rotation_deg)


class ErrorModel:
    """Predicts the logarithm of the error of each neighbourhood from its signs: a quadratic function, fitted with a ridge.

    Args:
        mean, spread: (S,) of the signs.
        coefficients: (C, T) one for each of the T terms.
    """

    def __init__(self, mean: np.ndarray, spread: np.ndarray, coefficients: np.ndarray) -> None:
        self._mean, self._spread, self._coefficients = mean, spread, coefficients

    @classmethod
    def fit(cls, signs: np.ndarray, errors: np.ndarray) -> ErrorModel:
        """From (n, C, S) signs and (n, C) positive errors."""
        flat = signs.reshape(-1, signs.shape[2])
        model = cls(flat.mean(axis=0), flat.std(axis=0) + 1e-9, np.zeros((signs.shape[1], 0)))
        floor = 1e-3 * errors.mean() + 1e-9
        coefficients = []
        for column in range(signs.shape[1]):
            terms = model._terms(signs[:, column])
            gram = terms.T @ terms + _PENALTY * np.eye(terms.shape[1])
            coefficients.append(np.linalg.solve(gram, terms.T @ np.log(errors[:, column] + floor)))
        model._coefficients = np.stack(coefficients)
        return model

    @property
    def kinds(self) -> int:
        """C, how many neighbourhoods it knows."""
        return len(self._coefficients)

    @classmethod
    def from_plain(cls, values: Mapping[str, Any]) -> ErrorModel:
        """The inverse of ``to_plain``.

        Raises:
            KeyError, TypeError, ValueError: for anything else.
        """
        mean, spread, coefficients = (np.array(values[name], dtype=float) for name in ("mean", "spread", "coefficients"))
        size = len(mean)
        width = 1 + size + size * (size + 1) // 2
        if mean.shape != (SIGNS,) or spread.shape != (size,) or coefficients.ndim != 2 or coefficients.shape[1] != width:
            raise ValueError("the lists of an error model differ in length")
        if not (np.isfinite(mean).all() and np.isfinite(spread).all() and np.isfinite(coefficients).all()):
            raise ValueError("an error model has numbers that are not finite")
        return cls(mean, spread, coefficients)

    def to_plain(self) -> dict[str, Any]:
        """Lists of numbers."""
        return {
            "mean": self._mean.tolist(),
            "spread": self._spread.tolist(),
            "coefficients": self._coefficients.tolist(),
        }

    def log_errors(self, signs: np.ndarray) -> np.ndarray:
        """(N, C) of (N, C, S) signs."""
        columns = [self._terms(signs[:, column]) @ values for column, values in enumerate(self._coefficients)]
        return np.stack(columns, axis=1)

    def _terms(self, signs: np.ndarray) -> np.ndarray:
        """1, every sign, and every product of two: (n, 1 + S + S (S + 1) / 2)."""
        scaled = np.clip((signs - self._mean) / self._spread, -_CLIP, _CLIP)
        first, second = np.triu_indices(scaled.shape[1])
        return np.concatenate([np.ones((len(scaled), 1)), scaled, scaled[:, first] * scaled[:, second]], axis=1)


def _first(values: np.ndarray, count: int) -> np.ndarray:
    """(A, count) columns of the smallest values in each row, in order."""
    count = min(count, values.shape[1])
    found = np.argpartition(values, count - 1, axis=1)[:, :count]
    order = np.argsort(np.take_along_axis(values, found, axis=1), axis=1, kind="stable")
    return np.take_along_axis(found, order, axis=1)
