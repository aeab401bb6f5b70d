"""``Walks``: which photos make a tuple."""

from __future__ import annotations

import numpy as np


class Walks:
    """N photos in the order in which they were taken, walk by walk.

    A tuple is ``steps`` photos of one walk, ``skip`` photos apart. Where a walk is too short for that, the largest skip is
    taken that fits around the photo; one with fewer photos than steps repeats its first or last. The report counts frames of
    the video; here photos count that map, so that a stretch which was left out, to test with, lies within one step.

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
    places = np.zeros((count, steps), dtype=np.int64)
    for photo in range(count):
        gap = min(skip, max((count - 1) // max(steps - 1, 1), 1))
        while (before := _begins(photo, gap, count, steps)) is None and gap > 1:
            gap -= 1
        first = photo - gap * (before or 0)
        places[photo] = np.clip(first + gap * np.arange(steps), 0, count - 1)
    return places


def _begins(photo: int, gap: int, count: int, steps: int) -> int | None:
    """How many photos of its tuple come before a photo: as few as the walk's end allows; None where no tuple fits."""
    for before in range(steps):
        first = photo - gap * before
        if first >= 0 and first + gap * (steps - 1) < count:
            return before
    return None
