"""Which two photos the next pairs of a batch are."""

from __future__ import annotations

import numpy as np

from irploc.errors import BadInput
from irploc.geometry.poses import Poses, pose_errors
from irploc.splits import pose_distances
from irploc.training.siamese.recipes import SiameseRecipe

_TRIES = 8
_CHUNK = 256


class PairDraws:
    """Draws photos i and their photos j.

    Args:
        poses: of the N mapping photos.
        pairs: (P, 2) correlated ones, each once; ignored where the recipe has no CIPS.
        angle_deg: what the orientation test allows, for draws beyond the pairs.
        recipe: ``cips``, ``near`` and ``wide``.

    Raises:
        BadInput: fewer than two photos, or none with a partner.
    """

    def __init__(self, poses: Poses, pairs: np.ndarray, angle_deg: float, recipe: SiameseRecipe) -> None:
        if len(poses) < 2:
            raise BadInput(f"mapping photos to train on: {len(poses)}; pairs need at least two")
        self._poses, self._angle, self._recipe = poses, angle_deg, recipe
        self._starts, self._partners = _grouped(np.concatenate([pairs, pairs[:, ::-1]]), len(poses))
        self._counts = np.diff(self._starts)
        self._paired = np.flatnonzero(self._counts)
        if recipe.cips and not len(self._paired):
            raise BadInput("no two mapping photos are correlated: select pairs with other thresholds, or train without CIPS")
        self._limits = self._near_first() if recipe.cips and recipe.near else None

    def draw(self, count: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Rows of ``count`` photos i and their photos j, never the same one."""
        if not self._recipe.cips:
            return self._any(random.integers(len(self._poses), size=count), random)
        first = self._paired[random.integers(len(self._paired), size=count)]
        if self._limits is None:
            places = random.integers(self._counts[first])
        else:  # weights 1 / rank: the place is geometric in the number of partners, near enough
            places = np.floor(np.exp(random.random(count) * self._limits[first])).astype(np.int64) - 1
        second = self._partners[self._starts[first] + np.minimum(places, self._counts[first] - 1)]
        wide = random.random(count) < self._recipe.wide
        if wide.any():
            second[wide] = self._within_angle(first[wide], second[wide], random)
        return first, second

    def _any(self, first: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        second = random.integers(len(self._poses) - 1, size=len(first))
        return first, second + (second >= first)

    def _within_angle(self, first: np.ndarray, second: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """Any photo turned away little enough, if a few tries find one; else the partner there is."""
        found, open_rows = second.copy(), np.arange(len(first))
        for _ in range(_TRIES):
            tried = self._any(first[open_rows], random)[1]
            fits = pose_errors(self._poses[first[open_rows]], self._poses[tried])[1] <= self._angle
            found[open_rows[fits]] = tried[fits]
            open_rows = open_rows[~fits]
            if not len(open_rows):
                break
        return found

    def _near_first(self) -> np.ndarray:
        """Sorts each photo's partners by pose distance; gives the logarithms of their numbers, plus one."""
        for start in range(0, len(self._paired), _CHUNK):
            rows = self._paired[start : start + _CHUNK]
            distances = pose_distances(self._poses, rows)
            for row, to_all in zip(rows, distances, strict=True):
                partners = slice(self._starts[row], self._starts[row + 1])
                order = np.argsort(to_all[self._partners[partners]], kind="stable")
                self._partners[partners] = self._partners[partners][order]
        return np.log(self._counts + 1.0)


def _grouped(pairs: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """(N + 1,) where the partners of each photo start, and all partners."""
    order = np.lexsort((pairs[:, 1], pairs[:, 0]))
    starts = np.searchsorted(pairs[order, 0], np.arange(count + 1))
    return starts, pairs[order, 1].astype(np.int64)
