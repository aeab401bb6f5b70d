"""``Walks``: which photos make a tuple."""

from __future__ import annotations

import numpy as np


class Walks:
    """N photos in the order in which they were taken, walk by walk.

    A tuple is ``steps`` photos of one walk, ``skip`` photos apart. A walk too short for that skip takes the largest one that
    fits; one with fewer photos than steps repeats its first.

    Args:
        sequences: (N,) the walk of each photo.
        indices: (N,) its position in it.
        steps, skip: s and k of MapNet (Brahmbhatt et al., section 3.1).
    """

    def __init__(self, sequences: np.ndarray, indices: np.ndarray, steps: int, skip: int) -> None:
        self.steps = steps
        self._tuples = np.zeros((len(sequences), steps), dtype=np.int64)
        for walk in np.unique(sequences):
            rows = np.flatnonzero(sequences == walk)
            rows = rows[np.argsort(indices[rows], kind="stable")]
            self._tuples[rows] = rows[_places(len(rows), steps, skip)]

    def __len__(self) -> int:
        return len(self._tuples)

    def tuples(self, photos: np.ndarray) -> np.ndarray:
        """(B, steps) row numbers: for each of (B,) photos the tuple that begins with it, or, near the end of its walk, the
        last one that holds it at the place where it would be."""
        return self._tuples[photos]

    @property
    def moving(self) -> int:
        """How many photos have a tuple of more than one photo."""
        return int((self._tuples != self._tuples[:, :1]).any(axis=1).sum())


def _places(count: int, steps: int, skip: int) -> np.ndarray:
    """(count, steps) places along a walk of so many photos."""
    if steps == 1:
        return np.arange(count)[:, None]
    gap = min(skip, max((count - 1) // (steps - 1), 1))
    offsets = gap * np.arange(steps)
    places = np.arange(count)[:, None] + offsets
    # near the end: move the whole tuple back by whole gaps, so that it still holds the photo that it was drawn for
    over = np.maximum(places[:, -1] - (count - 1), 0)
    places -= (gap * -(-over // gap))[:, None]
    return np.clip(places, 0, count - 1)
